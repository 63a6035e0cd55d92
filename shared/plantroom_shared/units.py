"""Units: the spellings of buses, profiles and vendors, what they measure, and conversion.

A BACnet unit name (``degrees-celsius``, ``degreesCelsius``), a symbol (``°C``, ``kW``) and the usual
vendor spellings (``DEG F``, ``m3/hr``, ``inH₂O``) all become one `Unit`. Facts only: SI, NIST SP 811.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from plantroom_shared.errors import Rejected

MAX_SPELLING: Final = 64
"""Longer texts are no unit: nothing is done with them."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: ``value_in_base = value * factor + offset``."""

    symbol: str
    """The canonical spelling: ``°C``, ``kW``, ``m³/h``."""
    quantity: str
    """What it measures, for evidence: ``temperature``, ``humidity``, ``power``."""
    dimension: str
    """Units of one dimension convert into each other; mostly the quantity itself."""
    factor: float
    offset: float = 0.0


# quantity[/dimension] → lines of: symbol factor[+offset] aliases…   (``_`` is a blank in an alias;
# BACnet names stand here with hyphens, camelCase and plain forms follow from folding.)
_TABLE: Final[dict[str, str]] = {
    "temperature": """
        °C 1+273.15 degrees-celsius degC deg_C C Celsius oC centigrade gradC Grad_C 摄氏度
        °F 5/9+255.37222222222223 degrees-fahrenheit degF deg_F F Fahrenheit oF
        K 1 degrees-kelvin kelvin degK deg_K""",
    "temperature_difference": """
        ΔK 1 delta-degrees-kelvin ΔdegC deltaC delta_K delta-degrees-celsius ΔC
        Δ°F 5/9 delta-degrees-fahrenheit ΔdegF deltaF ΔF""",
    "power": """
        W 1 watts watt
        kW 1e3 kilowatts kilowatt
        MW 1e6 megawatts megawatt
        GW 1e9 gigawatts
        mW 1e-3 milliwatts
        hp 745.6998715822702 horsepower
        TR 3516.8528420667 tons-refrigeration tonref RT ton tons_ref refrigeration_ton USRT 冷吨
        BTU/h 0.2930710701722222 btus-per-hour btu/hr btuh
        kBTU/h 293.0710701722222 kilo-btus-per-hour mbh kbtu/hr kbtuh
        J/h 0.0002777777777777778 joules-per-hours""",
    "energy": """
        Wh 3600 watt-hours watthour
        kWh 3.6e6 kilowatt-hours kilowatthour kW*h 千瓦时
        MWh 3.6e9 megawatt-hours
        GWh 3.6e12 gigawatt-hours
        J 1 joules joule
        kJ 1e3 kilojoules
        MJ 1e6 megajoules
        GJ 1e9 gigajoules
        BTU 1055.05585262 btus
        kBTU 1055055.85262 kilo-btus
        MMBTU 1055055852.62 mega-btus
        therm 105480400 therms
        TRh 12660670.23144 ton-hours tonrefh tonhour tonhr RTh""",
    "reactive_power": """
        var 1 volt-amperes-reactive vars
        kvar 1e3 kilovolt-amperes-reactive kvars
        Mvar 1e6 megavolt-amperes-reactive""",
    "apparent_power": """
        VA 1 volt-amperes
        kVA 1e3 kilovolt-amperes
        MVA 1e6 megavolt-amperes""",
    "reactive_energy": """
        varh 1 watt-hours-reactive volt-ampere-hours-reactive
        kvarh 1e3 kilowatt-hours-reactive kilovolt-ampere-hours-reactive
        Mvarh 1e6 megawatt-hours-reactive megavolt-ampere-hours-reactive""",
    "apparent_energy": """
        VAh 1 volt-ampere-hours
        kVAh 1e3 kilovolt-ampere-hours
        MVAh 1e6 megavolt-ampere-hours""",
    "current": """
        A 1 amperes amps ampere amp
        mA 1e-3 milliamperes
        kA 1e3 kiloamperes""",
    "voltage": """
        V 1 volts volt
        mV 1e-3 millivolts
        kV 1e3 kilovolts
        MV 1e6 megavolts""",
    "charge": """
        Ah 3600 ampere-hours amp-hours
        mAh 3.6 milliampere-hours
        kAh 3.6e6 kiloampere-hours
        As 1 ampere-seconds coulombs""",
    "resistance": """
        Ω 1 ohms ohm
        kΩ 1e3 kilohms kohm
        MΩ 1e6 megohms
        mΩ 1e-3 milliohms""",
    "frequency": """
        Hz 1 hertz 赫兹
        kHz 1e3 kilohertz
        MHz 1e6 megahertz""",
    "rotation": """
        rpm 1 revolutions-per-minute rev/min r/min 1/min U/min
        rad/s 9.549296585513721 radians-per-second""",
    "flow": """
        m³/s 1 cubic-meters-per-second cms
        m³/min 1/60 cubic-meters-per-minute
        m³/h 1/3600 cubic-meters-per-hour m3/hr cmh
        m³/d 1/86400 cubic-meters-per-day
        L/s 1e-3 liters-per-second lps litre/s liter/second litres-per-second
        L/min 1e-3/60 liters-per-minute lpm
        L/h 1e-3/3600 liters-per-hour l/hr
        cfm 0.028316846592/60 cubic-feet-per-minute ft3/min
        cfs 0.028316846592 cubic-feet-per-second ft3/s
        cfh 0.028316846592/3600 cubic-feet-per-hour ft3/h
        gpm 0.003785411784/60 us-gallons-per-minute gal/min usgpm gallons-per-minute
        gph 0.003785411784/3600 us-gallons-per-hour gal/h
        igpm 0.00454609/60 imperial-gallons-per-minute
        mL/s 1e-6 milliliters-per-second""",
    "mass_flow": """
        kg/s 1 kilograms-per-second
        kg/min 1/60 kilograms-per-minute
        kg/h 1/3600 kilograms-per-hour kg/hr
        g/s 1e-3 grams-per-second
        lb/h 0.45359237/3600 pounds-mass-per-hour lb/hr
        t/h 1000/3600 tons-per-hour""",
    "volume": """
        m³ 1 cubic-meters cbm
        L 1e-3 liters litre liter
        mL 1e-6 milliliters
        ft³ 0.028316846592 cubic-feet cuft
        gal 0.003785411784 us-gallons gallon gallons
        igal 0.00454609 imperial-gallons""",
    "pressure": """
        Pa 1 pascals pascal
        hPa 100 hectopascals
        kPa 1e3 kilopascals
        MPa 1e6 megapascals
        bar 1e5 bars
        mbar 100 millibars
        psi 6894.757293168361 pounds-force-per-square-inch psig psia lbf/in2
        inH₂O 249.08891 inches-of-water inwc inwg iwc wg in_w_c inh20
        mmH₂O 9.80665 millimeters-of-water mmwc
        cmH₂O 98.0665 centimeters-of-water
        mH₂O 9806.65 meters-of-water mwc mws
        ftH₂O 2989.06692 feet-of-water ftwc
        inHg 3386.389 inches-of-mercury
        mmHg 133.322387415 millimeters-of-mercury torr
        cmHg 1333.22387415 centimeters-of-mercury
        atm 101325 atmospheres""",
    "ratio": """
        % 0.01 percent pct 百分比 prozent
        ‰ 0.001 per-mille
        p.u. 1 ratio per_unit""",
    "humidity/ratio": "%RH 0.01 percent-relative-humidity %r.h. %rF %r.F. rh%",
    "power_factor/ratio": "pf 1 power-factor cosφ cosphi cos_φ",
    "concentration": """
        ppm 1e-6 parts-per-million
        ppb 1e-9 parts-per-billion""",
    "mass_concentration": """
        µg/m³ 1e-9 micrograms-per-cubic-meter ug/m3
        mg/m³ 1e-6 milligrams-per-cubic-meter
        g/m³ 1e-3 grams-per-cubic-meter""",
    "humidity_ratio": """
        kg/kg 1 kilograms-per-kilogram
        g/kg 1e-3 grams-of-water-per-kilogram-dry-air grams-per-kilogram""",
    "enthalpy": """
        kJ/kg 1e3 kilojoules-per-kilogram-dry-air kilojoules-per-kilogram
        J/kg 1 joules-per-kilogram-dry-air
        BTU/lb 2326 btus-per-pound-dry-air btus-per-pound""",
    "illuminance": """
        lx 1 luxes lux
        fc 10.763910416709722 foot-candles""",
    "irradiance": """
        W/m² 1 watts-per-square-meter
        kW/m² 1e3 kilowatts-per-square-meter
        W/ft² 10.763910416709722 watts-per-square-foot""",
    "speed": """
        m/s 1 meters-per-second meter/second
        m/min 1/60 meters-per-minute
        m/h 1/3600 meters-per-hour
        km/h 1/3.6 kilometers-per-hour kph
        mph 0.44704 miles-per-hour
        ft/s 0.3048 feet-per-second fps
        ft/min 0.00508 feet-per-minute fpm
        mm/s 1e-3 millimeters-per-second""",
    "length": """
        m 1 meters metres meter
        mm 1e-3 millimeters
        cm 0.01 centimeters
        km 1e3 kilometers
        in 0.0254 inches inch
        ft 0.3048 feet foot""",
    "area": """
        m² 1 square-meters sqm
        ft² 0.09290304 square-feet sqft""",
    "angle": """
        ° 0.017453292519943295 degrees-angular deg degree degrees degrees-phase
        rad 1 radians""",
    "mass": """
        kg 1 kilograms
        g 1e-3 grams
        lb 0.45359237 pounds-mass lbs
        t 1e3 metric_tons tonnes""",
    "time": """
        s 1 seconds sec second
        ms 1e-3 milliseconds msec
        min 60 minutes mins minute
        h 3600 hours hr hrs hour 小时
        d 86400 days day
        wk 604800 weeks""",
    "sound": "dB 1 decibels decibels-a dBA",
    "ph": "pH 1 ph-value",
}


