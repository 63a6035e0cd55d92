"""Thing models from files: every shape that EnOS writes, and whatever else a file may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.enos_sim.world import World
from plantroom_cloud.thingmodels.documents import changes, digest, document_of, model_from
from plantroom_cloud.thingmodels.reading import (
    MAX_DEPTH,
    MAX_FILE,
    MAX_PROBLEMS,
    Read,
    models_in,
    read_models,
)
from plantroom_cloud.thingmodels.shapes import MAX_CHOICES, MAX_FEATURES
from plantroom_shared.mapping.models import enos_models
from plantroom_shared.mapping.things import ModelPoint, ThingModel


def i18n(text: str) -> dict[str, Any]:
    return {"defaultValue": text, "i18nValue": {"en_US": text, "zh_CN": "x"}}


API = {
    "modelId": "ABC_HVAC_CH",
    "modelIdPath": "/EnOS_HVAC_CH/ABC_HVAC_CH",
    "name": i18n("Chiller of ABC"),
    "attributes": {
        "capacity": {
            "identifier": "capacity",
            "dataType": "DOUBLE",
            "isRequired": True,
            "unit": {"unitId": "kW", "multiplier": "ONE"},
        }
    },
    "measurepoints": {
        "CH_raw_energy": {
            "identifier": "CH_raw_energy",
            "name": i18n("Energy"),
            "dataType": "DOUBLE",
            "dataDefinition": None,
            "unit": {"unitId": "Wh", "multiplier": "KILO"},
            "hasQuality": True,
            "signalType": "PI",
        },
        "CH_raw_mode": {
            "identifier": "CH_raw_mode",
            "dataType": "ENUM",
            "dataDefinition": json.dumps(
                {"enumType": "INT", "enumDesc": {"1": i18n("Cool"), "2": i18n("Heat")}}
            ),
            "signalType": "Generic",
        },
    },
    "services": {"opModEnergize": {}},
    "events": {},
}
CONSOLE = {
    "thingModelId": "ABC_HVAC_CH",
    "ou": "o1",
    "thingModelName": i18n("Chiller of ABC"),
    "parentModelId": "EnOS_HVAC_CH",
    "thingAttributeMap": {
        "capacity": {
            "$class": "com.example.tsl.TSLDoubleAttribute",
            "identifier": "capacity",
            "required": "true",
            "unit": {"unitId": "kW", "multiplier": "ONE"},
            "maximum": 1.7976931348623157e308,
        }
    },
    "thingMeasurepointMap": {
        "CH_raw_energy": {
            "$class": "com.example.tsl.TSLDoubleMeasurepoint",
            "identifier": "CH_raw_energy",
            "name": i18n("Energy"),
            "unit": {"unitId": "Wh", "multiplier": "KILO"},
            "signalType": "PI",
            "minimum": "-1.7976931348623157E308",
            "required": False,
            "createTime": "1700000000000",
        },
        "CH_raw_mode": {
            "$class": "com.example.tsl.TSLEnumMeasurepoint",
            "identifier": "CH_raw_mode",
            "signalType": "GENERIC",
            "specsMap": {"1": json.dumps(i18n("Cool")), "2": json.dumps(i18n("Heat"))},
        },
    },
    "thingServiceMap": {},
    "thingEventMap": {},
    "extraInfo": None,
}
EXPECTED = ThingModel(
    "ABC_HVAC_CH",
    {
        "CH_raw_energy": ModelPoint(
            "CH_raw_energy",
            "DOUBLE",
            "Wh",
            "PI",
            model_id="ABC_HVAC_CH",
            scale=1000.0,
            title="Energy",
        ),
        "CH_raw_mode": ModelPoint(
            "CH_raw_mode",
            "ENUM",
            "",
            "Generic",
            model_id="ABC_HVAC_CH",
            choices=(("1", "Cool"), ("2", "Heat")),
        ),
    },
    {"capacity": ModelPoint("capacity", "DOUBLE", "kW", model_id="ABC_HVAC_CH", required=True)},
    parent="EnOS_HVAC_CH",
    title="Chiller of ABC",
)
GOOD = {"thingModelId": "Good", "thingMeasurepointMap": {"x": {"dataType": "INT"}}}


def read(document: Any) -> Read:
    return read_models(json.dumps(document).encode(), "f.json")


@pytest.mark.parametrize("document", [API, CONSOLE], ids=["api", "console"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: [model],
        lambda model: {"code": 0, "msg": "OK", "data": model},
        lambda model: {"code": 0, "data": [model], "pagination": {}},
        lambda model: {"models": [model]},
        lambda model: {"site": {}, "devices": [{}], "thingModels": [model]},
        lambda model: {"ABC_HVAC_CH": model},
    ],
    ids=["one", "list", "get", "search", "models", "site export", "by name"],
)
def test_both_shapes_are_the_same_model(document: Any, wrap: Any) -> None:
    """The API and the console write the same model differently; both are read alike."""
    found = read(wrap(document))
    assert found.problems == []
    assert found.models == [EXPECTED]


def test_a_plain_list_is_enough() -> None:
    """Model → point → what is known of it; what is not told follows."""
    points = {
        "CH_raw_status": {"kind": "Status"},
        "CH_raw_temp": {"unit": "degree_Celsius", "enosUnit": "°C"},
        "CH_raw_on": {"unit": "boolean", "type": "Int", "signal": "DI"},
    }
    (model,) = read({"about": "x", "models": {"EnOS_HVAC_CH": points}}).models
    assert {name: (p.data_type, p.unit) for name, p in model.points.items()} == {
        "CH_raw_status": ("INT", ""),
        "CH_raw_temp": ("DOUBLE", "°C"),
        "CH_raw_on": ("INT", ""),
    }


def test_what_a_simulated_enos_answers_is_what_is_built_in() -> None:
    """Every built-in model goes through the API's shape and comes back with types and units."""
    world = World("a", "b")
    found = models_in([world.model(model_id) for model_id in world.model_ids()], "EnOS")
    assert found.problems == []
    for model, known in zip(
        found.models, sorted(enos_models(), key=lambda m: m.model_id), strict=True
    ):
        assert model.model_id == known.model_id
        for name, point in known.points.items():
            mine = model.points[name]
            assert (mine.data_type, mine.unit, mine.signal_type) == (
                point.data_type,
                point.unit,
                point.signal_type,
            )


