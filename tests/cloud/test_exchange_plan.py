"""The plan of an import: which points are meant, what is decided, what is left alone and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plantroom_cloud.exchange.plan import MAX_SHOWN, Present, make_plan
from plantroom_cloud.exchange.record import Content, Equipment, PointMeaning
from plantroom_cloud.exchange.repository import _equipment

_SAT = PointMeaning("gw", "k1", "d", "SAT", source="offline", state="proposed", confidence=0.4)


def _present(*points: PointMeaning) -> list[Present]:
    return [Present(n, point) for n, point in enumerate(points, 1)]


def _content(*points: PointMeaning, **equipment: Equipment) -> Content:
    return Content(points=list(points), equipment=equipment)


def test_points_are_found_by_key_before_name() -> None:
    """Gateway and key, else the key alone, else the name; several of a name are none."""
    rows = _present(_SAT, replace(_SAT, key="k2", name="X"), replace(_SAT, key="k3", name="X"))
    says = {"point_class": "CO2_Sensor"}
    plan = make_plan(
        _content(
            PointMeaning("gw", "k2", name="SAT", **says),  # type: ignore[arg-type]  # a class alone
            PointMeaning("", "k3", **says),  # type: ignore[arg-type]  # a class alone
            PointMeaning(name="SAT", **says),  # type: ignore[arg-type]  # a class alone
            PointMeaning(name="X", **says),  # type: ignore[arg-type]  # a class alone
            PointMeaning(key="k9", name="none", **says),  # type: ignore[arg-type]  # a class alone
        ),
        rows,
    )
    assert [change.id for change in plan.changes] == [2, 3, 1]
    assert plan.unknown == [
        "X: 2 points of the site are called so",
        "none: the site has no such point",
    ]
    assert plan.untouched == 0


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (PointMeaning(name="SAT", point_class="No_Such_Class"), "Brick has no point class"),
        (PointMeaning(name="SAT", point_class="Fan_Status", equip_class="X"), "no equipment class"),
        (PointMeaning(name="SAT", model_id="a b", model_point="x"), "thing model"),
        (PointMeaning(name="SAT", model_id="M", model_point="x" * 129), "too long"),
    ],
)
def test_what_is_no_meaning_is_refused(said: PointMeaning, why: str) -> None:
    """And named with its point."""
    plan = make_plan(_content(said), _present(_SAT))
    assert plan.changes == []
    assert plan.counts["refused"] == 1
    assert plan.refused[0].startswith("SAT: ")
    assert why in plan.refused[0]


def test_a_point_twice_counts_once() -> None:
    """The first of the file is taken, the second is refused."""
    said = PointMeaning(name="SAT", point_class="Fan_Status")
    plan = make_plan(_content(said, replace(said, point_class="CO2_Sensor")), _present(_SAT))
    assert [change.after.point_class for change in plan.changes] == ["Fan_Status"]
    assert plan.refused == ["SAT: stands in the file more than once"]


@pytest.mark.parametrize(
    "said",
    [
        PointMeaning(name="SAT", point_class="Fan_Status", state="proposed", confidence=0.99),
        PointMeaning(name="SAT", point_class="Fan_Status", confidence=0.5),
        PointMeaning(name="SAT", equipment="AHU 1", equip_class="AHU"),
        PointMeaning(name="SAT"),
    ],
)
def test_proposals_are_no_decisions(said: PointMeaning) -> None:
    """What a mapper merely thinks is left to the mapper here, and so is a point without a meaning."""
    plan = make_plan(_content(said), _present(_SAT))
    assert (plan.changes, plan.proposals) == ([], 1)


def test_what_is_decided() -> None:
    """Classes by their proper names; what the file does not say stays as it was."""
    before = replace(_SAT, equipment="E", equip_class="Chiller", model_id="M", model_point="x")
    said = PointMeaning(name="SAT", point_class="Discharge_Air_Temperature_Sensor", source="person")
    (change,) = make_plan(_content(said), _present(before)).changes
    after = change.after
    assert after.point_class == "Supply_Air_Temperature_Sensor"
    assert (after.equipment, after.equip_class) == ("E", "Chiller")
    assert (after.model_id, after.model_point) == ("M", "x")
    assert (after.source, after.state, after.confidence) == ("person", "accepted", 0.99)


def test_a_model_point_alone_decides_no_class() -> None:
    """A class that nobody accepted is not accepted by the way; one that was, stays."""
    said = PointMeaning(name="SAT", model_id="M", model_point="x")
    proposed = replace(_SAT, point_class="Fan_Status")
    (change,) = make_plan(_content(said), _present(proposed)).changes
    assert (change.after.point_class, change.after.confidence) == ("", None)
    accepted = replace(proposed, state="accepted")
    (change,) = make_plan(_content(said), _present(accepted)).changes
    assert change.after.point_class == "Fan_Status"


def test_a_rejection_stays_one() -> None:
    """It is taken over, and the mapper may still find something better."""
    said = PointMeaning(name="SAT", point_class="Fan_Status", state="rejected", source="person")
    (change,) = make_plan(_content(said), _present(_SAT)).changes
    assert (change.after.state, change.after.source) == ("rejected", "offline")
    again = make_plan(_content(said), _present(change.after))
    assert (again.changes, again.same) == ([], 1)


def test_relations_come_with_their_points() -> None:
    """A new parent alone is a change; a file without parents takes none away."""
    said = PointMeaning(name="SAT", equipment="VAV", point_class="Fan_Status")
    box = Equipment("VAV", "", "AHU", "feeds")
    (change,) = make_plan(_content(said, VAV=box), _present(_SAT)).changes
    assert (change.parent, change.relation) == ("AHU", "feeds")
    there = Present(1, change.after, Equipment("", "", "AHU", "feeds"))
    assert make_plan(_content(said), [there]).same == 1
    other = Equipment("VAV", "", "AHU 2", "part-of")
    plan = make_plan(_content(said, VAV=other), [there])
    assert [change.parent for change in plan.changes] == ["AHU 2"]
    assert plan.digest != make_plan(_content(said, VAV=box), _present(_SAT)).digest


def test_names_are_counted_and_some_shown() -> None:
    """A plan of a hundred thousand unknown points stays small."""
    points = [PointMeaning(name=f"P{n}", point_class="Fan_Status") for n in range(MAX_SHOWN + 20)]
    plan = make_plan(_content(*points), [])
    assert (plan.counts["unknown"], len(plan.unknown)) == (MAX_SHOWN + 20, MAX_SHOWN)


def test_equipment_of_a_site() -> None:
    """The class that most points give, the parent that most name, and parents without points."""
    rows = [
        ("V", "Fan_Coil_Unit", "", "", 1),
        ("V", "Chiller", "A", "feeds", 2),
        ("V", "", "B", "feeds", 1),
        ("", "Chiller", "A", "feeds", 9),
        ("W", "", "V", "odd", 1),
    ]
    assert _equipment(rows) == {  # type: ignore[arg-type]  # tuples will do for rows
        "A": Equipment("A"),
        "B": Equipment("B"),
        "V": Equipment("V", "Chiller", "A", "feeds"),
        "W": Equipment("W"),
    }
