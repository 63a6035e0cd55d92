"""Exports as others read them: an independent SHACL validator, an RDF library, two Haystack parsers."""

from __future__ import annotations

import functools
import importlib
import warnings
from importlib import resources
from typing import Any

from plantroom_cloud.exchange.brick_read import BRICK
from plantroom_cloud.exchange.haystack_read import HAYSTACK, HAYSTACK_V3
from plantroom_cloud.exchange.record import Content, write
from support.exchange_site import HOSTILE, everything, small

_NS = "https://brickschema.org/schema/Brick#"
_SH = "http://www.w3.org/ns/shacl#"


def _graph(text: str = "") -> Any:
    rdflib: Any = importlib.import_module("rdflib")
    return rdflib.Graph().parse(data=text, format="turtle")


def _brick_text() -> str:
    """Return Brick 1.4.4 with its shapes, as py-brickschema carries it."""
    file = resources.files("brickschema") / "ontologies" / "1.4" / "Brick.ttl"
    text = file.read_text(encoding="utf-8")
    assert 'owl:versionInfo "1.4.4"' in text
    return text


@functools.cache
def _brick() -> Any:
    return _graph(_brick_text())


def _inferring(text: str) -> dict[str, int]:
    """Validate with Brick's rules carried out first; return thing → violations."""
    rdflib: Any = importlib.import_module("rdflib")
    shifty: Any = importlib.import_module("shifty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # As brickschema calls it, without its copies of both graphs: it reads Turtle by itself.
        _, results, _ = shifty.validate(text, _brick_text(), minimum_severity="violation")
    sh = rdflib.Namespace(_SH)
    found: dict[str, int] = {}
    for result in results.subjects(sh.resultSeverity, sh.Violation):
        focus = str(results.value(result, sh.focusNode))
        found[focus] = found.get(focus, 0) + 1
    return found


def test_brick_passes_the_shapes_of_brick() -> None:
    """Of pySHACL: it finds no violation in a site with relations, units, BACnet references, hostile names."""
    pyshacl: Any = importlib.import_module("pyshacl")
    graph = _graph(write(BRICK, small()))
    conforms, _, text = pyshacl.validate(
        graph, shacl_graph=_brick(), ont_graph=_brick(), inference="none", allow_warnings=True
    )
    assert conforms, text


def test_the_validator_finds_what_is_wrong() -> None:
    """It is no rubber stamp: a point of a point is refused."""
    pyshacl: Any = importlib.import_module("pyshacl")
    text = write(BRICK, small()).replace("a brick:Air_Handling_Unit", "a brick:Fan_Status")
    conforms, _, _ = pyshacl.validate(
        _graph(text), shacl_graph=_brick(), ont_graph=_brick(), inference="none"
    )
    assert not conforms


def test_every_class_and_relation_passes_with_the_rules_of_brick() -> None:
    """A second validator, which infers first, finds nothing but what Brick's rules do by themselves.

    Brick 1.4.4 infers of a meter of a substance that it is a point, too, and then refuses that.
    """
    content = everything()
    kinds = sorted({item.equip_class for item in content.equipment.values()})
    alone = "".join(f"<urn:alone:{name}> a brick:{name} .\n" for name in kinds)
    found = _inferring(write(BRICK, content) + alone)
    by_itself = {name.rsplit(":", 1)[-1] for name in found if name.startswith("urn:alone:")}
    keys = {key for key, item in content.equipment.items() if item.equip_class in by_itself}
    assert len(by_itself) < 10
    assert {n.rsplit(":", 1)[-1] for n in found if not n.startswith("urn:alone:")} <= keys


def test_an_rdf_library_reads_what_was_written() -> None:
    """By rdflib: it finds every point with its class, its label and its equipment."""
    rdflib: Any = importlib.import_module("rdflib")
    content = small()
    graph = _graph(write(BRICK, content))
    brick, rdfs = rdflib.Namespace(_NS), rdflib.RDFS
    for point in content.points:
        key = rdflib.Literal(point.key)
        (subject,) = graph.subjects(rdflib.URIRef("urn:plantroom:terms:key"), key)
        assert str(graph.value(subject, rdfs.label)) == (point.name or point.key)
        named = point.claimed or "Point"
        assert list(graph.objects(subject, rdflib.RDF.type)) == [brick[named]]
        if point.equipment:
            place = graph.value(subject, brick.isPointOf)
            assert str(graph.value(place, rdfs.label)) == point.equipment
    rejected = next(point for point in content.points if point.state == "rejected")
    assert rejected.claimed == ""


def _seen(content: Content) -> dict[str, tuple[str, str]]:
    return {point.key: (point.name or point.key, point.claimed) for point in content.points}


def test_haystack_4_is_read_by_an_independent_parser() -> None:
    """By phable: it reads the grid: every row, reference, marker and text."""
    phable: Any = importlib.import_module("phable")
    codec: Any = importlib.import_module("phable.io.ph_json")
    content = small()
    grid = codec.ph_from_json(write(HAYSTACK, content))
    assert isinstance(grid, phable.Grid)
    marker = phable.Marker()
    rows = [row for row in grid.rows if row.get("point") == marker]
    assert {row["plantroomKey"]: (row["dis"], row.get("brickClass", "")) for row in rows} == _seen(
        content
    )
    by_id = {row["id"].val: row for row in grid.rows}
    sat = next(row for row in rows if row["dis"] == "AHU1.SAT")
    assert all(sat[tag] == marker for tag in ("discharge", "air", "temp", "sensor"))
    assert (sat["kind"], sat["unit"]) == ("Number", "°C")
    ahu = by_id[sat["equipRef"].val]
    assert (ahu["dis"], ahu["ahu"]) == ("AHU 1", marker)
    box = next(row for row in grid.rows if row.get("plantroomEquip") == "VAV 1")
    assert by_id[box["airRef"].val] is ahu
    names = {column.name for column in grid.cols}
    assert all(row.keys() <= names for row in grid.rows)
    assert {row["dis"] for row in rows} >= set(HOSTILE)


def test_haystack_3_is_read_by_an_independent_parser() -> None:
    """By hszinc: it reads the grid of the older encoding."""
    hszinc: Any = importlib.import_module("hszinc")
    content = small()
    parsed = hszinc.parse(write(HAYSTACK_V3, content), mode=hszinc.MODE_JSON)
    grid = parsed[0] if isinstance(parsed, list) else parsed
    rows = [row for row in grid if row.get("point") is hszinc.MARKER]
    seen = {row["plantroomKey"]: (row["dis"], row.get("brickClass") or "") for row in rows}
    assert seen == _seen(content)
    by_id = {row["id"].name: row for row in grid}
    sat = next(row for row in rows if row["dis"] == "AHU1.SAT")
    assert sat["discharge"] is hszinc.MARKER
    assert sat["unit"] == "°C"
    assert by_id[sat["equipRef"].name]["dis"] == "AHU 1"
    assert sat["plantroomConfidence"] == 0.97
