"""The OpenAPI document of this checkout, and where the one stands that clients were promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from plantroom_cloud.app import create_app
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "cloud" / "golden" / "openapi-0.1.json"
CLIENT = ROOT / "clients" / "python" / "plantroom_client"


def live() -> dict[str, Any]:
    """Return the document as it is served."""
    app = create_app(CloudSettings(), Database("sqlite+aiosqlite://"))
    document: dict[str, Any] = orjson.loads(orjson.dumps(app.openapi()))
    return document


def numbers_without_ends(document: dict[str, Any]) -> list[str]:
    """Return every whole number that a client may send as large, or as small, as it likes."""
    found: list[str] = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            asked = [(one["name"], one["schema"]) for one in operation.get("parameters", ())]
            bodies = operation.get("requestBody", {}).get("content", {}).values()
            asked += [("body", body["schema"]) for body in bodies]
            for name, schema in asked:
                found += [f"{method} {path}: {at}" for at in _endless(document, schema, name, ())]
    return found


def _endless(
    document: dict[str, Any], schema: Any, at: str, inside: tuple[str, ...]
) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    if name := schema.get("$ref", "").rpartition("/")[2]:
        if name not in inside:
            whole = document["components"]["schemas"][name]
            yield from _endless(document, whole, at, (*inside, name))
        return
    if schema.get("type") == "integer" and not schema.keys() & {"enum", "const"}:
        ends = ({"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"})
        if not all(schema.keys() & end for end in ends):
            yield at
    for kind in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(kind, ()):
            yield from _endless(document, one, at, inside)
    for name, one in schema.get("properties", {}).items():
        yield from _endless(document, one, f"{at}.{name}", inside)
    for kind in ("items", "additionalProperties"):
        yield from _endless(document, schema.get(kind), f"{at}[]", inside)


def write_golden(contract: dict[str, Any]) -> None:
    """Make `contract` the one that clients are promised."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
    GOLDEN.write_bytes(orjson.dumps(contract, option=option) + b"\n")
