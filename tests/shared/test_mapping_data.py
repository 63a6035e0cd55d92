"""The data of the mapping: it loads, it is consistent, it stays small."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from plantroom_shared.mapping import canonical, is_point_class, target_unit, thing_models
from plantroom_shared.mapping.classes import KINDS, kind_of, parents, point_classes, rank
from plantroom_shared.mapping.lexicon import LANGUAGES, spellings
from plantroom_shared.mapping.refine import COMMON
from plantroom_shared.mapping.rules import PHASES, group, load, rules
from plantroom_shared.units import parse_unit

_DATA = resources.files("plantroom_shared.mapping") / "data"
_CLASS_WORDS = {word for name in point_classes() for word in name.split("_")}


def test_all_data_together_stays_below_one_megabyte() -> None:
    """A gateway carries it, too."""
    assert sum(len(file.read_bytes()) for file in _DATA.iterdir()) < 1_000_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_spelling_means_two_things_in_one_language(language: str) -> None:
    """YAML reads some words as booleans, and a doubled spelling would hide one of its meanings."""
    data = load(f"lexicon_{language}.yaml")
    for section in ("words", "equipment", "trailing"):
        lines = data.get(section, {})
        assert all(isinstance(k, str) and isinstance(v, str) for k, v in lines.items())
        found = [spelling for line in lines.values() for spelling in line.split()]
        doubled = {spelling for spelling in found if found.count(spelling) > 1}
        assert doubled == set()


def _doubled(node: yaml.Node | None) -> list[str]:
    """Return the keys that a mapping has twice; the first of them would be lost without a word."""
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [str(key.value) for key, _ in node.value]
    own = [key for key in keys if keys.count(key) > 1]
    return own + [key for _, value in node.value for key in _doubled(value)]


@pytest.mark.parametrize(
    "name", sorted(file.name for file in _DATA.iterdir() if file.name.endswith(".yaml"))
)
def test_no_meaning_stands_twice(name: str) -> None:
    """YAML keeps the last of equal keys only, and the spellings of the first are gone."""
    assert _doubled(yaml.compose((_DATA / name).read_text(encoding="utf-8"))) == []


def test_words_with_a_capital_are_words_of_brick() -> None:
    """A meaning is only of use if classes are named by it."""
    unknown = {
        word
        for _, entry in spellings()
        for word in entry.words
        if word[0].isupper() and word not in _CLASS_WORDS
    }
    assert unknown == set()


def test_equipment_words_name_brick_equipment() -> None:
    """What is proposed as an equipment class exists in Brick."""
    import json

    known = set(json.loads((_DATA / "brick.json").read_text())["equipment"])
    ours = {entry.equip for _, entry in spellings() if entry.equip}
    assert ours - known == {"Chilled_Water_System", "Hot_Water_System", "Unit_Heater"}


def test_every_class_has_a_kind_and_known_parents() -> None:
    """Classes that no kind ends are abstract; parents are classes too."""
    assert [name for name in point_classes() if kind_of(name) == ""] == ["Point"]
    assert {kind_of(name) for name in point_classes()} == {*KINDS, ""}
    assert all(is_point_class(parent) for name in point_classes() for parent in parents(name))


def test_every_class_is_found_by_its_own_words() -> None:
    """A class named in full comes out first: the scorer reaches all of them."""
    missed = []
    for name in point_classes():
        kind = kind_of(name)
        words = tuple(sorted((word, 1.0) for word in name.split("_") if word != kind))
        if kind and rank(words, ((kind, 1.0),))[0].name != name:
            missed.append(name)
    assert missed == []


def test_aliases_lead_to_canonical_names() -> None:
    """Discharge is supply; a canonical name is its own."""
    assert canonical("Discharge_Air_Temperature_Sensor") == "Supply_Air_Temperature_Sensor"
    assert canonical("Run_Time_Sensor") == "On_Timer_Sensor"
    assert all(canonical(name) == name for name in point_classes())
    assert all(is_point_class(name) and canonical(name) == name for name in COMMON)
    assert not is_point_class("Furlong_Sensor")


def test_units_of_thing_models_are_units() -> None:
    """Every stated unit is one that values can be converted to."""
    units = {p.unit for points in thing_models().values() for p in points.values() if p.unit}
    assert {unit for unit in units if parse_unit(unit) is None} == set()
    assert target_unit("EnOS_HVAC_CH", "CH_raw_energy_active_total") == "Wh"
    assert target_unit("EnOS_HVAC_CH", "CH_raw_temp_chws") == "°C"
    assert target_unit("EnOS_HVAC_CH", "no such point") == ""
    assert target_unit("no such model", "x") == ""


def test_rules_lead_to_points_of_their_model() -> None:
    """No rule names a point that its thing model does not have."""
    wrong = [
        (entry["model"], line)
        for entry in load("enos_rules.yaml")["models"]
        for line in entry["points"]
        if line.partition(": ")[0] not in thing_models()[entry["model"]]
    ]
    assert wrong == []


def test_rules_use_known_groups_and_kinds() -> None:
    """Every line of the evidence rules parses into something that can hold and do something."""
    for phase in PHASES:
        for rule in rules(phase):
            assert rule.first, rule.line
            assert rule.add or rule.drop or rule.kinds, rule.line
            assert {kind for kind, _ in rule.kinds} <= set(KINDS), rule.line
    assert "Temperature" in group("physical")
