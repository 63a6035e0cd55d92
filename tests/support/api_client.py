"""The Python client made from the OpenAPI document: the same document makes the same text."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]
_HEAD: Final = '''"""{about}

Made by `./plantroom api renew` from the OpenAPI document; not to be edited.
"""

# fmt: off
from __future__ import annotations

'''
_PLAIN: Final = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None",
}  # fmt: skip
_LONG: Final = re.compile(r"plantroom_cloud__(\w+?)__(?:schemas__|endpoints__)?([A-Z]\w*)\Z")
_AUTOMATIC: Final = {"Idempotency-Key": "key", "If-Match": "if_match"}
_BYTES: Final = "bytes"


def generated(document: Schema) -> dict[str, str]:
    """Return the text of each generated file by its name."""
    return {"models.py": _models(document), "client.py": _client(document)}


# ---------------------------------------------------------------- models


def class_name(name: str) -> str:
    """Return what a schema is called in Python: short, with its module only where two are one."""
    name = name.replace("-", "")  # of a model that differs as it comes in and goes out
    if found := _LONG.match(name):
        return found[1].rsplit("__", 1)[-1].title().replace("_", "") + found[2]
    return name


def type_of(schema: Schema, prefix: str = "") -> str:
    """Return a schema as the text of a type; classes stand behind `prefix`."""
    if "$ref" in schema:
        return prefix + class_name(schema["$ref"].rsplit("/", 1)[1])
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return f"Literal[{', '.join(map(repr, values))}]"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " | ".join(dict.fromkeys(type_of(part, prefix) for part in schema[word]))
    kind = schema.get("type")
    if kind == "array":
        return f"list[{type_of(schema.get('items', {}), prefix)}]"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"dict[str, {type_of(inner, prefix) if isinstance(inner, dict) else 'Any'}]"
    return _PLAIN.get(str(kind), "Any")


def _models(document: Schema) -> str:
    text = _HEAD.format(about="What the API takes and gives.")
    text += "from typing import Any, Literal, NotRequired, TypedDict\n"
    for name, schema in sorted(_schemas(document).items()):
        text += "".join(f"\n{line}" if line else "\n" for line in _model(name, schema))
    return text + "\n"


def _schemas(document: Schema) -> dict[str, Schema]:
    """Return every schema with a name of its own, those written in place of a reference too."""
    found = {class_name(name): schema for name, schema in document["components"]["schemas"].items()}
    for *_, operation in _operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content.get("schema", {})
            if "properties" in schema and "title" in schema:
                found[schema["title"]] = schema
    return found


def _model(name: str, schema: Schema) -> Iterator[str]:
    fields = schema.get("properties")
    yield ""
    yield ""
    if fields is None:
        yield f"{name} = {type_of(schema)}"
        return
    needed = set(schema.get("required", ()))
    typed = {
        key: type_of(part) if key in needed else f"NotRequired[{type_of(part)}]"
        for key, part in fields.items()
    }
    if any(keyword.iskeyword(key) or not key.isidentifier() for key in fields):
        yield f"{name} = TypedDict({name!r}, {{"
        yield from (f"    {key!r}: {kind!r}," for key, kind in typed.items())
        yield "})"
        yield f'"""{_line(schema)}"""'
        return
    yield f"class {name}(TypedDict):"
    yield f'    """{_line(schema)}"""'
    yield ""
    yield from (f"    {key}: {kind}" for key, kind in typed.items())


def _line(schema: Schema) -> str:
    return _text(schema.get("description", "")).split("\n", 1)[0] or "Anything."


def _text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', "'''").strip()


# ---------------------------------------------------------------- operations


def _operations(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/v1/") and not _is_stream(operation):
                yield method.upper(), path, operation


def _is_stream(operation: Schema) -> bool:
    """Tell whether the answer never ends: a call that returns is nothing for it."""
    return "text/event-stream" in operation["responses"].get("200", {}).get("content", {})


def _client(document: Schema) -> str:
    text = _HEAD.format(
        about="Every operation of the API, for code that waits and code that awaits."
    )
    text += (
        "from collections.abc import AsyncIterator, Iterator, Sequence\n"
        "from typing import Any, Literal, cast\n\n"
        "from plantroom_client import models as m\n"
        "from plantroom_client.transport import AsyncTransport, Call, Transport, quoted\n"
    )
    for name, about, waits in (
        ("Plantroom", "The API for code that waits for each answer.", False),
        ("AsyncPlantroom", "The API for asyncio.", True),
    ):
        base = "AsyncTransport" if waits else "Transport"
        text += f'\n\nclass {name}({base}):\n    """{about}"""\n'
        operations = sorted(_operations(document), key=lambda one: str(one[2]["operationId"]))
        for operation in operations:
            made = _Method(*operation)
            text += "".join(f"{line}\n" for line in made.lines(waits=waits))
            if made.item:
                text += "".join(f"{line}\n" for line in made.all_lines(document, waits=waits))
    return text


class _Method:
    """One operation as a method."""

    def __init__(self, method: str, path: str, operation: Schema) -> None:
        self._method, self._path, self._operation = method, path, operation
        self.name = str(operation["operationId"])
        parameters = operation.get("parameters", [])
        self._in_path = [one for one in parameters if one["in"] == "path"]
        self._query = [one for one in parameters if one["in"] == "query"]
        self._headers = [one["name"] for one in parameters if one["in"] == "header"]
        self._gives = self._answer()
        names = {one["name"] for one in self._query}
        self.item = "after" in names and self._gives.startswith("m.")

    def _answer(self) -> str:
        status = min(code for code in self._operation["responses"] if code.startswith("2"))
        content = self._operation["responses"][status].get("content", {})
        if "application/json" in content and len(content) == 1:
            return type_of(content["application/json"].get("schema", {}), "m.")
        return _BYTES

    def _body(self) -> str:
        kinds = []
        for kind, content in self._operation.get("requestBody", {}).get("content", {}).items():
            schema = content.get("schema", {})
            if kind != "application/json":
                kinds.append(_BYTES)
            elif "title" in schema and "properties" in schema:
                kinds.append(f"m.{schema['title']}")
            else:
                kinds.append(type_of(schema, "m."))
        return " | ".join(dict.fromkeys(kinds))

    def _arguments(self, *, without: frozenset[str] = frozenset()) -> list[str]:
        found = ["self"]
        found += [f"{python(p['name'])}: {type_of(p['schema'], 'm.')}" for p in self._in_path]
        body = self._body()
        if body:
            needed = self._operation["requestBody"].get("required", False)
            found.append(f"body: {body}" if needed else f"body: {optional(body)} = None")
        named = [
            f"{python(one['name'])}: {_query_type(one)}"
            for one in sorted(self._query, key=lambda one: not one.get("required"))
            if one["name"] not in without
        ]
        named += [f"{_AUTOMATIC[name]}: str | None = None" for name in self._headers]
        return found + (["*", *named] if named else [])

    def lines(self, *, waits: bool) -> Iterator[str]:
        """Yield the method that sends one request."""
        word, wait = ("async def", "await ") if waits else ("def", "")
        yield ""
        yield f"    {word} {self.name}({', '.join(self._arguments())}) -> {self._gives}:"
        yield from self._docstring()
        path = re.sub(r"{(\w+)}", lambda found: f"{{quoted({python(found[1])})}}", self._path)
        prefix = "f" if self._in_path else ""
        query = ", ".join(f"{one['name']!r}: {python(one['name'])}" for one in self._query)
        more = "".join(f", {_AUTOMATIC[name]}={_AUTOMATIC[name]}" for name in self._headers)
        if self._body():
            more += f", body=body, kinds={tuple(self._operation['requestBody']['content'])!r}"
        call = f'Call("{self._method}", {prefix}"{path}", {{{query}}}{more})'
        if self._gives == _BYTES:
            yield f"        return {wait}self.fetch({call})"
        else:
            yield f"        return cast({self._gives!r}, {wait}self.call({call}))"

    def all_lines(self, document: Schema, *, waits: bool) -> Iterator[str]:
        """Yield the method that goes through all pages."""
        word, each, kind = ("async def", "async for", "AsyncIterator") if waits else (
            "def", "for", "Iterator",
        )  # fmt: skip
        item = self._item_type(document)
        yield ""
        arguments = ", ".join(self._arguments(without=frozenset({"after"})))
        yield f"    {word} {self.all_name}({arguments}) -> {kind}[{item}]:"
        yield f'        """Every item of `{self.name}`, page by page."""'
        names = [one["name"] for one in self._query if one["name"] != "after"]
        query = ", ".join(f"{name!r}: {python(name)}" for name in names)
        path = re.sub(r"{(\w+)}", lambda found: f"{{quoted({python(found[1])})}}", self._path)
        prefix = "f" if self._in_path else ""
        yield f'        call = Call("{self._method}", {prefix}"{path}", {{{query}}})'
        yield f"        {each} item in self.pages(call):"
        yield f"            yield cast({item!r}, item)"

    @property
    def all_name(self) -> str:
        """What the method of all pages is called."""
        return "all_" + re.sub(r"\A(list|get)_", "", self.name)

    def _item_type(self, document: Schema) -> str:
        schemas = {class_name(k): v for k, v in document["components"]["schemas"].items()}
        kinds = []
        for part in self._gives.split(" | "):
            fields = schemas[part.removeprefix("m.")]["properties"]
            if "next" in fields:
                kinds.append(type_of(fields["items"]["items"], "m."))
        return " | ".join(dict.fromkeys(kinds))

    def _docstring(self) -> Iterator[str]:
        text = _text(self._operation.get("description") or self._operation.get("summary", ""))
        first, *rest = text.split("\n")
        yield f'        """{first}' + ('"""' if not rest else "")
        if rest:
            yield from (f"        {line}".rstrip() for line in rest)
            yield '        """'


def _query_type(parameter: Schema) -> str:
    kind = type_of(parameter["schema"], "m.").replace("list[", "Sequence[")
    return kind if parameter.get("required") else f"{optional(kind)} = None"


def optional(kind: str) -> str:
    """Return a type that may be None as well."""
    return kind if kind in {"Any", "None"} or kind.endswith("| None") else f"{kind} | None"


def python(name: str) -> str:
    """Return a parameter's name as Python can have it: `from` is `from_`."""
    bare = re.sub(r"\W", "_", name)
    return f"{bare}_" if keyword.iskeyword(bare) or bare in {"self", "body", "format"} else bare
