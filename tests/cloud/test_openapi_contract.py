"""/v1 stays what it was: nothing that a client relies on goes without being told."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from support.api_document import GOLDEN, live
from support.openapi_contract import breaking, contract

OLD: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/v1/things/{thing}": {
            "put": {
                "operationId": "put_thing",
                "description": "Words.",
                "parameters": [
                    {
                        "name": "thing",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "integer"},
                    },
                    {
                        "name": "state",
                        "in": "query",
                        "required": False,
                        "schema": {
                            "anyOf": [{"enum": ["a", "b"], "type": "string"}, {"type": "null"}]
                        },
                    },
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/In"}}}
                },
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Out"}}
                        }
                    },
                    "404": {"content": {"application/problem+json": {"schema": {}}}},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "In": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 10},
                    "size": {"type": "number", "minimum": 0},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "description": {"type": "string"},
                },
                "required": ["name"],
            },
            "Out": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "kind": {"type": "string", "enum": ["x", "y"]},
                    "next": {"anyOf": [{"$ref": "#/components/schemas/Out"}, {"type": "null"}]},
                    "more": {"type": "object", "additionalProperties": {"type": "integer"}},
                },
                "required": ["id", "next"],
            },
        }
    },
}
PUT = ("paths", "/v1/things/{thing}", "put")
IN, OUT = ("components", "schemas", "In"), ("components", "schemas", "Out")
GONE = object()


def changed(*changes: tuple[tuple[Any, ...], Any]) -> dict[str, Any]:
    """Return the document with values put, or taken out, at places."""
    new = copy.deepcopy(OLD)
    for place, value in changes:
        at: Any = new
        for part in place[:-1]:
            at = at[part]
        if value is GONE:
            del at[place[-1]]
        else:
            at[place[-1]] = value
    return new


PARAMETER = {"name": "new", "in": "query", "schema": {"type": "string"}}
BREAKS: dict[str, tuple[tuple[tuple[Any, ...], Any], str]] = {
    "path": ((("paths", "/v1/things/{thing}"), GONE), "is gone"),
    "method": ((PUT, GONE), "PUT /v1/things/{thing}: is gone"),
    "name": (((*PUT, "operationId"), "other"), "is called other now"),
    "key": (((*PUT, "security"), [{"ApiKey": []}]), "needs a key now"),
    "parameter": (((*PUT, "parameters", 1), PARAMETER), "query parameter state is gone"),
    "required": (((*PUT, "parameters", 1, "required"), True), "state is required now"),
    "value": (
        ((*PUT, "parameters", 1, "schema", "anyOf", 0, "enum"), ["a"]),
        "'b' is not taken any more",
    ),
    "null": (
        ((*PUT, "parameters", 1, "schema"), {"type": "string"}),
        "null is refused now",
    ),
    "type": (((*PUT, "parameters", 0, "schema", "type"), "string"), "integer is refused now"),
    "body gone": (((*PUT, "requestBody"), GONE), "body is gone"),
    "body needed": (((*PUT, "requestBody", "required"), True), "body is required now"),
    "body kind": (
        ((*PUT, "requestBody", "content"), {"text/csv": {"schema": {}}}),
        "body of type application/json is not taken any more",
    ),
    "member": (((*IN, "properties", "size"), GONE), "body.size: is gone"),
    "member needed": (((*IN, "required"), ["name", "size"]), "body.size: is required now"),
    "member new and needed": (
        ((*IN,), {**OLD["components"]["schemas"]["In"], "required": ["name", "other"]}),
        "body.other: is required now",
    ),
    "closed": (((*IN, "additionalProperties"), False), "refuses members"),
    "shorter": (((*IN, "properties", "name", "maxLength"), 9), "maxLength is 9 now, not 10"),
    "higher": (((*IN, "properties", "size", "minimum"), 1), "minimum is 1 now, not 0"),
    "bound": (((*IN, "properties", "tags", "maxItems"), 3), "maxItems is 3 now, not unbounded"),
    "pattern": (((*IN, "properties", "name", "pattern"), "a+"), "pattern is 'a+' now"),
    "narrow": (((*IN, "properties", "size", "type"), "integer"), "number is refused now"),
    "items": (((*IN, "properties", "tags", "items", "type"), "integer"), "body.tags[]: string"),
    "answer": (((*PUT, "responses", "200"), GONE), "answer 200 is gone"),
    "other answer": (((*PUT, "responses", "202"), {}), "may answer 202 now"),
    "answer kind": (
        ((*PUT, "responses", "200", "content"), {}),
        "answer 200 of type application/json is gone",
    ),
    "read member": (((*OUT, "properties", "kind"), GONE), "answer 200.kind: is gone"),
    "read maybe": (((*OUT, "required"), ["id"]), "answer 200.next: may be missing now"),
    "read type": (((*OUT, "properties", "id", "type"), "string"), "answer 200.id: string may be"),
    "read wider": (
        ((*OUT, "properties", "id"), {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        "answer 200.id: null may be given now",
    ),
    "read inner": (
        ((*OUT, "properties", "more", "additionalProperties", "type"), "string"),
        "answer 200.more.*: string may be given now",
    ),
}
FINE: dict[str, tuple[tuple[Any, ...], Any]] = {
    "nothing": (("openapi",), "3.1.0"),
    "a path": (("paths", "/v1/new"), {"get": {"responses": {}}}),
    "a parameter": ((*PUT, "parameters", 2), PARAMETER),
    "a value taken": ((*PUT, "parameters", 1, "schema", "anyOf", 0, "enum"), ["a", "b", "c"]),
    "a member taken": ((*IN, "properties", "extra"), {"type": "string"}),
    "less needed": ((*IN, "required"), []),
    "longer": ((*IN, "properties", "name", "maxLength"), 20),
    "unbounded": ((*IN, "properties", "name"), {"type": "string"}),
    "anything": ((*IN, "properties", "name"), {}),
    "a member given": ((*OUT, "properties", "extra"), {"type": "string"}),
    "a value given": ((*OUT, "properties", "kind", "enum"), ["x", "y", "z"]),
    "always given": ((*OUT, "required"), ["id", "kind", "next"]),
    "an integer for a number": ((*OUT, "properties", "id", "type"), "integer"),
    "an error less": ((*PUT, "responses", "404"), GONE),
    "an error more": ((*PUT, "responses", "409"), {}),
    "words": ((*PUT, "description"), "Other words."),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_a_client_is_told(name: str) -> None:
    """Each kind of break is found, alone, and told with its place."""
    change, told = BREAKS[name]
    found = breaking(OLD, changed(change))
    assert any(told in line for line in found), found
    assert len(found) == 1, found


@pytest.mark.parametrize("name", FINE)
def test_what_breaks_no_client_passes(name: str) -> None:
    """What is added, or taken more freely, is no break."""
    place, value = FINE[name]
    new = copy.deepcopy(OLD)
    if name == "a parameter":
        new["paths"]["/v1/things/{thing}"]["put"]["parameters"].append(value)
    else:
        new = changed((place, value))
    assert breaking(OLD, new) == []


def test_words_do_not_bind() -> None:
    """The contract holds no text for people, and members that are called like one."""
    bare = contract(OLD)
    assert "Words." not in json.dumps(bare)
    assert "description" in bare["components"]["schemas"]["In"]["properties"]
    assert breaking(OLD, bare) == breaking(bare, OLD) == []


def test_v1_breaks_no_client_of_the_golden_document() -> None:
    """Whoever was made for the golden document can go on with this one."""
    assert breaking(json.loads(GOLDEN.read_text()), live()) == []


def test_the_golden_document_is_that_of_today() -> None:
    """What was added is written down, so that it cannot go unnoticed: `./plantroom api renew`."""
    assert json.loads(GOLDEN.read_text()) == contract(live())


def test_operations_have_names_of_their_own() -> None:
    """Clients call operations by name: each has one, and no other has it."""
    names = [one["operationId"] for path in live()["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
