"""Abbreviations that no list holds: which known word a run of letters stands for, and how surely.

People shorten a word by leaving letters out, mostly vowels and its end: ``tmprtr``, ``refrig``,
``prssr``. Any word of the lexicon that keeps the order of the letters may be meant; a small learned
model says how likely each is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final, NamedTuple

from plantroom_shared.mapping.classes import class_words
from plantroom_shared.mapping.lexicon import Entry, spellings
from plantroom_shared.mapping.scorer import Scorer

FEATURES: Final = (
    "length",
    "beginning",
    "truncated",
    "skipped_consonants",
    "skipped_vowels",
    "last",
    "letters",
    "consonants",
    "second",
)
SHORTEST, LONGEST = 3, 8
"""Letters of an abbreviation; shorter ones mean too many things."""
_LONG_ENOUGH: Final = 5
"""Letters of a word that is worth shortening."""
_SURE: Final = 0.6
_VOWELS: Final = frozenset("aeiouy")


class Guess(NamedTuple):
    """A word that an abbreviation may stand for."""

    word: str
    entry: Entry
    sure: float
    """Probability, 0..1."""


@functools.lru_cache(maxsize=16384)
def expand(text: str, scorer: Scorer) -> Guess | None:
    """Return what an unknown run of letters most likely stands for; None where nothing is likely.

    A word that names classes is meant as it stands, though no lexicon lists it.

    Args:
        text: lower case letters that no spelling explains.
        scorer: the learned weights.
    """
    own = class_words().get(text)
    if own is not None:
        return Guess(text, Entry((own,)), 1.0)
    best: Guess | None = None
    for word, entry, values in candidates(text):
        sure = scorer.expansion.probability(values)
        if sure >= _SURE and (best is None or (sure, best.word) > (best.sure, word)):
            best = Guess(word, entry, sure)
    return best


def candidates(text: str) -> Iterator[tuple[str, Entry, tuple[float, ...]]]:
    """Return every word that may be meant, with its features in the order of `FEATURES`."""
    if not (SHORTEST <= len(text) <= LONGEST and text.isascii() and text.isalpha()):
        return
    for word, entry in _words().get(text[0], ()):
        if len(word) > len(text):
            values = _features(text, word)
            if values is not None:
                yield word, entry, values


@functools.cache
def _words() -> dict[str, list[tuple[str, Entry]]]:
    """Return the words of the lexicon that may be shortened, by their first letter."""
    found: dict[str, list[tuple[str, Entry]]] = {}
    for word, entry in spellings():
        plain = word.isascii() and word.isalpha() and len(word) >= _LONG_ENOUGH
        if plain and entry.words and not entry.equip:
            found.setdefault(word[0], []).append((word, entry))
    return found


def _features(text: str, word: str) -> tuple[float, ...] | None:
    """Return how a word would have been shortened to a text; None where its letters do not allow it."""
    at, vowels, consonants, beginning = 0, 0, 0, 0
    for place, letter in enumerate(text):
        found = word.find(letter, at)
        if found < 0:
            return None
        if found == place:
            beginning += 1
        skipped = sum(ch in _VOWELS for ch in word[at:found])
        vowels += skipped
        consonants += found - at - skipped
        at = found + 1
    all_consonants = sum(ch not in _VOWELS for ch in word)
    return (
        len(text) / len(word),
        beginning / len(text),
        float(beginning == len(text)),
        float(consonants),
        float(vowels),
        float(text[-1] == word[-1]),
        min(len(text), 8) / 8,
        sum(ch not in _VOWELS for ch in text) / max(1, all_consonants),
        float(text[1] == word[1]),
    )
