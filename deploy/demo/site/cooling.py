"""The air side and the chilled-water plant: algebraic, every value from one instant's state.

Signals are named ``<equipment>.<signal>``. Temperatures in °C, flows of water and air in L/s,
power in kW, pressures of water in kPa and of air in Pa, positions and speeds in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .catalogue import FLOOR_1_BOXES, FLOOR_2_BOXES
from .climate import Climate, swing

Signals = dict[str, float]

WATER = 4.187
"""kJ/(kg K); a litre of water is a kilogram."""
AIR = 1.2e-3
"""kW per (L/s and K) of air."""
CHW_SETPOINT, SUPPLY_SETPOINT, COOL_SETPOINT, HEAT_SETPOINT = 7.0, 13.0, 24.0, 21.0
TOWER_SETPOINT = 26.5
CHILLER_CAPACITY = 165.0
"""kW of cooling, each of two."""
_CONDENSER_FLOW = 9.6
_FOULING = 1.0
"""How many times the clean approach a fully fouled condenser adds."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A room and its box."""

    key: str
    ahu: int
    capacity: float
    """Sensible cooling at full air flow, kW."""


@cache
def zones() -> tuple[Zone, ...]:
    """Return the rooms of both floors."""
    first = (Zone(f"vav-1-{n:02d}", 1, 4.2 + 0.23 * n) for n in range(1, FLOOR_1_BOXES + 1))
    second = (Zone(f"vav-2-{n:02d}", 2, 5.4 + 0.31 * n) for n in range(1, FLOOR_2_BOXES + 1))
    return (*first, *second)


def cooling(seed: int, t: float, sky: Climate, severity: float) -> Signals:
    """Return every signal of weather, boxes, air handling and plant.

    Args:
        seed: of the site.
        t: site time, s.
        sky: the climate at `t`.
        severity: of chiller 1's condenser fouling, 0 clean to 1.
    """
    out: Signals = _weather(seed, t, sky)
    coils = 0.0
    for number in (1, 2):
        coils += _air_handler(seed, t, sky, number, out)
    hall = 58 * (0.6 + 0.4 * sky.occupancy) * (1 + 0.5 * swing(seed, "hall", t, 1.2))
    total = coils + hall if sky.running else 0.0
    _plant(seed, t, sky, total, severity=severity, out=out)
    return out


def _weather(seed: int, t: float, sky: Climate) -> Signals:
    wind = 3 + 1.8 * swing(seed, "wind", t)
    return {
        "weather.t_oa": sky.t_oa,
        "weather.rh_oa": sky.rh,
        "weather.t_wb": sky.t_wb,
        "weather.irradiance": sky.irradiance,
        "weather.lux": 110 * sky.irradiance,
        "weather.wind": wind,
        "weather.wind_dir": 200 + 40 * swing(seed, "wind_dir", t),
        "weather.rain": 0.0,
    }


def _zone(seed: int, t: float, sky: Climate, zone: Zone, out: Signals) -> tuple[float, float]:
    """Add the signals of one box; return its air flow, L/s, and its room temperature, °C."""
    restless = 0.09 * swing(seed, zone.key, t) + 0.07 * swing(seed, f"floor-{zone.ahu}", t)
    sun = 0.1 * sky.irradiance / 900
    wanted = 0.34 + 0.3 * sky.occupancy + sun + 0.006 * (sky.t_oa - 24) + restless
    share = min(1.0, max(0.25, wanted)) if sky.running else 0.0
    flow = share * zone.capacity / (AIR * 10.5)
    drift = 0.9 * (share - 0.6) if sky.running else 1.6
    t_zone = COOL_SETPOINT - 0.4 + drift + 0.15 * swing(seed, f"{zone.key}-t", t)
    reheat = max(0.0, 0.3 - wanted) * 200 if sky.running else 0.0
    damper = 100 * share**0.8
    # Compared with a dead band's middle, not with noise, so that the mode does not flutter.
    mode = 1 if not sky.running else 3 if reheat > 5 else 2
    out.update(
        {
            f"{zone.key}.t_zone": t_zone,
            f"{zone.key}.sp_zone": COOL_SETPOINT - 0.5,
            f"{zone.key}.sp_cool": COOL_SETPOINT,
            f"{zone.key}.sp_heat": HEAT_SETPOINT,
            f"{zone.key}.flow": flow,
            f"{zone.key}.sp_flow": flow,
            f"{zone.key}.damper": damper,
            f"{zone.key}.damper_cmd": damper,
            f"{zone.key}.reheat": reheat,
            f"{zone.key}.t_da": SUPPLY_SETPOINT + 0.6 + 0.12 * reheat if sky.running else t_zone,
            f"{zone.key}.co2": 430 + 320 * sky.occupancy * (1 + 0.2 * restless),
            f"{zone.key}.occ": float(sky.occupancy > 0.3),
            f"{zone.key}.box_mode": float(mode),
            f"{zone.key}.trip": 0.0,
        }
    )
    return flow, t_zone


