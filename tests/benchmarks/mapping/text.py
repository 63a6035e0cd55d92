"""How the baselines read a point: one line of lower-case words, every number the same."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from benchmarks.mapping.labelled import Labelled

_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NUMBER: Final = re.compile(r"\d+")
_REST: Final = re.compile(r"[^\w#%]|_")
_SEPARATORS: Final = " _-./:|"


def words(text: str) -> str:
    """Return the words of a name, with a blank between them and ``#`` for every number."""
    text = _NUMBER.sub(" # ", _HUMP.sub(" ", text))
    return " ".join(_REST.sub(" ", text).lower().split())


def line(row: Labelled) -> str:
    """Return all that is known of a point, as one line."""
    parts = (words(row.name), _words(row.description), row.unit.lower(), row.object_type.lower())
    return " | ".join(parts)


_words = lru_cache(maxsize=65536)(words)


def after_last_number(name: str) -> str:
    """Return a name up to its last number: the simplest rule for what belongs together.

    A name without a number is cut at its last separator.
    """
    end = max((match.end() for match in _NUMBER.finditer(name)), default=0)
    end = end or max(map(name.rfind, _SEPARATORS))
    return name[:end] if end > 0 else name