_SIGNS: Final = str.maketrans(
    {
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{GREEK CAPITAL LETTER OMEGA}": "ohm",
        "\N{INCREMENT}": "\N{GREEK CAPITAL LETTER DELTA}",
    }
)


def _exact(text: str) -> str:
    """Fold what never carries meaning: width, super- and subscripts, blanks."""
    folded = unicodedata.normalize("NFKC", text)
    return re.sub(r"[\s_·*^]+", "", folded.translate(_SIGNS))


def _loose(text: str) -> str:
    """Fold case, hyphens and dots as well: ``degreesCelsius`` = ``degrees-celsius``."""
    return re.sub(r"[-.]+", "", _exact(text).casefold())


def _number(text: str) -> float:
    top, _, bottom = text.partition("/")
    return float(top) / float(bottom) if bottom else float(top)


def _unit(quantity: str, line: str) -> tuple[Unit, list[str]]:
    symbol, scale, *aliases = line.split()
    factor, _, offset = scale.partition("+")
    name, _, dimension = quantity.partition("/")
    unit = Unit(symbol, name, dimension or name, _number(factor), float(offset or 0))
    return unit, [symbol, *aliases]


@functools.cache
def _index() -> tuple[dict[str, Unit], dict[str, Unit]]:
    """Return spellings → unit, exact first (``mW`` is not ``MW``), then without case."""
    exact: dict[str, Unit] = {}
    loose: dict[str, Unit] = {}
    for quantity, lines in _TABLE.items():
        for line in lines.strip().splitlines():
            unit, spellings = _unit(quantity, line.strip())
            for spelling in spellings:
                exact.setdefault(_exact(spelling), unit)
                loose.setdefault(_loose(spelling), unit)
    return exact, loose


