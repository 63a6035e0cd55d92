"""Rows of a stage as bytes and back: what a checkpoint holds."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import orjson

from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.pipeline.stages import PIECE
from plantroom_shared.mapping import MappedPoint
from plantroom_shared.model import Device, Point

_LEVEL: Final = 3
"""Of deflate: names repeat so much that more effort saves little."""
_FIELDS: Final = tuple(field.name for field in fields(MappedPoint))
_KNOWN: Final = frozenset(_FIELDS)
_NOTHING: Final[tuple[Any, ...]] = (None, "", (), [])


def pack(rows: Any) -> bytes:
    """Return a JSON document, deflated."""
    return zlib.compress(orjson.dumps(rows), _LEVEL)


def unpack(data: bytes) -> Any:
    """Return what `pack` was given."""
    return orjson.loads(zlib.decompress(data))


def pieces(rows: Sequence[Any]) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each `PIECE` of `rows`."""
    for number, start in enumerate(range(0, len(rows), PIECE)):
        yield number, pack(rows[start : start + PIECE])


def rows_of(packed: Sequence[bytes]) -> list[Any]:
    """Return the rows of all pieces, in order."""
    return [row for data in packed for row in unpack(data)]


def point_row(point: Point) -> dict[str, Any]:
    """Return a point without what it does not say."""
    return _said(vars(point))


def read_point(row: Mapping[str, Any]) -> Point:
    """Return the point of a row."""
    # Checked when it came in; names of a list may be longer than what travels on the wire.
    return Point.model_construct(**{**row, "states": tuple(row.get("states", ()))})


def device_row(device: Device) -> dict[str, Any]:
    """Return a device without what it does not say."""
    return {"name": "", "protocol": "", **_said(vars(device))}


def read_device(row: Mapping[str, Any]) -> Device:
    """Return the device of a row."""
    return Device.model_construct(**row)


def mapped_row(item: MappedPoint) -> dict[str, Any]:
    """Return what a point means, without what is not known of it."""
    # Not asdict: it copies all it meets, for every point.
    return _said({name: getattr(item, name) for name in _FIELDS})


def read_mapped(row: Mapping[str, Any]) -> MappedPoint:
    """Return what a point means; fields of another version of ours are left out."""
    known: dict[str, Any] = {
        name: tuple(value) if type(value) is list else value
        for name, value in row.items()
        if name in _KNOWN
    }
    return MappedPoint(**{"template": "", **known})


def question_row(question: Question) -> dict[str, Any]:
    """Return a question to the LLM."""
    return asdict(question)


def read_question(row: Mapping[str, Any]) -> Question:
    """Return the question of a row."""
    lists = {name: tuple(row[name]) for name in ("choices", "points", "templates")}
    return Question(**{**row, **lists})


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in _NOTHING}
