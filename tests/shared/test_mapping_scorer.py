"""What was learned: abbreviations, confidence, what may be promised; decisions and their keys."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared.mapping import MappedPoint, map_points, promise, template_key
from plantroom_shared.mapping import confidence as confidences
from plantroom_shared.mapping.classes import kind_of, point_classes
from plantroom_shared.mapping.expand import FEATURES, LONGEST, candidates, expand
from plantroom_shared.mapping.lexicon import parse, spellings
from plantroom_shared.mapping.scorer import Logistic, Scorer, of, shipped, trained_on
from plantroom_shared.model import Point

_numbers = count()


def make(name: str, **fields: Any) -> Point:
    """Return a point of that name."""
    return Point(**{"key": f"p{next(_numbers)}", "device": "d", "name": name, **fields})


def mapped(name: str, **fields: Any) -> MappedPoint:
    """Return what a point alone on its site means."""
    return map_points([make(name, **fields)])[0]


@pytest.mark.parametrize(
    ("name", "point_class"),
    [
        ("AHU-1 Rtrn Air Hmdty", "Return_Air_Humidity_Sensor"),
        ("AHU-1 Spply Air Tempera", "Supply_Air_Temperature_Sensor"),
        ("AHU-1 Fume Hood Air Flow Sensor", "Fume_Hood_Air_Flow_Sensor"),
        ("CH-1 LHWT", "Leaving_Hot_Water_Temperature_Sensor"),
        ("CH-1 CHWVLVCMD", "Valve_Command"),
        ("AHU-1 TRA", "Return_Air_Temperature_Sensor"),
    ],
)
def test_abbreviations_that_no_list_holds_are_understood(name: str, point_class: str) -> None:
    """Letters left out, words of Brick that no lexicon has, initialisms made by rule."""
    assert mapped(name).point_class == point_class


def test_a_guessed_word_is_said_to_be_one_and_is_less_sure() -> None:
    """Whoever reads the evidence sees the guess, and the confidence knows of it."""
    guessed, plain = mapped("AHU-1 Return Air Hmidty"), mapped("AHU-1 Return Air Humidity")
    assert any(note.startswith("hmidty ~ humid") for note in guessed.evidence)
    assert guessed.confidence is not None
    assert plain.confidence is not None
    assert guessed.confidence < plain.confidence


def test_letters_that_no_word_keeps_stay_unknown() -> None:
    """Codes, long texts and other scripts are not made into words."""
    for text in ("qxzw", "xq", "b" * (LONGEST + 1), "b#d", "温度计表"):
        assert expand(text, shipped()) is None
        assert not list(candidates(text)) or text == "qxzw"


@given(st.text(max_size=12))
def test_expanding_any_text_gives_a_word_with_its_letters_in_order_or_nothing(text: str) -> None:
    """Whatever a name holds, nothing breaks, and a guess has the letters it was made from."""
    guess = expand(text, shipped())
    if guess is not None:
        left = iter(guess.word)
        assert all(letter in left for letter in text)
        assert 0.5 < guess.sure <= 1
    assert all(len(values) == len(FEATURES) for _, _, values in candidates(text))


def test_initialisms_are_read_as_whole_runs_only() -> None:
    """`LHWT` is one; inside other letters it is none, and a listed spelling wins."""
    entry = parse("LHWT")[0].entry
    assert entry is not None
    assert entry.words == ("Leaving", "Hot", "Water", "Temperature")
    assert "lhwt" not in dict(spellings())
    assert all(piece.text != "lhwt" for piece in parse("XLHWTX"))


def test_nearly_every_class_is_found_by_its_name_in_plain_words() -> None:
    """The vocabulary is open: what no list ever showed is found, or is among the candidates."""
    names = [name for name in point_classes() if kind_of(name)]
    found = map_points([make(name.replace("_", " ")) for name in names])
    first = sum(item.point_class == name for name, item in zip(names, found, strict=True))
    among = sum(name in item.candidates for name, item in zip(names, found, strict=True))
    assert first / len(names) > 0.85
    assert among / len(names) > 0.97


def test_the_scorer_ships_small_and_reads_as_it_was_written() -> None:
    """Weights by name, made on lists whose licence allows it."""
    assert of(shipped().as_dict()).as_dict() == shipped().as_dict()
    assert shipped().expansion.names == FEATURES
    assert shipped().confidence.names == confidences.FEATURES
    assert "GHC" in trained_on()
    assert not any(name.startswith(("acad", "bldg")) for name in trained_on())
    file = resources.files("plantroom_shared.mapping") / "data" / "scorer.json"
    assert len(file.read_bytes()) < 10_000


def test_probability_has_no_overflow() -> None:
    """A weight times a feature may be anything."""
    model = Logistic(("a",), (1e6,), 0.0)
    assert model.probability((1.0,)) > 0.999
    assert model.probability((-1.0,)) < 0.001


def test_another_scorer_gives_other_confidences_and_the_same_classes_keep() -> None:
    """Training is judged with what it learned, beside what ships."""
    none = (0.0,) * len(confidences.FEATURES)
    doubting = Scorer(shipped().expansion, Logistic(confidences.FEATURES, none, -1.0))
    item = map_points([make("AHU-1 Supply Air Temp")], scorer=doubting)[0]
    assert item.point_class == "Supply_Air_Temperature_Sensor"
    assert item.confidence == pytest.approx(0.269)


@pytest.mark.parametrize(
    ("feature", "more", "less"),
    [
        ("missing", "AHU-1 Fan", "AHU-1 Fan Status"),
        ("sensor", "AHU-1 Supply Air Temp", "AHU-1 Supply Air Temp Setpoint"),
        ("kind_guessed", "AHU-1 Fan", "AHU-1 Fan Status"),
        ("unread", "AHU-1 Supply Air qxz Temp", "AHU-1 Supply Air Temp"),
        ("words", "AHU-1 Supply Air Temp", "AHU-1 Temp"),
        ("strength", "AHU-1 Supply Air Temp", "AHU-1 qxz Fan"),
    ],
)
def test_what_the_confidence_looks_at(feature: str, more: str, less: str) -> None:
    """Words the class adds, what kind it is, letters nobody read: each tells two names apart."""
    weights = tuple(float(name == feature) for name in confidences.FEATURES)
    alone = Scorer(shipped().expansion, Logistic(confidences.FEATURES, weights, -1.0))
    high, low = (map_points([make(name)], scorer=alone)[0].confidence for name in (more, less))
    assert high is not None
    assert low is not None
    assert high > low


def test_the_pattern_names_the_evidence() -> None:
    """What a confidence was calibrated for is said in words."""
    assert mapped("AHU-1 Supply Air Temp", unit="degC").pattern == (
        "all read, kind guessed, unit agrees"
    )
    assert mapped("AHU-1 Qxz Air Temp Sp", unit="Pa").pattern == (
        "part read, kind said, unit differs"
    )
    typed = mapped("AHU-1 Fan", object_type="binary-input", description="fan of the kitchen")
    assert typed.pattern == "all read, kind by type, described"
    assert mapped("AHU-1 Qxzwv", unit="Pa").pattern == "not read, kind guessed, unit alone"
    assert mapped("QXZW").pattern == ""


def test_a_promise_counts_the_surest_points() -> None:
    """Accepted are as many as are expected to be right at the precision, from a threshold on."""
    made = promise([0.99, 0.97, 0.95, 0.9, 0.4, None])
    assert (made.points, made.min_confidence) == (4, 0.9)
    assert made.share == pytest.approx(4 / 6)
    assert made.expected == pytest.approx(0.9525)
    assert str(made) == "67% of these points at 95% precision"


def test_a_promise_takes_equals_together() -> None:
    """A threshold cannot tell points of one confidence apart."""
    assert promise([0.99, 0.9, 0.9, 0.9], 0.945).points == 1
    assert promise([0.99, 0.9], 0.945).points == 2


def test_nothing_is_promised_where_nothing_is_sure() -> None:
    """No points, no confidences, or none that suffices."""
    for given_ in ([], [None, None], [0.9, 0.8]):
        made = promise(given_)
        assert (made.points, made.share, made.min_confidence, made.expected) == (0, 0.0, None, 0.0)


@given(st.lists(st.none() | st.floats(0, 1), max_size=60), st.floats(0.5, 0.999))
def test_a_promise_is_kept_by_its_own_confidences(
    sure: list[float | None], precision: float
) -> None:
    """What lies from the threshold on is what is counted, and its mean is what was asked for."""
    made = promise(sure, precision)
    accepted = [
        item for item in sure if item is not None and made.min_confidence is not None
        and item >= made.min_confidence
    ]  # fmt: skip
    assert len(accepted) == made.points
    if accepted:
        assert made.expected >= precision - 1e-9


def test_one_template_has_one_key_wherever_it_stands() -> None:
    """Numbers, paths and sites do not matter; unit, type, states, description and equipment do."""
    names = ["B1.AHU-1.SA-T", "B1.AHU-22.SA-T", "B2.AHU-1.SA-T"]
    points = [make(name) for name in names]
    keys = [template_key(item, p) for item, p in zip(map_points(points), points, strict=True)]
    assert len(set(keys)) == 1
    others = [
        make("B1.AHU-1.SA-T", unit="degC"),
        make("B1.AHU-1.SA-T", object_type="analog-input"),
        make("B1.AHU-1.SA-T", states=("off", "on")),
        make("B1.AHU-1.SA-T", description="supply"),
        make("B1.FCU-1.SA-T"),
        make("B1.AHU-1.RA-T"),
    ]
    more = {template_key(map_points([p])[0], p) for p in others}
    assert len(more | set(keys)) == len(others) + 1


def test_no_name_can_pass_for_another_key() -> None:
    """Separators inside a name, a state or a description are escaped."""
    left = make("AI 1", description="a|b", states=("x,y",))
    right = make("AI 1", description="a", states=("x", "y"))
    keys = {template_key(map_points([p])[0], p) for p in (left, right)}
    assert len(keys) == 2
    assert all(key.count("|") == 5 for key in keys)


def test_a_persons_decision_holds_for_its_template_and_no_other() -> None:
    """Class, model point and source follow it; the numbers of the name still tell the phase."""
    points = [make("AHU-1.SA-T"), make("AHU-2.SA-T"), make("AHU-1.RA-T")]
    before = map_points(points)
    key = template_key(before[0], points[0])
    after = map_points(points, decided={key: "Discharge_Air_Temperature_Setpoint"})
    assert [item.point_class for item in after] == [
        "Supply_Air_Temperature_Setpoint",
        "Supply_Air_Temperature_Setpoint",
        "Return_Air_Temperature_Sensor",
    ]
    assert [item.source for item in after] == ["person", "person", "offline"]
    assert after[0].confidence == pytest.approx(0.99)
    assert after[2] == before[2]
    assert after[0].model_point != before[0].model_point


def test_a_person_may_confirm() -> None:
    """The same class stays what it was, and is a person's word from then on."""
    points = [make("AHU-1.SA-T")]
    before = map_points(points)[0]
    same = map_points(points, decided={template_key(before, points[0]): before.point_class})[0]
    assert same == replace(before, source="person", confidence=0.99)


def test_a_persons_decision_outweighs_a_profile() -> None:
    """Whoever stands before the machine may know better than the register list of its type."""
    point = make("SA-T", point_class="Zone_Air_Temperature_Sensor")
    before = map_points([point])[0]
    after = map_points([point], decided={template_key(before, point): "Alarm"})[0]
    assert (before.source, after.source, after.point_class) == ("profile", "person", "Alarm")
