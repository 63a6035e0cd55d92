"""What does not fit between a site's mapping and the models."""

from __future__ import annotations

from typing import Any

import pytest

from plantroom_shared.mapping.conversion import Adjustment, Source
from plantroom_shared.mapping.overrides import Override, Overrides
from plantroom_shared.mapping.schema import Claim, check
from plantroom_shared.mapping.targets import catalog
from plantroom_shared.mapping.things import Catalog, ModelPoint, ThingModel

OWN = ThingModel(
    "Own",
    {
        "temp": ModelPoint("temp", "DOUBLE", "°C", "AI", required=True),
        "status": ModelPoint("status", "INT", "", "DI", required=True),
        "mode": ModelPoint("mode", "ENUM", choices=(("0", "Off"), ("1", "Cool"), ("2", "Heat"))),
        "flag": ModelPoint("flag", "BOOL"),
        "note": ModelPoint("note", "STRING"),
        "list": ModelPoint("list", "ARRAY"),
        "Own_cal_load": ModelPoint("Own_cal_load", "DOUBLE", "kW", "AI"),
        "odd": ModelPoint("odd", "DOUBLE", "apples"),
    },
)
CATALOG = Catalog([OWN])


def claim(point: str, model_point: str, **more: Any) -> Claim:
    source = Source(more.pop("unit", ""), more.pop("states", ()), more.pop("object_type", ""))
    return Claim(
        point, more.pop("equipment", "E1"), more.pop("model", "Own"), model_point, source, **more
    )


GOOD = (
    claim("t", "temp", unit="degF", object_type="analog-input"),
    claim("s", "status", object_type="binary-input"),
)


def kinds(*claims: Claim, models: Catalog = CATALOG) -> list[tuple[str, str]]:
    return [(found.kind, found.model_point) for found in check([*GOOD, *claims], models)]


def test_a_mapping_that_fits_has_no_findings() -> None:
    """Nothing is said of what is right, nor of points without a model."""
    assert kinds() == []
    assert kinds(claim("x", ""), claim("y", "temp", model="")) == []
    good = (
        claim("m", "mode", states=("Off", "Heat"), object_type="binary-value"),
        claim("f", "flag", object_type="binary-input"),
        claim("n", "note"),
    )
    assert kinds(*good) == []


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (claim("x", "temp"), "doubled"),
        (claim("x", "mode", unit="kW", object_type="analog-input"), "type"),
        (claim("x", "flag", unit="degC", object_type="holding"), "type"),
        (claim("x", "list"), "type"),
        (claim("x", "odd", unit="pears"), "unknown_unit"),
        (claim("x", "odd", unit="kW"), "unknown_unit"),
        (claim("x", "nothing"), "no_model_point"),
        (claim("x", "Own_cal_load", unit="W"), "not_raw"),
        (claim("x", "y", model="Nobody's", equipment="E2"), "no_model"),
        (claim("x", "mode", states=("Off", "Dry"), object_type="multi-state-input"), "states"),
    ],
)
def test_what_does_not_fit_is_told(wrong: Claim, kind: str) -> None:
    """Each kind by itself, with the point and what to do."""
    found = [item for item in check([*GOOD, wrong], CATALOG) if item.kind == kind]
    assert len(found) == 1
    assert "x" in found[0].points
    assert found[0].severity == "error"
    assert found[0].text
    assert found[0].fix


def test_a_state_is_no_quantity() -> None:
    """A binary that claims a temperature would send 0 and 1 degrees."""
    wrong = [GOOD[1], claim("t", "temp", object_type="binary-input", states=("off", "on"))]
    assert [item.kind for item in check(wrong, CATALOG)] == ["type"]


def test_units_that_do_not_convert_and_units_that_are_assumed() -> None:
    """The first is an error, the second a warning; an override puts both right."""
    for unit, kind, severity in (("kW", "unit", "error"), ("", "no_unit", "warning")):
        mine = claim("t", "temp", unit=unit)
        (found,) = check([GOOD[1], mine], CATALOG)
        assert (found.kind, found.severity) == (kind, severity)
        right = claim("t", "temp", unit=unit, adjustment=Adjustment(unit="K"))
        assert check([GOOD[1], right], CATALOG) == []


