"""Files that others wrote: what they say of a site is understood, what is none is refused."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_cloud.exchange import brick_read, haystack_read, record, table
from plantroom_cloud.exchange.brick_read import BRICK, read_brick
from plantroom_cloud.exchange.enos import read_enos
from plantroom_cloud.exchange.formats import FORMATS
from plantroom_cloud.exchange.haystack_read import read_haystack
from plantroom_cloud.exchange.record import Content, Equipment, PointMeaning, write
from plantroom_cloud.exchange.table import read_table
from plantroom_shared.errors import ConfigError, Rejected
from support.exchange_site import small

_TTL = """
@prefix brick: <https://brickschema.org/schema/Brick#> .
@prefix old: <https://brickschema.org/schema/1.0.3/Brick#> .
@prefix bf: <https://brickschema.org/schema/1.0.3/BrickFrame#> .
@prefix unit: <http://qudt.org/vocab/unit/> .
@prefix ref: <https://brickschema.org/schema/Brick/ref#> .
@prefix bacnet: <http://data.ashrae.org/bacnet/2020#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix b: <http://example.com/bldg#> .
@base <http://example.com/bldg/> .

<#site> a brick:Site ; rdfs:label "The site" .
b:AHU1 a brick:AHU ; brick:feeds b:VAV1, b:VAV2 ; brick:hasPart b:SF1 ; brick:hasPoint b:SAT .
b:AHU2 a brick:AHU ; brick:feeds b:VAV1 .
b:VAV1 a brick:VAV ; rdfs:label "Box one" ; brick:isPartOf b:AHU2 .
b:VAV2 a old:VAV ; bf:isFedBy b:AHU1 ; rdfs:label "Box one" .
b:SF1 a brick:Supply_Fan .
b:SAT a brick:Temperature_Sensor, brick:Discharge_Air_Temperature_Sensor ;
    brick:hasUnit unit:DEG_F ; rdfs:label "Supply temp"@en, "Zulufttemperatur"@de .
b:ZT a brick:Zone_Air_Temperature_Sensor ; brick:isPointOf b:VAV1 ;
    ref:hasExternalReference [ a ref:BACnetReference ;
        bacnet:object-identifier "analog-input, 3" ; bacnet:object-name "VAV-1.ZT" ;
        bacnet:objectOf b:dev ] .
b:dev a bacnet:BACnetDevice ; bacnet:device-instance 4711 .
b:named a brick:Fan_Status ; ref:hasExternalReference [ bacnet:object-name "SF-1.S" ] .
b:both a brick:Fan_Status, brick:CO2_Sensor ; brick:isPointOf b:Room9 .
b:none a brick:Point .
b:else a <urn:other:Thing> ; <urn:other:says> "nothing" .
"""


def _by_name(content: Content) -> dict[str, PointMeaning]:
    return {point.name: point for point in content.points}


def test_brick_of_others() -> None:
    """Classes by any name, the most precise of several, relations from either side, BACnet references."""
    content = read_brick(_TTL.encode())
    points = _by_name(content)
    assert content.site.name == "The site"
    sat = points["Supply temp"]
    assert (sat.equipment, sat.equip_class) == ("AHU1", "Air_Handling_Unit")
    assert (sat.point_class, sat.unit) == ("Supply_Air_Temperature_Sensor", "°F")
    assert (points["VAV-1.ZT"].key, points["VAV-1.ZT"].equipment) == (
        "bacnet:4711:analog-input:3",
        "Box one",
    )
    assert points["SF-1.S"].point_class == "Fan_Status"
    assert points["both"] == PointMeaning(name="both", equipment="Room9")
    assert points["none"] == PointMeaning(name="none")
    assert content.equipment == {
        "AHU1": Equipment("AHU1", "Air_Handling_Unit"),
        "AHU2": Equipment("AHU2", "Air_Handling_Unit"),
        "Box one": Equipment("Box one", "Variable_Air_Volume_Box", "AHU1", "feeds"),
        "VAV2": Equipment("VAV2", "Variable_Air_Volume_Box", "AHU1", "feeds"),
        "SF1": Equipment("SF1", "Supply_Fan", "AHU1", "part-of"),
        "Room9": Equipment("Room9"),
    }
    assert any("second parent" in note for note in content.notes)
    assert any("no one class" in note for note in content.notes)


def test_ntriples_are_turtle() -> None:
    """The plainest serialisation is read as well."""
    line = "<urn:p> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://brickschema.org/schema/Brick#CO2_Sensor> ."
    assert read_brick(line.encode()).points == [PointMeaning(name="p", point_class="CO2_Sensor")]


def test_turtle_without_its_reader_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is named with the command that brings it."""
    monkeypatch.setitem(sys.modules, "pyoxigraph", None)
    with pytest.raises(ConfigError, match="pip install"):
        read_brick(b"")


