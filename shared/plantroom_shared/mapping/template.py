"""Templates: what one answer decides. The point's own part of its name, in its context.

A key is a text that a person can read and a program can take apart again. LLM, review and caches
use it, and nothing else, to say "points like these".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from plantroom_shared.mapping.names import clean, fold

if TYPE_CHECKING:
    from plantroom_shared.mapping.meanings import MappedPoint
    from plantroom_shared.model import Point

MAX_KEY: Final = 8200
"""Characters of a key, at most: its parts are bounded, and a few characters are written as three."""
_MAX_TEXT, _MAX_STATES = 128, 16


@dataclass(frozen=True, slots=True)
class Template:
    """A name without its equipment and its numbers, and what is known beside it."""

    suffix: str
    """The point's own part of the name; every number is ``#``."""
    equip_class: str = ""
    """Brick class of the equipment it belongs to; empty where that is not known."""
    unit: str = ""
    object_type: str = ""
    states: tuple[str, ...] = ()
    """The texts of its states."""
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
    # What stands before the equipment may tell the medium where the class is not known.
    text = item.about if item.about and item.equip_class else item.template
    said = (point.unit, point.object_type, point.description)
    return _template(text, item.equip_class, said, tuple(point.states))


def template_key(item: MappedPoint, point: Point) -> str:
    """Return the key of a mapped point's template.

    Stable over runs and sites; none of its parts can pass for another, whatever a name holds.
    """
    return _key(template_of(item, point))


@lru_cache(maxsize=65536)
def read_key(key: str) -> Template | None:
    """Return the template of a key; None where it is no key."""
    parts = key.split("|") if len(key) <= MAX_KEY else []
    if len(parts) != 6:
        return None
    suffix, equip_class, unit, object_type, description = map(_plain, parts[:5])
    states = tuple(map(_plain, parts[5].split(","))) if parts[5] else ()
    return Template(suffix, equip_class, unit, object_type, states, description)


@lru_cache(maxsize=65536)
def _key(template: Template) -> str:
    parts = (
        template.suffix,
        template.equip_class,
        template.unit,
        template.object_type,
        template.description,
    )
    return "|".join((*map(_part, parts), ",".join(map(_part, template.states))))


@lru_cache(maxsize=16384)
def _part(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C").replace(",", "%2C")


@lru_cache(maxsize=16384)
def _plain(part: str) -> str:
    return part.replace("%2C", ",").replace("%7C", "|").replace("%25", "%")


@lru_cache(maxsize=65536)
def _template(
    text: str, equip_class: str, said: tuple[str, str, str], states: tuple[str, ...]
) -> Template:
    unit, object_type, description = said
    return Template(
        clean(text),
        clean(equip_class)[:_MAX_TEXT],
        clean(unit)[:_MAX_TEXT],
        clean(object_type)[:_MAX_TEXT],
        tuple(clean(str(state))[:_MAX_TEXT] for state in states[:_MAX_STATES]),
        fold(clean(description))[0] if description else "",
    )
