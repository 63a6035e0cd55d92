"""What another voter (a person, an LLM) may choose from, and what its answer changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from plantroom_shared.mapping.classes import canonical
from plantroom_shared.mapping.evidence import Facts, quantity_word
from plantroom_shared.mapping.meanings import MappedPoint, of_class

UNKNOWN: Final = "unknown"
TRUST: Final = 0.7
"""How often a language model is right about an unsure template, until reviews tell."""
_SHRUGS: Final = 0.3
"""Share of its misses in which a voice says ``unknown`` in place of a wrong class."""
_SHRUGS_OUTSIDE: Final = 0.4
"""How often it says ``unknown`` where the right class was not offered."""
_POPULAR: Final = 0.3
"""How much of its wrong answers then falls on any one class: on the ones that look right."""
_LISTED: Final = 0.8
"""Where the first class is wrong, how often the right one is among the others offered."""
_FALLS: Final = 0.6
"""From candidate to candidate."""
_FLOOR: Final = 0.04
"""What even the last class offered keeps."""
COMMON: Final = (
    "Zone_Air_Temperature_Sensor",
    "Target_Zone_Air_Temperature_Setpoint",
    "Supply_Air_Temperature_Sensor",
    "Return_Air_Temperature_Sensor",
    "Outside_Air_Temperature_Sensor",
    "Mixed_Air_Temperature_Sensor",
    "Supply_Air_Temperature_Setpoint",
    "Cooling_Zone_Air_Temperature_Setpoint",
    "Heating_Zone_Air_Temperature_Setpoint",
    "Leaving_Chilled_Water_Temperature_Sensor",
    "Entering_Chilled_Water_Temperature_Sensor",
    "Leaving_Hot_Water_Temperature_Sensor",
    "Entering_Condenser_Water_Temperature_Sensor",
    "Supply_Air_Flow_Sensor",
    "Supply_Air_Flow_Setpoint",
    "Water_Flow_Sensor",
    "Supply_Air_Static_Pressure_Sensor",
    "Differential_Pressure_Sensor",
    "Zone_Air_Humidity_Sensor",
    "CO2_Sensor",
    "Damper_Position_Sensor",
    "Damper_Command",
    "Valve_Command",
    "Valve_Position_Sensor",
    "Cooling_Command",
    "Heating_Command",
    "Speed_Command",
    "Speed_Sensor",
    "Frequency_Sensor",
    "Start_Stop_Command",
    "On_Off_Status",
    "Fan_Status",
    "Pump_Status",
    "Alarm",
    "Fault_Status",
    "Occupancy_Sensor",
    "Mode_Status",
    "Electric_Power_Sensor",
    "Electric_Energy_Sensor",
)


def choices(item: MappedPoint, unit: str, limit: int = 40) -> tuple[str, ...]:
    """Return the classes that another voter may choose for a point: the offline best, then common ones.

    Args:
        item: what the offline mapping found.
        unit: the point's unit; classes of another quantity are left out.
        limit: how many at most.
    """
    word = quantity_word(Facts(unit=unit).quantity)
    fill = (name for name in COMMON if not word or word in name.split("_"))
    return tuple(dict.fromkeys([*item.candidates, *fill]))[:limit]


def with_vote(
    item: MappedPoint, answer: str, offered: Sequence[str] = (), trust: float = TRUST
) -> MappedPoint:
    """Return the mapping after one more voice has named a class.

    The offline confidence is the probability that its class is right; the other voice is right
    in `trust` of all cases. What both say together is again a probability, by Bayes: the class
    with the highest wins. A profile's word stands.

    Args:
        item: what the offline mapping found.
        answer: one of `offered`, or ``unknown``.
        offered: what the voice could choose from; the candidates where it is not told.
        trust: how often the voice is right where the right class was offered, in 0..1.
    """
    if item.source == "profile":
        return item
    if answer == UNKNOWN and item.confidence is None:
        return item
    belief = _believed(item, answer, tuple(offered) or item.candidates, trust)
    # Who does not know speaks for no other class.
    best = (
        item.point_class
        if answer == UNKNOWN
        else max(belief, key=lambda name: (belief[name], name == item.point_class))
    )
    sure = round(min(0.97, max(0.03, belief[best])), 3)
    if best == item.point_class:
        if answer == best:
            note = (*item.evidence, "LLM agrees")
            return replace(item, confidence=sure, source="llm", evidence=note)
        note = (*item.evidence, f"LLM says {answer}")
        return replace(item, confidence=sure, evidence=note)
    return _changed(item, best, sure)


def _believed(
    item: MappedPoint, answer: str, offered: Sequence[str], trust: float
) -> dict[str, float]:
    """Return class → probability after the answer; what is missing to 1 is any other class."""
    before = _prior(item, offered)
    others = max(1, len(offered) - 1)
    wrong = (1.0 - trust) * (1.0 - _SHRUGS) / others
    none_of_them = max(0.0, 1.0 - sum(before.values()))
    if answer == UNKNOWN:
        said = dict.fromkeys(before, (1.0 - trust) * _SHRUGS)
        outside = _SHRUGS_OUTSIDE
    else:
        said = {name: trust if name == answer else wrong for name in before}
        outside = (1.0 - _SHRUGS_OUTSIDE) * _POPULAR
    joint = {name: before[name] * said[name] for name in before}
    total = sum(joint.values()) + none_of_them * outside
    return {name: value / total for name, value in joint.items()}


def _prior(item: MappedPoint, offered: Sequence[str]) -> dict[str, float]:
    """Return class → probability before anybody else is asked."""
    first = item.point_class
    top = item.confidence or 0.0
    rest = [name for name in dict.fromkeys((*item.candidates, *offered)) if name != first]
    # Where the offline mapping abstained, the order of its candidates says little.
    falls = _FALLS if first else 1.0
    weights = [falls**rank + _FLOOR for rank in range(len(rest))]
    share = _LISTED * (1.0 - top) / sum(weights) if rest else 0.0
    prior = {name: share * weight for name, weight in zip(rest, weights, strict=True)}
    return {first: top, **prior} if first else prior


def _changed(item: MappedPoint, answer: str, sure: float) -> MappedPoint:
    instead = f"LLM instead of {item.point_class}" if item.point_class else "LLM"
    made = of_class(item, canonical(answer))
    return replace(made, confidence=sure, source="llm", evidence=(*item.evidence, instead))
