"""Invented buildings, each with a naming scheme of its own, and which machine every name means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Named:
    """A name, the machine it belongs to and, where any engineer would say so, what that is."""

    name: str
    machine: str
    equip_class: str = ""


AHU, VAV, FCU = "Air_Handling_Unit", "Variable_Air_Volume_Box", "Fan_Coil_Unit"
CHILLER, BOILER, METER = "Chiller", "Boiler", "Electrical_Meter"


def _each(
    pattern: str,
    codes: Iterable[object],
    suffixes: Iterable[str],
    equip_class: str = "",
    of: str = "{}",
) -> Iterator[Named]:
    """Yield every suffix for every code; `of` is the machine's name."""
    for code, suffix in product(list(codes), list(suffixes)):
        yield Named(pattern.format(code, s=suffix), of.format(code), equip_class)


def schemes() -> dict[str, list[Named]]:
    """Return scheme → its names."""
    return {key: list(make()) for key, make in _SCHEMES.items()}


def _dotted() -> Iterator[Named]:
    yield from _each(
        "HQ.B2.AHU{}.{s}", (1, 2, 3), ("SAT", "RAT", "SF1.Spd", "SF2.Spd", "RF1.Sts"), AHU, "ahu{}"
    )
    yield from _each(
        "HQ.B2.VAV{}.{s}", ("1-01", "1-02", "2-01", "2-11"), ("ZNT", "ZNT-SP", "DMPR"), VAV, "vav{}"
    )
    yield from _each("HQ.B2.CH{}.{s}", (1, 2), ("CHWST", "CHWRT", "kW"), CHILLER, "ch{}")


def _phrases() -> Iterator[Named]:
    yield from _each(
        "North Tower AHU {} {s}",
        (1, 2),
        ("Supply Air Temp", "Return Air Temp", "Supply Fan Speed"),
        AHU,
        "ahu{}",
    )
    yield from _each(
        "North Tower VAV {} {s}",
        ("3 12", "3 13", "4 1"),
        ("Zone Temp", "Airflow", "Damper Position"),
        VAV,
        "vav{}",
    )
    yield from _each("North Tower Boiler {} {s}", (1, 2), ("Leaving Temp", "Status"), BOILER, "b{}")


def _german() -> Iterator[Named]:
    yield from _each(
        "RLT {} {s}",
        (1, 2),
        ("Zulufttemperatur", "Ablufttemperatur", "Zuluftventilator Drehzahl"),
        AHU,
        "rlt{}",
    )
    yield from _each(
        "Kältemaschine {} {s}",
        (1, 2),
        ("Vorlauftemperatur", "Rücklauftemperatur", "Störung"),
        CHILLER,
        "km{}",
    )
    yield from _each(
        "Raum {} {s}", ("2.14", "2.15", "3.01"), ("Temperatur", "Sollwert", "Präsenz"), "", "raum{}"
    )


def _german_codes() -> Iterator[Named]:
    suffixes = ("ZUL_TMP_MW01", "ABL_TMP_MW01", "ZUL_VEN_SB01", "KLP_STG_MW01")
    yield from _each("4120_LTA_{}_{s}", ("001", "002", "003"), suffixes, AHU, "lta{}")
    yield from _each(
        "4120_HZG_{}_{s}", ("001", "002"), ("VL_TMP_MW01", "RL_TMP_MW01", "PU_SB01"), "", "hzg{}"
    )


def _chinese() -> Iterator[Named]:
    yield from _each(
        "{}号冷水机组{s}",
        (1, 2, 3),
        ("冷冻水供水温度", "冷冻水回水温度", "运行状态"),
        CHILLER,
        "冷机{}",
    )
    yield from _each(
        "冷冻泵{}{s}",
        (1, 2),
        ("运行状态", "频率反馈", "故障报警"),
        "Chilled_Water_Pump",
        "冷冻泵{}",
    )
    yield from _each("{}#冷却塔{s}", (1, 2), ("风机频率", "出水温度"), "Cooling_Tower", "塔{}")


def _chinese_floors() -> Iterator[Named]:
    yield from _each(
        "{}层空调机组-1{s}", (2, 3, 4), ("送风温度", "回风温度", "送风机频率"), AHU, "空调{}"
    )


def _french() -> Iterator[Named]:
    yield from _each(
        "Site Lyon/CTA {}/{s}",
        (1, 2),
        ("Température soufflage", "Température reprise", "Défaut ventilateur"),
        AHU,
        "cta{}",
    )
    yield from _each(
        "Site Lyon/Chaudière {}/{s}", (1, 2), ("Température départ", "Marche"), BOILER, "ch{}"
    )


def _spanish() -> Iterator[Named]:
    yield from _each(
        "UTA_{}_{s}",
        ("01", "02", "03", "04"),
        ("Temp_Impulsion", "Temp_Retorno", "Estado_Ventilador"),
        AHU,
        "uta{}",
    )
    yield from _each(
        "Enfriadora_{}_{s}", ("01", "02"), ("Temp_Impulsion", "Alarma"), CHILLER, "enf{}"
    )


