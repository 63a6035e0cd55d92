"""What was learned from public data: the weights of ``data/scorer.json``.

Small logistic models, so that a gateway needs no library for them and gives the same answer as the
cloud. ``./plantroom bench mapping-training`` makes the file again.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

FILE: Final = "scorer.json"


@dataclass(frozen=True, slots=True)
class Logistic:
    """A logistic model of a few named features."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float

    def probability(self, values: Sequence[float]) -> float:
        """Return the probability for features in the order of `names`."""
        z = self.bias
        for weight, value in zip(self.weights, values, strict=True):
            z += weight * value
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, z))))

    def as_dict(self) -> dict[str, Any]:
        """Return it as the file keeps it."""
        named = zip(self.names, self.weights, strict=True)
        return {"bias": self.bias, "weights": dict(named)}


@dataclass(frozen=True, eq=False)
class Scorer:
    """All that is learned. Two are never equal: results of one are no results of another."""

    expansion: Logistic
    """How likely an unknown abbreviation is a certain word; see `expand`."""
    confidence: Logistic
    """How likely a class is right; see `confidence`."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as the file keeps it."""
        return {"expansion": self.expansion.as_dict(), "confidence": self.confidence.as_dict()}


@functools.cache
def shipped() -> Scorer:
    """Return the scorer of the package."""
    return of(_file())


def trained_on() -> tuple[str, ...]:
    """Return the buildings whose labels the scorer of the package has learned from."""
    return tuple(_file()["trained_on"])


def _file() -> dict[str, Any]:
    data = resources.files("plantroom_shared.mapping") / "data" / FILE
    found: dict[str, Any] = json.loads(data.read_text(encoding="utf-8"))
    return found


def of(data: Mapping[str, Any]) -> Scorer:
    """Return the scorer that a file describes."""
    return Scorer(_logistic(data["expansion"]), _logistic(data["confidence"]))


def _logistic(data: Mapping[str, Any]) -> Logistic:
    weights: Mapping[str, float] = data["weights"]
    return Logistic(tuple(weights), tuple(weights.values()), float(data["bias"]))
