"""Hostile names for every text that a route takes: in the path, the query, headers and bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, quote_from_bytes

from support.api_routes import Route
from support.api_world import Tenant

NAMES = {
    "nul": "a\x00b",
    "newline": 'a\r\nX-Injected: yes\n{"event":"forged"}',
    "right to left": "\u202eevil\u2066\u200b\ufeff",
    "10 kB": "\u00e4" * 5120,
    "sql": "'); DROP TABLE site; --",
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "formula": "=cmd|'/C calc'!A0",
    "surrogate": "a\ud800b",
    "path": "../../../etc/passwd",
    "template": "{{7*7}}${7*7}%s%n{0.__class__}",
    "escape": "\x1b[31m\x7f\u2028\u2029\U0010ffff",
}  # fmt: skip
"""What is hostile about it → the name (security.md 14, 16, 28)."""
_DEEPEST = 4


class Asked(NamedTuple):
    """A request with one hostile text."""

    about: str
    route: Route
    url: str
    headers: dict[str, str]
    content: bytes | None


def hostile(document: Mapping[str, Any], route: Route, tenant: Tenant) -> Iterator[Asked]:
    """Yield a request for each text of `route` and each name."""
    operation = document["paths"][route.path][route.method.lower()]
    good = _good_body(document, route, operation)
    content = None if good is None else json.dumps(good).encode()
    kind = {"Content-Type": "application/json"} if content else {}
    url = quote(route.url(tenant))
    for what, name in NAMES.items():
        sent = quote_from_bytes(name.encode("utf-8", "surrogatepass"), safe="")
        for parameter in operation.get("parameters", []):
            about = f"{parameter['in']} {parameter['name']}: {what}"
            if parameter["in"] == "query":
                query = f"{url}?{quote(parameter['name'])}={sent}"
                yield Asked(about, route, query, kind, content)
            elif parameter["in"] == "path" and len(sent) < 8000:
                path = _with_part(route, tenant, parameter["name"], sent)
                yield Asked(about, route, path, kind, content)
            elif parameter["in"] == "header" and (header := _in_header(name)):
                yield Asked(about, route, url, {**kind, parameter["name"]: header}, content)
        for place, body in _bodies(good, name):
            yield Asked(f"body {place}: {what}", route, url, kind, json.dumps(body).encode())


def _with_part(route: Route, tenant: Tenant, name: str, sent: str) -> str:
    """Return the path with `sent` in the place of one id."""
    template = route.path.replace(":path}", "}").split("/")
    at, good = template.index(f"{{{name}}}"), quote(route.url(tenant)).split("/")
    behind = (
        len(template) - at - 1
    )  # an id may hold slashes: what is behind is counted from the end
    return "/".join([*good[:at], sent, *good[len(good) - behind :]])


def _in_header(name: str) -> str:
    """Return what a client can send of it in a header."""
    return "".join(ch for ch in name if ch == "\t" or (" " <= ch <= "\xff" and ch != "\x7f"))


# ------------------------------------------------------------ bodies


def _good_body(document: Mapping[str, Any], route: Route, operation: Mapping[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    for kind, about in content.items():
        if "json" in kind:
            made = _made(document, about.get("schema", {}), 0)
            given = route.body
            return {**made, **given} if isinstance(made, dict) and isinstance(given, dict) else made
    return route.body


def _made(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Any:
    """Return something that may fit: every member filled, so that every text of it is reached."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return _made(document, schema[word][0], depth)
    if "properties" in schema and depth < _DEEPEST:
        items = schema["properties"].items()
        return {name: _made(document, part, depth + 1) for name, part in items}
    given = [*schema.get("examples", ()), *schema.get("enum", ())]
    given += [schema[word] for word in ("const", "example") if word in schema]
    if not given and schema.get("type") == "array" and depth < _DEEPEST:
        return [_made(document, schema.get("items", {}), depth + 1)]
    return given[0] if given else _plain(schema)


def _plain(schema: Mapping[str, Any]) -> Any:
    plain = {
        "array": [],
        "object": {"name": "text"},
        "integer": schema.get("minimum", 1),
        "number": schema.get("minimum", 1.0),
        "boolean": False,
    }
    return plain.get(str(schema.get("type")), "text")


def _bodies(good: Any, name: str, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield copies of a body with `name` in the place of one text, or of one member's name."""
    if isinstance(good, str):
        yield place, name
    elif isinstance(good, list):
        for number, item in enumerate(good[:2]):
            for where, body in _bodies(item, name, f"{place}[{number}]"):
                yield where, [*good[:number], body, *good[number + 1 :]]
    elif isinstance(good, dict):
        for key, item in good.items():
            for where, body in _bodies(item, name, f"{place}.{key}"):
                yield where, {**good, key: body}
        yield f"{place}.*", {**good, name: "text"}