def _camel() -> Iterator[Named]:
    yield from _each("Ahu{}{s}", (1, 2, 3), ("SupTemp", "RetTemp", "SupFanSpd"), AHU, "ahu{}")
    yield from _each("Vav{}{s}", (11, 12, 13), ("ZnTemp", "DmprPos", "AirFlow"), VAV, "vav{}")


def _cyrillic() -> Iterator[Named]:
    yield from _each(
        "ПВ{}_{s}", (1, 2, 3), ("Температура_приток", "Температура_вытяжка", "Авария"), "", "пв{}"
    )
    yield from _each("КЛ{}_{s}", (1, 2), ("Давление", "Авария", "Работа"), "", "кл{}")


def _korean() -> Iterator[Named]:
    yield from _each("공조기-{} {s}", (1, 2, 3), ("급기온도", "환기온도", "팬상태"), "", "공{}")


def _greek_tree() -> Iterator[Named]:
    for floor, room in product(("Ισόγειο", "Όροφος"), (1, 2, 3)):
        for point in ("Θερμοκρασία", "Υγρασία", "Εντολή"):
            yield Named(f"{floor}/Δωμάτιο {room}/{point}", f"{floor}{room}")


def _controllers() -> Iterator[Named]:
    yield from _each(
        "NAE01/FC-1.VMA-{}.{s}", (12, 13, 14), ("ZN-T", "ZN-SP", "DPR-C", "SUP-FLOW"), VAV, "vma{}"
    )
    yield from _each(
        "NAE01/FC-1.AHU-{}.{s}", (1, 2), ("DA-T", "RA-T", "SF-S", "SF-C", "MAD-C"), AHU, "ahu{}"
    )


def _fln() -> Iterator[Named]:
    for trunk, number in product((1, 2), (3, 4)):
        for point in ("ROOM TEMP", "CTL STPT", "DMPR POS", "CTL STPT:PRIORITY"):
            yield Named(f"BLD.FLN{trunk}.TEC{number}:{point}", f"{trunk}-{number}")


def _rooms_under() -> Iterator[Named]:
    for unit, rooms in ((1, ("101", "102A", "102B")), (2, ("201", "202"))):
        for room in rooms:
            for point in ("Zone Temp", "Zone Airflow", "Zone Damper Command"):
                yield Named(f"lab.ZONE.AHU{unit}.RM{room}.{point}", f"rm{room}", VAV)
        for point in ("Supply Temp", "Mixed Air Temp", "Cooling Valve"):
            yield Named(f"lab.AHU.AHU{unit}.{point}", f"ahu{unit}", AHU)


def _meters() -> Iterator[Named]:
    yield from _each(
        "EM_{}_{s}",
        ("1_1", "1_2", "2_1"),
        ("kWh", "kW", "Voltage_L1", "Current_L1", "PF"),
        METER,
        "em{}",
    )
    yield from _each(
        "INV{}.{s}",
        ("01", "02"),
        ("MPPT1.Voltage", "MPPT2.Voltage", "Power"),
        "Photovoltaic_Inverter",
        "inv{}",
    )


def _unknown_codes() -> Iterator[Named]:
    yield from _each("QX.{}.{s}", ("TR2", "TR3", "TR14"), ("AV1", "AV2", "BO7", "Zorb"), "", "{}")
    yield from _each("QX.{}.{s}", ("KL5", "KL6", "KL11"), ("AV1", "AV2", "BO7", "Zorb"), "", "{}")


def _namesakes() -> Iterator[Named]:
    for house, unit in product((3, 4), (1, 2)):
        for point in ("SAT", "RAT", "SF-S"):
            yield Named(f"House {house} AHU-{unit} {point}", f"{house}-{unit}", AHU)


def _fan_coils() -> Iterator[Named]:
    yield from _each(
        "Hotel-FCU-{}-{s}",
        ("07-01", "07-02", "12-14"),
        ("RoomTemp", "FanSpeed", "ValveCmd", "Setpoint"),
        FCU,
        "f{}",
    )
    yield from _each(
        "Hotel-CHWP-{}-{s}", (1, 2), ("Run", "Trip", "Hz"), "Chilled_Water_Pump", "p{}"
    )


_SCHEMES = {
    "dotted": _dotted,
    "phrases": _phrases,
    "german": _german,
    "german codes": _german_codes,
    "chinese": _chinese,
    "chinese floors": _chinese_floors,
    "french": _french,
    "spanish": _spanish,
    "camel": _camel,
    "cyrillic": _cyrillic,
    "korean": _korean,
    "greek tree": _greek_tree,
    "controllers": _controllers,
    "trunks": _fln,
    "rooms under": _rooms_under,
    "meters": _meters,
    "unknown codes": _unknown_codes,
    "namesakes": _namesakes,
    "fan coils": _fan_coils,
}
