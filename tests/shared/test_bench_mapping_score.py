"""The scorer of ``bench mapping``: every metric against a count by hand."""

from __future__ import annotations

import pytest

from benchmarks.mapping import score as metrics
from benchmarks.mapping import taxonomy
from benchmarks.mapping.labelled import Labelled
from benchmarks.mapping.score import Meaning

ZONE, SUPPLY, AIR = (
    "Zone_Air_Temperature_Sensor",
    "Supply_Air_Temperature_Sensor",
    "Air_Temperature_Sensor",
)


def _row(point_type: str = "", equip_id: str = "", equip_class: str = "") -> Labelled:
    return Labelled("b", "name", point_type=point_type, equip_id=equip_id, equip_class=equip_class)


def test_fine_lenient_and_top50_are_counted_over_labelled_points() -> None:
    """Right, the class above, wrong, and nothing at all; the unlabelled point does not count."""
    rows = [_row(ZONE), _row(ZONE), _row(ZONE), _row(ZONE), _row()]
    found = [Meaning(ZONE), Meaning(AIR), Meaning("Damper_Command"), Meaning(), Meaning(ZONE)]
    scores = metrics.score(rows, found)
    assert scores.points == 4
    assert scores.fine == 1 / 4
    assert scores.lenient == (1 + 0.5) / 4
    assert scores.top50 == metrics.top50(rows, found) == 1 / 4
    assert scores.answered == 3 / 4


def test_another_name_of_a_class_is_the_class() -> None:
    """Brick says supply and discharge of one thing."""
    scores = metrics.score([_row(SUPPLY)], [Meaning("Discharge_Air_Temperature_Sensor")])
    assert scores.fine == scores.top50 == 1.0


def test_rare_coarse_classes_are_one_and_an_unknown_class_is_none_of_them() -> None:
    """What is not among the 50 counts as Other; what Brick does not have is never right."""
    assert taxonomy.coarse("Power_Factor_Sensor") == taxonomy.OTHER
    rows = [_row("Power_Factor_Sensor"), _row("Power_Factor_Sensor")]
    scores = metrics.score(rows, [Meaning("Smoke_Alarm"), Meaning("Not_A_Class")])
    assert scores.top50 == 1 / 2
    assert scores.fine == 0.0


def test_there_are_fifty_coarse_classes() -> None:
    """The yardstick is whole."""
    named = {row.coarse for row in taxonomy.table().values()} - {taxonomy.OTHER}
    assert len(named) == 50


def test_macro_f1_weighs_classes_not_points() -> None:
    """F1 of a: 2*2/(3+2), of b: 2*1/(1+1); c is only claimed and has no say."""
    got = metrics.macro_f1(["a", "a", "a", "b"], ["a", "a", "c", "b"])
    assert got == pytest.approx((4 / 5 + 1.0) / 2)


def test_pairs_and_exact_groups() -> None:
    """Truth {0,1,2} {3,4}, found {0,1} {2,3,4}: 1 + 1 pairs of 4 and 4; no group is exact."""
    truth, said = ["a", "a", "a", "b", "b"], [1, 1, 2, 2, 2]
    assert metrics.pair_f1(truth, said) == 2 * 2 / (4 + 4)
    assert metrics.exact_groups(truth, said) == 0.0
    assert metrics.exact_groups(["a", "a", "b"], ["x", "x", "y"]) == 1.0
    assert metrics.pair_f1(["a", "b"], ["x", "y"]) == 0.0


def test_a_point_without_equipment_is_a_group_of_its_own() -> None:
    """Two points for which nothing is said do not belong together."""
    rows = [_row(ZONE, "1"), _row(ZONE, "2"), _row(ZONE, "3"), _row(ZONE)]
    scores = metrics.score(rows, [Meaning(), Meaning(), Meaning(equipment="x"), Meaning()])
    assert scores.exact == 1.0
    assert metrics.score(rows, [Meaning()] * 4).exact is None


def test_equipment_class_counts_where_it_is_known() -> None:
    """One right by another name, one wrong, one not known."""
    rows = [
        _row(ZONE, equip_class="Air_Handling_Unit"),
        _row(ZONE, equip_class="Chiller"),
        _row(ZONE),
    ]
    found = [Meaning(equip_class="AHU"), Meaning(), Meaning(equip_class="Boiler")]
    assert metrics.score(rows, found).equip_class == 1 / 2
    assert metrics.score([_row(ZONE)], [Meaning()]).equip_class is None


def test_calibration_error() -> None:
    """Two at 0.9 of which one is right, one at 0.15 that is wrong: (|1.8-1| + |0.15-0|) / 3."""
    sure = [(0.9, True), (0.9, False), (0.15, False)]
    assert metrics.calibration_error(sure) == pytest.approx((0.8 + 0.15) / 3)
    assert metrics.calibration_error([(1.0, True)]) == 0.0


def test_coverage_is_the_longest_head_that_keeps_its_promise() -> None:
    """19 right, 1 wrong, then 1 wrong more: 20 of 21 are covered at 95 %."""
    sure = [(0.9, True)] * 19 + [(0.8, False), (0.7, False)]
    assert metrics.coverage(sure) == 20 / 21
    assert metrics.coverage([(0.5, False)]) == 0.0


def test_confidence_is_judged_by_the_coarse_class() -> None:
    """A point without a confidence has no part in it."""
    rows = [_row(ZONE), _row(ZONE), _row(ZONE)]
    found = [Meaning(ZONE, confidence=0.8), Meaning(SUPPLY, confidence=0.2), Meaning(ZONE)]
    assert metrics.judged(rows, found) == [(0.8, True), (0.2, False)]
    assert metrics.score(rows[2:], found[2:]).ece is None
