"""The lexicon: spellings → words of Brick class names, equipment words, spaces; and its use.

All languages share one table (English wins a conflict); it is read once, on first use.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from plantroom_shared.mapping.classes import class_words
from plantroom_shared.mapping.names import Token, tokens
from plantroom_shared.mapping.rules import load

LANGUAGES: Final = ("en", "de", "fr", "es", "zh")
_UNKNOWN_BASE, _UNKNOWN_CHAR = 2.0, 1.0
_ALIGNED, _INSIDE, _SHORT_INSIDE, _CROSSING = 1.0, 1.3, 1.9, 1.1
_LETTERS: Final = frozenset("tp")
"""Letters that camel case may set apart inside a name: ``TFlwCHW``, ``PRtHdr``."""
_WEAK_SEPARATORS: Final = frozenset("-_ ./'&")
_MAX_JOIN: Final = 4
_PHASED: Final = frozenset({"phase", "Current", "Voltage"})
"""What has phases: a letter after it names one."""
_MIN_KNOWN: Final = 0.62
_COMPOUND_MIN: Final = 3
"""Letters: shorter ones are too common by chance."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a spelling means."""

    words: tuple[str, ...] = ()
    """Words of Brick class names, and ideas in small letters."""
    equip: str = ""
    """Brick equipment class, where the spelling names equipment."""
    space: bool = False
    storey: bool = False


class Piece(NamedTuple):
    """A spelling found in a template, or a stretch that no spelling explains."""

    text: str
    sep: str
    """What stood before it; empty inside a run of letters."""
    start: int
    end: int
    entry: Entry | None = None
    is_id: bool = False


@dataclass(slots=True)
class _Lexicon:
    entries: dict[str, Entry] = field(default_factory=dict)
    trailing: dict[str, Entry] = field(default_factory=dict)
    compounds: dict[str, Entry] = field(default_factory=dict)
    """Initialisms: only ever a whole run of letters."""
    longest: int = 0


@functools.cache
def _lexicon() -> _Lexicon:
    lexicon = _Lexicon()
    for language in LANGUAGES:
        _add(lexicon, load(f"lexicon_{language}.yaml"))
    lexicon.longest = max(map(len, lexicon.entries))
    return lexicon


def _add(lexicon: _Lexicon, data: dict[str, Any]) -> None:
    words = {s: tuple(k.split()) for k, v in data.get("words", {}).items() for s in v.split()}
    equip = {s: k for k, v in data.get("equipment", {}).items() for s in v.split()}
    spaces = frozenset(data.get("spaces", "").split())
    storeys = frozenset(data.get("storeys", "").split())
    for spelling in {*words, *equip, *spaces, *storeys}:
        entry = Entry(
            words.get(spelling, ()),
            equip.get(spelling, ""),
            spelling in spaces,
            spelling in storeys,
        )
        lexicon.entries.setdefault(spelling, entry)
    for meaning, spellings in data.get("trailing", {}).items():
        for spelling in spellings.split():
            lexicon.trailing.setdefault(spelling, Entry(tuple(meaning.split())))
    for line in data.get("compounds", ()):
        for spelling, meaning in _compounds(line.split(), data["parts"]):
            lexicon.compounds.setdefault(spelling, Entry(meaning))


