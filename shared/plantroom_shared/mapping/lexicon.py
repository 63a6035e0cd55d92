"""The lexicon: spellings → words of Brick class names, equipment words, spaces; and its use.

All languages share one table (English wins a conflict); it is read once, on first use.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from plantroom_shared.mapping.classes import class_words
from plantroom_shared.mapping.names import RUN, lower, word_edges
from plantroom_shared.mapping.rules import load

LANGUAGES: Final = ("en", "de", "fr", "es", "zh")
_UNKNOWN_BASE, _UNKNOWN_CHAR = 2.0, 1.0
_ALIGNED, _INSIDE, _SHORT_INSIDE, _CROSSING = 1.0, 1.3, 1.9, 1.1
_LETTERS: Final = frozenset("tp")
"""Letters that camel case may set apart inside a name: ``TFlwCHW``, ``PRtHdr``."""
_WEAK_SEPARATORS: Final = frozenset("-_ ./'&")
_MAX_JOIN: Final = 4
_SHORT: Final = 4
"""Letters of a code: several runs that spell one are no equipment."""
_PHASED: Final = frozenset({"phase", "Current", "Voltage"})
"""What has phases: a letter after it names one."""
_MIN_KNOWN: Final = 0.62
"""Share of a run of letters that must be explained: what else is in it may be another word."""
_MIN_KNOWN_HAN: Final = 0.3
"""The same where nothing separates words, and each sign is one or half of one."""
_HAN: Final = re.compile("[\u3400-\u9fff]")
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
    """How letters that nothing separates are read, wherever they stand."""

    text: str
    pieces: tuple[tuple[str, int, int, Entry | None], ...]
    """Spelling or unexplained stretch, where it begins and ends in the run, what it means."""
    last: Entry | None
    """What it means at the end of a name, if it means something else there."""
    goes_on: bool
    """Some spelling begins with it."""


@functools.lru_cache(maxsize=16384)
def _run(letters: str) -> _Run:
    lexicon = _lexicon()
    text, cuts = lower(letters), word_edges(letters)
    last = lexicon.trailing.get(text) if len(cuts) == 2 else None
    found = segment(text, cuts)
    pieces = tuple((text[start:stop], start, stop, entry) for start, stop, entry in found)
    return _Run(text, pieces, last, text in _beginnings())


@functools.cache
def _beginnings() -> frozenset[str]:
    """Return all that spellings which may span several runs begin with."""
    return frozenset(
        spelling[:length]
        for spelling, entry in spellings()
        if _may_span(spelling, entry)
        for length in range(1, len(spelling))
    )


def _may_span(spelling: str, entry: Entry) -> bool:
    plain = not (entry.space or entry.storey)
    return plain and (bool(entry.words) or len(spelling) > _SHORT)


@functools.lru_cache(maxsize=4096)
def parse(template: str) -> tuple[Piece, ...]:
    """Return the pieces of a template, known spellings joined and cut out of runs."""
    found = RUN.split(template)
    seps, runs = found[::2], found[1::2]
    pieces: list[Piece] = []
    at = end = 0
    while at < len(runs):
        sep, letters, used = seps[at], runs[at], 1
        start = end + len(sep)
        end = start + len(letters)
        if letters == "#":
            pieces.append(Piece("#", sep, start, end, None, True))
        else:
            run = _run(letters)
            joined = _join(run, seps, runs, at) if run.goes_on else None
            if joined is not None:
                text, entry, used = joined
                end += sum(map(len, seps[at + 1 : at + used] + runs[at + 1 : at + used]))
                pieces.append(Piece(text, sep, start, end, entry))
            elif at + 1 == len(runs) and _ends(run, pieces, apart=bool(sep) or not start):
                pieces.append(Piece(run.text, sep, start, end, run.last))
            else:
                for text, first, stop, known in run.pieces:
                    own = "" if first else sep
                    pieces.append(Piece(text, own, start + first, start + stop, known))
        at += used
    return tuple(pieces)


def _join(
    run: _Run, seps: Sequence[str], runs: Sequence[str], at: int
) -> tuple[str, Entry, int] | None:
    """Return the longest spelling that spans several runs: ``set point``, ``S/S``, ``W-C-ADJ``.

    With it comes how many runs it spans.
    """
    text, found = run.text, None
    for ahead in range(at + 1, min(at + _MAX_JOIN, len(runs))):
        if seps[ahead] not in _WEAK_SEPARATORS or runs[ahead] == "#":
            break
        text += _run(runs[ahead]).text
        entry = _lexicon().entries.get(text)
        ends = ahead + 1 == len(runs)
        if (
            entry is not None
            and _may_span(text, entry)
            and not (ends and _no_fan(run, entry, runs))
        ):
            found = text, entry, ahead - at + 1
        if text not in _beginnings():
            break
    return found


def _no_fan(first: _Run, entry: Entry, runs: Sequence[str]) -> bool:
    """Tell whether a letter set apart at an end is none of a fan's: `SAF` is one, `SA-F` a flow."""
    lexicon = _lexicon()
    apart = first.text in lexicon.entries and _run(runs[-1]).text in lexicon.trailing
    return apart and "Fan" in entry.words


def _ends(run: _Run, pieces: list[Piece], *, apart: bool) -> bool:
    """Tell whether the last run of a name means what it means at an end."""
    if run.last is None or not (apart or len(run.text) > 1):
        return False
    # The C of `Phase C` is no command, the A of `Amps A` no alarm.
    return not (pieces and pieces[-1].entry and _PHASED & set(pieces[-1].entry.words))


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
    least = _MIN_KNOWN
    if _HAN.search(text):
        # Words may end at any sign.
        least, edges = _MIN_KNOWN_HAN, edges | {n for at in _HAN.finditer(text) for n in at.span()}
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
    if explained < least * len(text):
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