def known_units() -> tuple[Unit, ...]:
    """Return every unit there is, each once."""
    return tuple(dict.fromkeys(_index()[0].values()))


@functools.lru_cache(maxsize=4096)
def parse_unit(text: str) -> Unit | None:
    """Return the unit that `text` spells; None where it is empty, unknown or no unit at all."""
    if not text or len(text) > MAX_SPELLING:
        return None
    exact, loose = _index()
    return exact.get(_exact(text)) or loose.get(_loose(text))


def convert(value: float, from_: str | Unit, to_: str | Unit) -> float:
    """Return `value` in another unit of the same dimension.

    Args:
        value: a number in `from_`; infinities and NaN pass through.
        from_: the unit it is in, as `parse_unit` reads it.
        to_: the unit it shall be in.

    Raises:
        Rejected: (reason ``unit``) one of the units is unknown, or they measure different things.
    """
    source, target = _known(from_), _known(to_)
    if source.dimension != target.dimension:
        what = f"{source.symbol} ({source.quantity}) is not {target.symbol} ({target.quantity})"
        raise Rejected(what, reason="unit")
    if source == target or not math.isfinite(value):
        return value
    if source.offset == target.offset:
        return value * (source.factor / target.factor)
    return (value * source.factor + source.offset - target.offset) / target.factor


def _known(unit: str | Unit) -> Unit:
    found = unit if isinstance(unit, Unit) else parse_unit(unit)
    if found is None:
        what = f"{str(unit)[:MAX_SPELLING]!r} is no unit known here; write it as °C, kW, %, L/s ..."
        raise Rejected(what, reason="unit")
    return found
