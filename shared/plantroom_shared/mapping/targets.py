"""What can be mapped to: thing models of EnOS, and the classes of Brick and Haystack as models.

Brick and Haystack prescribe no unit, only what is measured: a class takes any unit of its quantity,
and one piece of equipment may have several points of a class.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Final, Literal

from plantroom_shared.mapping.classes import point_classes
from plantroom_shared.mapping.models import enos_models
from plantroom_shared.mapping.things import Catalog, ModelPoint, ThingModel

TargetName = Literal["enos", "brick", "haystack"]
TARGETS: Final[tuple[TargetName, ...]] = ("enos", "brick", "haystack")
_STATES: Final = frozenset({"Status", "Alarm"})
_SWITCHED: Final = frozenset(
    {"On", "Off", "Start", "Stop", "Enable", "Disable", "Lockout", "Override"}
)
"""A command with one of these is a state; another one may be a position or a speed."""
_TEXTS: Final = frozenset({"Mode", "Direction"})
# Words of a class name → the unit that its values are shown in here. The first that fits wins;
# any unit of the same dimension converts. Classes that measure none of it have no unit.
_UNITS: Final = (
    ({"Temperature"}, "°C"),
    ({"Dewpoint"}, "°C"),
    ({"Relative", "Humidity"}, "%RH"),
    ({"Enthalpy"}, "kJ/kg"),
    ({"CO2"}, "ppm"),
    ({"CO"}, "ppm"),
    ({"Irradiance"}, "W/m²"),
    ({"Radiance"}, "W/m²"),
    ({"Illuminance"}, "lx"),
    ({"Luminance"}, "lx"),
    ({"Frequency"}, "Hz"),
    ({"Reactive", "Power"}, "kvar"),
    ({"Apparent", "Power"}, "kVA"),
    ({"Power", "Factor"}, "%"),
    ({"Power"}, "kW"),
    ({"Reactive", "Energy"}, "kvarh"),
    ({"Energy"}, "kWh"),
    ({"Voltage"}, "V"),
    ({"Current"}, "A"),
    ({"Pressure"}, "Pa"),
)
_ELSE: Final = frozenset(
    {"Alarm", "Status", "Command", "Time", "Delay", "Proportional", "Integral", "Derivative", "Step",
     "Band", "Deadband", "Reset", "Enable", "Ratio", "Level", "Gain", "Loss", "Angle", "Imbalance",
     "Harmonic", "Distortion", "Fault", "Mode", "Occupancy", "Schedule", "Quality", "Ramp", "Offset",
     "Tolerance", "Medium", "Demand", "Usage", "Charge", "Capacity", "Duration", "Rate", "Percent",
     "Percentage", "Direction", "Thermal", "Adjust", "Output", "Position", "Color", "Load", "Absolute"}
)  # fmt: skip
"""Words that make a class something else than a plain quantity: nothing is said of its unit."""


def brick_point(point_class: str) -> ModelPoint:
    """Return a Brick point class as a model point."""
    return _point("brick", point_class, "INT")


def haystack_point(point_class: str) -> ModelPoint:
    """Return the Haystack point of a Brick class: its kind is Number, Bool or Str, for us a type."""
    return _point("haystack", point_class, "BOOL")


def _point(model_id: str, point_class: str, state_type: str) -> ModelPoint:
    words = frozenset(point_class.split("_"))
    if words & _TEXTS:
        data_type, signal = "ENUM", ""
    elif words & _STATES or ("Command" in words and words & _SWITCHED):
        data_type, signal = state_type, "DI"
    else:
        data_type, signal = "DOUBLE", ""
    return ModelPoint(point_class, data_type, _unit(words), signal, _kind(words), model_id)


def _kind(words: frozenset[str]) -> str:
    for kind in ("Setpoint", "Command", "Status", "Alarm", "Parameter"):
        if kind in words:
            return kind
    return "Measurement"


def _unit(words: frozenset[str]) -> str:
    if words & _ELSE:
        return ""
    unit = next((unit for wanted, unit in _UNITS if wanted <= words), "")
    # A difference of temperatures is told in °C as often as in K: both may be right.
    return "" if "Differential" in words and unit != "Pa" else unit


@functools.cache
def class_models() -> tuple[ThingModel, ...]:
    """Return Brick and Haystack as models: any equipment may have any class, several times."""
    names = sorted(point_classes())
    return (
        _model("brick", "Brick 1.4.4", map(brick_point, names)),
        _model("haystack", "Project Haystack", map(haystack_point, names)),
    )


def _model(name: str, title: str, points: Iterable[ModelPoint]) -> ThingModel:
    return ThingModel(name, {p.identifier: p for p in points}, title=title, several=True)


def builtin() -> tuple[ThingModel, ...]:
    """Return every model that needs no import."""
    return (*enos_models(), *class_models())


def catalog(own: Iterable[ThingModel] = ()) -> Catalog:
    """Return the models that a company can map to; its own hide built-in ones of the same name."""
    return Catalog(builtin(), own)