_GRID: dict[str, Any] = {
    "_kind": "grid",
    "meta": {"ver": "3.0"},
    "cols": [{"name": "id"}],
    "rows": [
        {"id": {"_kind": "ref", "val": "s"}, "site": {"_kind": "marker"}, "dis": "HQ"},
        {"id": {"_kind": "ref", "val": "a1"}, "equip": {"_kind": "marker"}, "ahu": {"_kind": "marker"},
         "dis": "HQ AHU-1", "navName": "AHU-1"},
        {"id": {"_kind": "ref", "val": "v1"}, "equip": {"_kind": "marker"}, "vav": {"_kind": "marker"},
         "dis": "VAV-1", "airRef": {"_kind": "ref", "val": "a1", "dis": "AHU"},
         "equipRef": {"_kind": "ref", "val": "a2"}},
        {"id": {"_kind": "ref", "val": "a2"}, "equip": {"_kind": "marker"}, "dis": "AHU-1",
         "navName": "AHU-1"},
        {"id": {"_kind": "ref", "val": "p1"}, "point": {"_kind": "marker"}, "dis": "r:not a ref",
         "zone": {"_kind": "marker"}, "air": {"_kind": "marker"}, "temp": {"_kind": "marker"},
         "sensor": {"_kind": "marker"}, "cur": {"_kind": "marker"}, "unit": "°F", "kind": "Number",
         "curVal": {"_kind": "number", "val": 71.5, "unit": "°F"},
         "equipRef": {"_kind": "ref", "val": "v1"}, "writable": {"_kind": "marker"},
         "tz": None, "geo": {"_kind": "coord", "lat": 1, "lng": 2}, "weird": {"_kind": "ref", "val": 3}},
        {"id": {"_kind": "ref", "val": "p2"}, "point": {"_kind": "marker"}, "run": {"_kind": "marker"},
         "cmd": {"_kind": "marker"}, "navName": "Run", "enum": "off,on", "dis": {"_kind": "na"}},
        {"id": {"_kind": "ref", "val": "p3"}, "point": {"_kind": "marker"}, "leaving": {"_kind": "marker"},
         "dis": "L", "plantroomConfidence": True},
        {"equip": {"_kind": "marker"}},
        "no row",
    ],
}  # fmt: skip


def test_haystack_of_others() -> None:
    """Tags become classes, references become relations; names are those of the navigation."""
    content = read_haystack(json.dumps(_GRID).encode())
    points = _by_name(content)
    zone = points["r:not a ref"]
    assert zone.point_class == "Zone_Air_Temperature_Sensor"
    assert (zone.equipment, zone.equip_class) == ("VAV-1", "Variable_Air_Volume_Box")
    assert (zone.unit, zone.writable) == ("°F", True)
    assert points["Run"].states == ("off", "on")
    assert points["Run"].point_class == "On_Off_Command"
    assert (points["L"].point_class, points["L"].confidence) == ("", None)
    assert content.equipment["VAV-1"] == Equipment(
        "VAV-1", "Variable_Air_Volume_Box", "AHU-1", "feeds"
    )
    assert set(content.equipment) == {"AHU-1", "VAV-1", "a2"}
    assert len(content.notes) == 3
    assert content.site.slug == "s"


