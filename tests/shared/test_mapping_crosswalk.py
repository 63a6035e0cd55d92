"""The crosswalk of Brick, Haystack and units: both ways, over all live classes."""

from __future__ import annotations

import pytest

from plantroom_shared.mapping.classes import equip_classes, is_equip_class, point_classes
from plantroom_shared.mapping.crosswalk import (
    equip_class_of,
    equip_tags,
    feed_ref,
    feed_refs,
    haystack_unit,
    own_tags,
    point_class_of,
    point_tags,
    qudt_unit,
    unit_of_qudt,
)
from plantroom_shared.mapping.rules import load
from plantroom_shared.mapping.shapes import may_be_point_of, may_relate
from plantroom_shared.units import known_units, parse_unit

_ROWS = frozenset({"site", "equip", "point", "id", "dis", "unit", "kind", "enum", "tz"})


def test_every_point_class_comes_back_from_its_tags() -> None:
    """No two classes have the same tags; only the class of all points says too little."""
    lost = [name for name in point_classes() if point_class_of(point_tags(name)) != name]
    assert lost == ["Point"]


def test_every_equipment_class_comes_back_from_its_tags() -> None:
    """The same of equipment."""
    lost = [name for name in equip_classes() if equip_class_of(equip_tags(name)) != name]
    assert lost == ["Equipment"]


def test_tags_are_tags() -> None:
    """They are names that Haystack allows, and none is one that says what a row is."""
    for names, tags_of, row in (
        (point_classes(), point_tags, "point"),
        (equip_classes(), equip_tags, "equip"),
    ):
        for name in names:
            tags = set(tags_of(name))
            assert row in tags
            assert tags & _ROWS == {row}, name
            assert all(tag[0].islower() and tag.isalnum() and tag.isascii() for tag in tags), name


def test_own_tags_are_listed() -> None:
    """What Haystack does not define is listed, each once, and used; the usual words are defined."""
    own = load("haystack.yaml")["own"].split()
    used = {tag for name in point_classes() for tag in point_tags(name)}
    used |= {tag for name in equip_classes() for tag in equip_tags(name)}
    assert len(own) == len(set(own))
    assert set(own) <= used
    assert own_tags(point_tags("Supply_Air_Temperature_Sensor")) == frozenset()
    assert own_tags(point_tags("Leaving_Chilled_Water_Temperature_Sensor")) == frozenset()
    assert own_tags(point_tags("Air_Flow_Deadband_Setpoint")) == frozenset()
    assert own_tags(point_tags("Fan_Status")) == {"status"}


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ("discharge air temp sensor", "Supply_Air_Temperature_Sensor"),
        ("zone air temp cooling sp effective his cur", "Effective_Cooling_Zone_Air_Temperature_Setpoint"),
        ("zone air co2 sensor", "CO2_Sensor"),
        ("fan run cmd", "Fan_Command"),
        ("elec active power sensor", "Active_Power_Sensor"),
        ("leaving chilled water temp sensor", "Leaving_Chilled_Water_Temperature_Sensor"),
        ("sensor", "Sensor"),
        ("", ""),
        ("leaving sensor", ""),
    ],
)  # fmt: skip
def test_tags_of_others_are_understood(tags: str, name: str) -> None:
    """The tags that buildings have, with more that say nothing of the class; vague ones are none."""
    assert point_class_of({"point", *tags.split()}) == name


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ("ahu", "Air_Handling_Unit"),
        ("ahu rtu", "Rooftop_Unit"),
        ("rtu", "Rooftop_Unit"),
        ("vav singleDuct", "Variable_Air_Volume_Box"),
        ("vav hotWaterHeating", "Variable_Air_Volume_Box_With_Reheat"),
        ("elec meter ac", "Electrical_Meter"),
        ("discharge fan motor", "Supply_Fan"),
        ("chilled water pump motor", "Chilled_Water_Pump"),
        ("coolingTower", "Cooling_Tower"),
        ("room", ""),
    ],
)
def test_equipment_of_others_is_understood(tags: str, name: str) -> None:
    """The same of equipment."""
    assert equip_class_of({"equip", *tags.split()}) == name


def test_aliases_have_the_tags_of_their_class() -> None:
    """A class of several names has one set of tags; what is no class has none of its own."""
    assert equip_tags("AHU") == equip_tags("Air_Handling_Unit")
    assert point_tags("No_Such_Class") == ("point",)
    assert equip_tags("") == ("equip",)


def test_every_unit_has_its_names() -> None:
    """Every unit has a QUDT identifier; nearly all have a name in Haystack, and any spelling will do."""
    for unit in known_units():
        assert qudt_unit(unit.symbol), unit.symbol
        back = parse_unit(unit_of_qudt(qudt_unit(unit.symbol)))
        assert back is not None
        assert back.factor == unit.factor, unit.symbol
    assert qudt_unit("degrees-celsius") == "DEG_C"
    assert haystack_unit("DEG F") == "°F"
    assert haystack_unit("kWh") == "kWh"
    assert haystack_unit("mAh") == haystack_unit("nonsense") == qudt_unit("") == ""
    assert unit_of_qudt("NO_SUCH") == ""


def test_what_feeds_has_its_reference() -> None:
    """Classes of feeders exist, and each has one reference."""
    rows = load("haystack.yaml")["feeds"]
    names = [name for line in rows.values() for name in line.split()]
    assert len(names) == len(set(names))
    assert all(map(is_equip_class, names))
    assert feed_ref("AHU") == "airRef"
    assert feed_ref("Boiler") == "hotWaterRef"
    assert feed_ref("") == ""
    assert set(feed_refs()) == set(rows)


def test_brick_lets_some_relations_be() -> None:
    """Of HVAC equipment only its like and valves are fed and parts; the rest is free."""
    assert may_relate("feeds", "AHU", "VAV")
    assert may_relate("part-of", "Air_Handling_Unit", "Hot_Water_Valve")
    assert not may_relate("part-of", "Air_Handling_Unit", "Motor")
    assert not may_relate("feeds", "Air_Handling_Unit", "")
    assert may_relate("feeds", "", "Motor")
    assert may_relate("feeds", "Electrical_Meter", "Air_Handling_Unit")
    assert may_be_point_of("Core_Temperature_Sensor", "Radiant_Panel")
    assert not may_be_point_of("Core_Temperature_Sensor", "Chiller")
    assert may_be_point_of("Temperature_Sensor", "")
