"""The list of faults: how each is run, and how often in which tier.

A case is a function from a `Setting` to figures. The runner (`tests/faults/run.py`) runs it with the
counts of a tier; ``./plantroom test`` runs the tier ``pr``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.fault_report import Figure


@dataclass(frozen=True, slots=True)
class Setting:
    """One run of a case."""

    count: int
    """How many cases, kills, images ..."""
    seed: int
    folder: Path
    """All files and logs go here."""
    say: Callable[[str], None] = print
    """Progress, a line at a time."""

    def dice(self, what: str = "") -> random.Random:
        """Return the chance of this run; `what` keeps two uses apart."""
        return random.Random(f"{self.seed} {what}")


Run = Callable[[Setting], Sequence[Figure]]


@dataclass(frozen=True, slots=True)
class Case:
    """One fault, or a few that are run together."""

    name: str
    faults: str
    """Their numbers in the list of docs/faults.md."""
    run: Run
    pr: int
    full: int
    alone: bool
    """Whether it measures time and so wants the machine for itself."""

    def count(self, tier: str) -> int:
        """Return how often the tier runs it."""
        return {"pr": self.pr, "full": self.full}[tier]


CASES: dict[str, Case] = {}


def case(
    name: str, *, faults: str, pr: int, full: int, alone: bool = False
) -> Callable[[Run], Run]:
    """Enter a function into the list."""

    def enter(run: Run) -> Run:
        assert name not in CASES, f"there are two cases {name}"
        CASES[name] = Case(name, faults, run, pr, full, alone)
        return run

    return enter
