"""Turning what is wrong with a configuration into words: where it is, what it is, how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from plantroom_edge.config_yaml import Document, Loc, dotted
from plantroom_shared.errors import ConfigError


def complaint(document: Document, loc: Loc, what: str, fix: str) -> ConfigError:
    """Return an error that names file, line and key of `loc`."""
    line = document.line(loc)
    file = f"{document.file}:{line}" if line else str(document.file)
    if loc and str(loc[0]) in document.elsewhere:  # its lines are not those of the file
        file = document.elsewhere[str(loc[0])]
    return ConfigError(what, file=file, key=dotted(loc), fix=fix)


def repeated(document: Document, loc: Loc) -> ConfigError:
    """Return the error for a key that stands twice."""
    return complaint(document, loc, "stands twice", "keep one of them")


_EXPECTED: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text, in quotes if it looks like a number",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping of keys",
    "model": "a mapping of keys",
    "path": "a file path",
}


def explain(
    document: Document, detail: ErrorDetails, model: type[BaseModel], prefix: Loc = ()
) -> ConfigError:
    """Turn what pydantic says into an error that names the key and the fix."""
    loc: Loc = (*prefix, *_real(document, detail["loc"], prefix))
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = sorted(_keys(model, detail["loc"][:-1]))
        near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        fix = f"did you mean `{near[0]}`?" if near else f"known keys here: {', '.join(known)}"
        return complaint(document, loc, "is no known key", fix)
    if kind == "missing":
        return complaint(document, loc, "is missing", f"add `{loc[-1]}:`")
    given = detail.get("input")
    shown = f", not {given!r:.80}" if isinstance(given, str | int | float | bool | list) else ""
    expected = _EXPECTED.get(kind.removesuffix("_type").removesuffix("_parsing"), "")
    what = f"{(expected and f'must be {expected}') or _lower(detail['msg'])}{shown}"
    return complaint(document, loc, what, "correct the value")


def _lower(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _real(document: Document, loc: tuple[int | str, ...], prefix: Loc) -> Loc:
    """Drop the parts of pydantic's path that stand for a choice between models, not for a key."""
    here: Any = document.content
    for part in prefix:
        here = here[part]
    out: list[int | str] = []
    for at, part in enumerate(loc):
        last = at == len(loc) - 1
        if isinstance(here, dict) and (part in here or last):
            out.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            out.append(part)
            here = here[part]
        elif not isinstance(here, dict | list):
            break
    return tuple(out)


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> set[str]:
    """Return the keys that may stand at `loc` of a `model`."""
    models = {model}
    for part in loc:
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        if fields:
            models = {found for field in fields for found in models_in(field.annotation)}
    return {field.alias or name for m in models for name, field in m.model_fields.items()}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)