@pytest.mark.parametrize("model", [EXPECTED, *enos_models()], ids=lambda model: model.model_id)
def test_documents_round_trip(model: ThingModel) -> None:
    """What is stored is the whole model, and can be imported as a file of its own."""
    document = json.loads(json.dumps(document_of(model)))
    assert model_from(document) == model
    assert read({"models": [document]}).models == [model]
    assert digest(model_from(document)) == digest(model)
    assert changes(model, model_from(document)) == []


# ---------------------------------------------------------------- poison


def feature(**more: Any) -> dict[str, Any]:
    return {"modelId": "Bad", "measurepoints": {"x": {"dataType": "DOUBLE"} | more}}


@pytest.mark.parametrize(
    ("poison", "key"),
    [
        (None, "[0]"),
        (7, "[0]"),
        ({}, "[0].modelId"),
        ({"modelId": "no model/id"}, "[0].modelId"),
        ({"modelId": "x" * 129}, "[0].modelId"),
        ({"modelId": "Bad\x00"}, "[0].modelId"),
        ({"modelId": "Bad", "measurepoints": []}, "[0].measurepoints"),
        ({"modelId": "Bad", "measurepoints": {"": {}}}, "[0].measurepoints.''"),
        ({"modelId": "Bad", "measurepoints": {"a b": {}}}, "[0].measurepoints.'a b'"),
        ({"modelId": "Bad", "measurepoints": {"x": 3}}, "[0].measurepoints.x"),
        ({"modelId": "Bad", "parentModelId": "../x"}, "[0].parentModelId"),
        ({"modelId": "Bad", "parentModelId": "Bad"}, "Bad.parent"),
        (feature(identifier="y"), "[0].measurepoints.x.identifier"),
        (feature(dataType="QUANTUM"), "[0].measurepoints.x.dataType"),
        (feature(dataType=["INT"]), "[0].measurepoints.x.dataType"),
        (feature(unit=7), "[0].measurepoints.x.unit"),
        (feature(unit="x" * 65), "[0].measurepoints.x.unit"),
        (
            feature(unit={"unitId": "W", "multiplier": "LOTS"}),
            "[0].measurepoints.x.unit.multiplier",
        ),
        (feature(scale=0), "[0].measurepoints.x.scale"),
        (feature(scale="much"), "[0].measurepoints.x.scale"),
        (feature(minimum="low"), "[0].measurepoints.x.minimum"),
        (feature(maximum=True), "[0].measurepoints.x.maximum"),
        (feature(dataDefinition="{"), "[0].measurepoints.x.dataDefinition"),
        (feature(dataDefinition="[" * 100_000), "[0].measurepoints.x.dataDefinition"),
        (feature(specsMap={"x" * 33: ""}), "[0].measurepoints.x.dataDefinition"),
        (
            feature(specsMap={str(n): "" for n in range(MAX_CHOICES + 1)}),
            "[0].measurepoints.x.dataDefinition",
        ),
        (
            {"modelId": "Bad", "measurepoints": {f"p{n}": {} for n in range(MAX_FEATURES + 1)}},
            "[0]",
        ),
    ],
)
def test_a_poison_model_stops_no_other(poison: Any, key: str) -> None:
    """It is told with file, place and what to do; the model beside it is read."""
    found = read([poison, GOOD])
    assert [model.model_id for model in found.models] == ["Good"]
    assert [problem.key for problem in found.problems] == [key]
    (problem,) = found.problems
    assert problem.file == "f.json"
    assert problem.fix
    assert len(str(problem)) < 400
    assert "\x00" not in str(problem)


