"""What another voter (a person, an LLM) may choose from, and what its answer changes. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from plantroom_shared.mapping.classes import canonical, kind_of
from plantroom_shared.mapping.evidence import Facts, quantity_word
from plantroom_shared.mapping.meanings import MappedPoint
from plantroom_shared.mapping.models import counterpart

UNKNOWN: Final = "unknown"
_SURE: Final = 0.6
"""From here on, the offline class stands against a single other voice."""
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


def with_vote(item: MappedPoint, answer: str) -> MappedPoint:
    """Return the mapping after one more voice has named a class.

    Agreement makes it surer. A voice against a sure class lowers it; an unsure class gives way.
    A profile's word stands.
    """
    if item.source == "profile":
        return item
    before = item.confidence or 0.0
    if answer == UNKNOWN:
        return item if item.confidence is None else replace(item, confidence=round(before * 0.9, 3))
    if answer == item.point_class:
        sure = round(1.0 - (1.0 - before) * 0.5, 3)
        return replace(item, confidence=sure, source="llm", evidence=(*item.evidence, "LLM agrees"))
    if before >= _SURE:
        note = f"LLM says {answer}"
        return replace(item, confidence=round(before * 0.7, 3), evidence=(*item.evidence, note))
    return _changed(item, answer)


def _changed(item: MappedPoint, answer: str) -> MappedPoint:
    name = canonical(answer)
    words = {*name.split("_"), kind_of(name)}
    model_id, model_point = counterpart(item.equip_class, words)
    instead = f"LLM instead of {item.point_class}" if item.point_class else "LLM"
    return replace(
        item,
        point_class=name,
        model_id=model_id,
        model_point=model_point,
        confidence=0.55,
        source="llm",
        evidence=(*item.evidence, instead),
    )
