"""Templates: what one answer decides. The point's own part of its name, in its context.

A key is a text that a person can read and a program can take apart again. LLM, review and caches
use it, and nothing else, to say "points like these".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import orjson

from plantroom_shared.mapping.names import clean, fold

if TYPE_CHECKING:
    from plantroom_shared.mapping.pipeline import MappedPoint
    from plantroom_shared.model import Point

MAX_KEY: Final = 2000
"""Characters of a key, at most: its six parts are bounded."""
_MAX_WORD, _MAX_STATE, _MAX_STATES = 64, 16, 8
_EDGES: Final = " ./:_-'"


@dataclass(frozen=True, slots=True)
class Template:
    """A name without its equipment and its numbers, and what is known beside it."""

    suffix: str
    """The point's own part of the name; every number is ``#``."""
    equip_class: str = ""
    """Brick class of the equipment it belongs to; empty where that is not known."""
    unit: str = ""
    object_type: str = ""
    states: str = ""
    """The texts of its states, with a slash between them."""
    description: str = ""
    """Its description; every number is ``#``."""

    @property
    def key(self) -> str:
        """The key of decisions: the same template has the same key for ever."""
        return _key(self)


def template_of(item: MappedPoint, point: Point) -> Template:
    """Return the template of a mapped point.

    Args:
        item: what the mapper says of it.
        point: the point; its texts are untrusted.
    """
    said = (point.unit, point.object_type, point.description)
    return _template(item.suffix or item.template, item.equip_class, said, tuple(point.states))


def template_key(item: MappedPoint, point: Point) -> str:
    """Return the key of a mapped point's template."""
    return _key(template_of(item, point))


@lru_cache(maxsize=65536)
def read_key(key: str) -> Template | None:
    """Return the template of a key; None where it is no key."""
    if len(key) > MAX_KEY:
        return None
    try:
        parts = orjson.loads(key)
    except orjson.JSONDecodeError:
        return None
    right = isinstance(parts, list) and len(parts) == 6
    if not right or not all(isinstance(part, str) for part in parts):
        return None
    equip_class, suffix, unit, object_type, states, description = parts
    return Template(suffix, equip_class, unit, object_type, states, description)


@lru_cache(maxsize=65536)
def _key(template: Template) -> str:
    parts = (
        template.equip_class,
        template.suffix,
        template.unit,
        template.object_type,
        template.states,
        template.description,
    )
    return orjson.dumps(parts).decode()


@lru_cache(maxsize=65536)
def _template(
    suffix: str, equip_class: str, said: tuple[str, str, str], states: tuple[str, ...]
) -> Template:
    unit, object_type, description = said
    return Template(
        suffix.strip(_EDGES) or suffix.strip(),
        equip_class,
        clean(unit)[:_MAX_WORD].strip(),
        clean(object_type)[:_MAX_WORD].strip(),
        "/".join(clean(str(state))[:_MAX_STATE] for state in states[:_MAX_STATES]),
        fold(clean(description))[0] if description else "",
    )