def test_haystack_3_of_others() -> None:
    """The older encoding, as a grid or as a list of rows: prefixes, display names of references."""
    rows: list[Any] = [
        {"id": "r:e1 AHU-1", "dis": "AHU-1", "equip": "m:", "ahu": "m:", "rtu": "m:"},
        {"id": "r:p1", "dis": "s:Supply: temp", "point": "m:", "discharge": "m:", "air": "m:",
         "temp": "m:", "sensor": "m:", "equipRef": "r:e1 AHU-1", "unit": "°C", "curVal": "n:21.5 °C",
         "tz": "b:", "odd": "q:x", "plantroomConfidence": "n:0.5", "plantroomStates": "s:[1"},
    ]  # fmt: skip
    for document in (rows, {"rows": rows}):
        content = read_haystack(json.dumps(document).encode())
        (point,) = content.points
        assert point == PointMeaning(
            name="Supply: temp",
            unit="°C",
            equipment="AHU-1",
            equip_class="Rooftop_Unit",
            point_class="Supply_Air_Temperature_Sensor",
            confidence=0.5,
        )


def test_lists_of_others() -> None:
    """Any order of columns, other separators and encodings; what is no row is noted."""
    text = "Point_Name;Point_Class;Equipment;Confidence;parent;States;extra\n"
    text += "Zuluft °;Supply_Air_Temperature_Sensor;RLT 1;0,9;Anlage;[1\n\n;;;;;\nB;;;nan;;x\n;;Kessel;;;\n"
    content = read_table(text.encode("utf-16"))
    assert content.points == [
        PointMeaning(
            name="Zuluft °", equipment="RLT 1", point_class="Supply_Air_Temperature_Sensor"
        ),
        PointMeaning(name="B"),
    ]
    assert content.equipment == {
        "Anlage": Equipment("Anlage"),
        "Kessel": Equipment("Kessel"),
        "RLT 1": Equipment("RLT 1", "", "Anlage", "feeds"),
    }
    assert content.notes == ["line 4: neither a point nor an equipment"]


def test_enos_of_others() -> None:
    """What has another shape than it should is left out."""
    document = {
        "site": [],
        "devices": [
            7,
            {"measurepoints": 3},
            {"modelId": "M", "deviceTags": 5, "measurepoints": ["x", {"identifier": "T", "name": "N", "writable": 1}]},
        ],
    }  # fmt: skip
    content = read_enos(json.dumps(document).encode())
    assert content.points == [PointMeaning(name="N", model_id="M", model_point="T")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("brick", b"\x89PNG"),
        ("brick", b"@prefix b: <x> . b:a b:b [ [ [ ."),
        ("brick", b"<urn:a> <urn:b> <urn:c> ."),
        ("haystack", b"{"),
        ("haystack", b"7"),
        ("haystack", b'{"rows": 7}'),
        ("haystack", b'{"rows": []}'),
        ("haystack-v3", b'[{"id": "r:x"}]'),
        ("enos", b"[]"),
        ("enos", b"\xff"),
        ("enos", b'{"devices": {}}'),
        ("csv", b""),
        ("csv", b"a,b\n1,2\n"),
        ("csv", b'"' + b"x" * (2 * 1024 * 1024)),
    ],
)
def test_what_is_no_such_file_is_refused(name: str, data: bytes) -> None:
    """Each with a reason, and nothing else happens."""
    with pytest.raises(Rejected):
        FORMATS[name].read(data)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_read(data: st.DataObject) -> None:
    """A file of ours with any bytes changed is refused or read, and never more."""
    format_ = data.draw(st.sampled_from(list(FORMATS.values())))
    whole = bytearray(write(format_, small()).encode())
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[at] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(Rejected):
        format_.read(bytes(whole[:kept]))


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, points and things beyond what a site can have cost nobody the memory."""
    files = {name: write(format_, small()).encode() for name, format_ in FORMATS.items()}
    for module in (table, brick_read, haystack_read, sys.modules[read_enos.__module__]):
        monkeypatch.setattr(module, "MAX_POINTS", 5)
    for name, data in files.items():
        with pytest.raises(Rejected, match="split"):
            FORMATS[name].read(data)
    monkeypatch.setattr(brick_read, "_MAX_THINGS", 3)
    with pytest.raises(Rejected, match="things"):
        BRICK.read(files["brick"])
    monkeypatch.setattr(record, "MAX_FILE", 10)
    for name, data in files.items():
        with pytest.raises(Rejected, match="MB"):
            FORMATS[name].read(data)