def _air_handler(seed: int, t: float, sky: Climate, number: int, out: Signals) -> float:
    """Add the signals of an air handler and its boxes; return the load of its coil, kW."""
    key = f"ahu-{number}"
    mine = [zone for zone in zones() if zone.ahu == number]
    rooms = [_zone(seed, t, sky, zone, out) for zone in mine]
    flow = sum(room[0] for room in rooms)
    share = flow / sum(zone.capacity / (AIR * 10.5) for zone in mine)
    t_ra = 0.4 + sum(room[1] for room in rooms) / len(rooms)
    t_ma = t_ra + 0.22 * (sky.t_oa - t_ra)
    t_sa = SUPPLY_SETPOINT + 0.18 * swing(seed, key, t) if sky.running else t_ra
    load = 1.28 * AIR * flow * (t_ma - t_sa)
    out[f"{key}.t_oa"] = sky.t_oa + 0.1
    out.update(
        {f"{key}.{name}": value for name, value in _airside(share, t_ra, t_ma, t_sa, sky).items()}
    )
    out[f"{key}.flow"], out[f"{key}.flow_m3h"] = flow, 3.6 * flow
    out[f"{key}.rh_ra"] = 50 + 3 * swing(seed, f"{key}-rh", t)
    return load


def _airside(share: float, t_ra: float, t_ma: float, t_sa: float, sky: Climate) -> Signals:
    on = float(sky.running)
    fan = on * (18 + 78 * share)
    valve = on * 100 * min(1.0, (share * (t_ma - t_sa) / 13.5)) ** 0.8
    return {
        "t_sa": t_sa, "sp_sa": SUPPLY_SETPOINT, "t_ra": t_ra, "t_ma": t_ma,
        "rh_sa": 88.0, "co2": 430 + 300 * sky.occupancy, "sp_co2": 900.0,
        "p_sa": 250 * on, "sp_p": 250.0, "on": on, "trip": 0.0,
        "fan_cmd": fan, "fan": fan, "fan_hz": fan / 2, "rf_hz": 0.46 * fan,
        "valve": valve, "hw_valve": 0.0, "oad": 22 * on, "rad": 100 - 22 * on,
        "filter_dp": 140 * share**2, "filter": 0.0,
        "t_chws": CHW_SETPOINT + 0.3, "t_chwr": CHW_SETPOINT + 0.3 + on * (3.9 + 2.4 * share),
        "power": 9.5 * (fan / 100) ** 2.8, "mode": 2.0 if sky.running else 1.0,
    }  # fmt: skip


