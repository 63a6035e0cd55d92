"""The rules of ``data/evidence_rules.yaml``: read once, applied to words and facts."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import yaml

PHASES: Final = ("repair", "medium", "said", "shown", "complete", "brick")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: what must hold, and what follows."""

    line: str
    first: int
    """One of these bits must be there: most rules fail here …"""
    wanted: tuple[int, ...]
    """… and one of each of these."""
    refused: int
    add: tuple[tuple[str, float], ...]
    drop: frozenset[str]
    kinds: tuple[tuple[str, float], ...]
    added: int
    kept: int
    """The bits of what it adds, and all but those of what it drops."""


def holds(rule: Rule, known: int) -> bool:
    """Tell whether the conditions are met by what is known, as `bits` gives it.

    That `first` and `refused` allow it, the caller has seen: a call for each rule would cost more
    than all else.
    """
    for choices in rule.wanted:  # noqa: SIM110 - a generator costs more than the loop
        if not known & choices:
            return False
    return True


def load(name: str) -> Any:
    """Return a YAML file of the package's data."""
    data = resources.files("plantroom_shared.mapping") / "data" / name
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(data.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader


@functools.cache
def rules(phase: str) -> tuple[Rule, ...]:
    """Return the rules of a phase, in order."""
    data = load("evidence_rules.yaml")
    groups = {name: frozenset(words.split()) for name, words in data["groups"].items()}
    return tuple(_rule(line, groups) for line in data[phase])


@functools.cache
def group(name: str) -> frozenset[str]:
    """Return the words of a group."""
    return frozenset(load("evidence_rules.yaml")["groups"][name].split())


def _rule(line: str, groups: Mapping[str, frozenset[str]]) -> Rule:
    conditions, _, actions = line.partition(" -> ")
    wanted: list[frozenset[str]] = []
    refused: set[str] = set()
    for word in conditions.split():
        if word.startswith("!"):
            refused |= _words(word[1:], groups)
        else:
            wanted.append(_words(word, groups))
    add: list[tuple[str, float]] = []
    drop: set[str] = set()
    kinds: list[tuple[str, float]] = []
    for action in actions.split():
        name, _, sure = action.partition(":")
        if name.startswith("-"):
            drop |= _words(name[1:], groups)
        elif name.startswith("+"):
            add.append((name[1:], float(sure or 1)))
        else:
            kinds.append((name, float(sure or 1)))
    masks = [bits(choices) for choices in sorted(wanted, key=len)]
    return Rule(
        line,
        masks[0],
        tuple(masks[1:]),
        bits(refused),
        tuple(add),
        frozenset(drop),
        tuple(kinds),
        bits(word for word, _ in add),
        ~bits(drop),
    )


@functools.cache
def _bits() -> Mapping[str, int]:
    """Return the bit of every word and fact that a rule names."""
    data = load("evidence_rules.yaml")
    names = {word for words in data["groups"].values() for word in words.split()}
    for phase in PHASES:
        for line in data[phase]:
            for part in line.replace("->", " ").replace("|", " ").split():
                names.add(part.lstrip("!-+").partition(":")[0])
    return {name: 1 << place for place, name in enumerate(sorted(names))}


def bits(words: Iterable[str]) -> int:
    """Return a set of words and facts as a number, a bit for each: quick to compare.

    What no rule names has no bit.
    """
    known = _bits()
    mask = 0
    for word in words:
        mask |= known.get(word, 0)
    return mask


def _words(text: str, groups: Mapping[str, frozenset[str]]) -> frozenset[str]:
    parts = (groups[part[1:]] if part.startswith("$") else {part} for part in text.split("|"))
    return frozenset().union(*parts)
