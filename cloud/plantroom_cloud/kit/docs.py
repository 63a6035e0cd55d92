"""The API's description for people: one page made from the OpenAPI document, no script, no CDN."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

import orjson

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;color:#1b2733}
h2{border-bottom:1px solid #c8d2dc;margin-top:2.5rem;text-transform:capitalize}
details{border:1px solid #c8d2dc;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:#f2f5f8;overflow:auto;padding:.7rem;border-radius:4px}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem .2rem 0;
vertical-align:top}b{color:#0a6847}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"
"""Content-Security-Policy of the page: its own style and nothing else."""


_PLAIN: Final = {"string": "", "integer": 1, "number": 0.5, "boolean": True, "object": {}}


def render(description: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as one HTML page."""
    info = description["info"]
    title = escape(f"{info['title']} {info['version']}")
    body = "".join(_sections(description))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{escape(info.get('description', ''))}</p>"
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{body}</html>"
    )


def _sections(description: Mapping[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["service"])[0]
            by_tag.setdefault(tag, []).append(_operation(description, method, path, operation))
    for tag, parts in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(parts)}"


def _operation(
    description: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> str:
    rows = "".join(_parameter(item) for item in operation.get("parameters", []))
    table = f"<table><tr><th>Parameter<th>Type<th>Meaning</tr>{rows}</table>" if rows else ""
    schema = (
        operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    ).get("schema")
    example = ""
    if schema:
        shown = orjson.dumps(_example(description, schema, 0), option=orjson.OPT_INDENT_2).decode()
        example = f"<pre>{escape(shown)}</pre>"
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> "
        f"{escape(operation.get('summary', ''))}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p>{table}{example}</details>"
    )


def _parameter(item: Mapping[str, Any]) -> str:
    schema = item["schema"]
    kinds = [part.get("type", "") for part in schema.get("anyOf", [schema])]
    kind = " ".join(part for part in kinds if part and part != "null")
    meaning = item.get("description", "")
    examples = [str(one) for one in schema.get("examples", item.get("examples", [])) if one]
    hint = f" Example: <code>{escape(examples[0])}</code>" if examples else ""
    name = f"<code>{escape(item['name'])}</code>{' (required)' if item.get('required') else ''}"
    return f"<tr><td>{name}<td>{escape(kind)}<td>{escape(meaning)}{hint}</tr>"


def _example(description: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Any:
    """Return a document of the shape of `schema`."""
    if examples := schema.get("examples"):
        return examples[0]
    if depth > 8:
        return None
    if "$ref" in schema:
        inner = description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    else:
        inner = schema.get("anyOf", [None])[0]
    if inner is not None:
        return _example(description, inner, depth + 1)
    if schema.get("type") == "array":
        return [_example(description, schema.get("items", {}), depth + 1)]
    if fields := schema.get("properties"):
        return {key: _example(description, part, depth + 1) for key, part in fields.items()}
    return _PLAIN.get(schema.get("type", ""))