def _plant(
    seed: int, t: float, sky: Climate, load: float, *, severity: float, out: Signals
) -> None:
    # The tower holds its set-point while the wet bulb lets it; its loop hunts a little.
    t_cws = max(TOWER_SETPOINT, sky.t_wb + 3.0) + 1.1 * swing(seed, "tower", t, 1.7)
    share = 0.52 + 0.012 * swing(seed, "share", t)
    chillers = []
    for number, part in ((1, share), (2, 1 - share)):
        fouled = severity if number == 1 else 0.0
        chillers.append(_chiller(part * load / CHILLER_CAPACITY, t_cws, fouled))
        out.update({f"chiller-{number}.{name}": v for name, v in chillers[-1].items()})
    flow = sum(one["flow_chw"] for one in chillers)
    rejected = sum(one["load"] + one["power"] for one in chillers)
    on = float(load > 0)
    flow_cw = 2 * _CONDENSER_FLOW * on
    t_cwr = t_cws + rejected / (WATER * flow_cw) if flow_cw else t_cws
    t_chws = sum(one["t_chws"] for one in chillers) / 2
    for number, one in enumerate(chillers, start=1):
        hz = on * (22 + 3.4 * one["flow_chw"])
        _machine(out, f"chwp-{number}", hz, 4.6 * (hz / 50) ** 2.8, 150 * on)
        _machine(out, f"cwp-{number}", 45 * on, 3.9 * on, 110 * on)
        _tower(out, number, rejected, t_cwr, t_cws)
    out.update({
        "plant.t_chws": t_chws,
        "plant.t_chwr": t_chws + load / (WATER * flow) if flow else t_chws,
        "plant.t_cws": t_cws, "plant.t_cwr": t_cwr,
        "plant.flow_chw": flow, "plant.flow_cw": flow_cw,
        "plant.p_chwr": 205.0, "plant.p_chws": 205 + 150 * on, "plant.dp": 150 * on,
        "plant.sp_dp": 150.0, "plant.sp_chws": CHW_SETPOINT, "plant.sp_cws": TOWER_SETPOINT,
        "plant.load": load, "plant.on": on,
        "plant.power": sum(
            out[f"{kind}-{n}.power"]
            for kind in ("chiller", "chwp", "cwp", "tower")
            for n in (1, 2)
        ),
    })  # fmt: skip


def _chiller(part: float, t_cws: float, fouled: float) -> Signals:
    """Return a chiller at `part` of its capacity; its supply droops as the load grows."""
    if part <= 0:
        return _chiller_off(t_cws)
    load = part * CHILLER_CAPACITY
    t_chws = CHW_SETPOINT + 0.1 + 2.4 * (part - 0.62)
    rise = 4.0 + 2.2 * part
    t_evap = t_chws - 1.4 - 0.5 * part
    approach = (0.5 + 1.7 * part) * (1 + _FOULING * fouled)
    power = load / 5
    for _ in range(4):  # the condenser's temperature needs the power, and the power it
        t_cwr = t_cws + (load + power) / (WATER * _CONDENSER_FLOW)
        t_cond = t_cwr + approach
        power = load / (0.56 * (t_evap + 273.15) / (t_cond - t_evap + 2))
    return {
        "t_chws": t_chws, "t_chwr": t_chws + rise, "t_cws": t_cws, "t_cwr": t_cwr,
        "t_evap": t_evap, "t_cond": t_cond, "sp_chws": CHW_SETPOINT,
        "flow_chw": load / (WATER * rise), "flow_cw": _CONDENSER_FLOW,
        "fla": 6 + 2.05 * power, "load": load, "power": power, "on": 1.0, "trip": 0.0,
    }  # fmt: skip


def _chiller_off(t_cws: float) -> Signals:
    return {
        "t_chws": 14.0, "t_chwr": 14.5, "t_cws": t_cws, "t_cwr": t_cws,
        "t_evap": 14.0, "t_cond": t_cws, "sp_chws": CHW_SETPOINT, "flow_chw": 0.0,
        "flow_cw": 0.0, "fla": 0.0, "load": 0.0, "power": 0.0, "on": 0.0, "trip": 0.0,
    }  # fmt: skip


def _machine(out: Signals, key: str, hz: float, power: float, dp: float) -> None:
    values = {"on": float(hz > 0), "trip": 0.0, "hz_cmd": hz, "hz": hz, "power": power, "dp": dp}
    out.update({f"{key}.{name}": value for name, value in values.items()})


def _tower(out: Signals, number: int, rejected: float, t_in: float, t_out: float) -> None:
    on = float(rejected > 0)
    speed = on * min(100.0, 25 + 0.2 * rejected)
    values = {
        "on": on, "trip": 0.0, "t_in": t_in, "t_out": t_out + 0.1 * (number - 1.5),
        "sp_out": TOWER_SETPOINT, "speed": speed, "power": 5.5 * (speed / 100) ** 2.7,
    }  # fmt: skip
    out.update({f"tower-{number}.{name}": value for name, value in values.items()})