def test_names_that_stand_twice_are_told() -> None:
    """JSON lets the last one win; which of two points is meant only a person knows."""
    text = (
        '{"models": {"Bad": {"points": {"x": {"type": "INT"}, "x": {"type": "DOUBLE"}}},'
        ' "Worse": {"points": {"x": {"type": "INT", "type": "DOUBLE"}}},'
        ' "Good": {"points": {"x": {"type": "INT"}}}}}'
    )
    found = read_models(text.encode(), "f.json")
    assert [model.model_id for model in found.models] == ["Good"]
    assert [problem.key for problem in found.problems] == [
        "models.Bad.measurepoints.x",
        "models.Worse.measurepoints.x",
    ]
    assert all("twice" in problem.what for problem in found.problems)
    twice = read_models(b'{"models": {"M": {"x": {}}, "M": {"y": {}}}}', "f.json")
    assert [problem.key for problem in twice.problems] == ["models.M"]
    both = read([GOOD, GOOD])
    assert len(both.models) == 1
    assert "stands here and at [0]" in both.problems[0].what


def test_all_that_is_wrong_with_a_model_is_told_at_once() -> None:
    """Several points of a model may be wrong: nobody wants to find them one by one."""
    points = {f"p{n}": {"dataType": "NONE"} for n in range(4)}
    found = read([{"modelId": "Bad", "measurepoints": points}])
    assert [p.key for p in found.problems] == [f"[0].measurepoints.p{n}.dataType" for n in range(4)]


def test_problems_are_bounded() -> None:
    """A file of nothing but rubbish tells so many, and counts the rest."""
    found = read([None] * (MAX_PROBLEMS + 5))
    assert (len(found.problems), found.untold) == (MAX_PROBLEMS, 5)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[1, 2", "no JSON"),
        (b'{"modelId": "A", "minimum": NaN}', "no JSON"),
        (b"1" * 5000, "no JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b" " * (MAX_FILE + 1), "bytes"),
        (b"{}", "no thing model"),
        (b"[]", "no thing model"),
        (b"7", "no thing model"),
    ],
)
def test_what_is_no_file_of_models_is_told_as_a_whole(content: bytes, part: str) -> None:
    """One problem, without a model."""
    found = read_models(content, "f.json")
    assert found.models == []
    (problem,) = found.problems
    assert part in problem.what
    assert problem.fix


def test_half_a_character_is_none() -> None:
    """JSON may hold one half of a surrogate pair; no database and no other JSON does."""
    points = b'{"x": {"type": "ENUM", "unit": "\\ud800", "choices": [["a\\ud800", "\\udc00"]]}}'
    found = read_models(b'{"models": {"A": {"title": "t\\ud800", "points": ' + points + b"}}}", "f")
    (model,) = found.models
    assert len(digest(model)) == 64
    assert model.title == "t?"


def test_brackets_within_texts_are_no_depth() -> None:
    """A description may be full of them, and of quotation marks too."""
    text = '"' + "[{" * 100 + "\\"
    found = read([GOOD | {"desc": text}])
    assert found.models[0].description == text


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda part: st.one_of(
        st.lists(part, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["modelId", "measurepoints", "points", "x", "unit", "dataType", "dataDefinition",
                 "specsMap", "choices", "name", "data", "models", "parent", "identifier", "minimum"]
            ),
            part,
            max_size=6,
        ),
    ),
    max_leaves=25,
)  # fmt: skip


@given(JSON)
def test_no_document_breaks_the_reader(document: Any) -> None:
    """Whatever stands in a file: models that can be stored and shown, or problems."""
    found = read(document)
    assert found.models or found.problems
    for model in found.models:
        assert model_from(json.loads(json.dumps(document_of(model)))) == model


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    """Bytes are models or a problem."""
    found = read_models(content, "f.json")
    assert found.models or found.problems


def test_changes_name_their_places() -> None:
    """Points that came, went and changed, and the model's own texts."""
    before = ThingModel("A", {"x": ModelPoint("x", "INT"), "y": ModelPoint("y", "INT")}, title="a")
    after = ThingModel(
        "A", {"x": ModelPoint("x", "DOUBLE"), "z": ModelPoint("z", "INT")}, title="b"
    )
    found = [(change.what, change.where) for change in changes(before, after)]
    assert found == [
        ("changed", "title"),
        ("changed", "points.x"),
        ("removed", "points.y"),
        ("added", "points.z"),
    ]
    assert [change.what for change in changes(None, after)] == ["added"] * 3