def test_states_that_a_person_has_translated_fit() -> None:
    """An override says what each state of the point is in the model."""
    states = Adjustment(states=(("dry", "0"), ("1", "0")))
    mine = claim(
        "m", "mode", states=("Off", "Dry"), object_type="multi-state-input", adjustment=states
    )
    assert kinds(mine) == []


def test_required_points_are_missed_per_equipment() -> None:
    """Each piece of equipment lacks its own."""
    found = check([GOOD[0], claim("o", "note", equipment="E2")], CATALOG)
    assert [(item.equipment, item.kind, item.model_point) for item in found] == [
        ("E1", "missing", "status"),
        ("E2", "missing", "status"),
        ("E2", "missing", "temp"),
    ]


def test_equipment_has_one_model() -> None:
    """What is mapped to another model than most of the equipment's points is told."""
    other = ThingModel("Other", {"x": ModelPoint("x", "DOUBLE")})
    found = check([*GOOD, claim("z", "x", model="Other")], Catalog([OWN, other]))
    assert [(item.kind, item.points) for item in found] == [("mixed_models", ("z",))]


def test_the_order_of_the_points_does_not_matter() -> None:
    """The same points give the same findings."""
    claims = [*GOOD, claim("x", "temp", unit="kW"), claim("y", "nothing"), claim("z", "mode")]
    assert check(claims, CATALOG) == check(claims[::-1], CATALOG)


# ---------------------------------------------------------------- the catalogue


def test_models_inherit() -> None:
    """A child has its parent's points, and its own in place of them."""
    child = ThingModel("Child", {"temp": ModelPoint("temp", "DOUBLE", "K")}, parent="Own")
    models = Catalog([OWN, child])
    found = models.find("Child")
    assert found is not None
    assert found.points["temp"].unit == "K"
    assert found.points["status"] == OWN.points["status"]
    assert models.point("Child", "mode") == OWN.points["mode"]
    assert models.point("Child", "nothing") is None
    assert models.point("Nobody's", "mode") is None


def test_models_that_inherit_from_each_other_end() -> None:
    """A circle, and a parent that is not there, cost nothing but what they would have given."""
    one, two = ThingModel("1", parent="2"), ThingModel("2", OWN.points, parent="1")
    models = Catalog([one, two, ThingModel("3", parent="nobody")])
    assert models.point("1", "temp") == OWN.points["temp"]
    assert models.find("3") == ThingModel("3", {}, {}, parent="nobody")


def test_a_company_s_model_hides_the_built_in_one() -> None:
    """Under its name there is one model: the company's."""
    mine = ThingModel("EnOS_HVAC_CH", {"x": ModelPoint("x", "DOUBLE")})
    assert catalog([mine]).point("EnOS_HVAC_CH", "CH_raw_status") is None
    assert catalog().point("EnOS_HVAC_CH", "CH_raw_status") is not None
    assert [model.model_id for model in catalog()] == sorted(model.model_id for model in catalog())


# ---------------------------------------------------------------- overrides


def test_what_is_said_of_less_counts_more() -> None:
    """A point stands above equipment, site and model point; each part comes from the nearest."""
    rows = [
        Override(model_id="A", to_model="B"),
        Override(model_id="A", model_point="p", adjustment=Adjustment(sign=-1)),
        Override(site_id=1, model_id="A", model_point="p", to_point="q"),
        Override(equipment="E", model_id="A", to_model="C"),
        Override(point_id=7, adjustment=Adjustment(unit="kW")),
    ]
    for order in (rows, rows[::-1]):
        overrides = Overrides(order)
        assert overrides.apply(1, 2, "X", "A", "p") == ("B", "p", Adjustment(sign=-1))
        assert overrides.apply(1, 1, "X", "A", "p") == ("B", "q", Adjustment(sign=-1))
        assert overrides.apply(1, 1, "E", "A", "o") == ("C", "o", Adjustment())
        assert overrides.apply(7, 1, "E", "A", "p") == ("C", "q", Adjustment(unit="kW"))
        assert overrides.apply(8, 1, "E", "Z", "p") == ("Z", "p", Adjustment())
    assert Overrides().apply(1, 1, "E", "A", "p") == ("A", "p", Adjustment())
