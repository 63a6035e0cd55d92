"""Which differences between two OpenAPI documents break a client: pure.

What a client sends must still be taken: no path, method, parameter or body member that it knows may
go, nothing new may be required, no value that was taken may be refused. What it reads must still be
there and of the kind it knows. New paths, optional parameters, members of answers and values of an
enumeration in answers are no break: clients are told to pass over what they do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

Schema = Mapping[str, Any]
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_WORDS: Final = frozenset({"description", "summary", "title", "examples", "example", "tags"})
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_TEXTUAL: Final = ("pattern", "format", "multipleOf")


def contract(document: Schema) -> dict[str, Any]:
    """Return what of a document binds: without texts for people."""
    kept = {key: document[key] for key in ("openapi", "paths", "components") if key in document}
    return {key: _bare(value, named=key == "paths") for key, value in kept.items()}


def _bare(value: Any, *, named: bool = False) -> Any:
    """Drop texts; keys of a mapping of names (`named`) are none of them."""
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _bare(item, named=key in {"properties", "schemas", "patternProperties"})
        for key, item in sorted(value.items())
        if named or key not in _WORDS
    }


class Side(NamedTuple):
    """A document, for following its references."""

    document: Schema

    def resolved(self, schema: Schema) -> Schema:
        """Return what a reference leads to; what leads nowhere says nothing."""
        for _ in range(20):
            if "$ref" not in schema:
                return schema
            found: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found.get(part, {}) if isinstance(found, Mapping) else {}
            schema = found
        return {}

    def alternatives(self, schema: Schema) -> list[Schema]:
        """Return the schemas of which a value must fit one, each of one type."""
        schema = self.resolved(schema)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return [one for part in schema[word] for one in self.alternatives(part)]
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return [{**schema, "type": kind} for kind in kinds]
        return [schema]


def breaking(old: Schema, new: Schema) -> list[str]:
    """Return what of `new` breaks a client made for `old`, a line each; none: nothing does."""
    return list(_Comparison(Side(old), Side(new)).paths())


class _Comparison:
    def __init__(self, old: Side, new: Side) -> None:
        self._old, self._new = old, new
        self._seen: dict[tuple[int, int, bool], tuple[Schema, Schema]] = {}
        """Pairs under way or done; the schemas are kept so that no other gets their ids."""

    def paths(self) -> Iterator[str]:
        new_paths = self._new.document["paths"]
        for path, operations in self._old.document["paths"].items():
            for method in _METHODS:
                if method not in operations:
                    continue
                where = f"{method.upper()} {path}"
                found = new_paths.get(path, {}).get(method)
                if found is None:
                    yield f"{where}: is gone"
                else:
                    yield from self._operation(where, operations[method], found)

    def _operation(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        if old.get("operationId") != new.get("operationId"):
            yield f"{where}: is called {new.get('operationId')} now, not {old.get('operationId')}"
        if new.get("security") and not old.get("security"):
            yield f"{where}: needs a key now"
        yield from self._parameters(where, old, new)
        yield from self._body(where, old.get("requestBody"), new.get("requestBody"))
        yield from self._answers(where, old["responses"], new["responses"])

    def _parameters(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        before = {(one["in"], one["name"]): one for one in old.get("parameters", [])}
        after = {(one["in"], one["name"]): one for one in new.get("parameters", [])}
        for key, one in after.items():
            if one.get("required") and not before.get(key, {}).get("required"):
                yield f"{where}: {key[0]} parameter {key[1]} is required now"
        for key, one in before.items():
            here = f"{where}: {key[0]} parameter {key[1]}"
            if key not in after:
                yield f"{here} is gone"
            else:
                yield from self._taken(here, one.get("schema", {}), after[key].get("schema", {}))

    def _body(self, where: str, old: Schema | None, new: Schema | None) -> Iterator[str]:
        here = f"{where}: body"
        if new is not None and new.get("required") and not (old or {}).get("required"):
            yield f"{here} is required now"
        if old is None:
            return
        if new is None:
            yield f"{here} is gone"
            return
        for kind, content in old["content"].items():
            if kind not in new["content"]:
                yield f"{here} of type {kind} is not taken any more"
            else:
                schema = new["content"][kind].get("schema", {})
                yield from self._taken(here, content.get("schema", {}), schema)

    def _answers(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        for status, answer in old.items():
            here = f"{where}: answer {status}"
            if status not in new:
                if status.startswith("2"):
                    yield f"{here} is gone"
                continue
            for kind, content in answer.get("content", {}).items():
                if kind not in new[status].get("content", {}):
                    yield f"{here} of type {kind} is gone"
                    continue
                schema = new[status]["content"][kind].get("schema", {})
                yield from self._read(here, content.get("schema", {}), schema)
        for status in new:
            if status.startswith("2") and status not in old:
                yield f"{where}: may answer {status} now"

    # ------------------------------------------------------------ schemas

    def _taken(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        """Everything that fits `old` must be taken by `new`."""
        yield from self._fits(where, (self._old, old), (self._new, new), sent=True)

    def _read(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        """Everything that `new` gives must be readable by who knows `old`."""
        yield from self._fits(where, (self._new, new), (self._old, old), sent=False)

    def _fits(
        self, where: str, value: tuple[Side, Schema], reader: tuple[Side, Schema], *, sent: bool
    ) -> Iterator[str]:
        readers = reader[0].alternatives(reader[1])
        for one in value[0].alternatives(value[1]):
            tried = [
                list(self._one(where, (value[0], one), (reader[0], other), sent=sent))
                for other in readers
                if _same_kind(one, other)
            ]
            if not tried:
                kind = one.get("type", "anything")
                does = "is refused now" if sent else "may be given now"
                yield f"{where}: {kind} {does}"
            elif [] not in tried:
                yield from min(tried, key=len)

    def _one(
        self, where: str, value: tuple[Side, Schema], reader: tuple[Side, Schema], *, sent: bool
    ) -> Iterator[str]:
        one, other = value[1], reader[1]
        if (pair_id := (id(one), id(other), sent)) in self._seen:
            return
        self._seen[pair_id] = (one, other)
        if sent:
            yield from _stricter(where, one, other)
        if one.get("type") == "array" or "items" in one:
            pair = (value[0], one.get("items", {})), (reader[0], other.get("items", {}))
            yield from self._fits(f"{where}[]", *pair, sent=sent)
        yield from self._members(where, value, reader, sent=sent)

    def _members(
        self, where: str, value: tuple[Side, Schema], reader: tuple[Side, Schema], *, sent: bool
    ) -> Iterator[str]:
        one, other = value[1], reader[1]
        given, known = one.get("properties", {}), other.get("properties", {})
        gone = given.keys() - known.keys() if sent else known.keys() - given.keys()
        free = one.get("type") != "object" and not given
        for name in sorted(gone if not (sent and not known and _open(other)) else ()):
            yield f"{where}.{name}: is gone"
        needed = set(other.get("required", ())) - set(one.get("required", ())) - gone
        for name in sorted(needed if not free else ()):
            yield f"{where}.{name}: {'is required now' if sent else 'may be missing now'}"
        for name in sorted(given.keys() & known.keys()):
            pair = (value[0], given[name]), (reader[0], known[name])
            yield from self._fits(f"{where}.{name}", *pair, sent=sent)
        inner, outer = one.get("additionalProperties"), other.get("additionalProperties")
        if isinstance(inner, Mapping) and isinstance(outer, Mapping):
            pair = (value[0], inner), (reader[0], outer)
            yield from self._fits(f"{where}.*", *pair, sent=sent)
        elif sent and outer is False and inner is not False:
            yield f"{where}: refuses members it does not know now"


def _open(schema: Schema) -> bool:
    return schema.get("additionalProperties", True) is not False


def _same_kind(value: Schema, reader: Schema) -> bool:
    """Tell whether a value of the one type can be of the other."""
    given, known = value.get("type"), reader.get("type")
    if known is None and "enum" not in reader and "const" not in reader:
        return True
    return given == known or (given == "integer" and known == "number")


def _stricter(where: str, old: Schema, new: Schema) -> Iterator[str]:
    """Yield what `new` refuses that `old` takes."""
    if values := _values(new):
        for value in sorted(_values(old) or {"anything else"}, key=str):
            if value not in values:
                yield f"{where}: {value!r} is not taken any more"
    for word in _LOWER:
        if word in new and (word not in old or new[word] > old[word]):
            yield f"{where}: {word} is {new[word]} now, not {old.get(word, 'unbounded')}"
    for word in _UPPER:
        if word in new and (word not in old or new[word] < old[word]):
            yield f"{where}: {word} is {new[word]} now, not {old.get(word, 'unbounded')}"
    for word in _TEXTUAL:
        if word in new and new[word] != old.get(word):
            yield f"{where}: {word} is {new[word]!r} now, not {old.get(word, 'any')!r}"


def _values(schema: Schema) -> set[Any]:
    return {schema["const"]} if "const" in schema else set(schema.get("enum", ()))