def _compounds(
    names: list[str], parts: dict[str, dict[str, str]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return every spelling that parts make one after the other, with its meaning."""
    choices = []
    for name in names:
        own = [(s, k) for k, v in parts[name.strip("[]")].items() for s in v.split()]
        choices.append([*own, ("", "")] if name.startswith("[") else own)
    for chosen in itertools.product(*choices):
        spelling = "".join(part for part, _ in chosen)
        if len(spelling) >= _COMPOUND_MIN:
            yield spelling, tuple(word for _, words in chosen for word in words.split())


def tables() -> tuple[dict[str, Entry], ...]:
    """Return the tables that spellings are looked up in: training takes some away for a while."""
    lexicon = _lexicon()
    return lexicon.entries, lexicon.trailing, lexicon.compounds


def spellings() -> Iterator[tuple[str, Entry]]:
    """Return every spelling there is."""
    return iter(_lexicon().entries.items())


class _Run(NamedTuple):
    """Letters that nothing separates, or one number."""

    text: str
    sep: str
    start: int
    end: int
    edges: frozenset[int]
    """Where camel case cuts the letters, both ends included; empty for a number."""


@functools.lru_cache(maxsize=8192)
def parse(template: str) -> tuple[Piece, ...]:
    """Return the pieces of a template, known spellings joined and cut out of runs."""
    runs = _runs(tokens(template))
    pieces: list[Piece] = []
    index = 0
    while index < len(runs):
        run = runs[index]
        if not run.edges:
            pieces.append(Piece("#", run.sep, run.start, run.end, is_id=True))
            index += 1
            continue
        joined = _join(runs, index)
        if joined is not None:
            piece, used = joined
            pieces.append(piece)
            index += used
            continue
        # The C of `Phase C` is no command, the A of `Amps A` no alarm.
        phase = bool(pieces and pieces[-1].entry and _PHASED & set(pieces[-1].entry.words))
        pieces += _cut(run, last=index == len(runs) - 1 and not phase)
        index += 1
    return tuple(pieces)


def _runs(found: tuple[Token, ...]) -> list[_Run]:
    """Group tokens into runs of letters; numbers stand alone."""
    runs: list[_Run] = []
    at, count = 0, len(found)
    while at < count:
        first = found[at]
        at += 1
        if first.text == "#":
            runs.append(_Run("#", first.sep, first.start, first.end, frozenset()))
            continue
        text, cuts, last = first.text, [0], first
        while at < count and not found[at].sep and found[at].text != "#":
            last = found[at]
            cuts.append(last.start - first.start)
            text += last.text
            at += 1
        edges = frozenset((*cuts, len(text)))
        runs.append(_Run(text, first.sep, first.start, last.end, edges))
    return runs


def _join(runs: list[_Run], at: int) -> tuple[Piece, int] | None:
    """Return the longest spelling that spans several runs: ``set point``, ``S/S``, ``W-C-ADJ``."""
    first = runs[at]
    text = first.text
    texts = [text]
    for run in runs[at + 1 : at + _MAX_JOIN]:
        if not run.edges or run.sep not in _WEAK_SEPARATORS:
            break
        text += run.text
        texts.append(text)
    entries = _lexicon().entries
    for used in range(len(texts), 1, -1):
        entry = entries.get(texts[used - 1])
        if entry is None or entry.space or entry.storey:
            continue
        # `SAF` is a fan, `SA-F` the flow of the supply air.
        ends = at + used == len(runs) and runs[-1].text in _lexicon().trailing
        if ends and "Fan" in entry.words and first.text in entries:
            continue
        if entry.words or len(texts[used - 1]) > 4:
            end = runs[at + used - 1].end
            return Piece(texts[used - 1], first.sep, first.start, end, entry), used
    return None


def _cut(run: _Run, *, last: bool) -> Iterator[Piece]:
    text, sep, begin, end, edges = run
    if (
        last
        and len(edges) == 2
        and text in _lexicon().trailing
        and (sep or not begin or len(text) > 1)
    ):
        yield Piece(text, sep, begin, end, _lexicon().trailing[text])
        return
    for start, stop, entry in segment(text, edges):
        yield Piece(text[start:stop], "" if start else sep, begin + start, begin + stop, entry)


@functools.lru_cache(maxsize=16384)
def segment(text: str, edges: frozenset[int]) -> tuple[tuple[int, int, Entry | None], ...]:
    """Cut a run of letters into spellings at the least cost; unexplained stretches stay whole.

    Args:
        text: lower case letters without separators.
        edges: where camel case, or the ends, already cut it: spellings along them are cheaper.
    """
    lexicon = _lexicon()
    entry = lexicon.entries.get(text)
    if entry is None and len(edges) == 2:
        entry = lexicon.compounds.get(text)
    if entry is not None:
        return ((0, len(text), entry),)
    if text in class_words():
        return ((0, len(text), None),)  # no `rad` in `radiant`: see `expand`
    best: list[tuple[float, int, Entry | None]] = [(0.0, 0, None)]
    for end in range(1, len(text) + 1):
        options: list[tuple[float, int, Entry | None]] = [
            (best[start][0] + _unknown_cost(start, end, edges), start, None)
            for start in range(end)
            if start in edges or start == 0 or end == len(text)
        ]
        for start in range(max(0, end - lexicon.longest), end):
            known, cost = _spelling(text, start, end, edges)
            if known is not None:
                options.append((best[start][0] + cost, start, known))
        if not options:
            options = [(best[end - 1][0] + _UNKNOWN_BASE + _UNKNOWN_CHAR, end - 1, None)]
        best.append(min(options, key=lambda option: (option[0], -option[1])))
    found = _walk_back(best)
    explained = sum(stop - begin for begin, stop, meaning in found if meaning is not None)
    if explained < _MIN_KNOWN * len(text):
        return ((0, len(text), None),)  # a word of its own: no `sat` and `rat` in `saturation`
    return found


def _walk_back(
    best: list[tuple[float, int, Entry | None]],
) -> tuple[tuple[int, int, Entry | None], ...]:
    found: list[tuple[int, int, Entry | None]] = []
    end = len(best) - 1
    while end > 0:
        _, start, entry = best[end]
        found.append((start, end, entry))
        end = start
    return tuple(reversed(found))


def _unknown_cost(start: int, end: int, edges: frozenset[int]) -> float:
    aligned = start in edges and end in edges
    return _UNKNOWN_BASE + _UNKNOWN_CHAR * (end - start) + (0.0 if aligned else 1.5)


def _spelling(text: str, start: int, end: int, edges: frozenset[int]) -> tuple[Entry | None, float]:
    part = text[start:end]
    aligned = start in edges and end in edges
    lexicon = _lexicon()
    if len(part) == 1 and part.isascii():
        known = part in _LETTERS and aligned and len(text) > 1
        return (lexicon.trailing.get(part), _ALIGNED) if known else (None, 0.0)
    entry = lexicon.entries.get(part)
    if entry is None:
        return None, 0.0
    if not part.isascii():
        return entry, _ALIGNED
    crossed = sum(start < edge < end for edge in edges) * _CROSSING
    if aligned:
        return entry, _ALIGNED + crossed
    return entry, crossed + (_SHORT_INSIDE if len(part) == 2 else _INSIDE)
