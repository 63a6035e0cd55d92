"""Which deadband a point has: by a rule, by its profile, by its kind, or by its device."""

from __future__ import annotations

from typing import Final

from plantroom_edge.hints import Hint
from plantroom_edge.sampling.config import BandRule, SamplingConfig, with_unit
from plantroom_edge.sampling.gate import Band
from plantroom_shared.dimensions import dimension_of
from plantroom_shared.model import Point
from plantroom_shared.units import parse_unit

ABSOLUTE: Final = {
    "temperature": "0.05 ΔK",
    "temperature_difference": "0.05 ΔK",
    "humidity": "0.25 %RH",
    "frequency": "0.005 Hz",
    "concentration": "5 ppm",
    "ratio": "0.1 %",
}
"""By quantity. Each is below what the usual sensor can tell: a Pt1000 of class B is ±0.3 K at its
best, a humidity sensor ±2 %RH, a CO2 sensor ±30 ppm; 5 mHz is a quarter of what mains regulation
calls a step; a valve's position is told in tenths of a percent at best."""

SHARE: Final = {
    "power": 0.005,
    "reactive_power": 0.005,
    "apparent_power": 0.005,
    "current": 0.005,
    "voltage": 0.001,
    "flow": 0.005,
    "mass_flow": 0.005,
    "pressure": 0.002,
    "irradiance": 0.005,
    "illuminance": 0.02,
    "speed": 0.005,
    "rotation": 0.001,
}
"""Parts of the value. Class 0.5 and class 1 meters, ultrasonic flow meters, pressure transmitters
of 0.25 % and lux meters of 5 % tell no less; around 0 every change counts."""


WORTH: Final = 0.999
"""A hint is the least change that is worth a sample, a rule's deadband the most that is not: so much
below it does not matter how a device rounds."""


def band_of(point: Point, config: SamplingConfig, hint: Hint | None = None) -> Band | None:
    """Return the deadband of `point`; None if every poll is a sample.

    Args:
        point: in the unit it is stored in, which is that of the deadband.
        config: the section ``sampling:``.
        hint: what is known of the point otherwise, in the same unit.
    """
    for rule in config.bands:
        if rule.picks(point):
            band = _by_rule(rule, point, config.heartbeat, hint)
            if band is not _NO_FIT:
                return band
    return _unruled(point, config.heartbeat, hint) if config.report == "by-exception" else None


_NO_FIT: Final = Band(heartbeat=0.0)
"""A rule's deadband is in a unit that measures something else than the point."""


def _by_rule(rule: BandRule, point: Point, heartbeat: float, hint: Hint | None) -> Band | None:
    beat = rule.heartbeat or heartbeat
    if rule.every:
        return None
    if rule.percent is not None:
        if rule.span is None:
            return Band(share=rule.percent / 100, heartbeat=beat)
        return Band(rule.percent / 100 * (rule.span[1] - rule.span[0]), heartbeat=beat)
    if rule.deadband is None:
        return _unruled(point, beat, hint)
    if not isinstance(rule.deadband, str):
        return Band(rule.deadband, heartbeat=beat)
    absolute = _in_unit(rule.deadband, point.unit)
    return _NO_FIT if absolute is None else Band(absolute, heartbeat=beat)


def _unruled(point: Point, heartbeat: float, hint: Hint | None) -> Band:
    """Return what is lost of no use: as the profile says, by the kind of the point, by its device."""
    told = None if point.states else hint  # one state more is another state
    if told is not None and told.deadband is not None:
        return Band(told.deadband * WORTH, heartbeat=heartbeat, origin="profile")
    if told is not None and told.percent is not None:
        return Band(share=told.percent / 100 * WORTH, heartbeat=heartbeat, origin="profile")
    unit = parse_unit(point.unit)
    if unit is None and told is not None and told.increment:
        return Band(told.increment * WORTH, heartbeat=heartbeat, origin="device")
    quantity = unit.quantity if unit and not point.states else ""
    if quantity in ABSOLUTE:
        absolute = _in_unit(ABSOLUTE[quantity], point.unit) or 0.0
        return Band(absolute, heartbeat=heartbeat, origin="kind")
    return Band(share=SHARE.get(quantity, 0.0), heartbeat=heartbeat, origin="kind")


def _in_unit(text: str, unit: str) -> float | None:
    """Return ``0.1 K`` as a distance in `unit`; None where that measures something else."""
    given, target = with_unit(text), dimension_of(unit)
    source = dimension_of(given[1]) if given else None
    if given is None or source is None or target is None:
        return None
    thermal = {source.family, target.family} <= {"temperature", "temperature_difference"}
    if source.family != target.family and not thermal:
        return None
    return given[0] * source.factor / target.factor
