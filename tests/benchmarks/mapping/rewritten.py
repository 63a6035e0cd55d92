"""The same building with other names: what a mapper learned by heart no longer helps.

Numbers, separators, letter case and the site's prefix change, each by a rule that holds for the
whole building and can be undone, so that names which differed still differ and the grammar stays
one. Words, labels and grouping stay. A seed and the building's name decide everything.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from benchmarks.mapping.labelled import Labelled
from benchmarks.mapping.taxonomy import class_words

_ROLES: Final = (("_", ".", "-", " "), (":", "/"))
"""Separators by what they are used for: between words and parts, and between levels."""
_PREFIX_SHARE: Final = 0.6
_SITES: Final = ("NORTHGATE", "Bldg", "Harbour", "QX", "Campus West", "T2", "Mill", "HQ")
_KEEP: Final = re.compile(r"(?i)co2|no2|h2o|pm2[._]?5|pm10|(?<![a-z0-9])l[123](?![a-z0-9])")
"""Digits that are part of a word."""
_NUMBER: Final = re.compile(rf"(?P<keep>{_KEEP.pattern[4:]})|(?P<run>[0-9]+)", re.IGNORECASE)
_HUMP: Final = re.compile(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_WORD: Final = re.compile(r"[A-Za-z]+")
_HEAD: Final = re.compile(r"[^\W_]+")


def rewrite(rows: Sequence[Labelled], seed: int) -> list[Labelled]:
    """Return the points of one building under other names, in the same order."""
    building = rows[0].building if rows else ""
    chance = random.Random(f"{seed}:{building}")
    names = [row.name for row in rows]
    head = _head(names)
    site = chance.choice(_SITES)
    separator = _separators(chance)
    join = chr(separator[ord(".")])
    number = _numbers(names, head, chance)
    cased = _case(chance)

    def other(name: str) -> str:
        shared, rest = _split(name, head)
        text = cased(_HUMP.sub(" ", number(rest))).translate(separator)
        if shared:
            return site + text
        return text if head else f"{site}{join}{text}"

    return [replace(row, name=other(row.name)) for row in rows]


def _head(names: Sequence[str]) -> str:
    """Return the word that most names begin with: the site, unless it tells of the plant."""
    heads = Counter(match[0] for name in names if (match := _HEAD.match(name)))
    if not heads:
        return ""
    head, count = heads.most_common(1)[0]
    if len(names) < 2 or count < _PREFIX_SHARE * len(names):
        return ""
    return "" if head.lower() in class_words() else head


def _split(name: str, head: str) -> tuple[bool, str]:
    """Tell whether a name begins with the site, and what follows."""
    match = _HEAD.match(name)
    shared = bool(head) and match is not None and match[0] == head
    return shared, name[len(head) :] if shared else name


def _separators(chance: random.Random) -> dict[int, int]:
    """Return which separator becomes which: another of its role, and never two the same."""
    instead: dict[int, int] = {}
    for role in _ROLES:
        others = chance.sample(role, len(role))
        while any(old == new for old, new in zip(role, others, strict=True)):
            others = chance.sample(role, len(role))
        instead.update((ord(old), ord(new)) for old, new in zip(role, others, strict=True))
    return instead


def _numbers(names: Sequence[str], head: str, chance: random.Random) -> Callable[[str], str]:
    """Return a rule that gives every number another one of the same length, never two the same."""
    seen = {
        match["run"]
        for name in names
        for match in _NUMBER.finditer(_split(name, head)[1])
        if match["run"]
    }
    instead: dict[str, str] = {}
    taken: set[str] = set()
    for run in sorted(seen, key=lambda run: (len(run), run)):
        instead[run] = _another(run, taken, chance)
        taken.add(instead[run])

    def apply(text: str) -> str:
        return _NUMBER.sub(lambda match: match["keep"] or instead.get(match["run"], match[0]), text)

    return apply


def _another(run: str, taken: set[str], chance: random.Random) -> str:
    """Return a free number as long as `run`, with as many zeros before it."""
    digits = run.lstrip("0")
    zeros = run[: len(run) - len(digits)]
    low, high = 10 ** (len(digits) - 1), 10 ** len(digits) - 1
    if not digits:
        return run
    for _ in range(64):
        found = zeros + str(chance.randint(low, high))
        if found not in taken and found != run:
            return found
    # Nearly all are taken: the first free one; there is one, since no more came than there are.
    free = (zeros + str(n) for n in range(low, high + 1))
    return next(found for found in free if found not in taken)


def _case(chance: random.Random) -> Callable[[str], str]:
    style = chance.choice((str.lower, str.upper, str.capitalize))
    return lambda text: _WORD.sub(lambda match: style(match[0]), text)
