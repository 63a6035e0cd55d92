"""A file of thing models → models, and what is wrong with the others. Pure; the file is untrusted.

A model that cannot be read is told with its place and costs no other. A file that is no JSON, too
large or nested too deeply holds no model at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from plantroom_cloud.thingmodels.shapes import Problem, Unreadable, model_ids, model_of, shown
from plantroom_shared.mapping.things import MAX_INHERITANCE, ThingModel

MAX_FILE: Final = 16 * 1024 * 1024
"""Bytes of one file."""
MAX_MODELS: Final = 2000
"""Models of one file; EnOS has no more in an organisation."""
MAX_DEPTH: Final = 32
"""Brackets within brackets."""
MAX_PROBLEMS: Final = 200
"""Problems told of one file; the rest is counted."""


@dataclass(slots=True)
class Read:
    """What a file holds."""

    models: list[ThingModel] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    untold: int = 0
    """Problems beyond `MAX_PROBLEMS`."""

    def tell(self, *problems: Problem) -> None:
        """Add problems, as many as anybody reads."""
        room = MAX_PROBLEMS - len(self.problems)
        self.problems += problems[:room]
        self.untold += max(0, len(problems) - room)


class Pairs(dict[str, Any]):
    """A JSON object that remembers the names that stood in it more than once."""

    twice: tuple[str, ...] = ()


def read_models(content: bytes, file: str) -> Read:
    """Return the models of `content`, in any of the shapes that EnOS and its tools write.

    Args:
        content: JSON: one model or many, by the API, of a console export, or a plain list.
        file: the name to put before problems.
    """
    try:
        document = _parse(content)
    except Unreadable as error:
        return Read(problems=[Problem(file, "", str(error), error.fix)])
    return models_in(document, file)


def models_in(document: Any, origin: str) -> Read:
    """Return the models of a JSON value, as `read_models` does; `origin` stands before problems."""
    found, file = Read(), origin
    seen: dict[str, str] = {}
    for number, (key, name, candidate) in enumerate(_candidates(document)):
        if number >= MAX_MODELS:
            what = f"more than {MAX_MODELS} models"
            found.tell(Problem(file, key, what, "split the file"))
            break
        try:
            model = _new(model_of(candidate, name), seen)
        except Unreadable as error:
            at = ".".join(filter(None, (key, error.key)))
            found.tell(Problem(file, at, str(error), error.fix))
            found.tell(*(Problem(file, f"{key}.{p.key}", p.what, p.fix) for p in error.more))
            continue
        seen[model.model_id] = key
        found.models.append(model)
    if not found.models and not found.problems:
        found.tell(Problem(file, "", "there is no thing model in it", _SHAPES))
    _check_parents(found, file)
    return found


def _new(model: ThingModel, seen: Mapping[str, str]) -> ThingModel:
    if model.model_id in seen:
        what = f"model {model.model_id} stands here and at {seen[model.model_id]}"
        raise Unreadable(what, fix="leave one of them out; the first one is taken")
    return model


_SHAPES: Final = (
    "give the answer of thing-models?action=get or search, a JSON export of the console, or "
    '{"models": {"<model id>": {"<point>": {"type": "Double", "unit": "°C"}}}}'
)


def _parse(content: bytes) -> Any:
    if len(content) > MAX_FILE:
        what = f"{len(content)} bytes are more than {MAX_FILE}"
        raise Unreadable(what, fix="split the file")
    if _depth(content) > MAX_DEPTH:
        what = f"it is nested deeper than {MAX_DEPTH}"
        raise Unreadable(what, fix="give the models alone, as EnOS exports them")
    try:
        text = content.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_refuse_constant)
    except ValueError as error:
        what = f"it is no JSON: {str(error)[:120]}"
        raise Unreadable(what, fix="export it again as JSON, UTF-8") from error


def _pairs(pairs: list[tuple[str, Any]]) -> Pairs:
    made = Pairs(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        made.twice = tuple(sorted({name for name in made if names.count(name) > 1}))
    return made


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no number"
    raise ValueError(msg)


def _depth(content: bytes) -> int:
    """Return how deep the brackets go, without building anything."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", content)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
        if deepest > MAX_DEPTH:
            break
    return deepest


_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[{}\]]")


def _candidates(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield (place, name where the place gives one, document) of everything that may be a model."""
    match document:
        case dict() if model_ids(document):
            yield shown(model_ids(document)), "", document
        case {"data": dict() | list() as data}:
            yield from ((f"data.{key}", name, item) for key, name, item in _candidates(data))
        case {"models": dict() as models}:
            for twice in getattr(models, "twice", ()):
                yield f"models.{shown(twice)}", "", _TWICE
            yield from ((f"models.{shown(name)}", name, item) for name, item in models.items())
        case {"models": list() as models} | {"thingModels": list() as models} | (list() as models):
            yield from ((f"[{at}]", "", item) for at, item in enumerate(models))
        case dict():
            for name, item in document.items():
                if isinstance(item, dict) and model_ids(item):
                    yield shown(name), "", item


_TWICE: Final = "a model under a name that stands twice"


def _check_parents(found: Read, file: str) -> None:
    """Tell of models that inherit from themselves, or through more models than EnOS allows."""
    parents = {model.model_id: model.parent for model in found.models}
    for model in list(found.models):
        line = [model.model_id]
        while parents.get(line[-1]) and len(line) <= MAX_INHERITANCE + 1:
            line.append(parents[line[-1]])
            if line[-1] == model.model_id:
                break
        if (line[-1] == model.model_id and len(line) > 1) or len(line) > MAX_INHERITANCE + 1:
            what = f"it inherits from itself or through too many: {' < '.join(line[:4])} ..."
            fix = f"inherit through at most {MAX_INHERITANCE} other models"
            found.tell(Problem(file, f"{model.model_id}.parent", what, fix))
            found.models.remove(model)
