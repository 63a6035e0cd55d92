"""What people answer: templates, rules as text, what follows from answers, and the queue."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared.mapping import (
    Rule,
    Rulebook,
    RuleError,
    Template,
    answered,
    induced,
    map_points,
    ordered,
    parse_rules,
    read_key,
    template_key,
    template_of,
)
from plantroom_shared.mapping.classes import canonical, is_equip_class
from plantroom_shared.mapping.learned import ANYWHERE, SHORT, parse_rule, plain
from plantroom_shared.mapping.names import clean
from plantroom_shared.model import Point

VAV, AHU = "Variable_Air_Volume_Box", "Air_Handling_Unit"
ZONE, SUPPLY = "Zone_Air_Temperature_Sensor", "Supply_Air_Temperature_Sensor"
FAN, ALARM = "Fan_Status", "Alarm"

texts = st.text(max_size=40)
# States have texts, or there are none.
states = st.lists(texts.filter(bool), max_size=3).map(tuple)
names = texts.map(plain).filter(bool)
rules = st.builds(
    Rule,
    names,
    st.sampled_from([ZONE, SUPPLY, FAN, ALARM]),
    st.sampled_from([ANYWHERE, "", VAV, AHU, "Chiller"]),
    unit=texts.map(lambda text: clean(clean(text))),
    type=texts.map(lambda text: clean(clean(text))),
    description=texts.map(plain),
)


def point(name: str, **more: Any) -> Point:
    """Return a point of one controller."""
    return Point(key=name, device="bacnet:1", name=name, **more)


@given(rules)
def test_a_rule_reads_back_as_it_was_written(rule: Rule) -> None:
    """Whatever names strangers give, the line that is shown means what the rule says."""
    assert parse_rule(rule.text) == rule
    assert parse_rules(f"# mine\n\n  {rule.text}  # learned from 3 answers\r\n") == [rule]


def test_short_names_are_brick_classes() -> None:
    """Each short name stands for the one name of a class that exists."""
    assert [canonical(name) for name in SHORT.values() if is_equip_class(name)] == [*SHORT.values()]


def test_rules_are_read_as_people_write_them() -> None:
    """Letter case of words, short and long names of equipment, numbers and old names of classes."""
    rule = parse_rule('IN vav: "ZN-T 3" WITH unit "degF" and TYPE "analog-input" means ' + ZONE)
    assert rule == Rule("ZN-T #", ZONE, VAV, "degF", "analog-input")
    assert parse_rule(f'in {AHU}: "x" means {ZONE}').equip_class == AHU
    assert parse_rule(f'in no equipment: "x" means {ZONE}').equip_class == ""
    old = parse_rule('anywhere: "SAT" means Discharge_Air_Temperature_Sensor')
    assert old.point_class == SUPPLY


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ZN-T is the zone temperature", "write it as"),
        (f'in VAV: "ZN-T" means {ZONE} or so', "write it as"),
        (f'in VAV: "" means {ZONE}', "is empty"),
        (f'in Toaster: "T" means {ZONE}', "no equipment class 'Toaster'"),
        ('in VAV: "T" means Warmth', "no point class 'Warmth'"),
        (f'in VAV: "T" and unit "degF" means {ZONE}', "with unit"),
        (f'in VAV: "T" with unit "a" and unit "b" means {ZONE}', "with unit"),
        (f'in VAV: "T" with unit "" means {ZONE}', "with unit"),
        (f'in VAV: "T" means {ZONE}\nanywhere: "T" means {SUPPLY}\nin VAV: "t" means {FAN}', "line 3"),
        ("x" * 5000, "write it as"),
    ],
)  # fmt: skip
def test_a_wrong_line_says_what_to_write(line: str, told: str) -> None:
    """The error names the line and shows how it is meant."""
    with pytest.raises(RuleError, match="line") as caught:
        parse_rules(line)
    assert told in str(caught.value)


@given(st.builds(Template, texts, texts, texts, texts, states, texts))
def test_a_key_is_taken_apart_again(template: Template) -> None:
    """Every template has a key, every key its template."""
    assert read_key(template.key) == template


@pytest.mark.parametrize("text", ["", "x", "a|b|c|d|e", "a|b|c|d|e|f|g", "x|" * 5 + "y" * 9000])
def test_what_is_no_key_has_no_template(text: str) -> None:
    """Nothing that a stranger sends is taken for a template."""
    assert read_key(text) is None


def test_numbers_and_equipment_are_not_part_of_a_template() -> None:
    """Points of two boxes share a template; another unit, type or description makes another one."""
    points = [point("VAV-1 ZN-T"), point("VAV-22 ZN-T"), point("VAV-3 ZN-T", unit="degC")]
    points += [
        point("VAV-4 ZN-T", object_type="analog-input"),
        point("VAV-5 ZN-T", description="a"),
    ]
    keys = [template_key(item, own) for item, own in zip(map_points(points), points, strict=True)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    template = read_key(keys[0])
    assert template is not None
    assert (template.suffix, template.equip_class) == ("ZN-T", VAV)


def keyed(suffix: str, equip_class: str = VAV, **more: Any) -> str:
    """Return the key of a template."""
    return Template(suffix, equip_class, **more).key


def test_an_answer_holds_for_its_name_in_its_equipment_class() -> None:
    """Whatever separators and letter case it has there; in other classes it says nothing."""
    [rule] = induced({keyed("ZN-T"): ZONE})
    assert rule.text == f'in VAV: "ZN-T" means {ZONE}'
    assert rule.holds(Template("zn_t", VAV, unit="degF"))
    assert not rule.holds(Template("ZN-T", AHU))
    assert not rule.holds(Template("ZN-T SP", VAV))


def test_a_name_that_means_the_same_in_two_classes_means_it_anywhere() -> None:
    """Unless a third class was answered otherwise."""
    answers = {keyed("OAT"): ZONE, keyed("OAT", AHU): ZONE}
    assert Rulebook(learned=induced(answers)).find(Template("OAT", "Chiller")) is not None
    answers[keyed("OAT", "Boiler")] = SUPPLY
    book = Rulebook(learned=induced(answers))
    assert book.find(Template("OAT", "Chiller")) is None
    found = book.find(Template("oat", "Boiler"))
    assert found is not None
    assert found.point_class == SUPPLY


def test_answers_that_contradict_each_other_make_rules_that_tell_them_apart() -> None:
    """By the first of description, unit and type that does; by none, there is no rule."""
    told = {
        keyed("S", unit="degF", object_type="analog-input"): ZONE,
        keyed("S", unit="cfm", object_type="analog-input"): "Supply_Air_Flow_Sensor",
        keyed("F", object_type="binary-input"): FAN,
        keyed("F", object_type="binary-output"): "Fan_Command",
        keyed("X", states=("off", "on")): FAN,
        keyed("X", states=("ok", "alarm")): ALARM,
    }
    lines = [rule.text for rule in induced(told)]
    assert lines == [
        'in VAV: "F" with type "binary-input" means Fan_Status',
        'in VAV: "F" with type "binary-output" means Fan_Command',
        'in VAV: "S" with unit "cfm" means Supply_Air_Flow_Sensor',
        f'in VAV: "S" with unit "degF" means {ZONE}',
    ]


def test_a_rule_asks_for_what_its_name_does_not_tell() -> None:
    """An answer for one description is none for another: `AI #` says nothing by itself."""
    known = [Template("AI #", VAV, description=text) for text in ("zone temp", "air flow", "")]
    [rule] = induced({known[0].key: ZONE}, known)
    assert rule.text == f'in VAV: "AI #" with description "zone temp" means {ZONE}'
    assert not rule.holds(known[1])
    units = [Template("T", VAV, "degF"), Template("T", VAV, "°F"), Template("T", VAV)]
    assert induced({units[0].key: ZONE}, units)[0].unit == ""
    assert induced({units[0].key: ZONE}, [*units, Template("T", VAV, "kW")])[0].unit == "degF"
    kinds = [Template("F", VAV, object_type=f"binary-{way}") for way in ("input", "output")]
    assert induced({kinds[0].key: FAN}, kinds)[0].type == "binary-input"


def test_what_is_no_answer_teaches_nothing() -> None:
    """Foreign keys, unknown classes, names without a letter, unknown equipment."""
    assert induced({"x": ZONE, keyed("T"): "Warmth", keyed(""): ZONE}) == []
    assert induced({keyed("T", "Toaster"): ZONE}) == []


@given(st.dictionaries(st.builds(Template, names, st.just(VAV), texts).map(lambda t: t.key),
                       st.sampled_from([ZONE, SUPPLY, FAN])))  # fmt: skip
def test_no_rule_contradicts_an_answer(answers: dict[str, str]) -> None:
    """What was learned says of every answered template what was answered, or nothing."""
    book = Rulebook(learned=induced(answers))
    for key, name in answers.items():
        template = read_key(key)
        assert template is not None
        rule = book.find(template)
        assert rule is None or rule.point_class == name


@given(st.lists(rules, max_size=6))
def test_rules_of_people_come_first(found: list[Rule]) -> None:
    """However little they ask for, and however much a learned one does."""
    own = Rule("ZN-T", ALARM)
    template = Template("ZN-T", VAV, "degF", "analog-input")
    book = Rulebook([own], [*found, Rule("ZN-T", ZONE, VAV, "degF", "analog-input")])
    assert book.find(template) == own
    assert len(book) == len(found) + 2


def test_decisions_come_before_rules_and_rules_before_guesses() -> None:
    """Source, confidence, evidence and the counterpart follow the class; profiles stand."""
    points = [point("VAV-1 ZN-T"), point("VAV-2 SAT"), point("VAV-3 DMPR"), point("FAN-1 ST")]
    points.append(point("VAV-4 SAT", point_class=ZONE))
    plainly = map_points(points)
    decided = {template_key(plainly[0], points[0]): SUPPLY}
    book = Rulebook(learned=[Rule("SAT", ALARM, VAV), Rule("ZN-T", ALARM)])
    found = map_points(points, decided=decided, rules=book)
    assert [(item.point_class, item.source) for item in found[:2]] == [
        (SUPPLY, "person"),
        (ALARM, "rule"),
    ]
    assert 'rule: in VAV: "SAT" means Alarm' in found[1].evidence
    assert found[2:] == plainly[2:]
    assert answered(points, plainly, {}, Rulebook()) == plainly
    assert answered(points, plainly, decided, book)[0] == found[0]


def test_a_confirmed_guess_only_becomes_surer() -> None:
    """The thing-model point that the mapper had found stays."""
    points = [point("AHU-1 Supply Air Temp")]
    [before] = map_points(points)
    book = Rulebook(learned=[Rule("Supply Air Temp", before.point_class, AHU)])
    [after] = map_points(points, rules=book)
    assert before.model_point
    assert (after.point_class, after.model_point) == (before.point_class, before.model_point)
    assert (after.confidence or 0) >= 0.95


def test_the_queue_begins_with_most_wrong_points_to_be_expected() -> None:
    """Points times uncertainty; what was put off comes last; equal ones in a fixed order."""
    found = [("many", 0.9)] * 30 + [("few", None)] * 2 + [("sure", 0.99)] * 20 + [("a", 0.8)]
    assert [ask.key for ask in ordered(found)] == ["many", "few", "sure", "a"]
    assert [ask.key for ask in ordered(found, {"many"})] == ["few", "sure", "a", "many"]
    assert ordered(found)[0].points == 30
    assert ordered(found)[0].worth == pytest.approx(3.0)


def test_template_of_names_without_equipment_is_the_whole_name() -> None:
    """There is nothing to cut off."""
    points = [point("qxzw")]
    assert template_of(map_points(points)[0], points[0]) == Template("qxzw")
