"""What holds for every model that needs no import: EnOS, Brick and Haystack."""

from __future__ import annotations

import re

import pytest

from plantroom_shared.errors import Rejected
from plantroom_shared.mapping import is_point_class
from plantroom_shared.mapping.conversion import NO_UNIT, Source, conversion_of
from plantroom_shared.mapping.schema import Claim, check
from plantroom_shared.mapping.targets import TARGETS, builtin, catalog
from plantroom_shared.mapping.things import SCALARS, ModelPoint, ThingModel
from plantroom_shared.units import known_units, parse_unit

MODELS = builtin()
IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}\Z")


@pytest.fixture(params=MODELS, ids=lambda model: model.model_id)
def model(request: pytest.FixtureRequest) -> ThingModel:
    """Each built-in model."""
    found: ThingModel = request.param
    return found


def value_of(point: ModelPoint) -> float:
    """Return a value that a point of this type says."""
    return 1.0


def test_every_target_has_models() -> None:
    """A target that nothing can be mapped to is none; each name stands once."""
    names = [model.model_id for model in MODELS]
    assert len(set(names)) == len(names)
    for target in TARGETS:
        assert any(name.casefold().startswith(target) for name in names)
    assert all(model.points for model in MODELS)


def test_identifiers_types_and_units_are_known(model: ThingModel) -> None:
    """Nothing stands there that the platform or we could not read."""
    assert IDENTIFIER.match(model.model_id)
    for name, point in model.points.items():
        assert point.identifier == name
        assert IDENTIFIER.match(name)
        assert point.data_type in SCALARS
        assert not point.unit or parse_unit(point.unit), name
        assert not (point.is_state and point.unit), name


def test_every_unit_of_the_dimension_converts_and_no_other(model: ThingModel) -> None:
    """A point takes its own unit and all that measure the same, and refuses the rest."""
    for point in {point.unit: point for point in model.points.values() if point.unit}.values():
        wanted = parse_unit(point.unit)
        assert wanted is not None
        for unit in known_units():
            if unit.dimension == wanted.dimension:
                conversion_of(Source(unit.symbol), point)(value_of(point))
            else:
                with pytest.raises(Rejected):
                    conversion_of(Source(unit.symbol), point)


def test_a_point_that_is_right_has_no_finding(model: ThingModel) -> None:
    """Every point of the model, claimed by one that says its unit or its states, fits."""
    for name, point in model.points.items():
        if point.is_state or point.data_type in {"ENUM", "STRING"}:
            source = Source("", ("off", "on"), "binary-input")
        else:
            source = Source(point.unit, (), "analog-input")
        found = check([Claim("1", "E", model.model_id, name, source)], catalog())
        wrong = [item for item in found if item.kind not in {"not_raw", "missing"}]
        assert wrong == [], name
        assert source.unit in NO_UNIT or not any(item.kind == "no_unit" for item in found)


def test_classes_are_those_of_brick() -> None:
    """Brick and Haystack have a model point for every point class, and for nothing else."""
    for name in ("brick", "haystack"):
        found = catalog().find(name)
        assert found is not None
        assert found.several
        assert len(found.points) > 700
        assert all(map(is_point_class, found.points))


@pytest.mark.parametrize(
    ("point_class", "unit", "kind"),
    [
        ("Supply_Air_Temperature_Sensor", "kW", "unit"),
        ("Supply_Air_Temperature_Sensor", "", "no_unit"),
        ("Fan_Status", "degF", "type"),
        ("Active_Power_Sensor", "psi", "unit"),
        ("Not_A_Class", "", "no_model_point"),
    ],
)
def test_a_class_takes_what_it_measures(point_class: str, unit: str, kind: str) -> None:
    """Brick prescribes no unit, but a temperature in kW is none."""
    source = Source(unit, (), "analog-input")
    found = check([Claim("1", "E", "brick", point_class, source)], catalog())
    assert [item.kind for item in found] == [kind]
