"""How far a confidence learned on some buildings may be trusted on the next one.

Buildings differ in how often the mapper is right, and what tells good from bad in a few of them is
partly theirs alone. So each training building is judged by the others, and the learned model is drawn
together and shifted by the two numbers with which its confidences meet the hits best there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from plantroom_shared.mapping.confidence import LEAST, MOST
from plantroom_shared.mapping.scorer import Logistic

_SPREADS: Final = tuple(n / 10 for n in range(3, 16))
_SHIFTS: Final = tuple(n / 10 for n in range(-10, 11))
_PENALTY: Final = 0.03
"""What it costs to leave the model as it is: six buildings are few, and a confidence that says the
same of every point would meet their means best and help nobody to choose."""
_BINS: Final = 10


class Unseen(NamedTuple):
    """One reading of a building, judged by a model that has not seen the building."""

    logits: Any
    """One number per template, as all of these."""
    points: Any
    right: Any
    weight: float
    """How much the reading counts beside others."""


def damped(model: Logistic, readings: Sequence[Unseen]) -> Logistic:
    """Return the model with its logits drawn together and shifted; as it is without readings."""
    readings = [item for item in readings if len(item.logits)]
    if not readings:
        return model
    middle = float(
        np.mean([np.average(item.logits, weights=item.points**0.5) for item in readings])
    )
    spread, shift = min(
        ((spread, shift) for spread in _SPREADS for shift in _SHIFTS),
        key=lambda chosen: _loss(readings, middle, *chosen),
    )
    bias = spread * model.bias + (1 - spread) * middle + shift
    weights = tuple(round(spread * weight, 4) for weight in model.weights)
    return Logistic(model.names, weights, round(bias, 4))


def _loss(readings: Sequence[Unseen], middle: float, spread: float, shift: float) -> float:
    total = sum(
        item.weight * _apart(item, middle + shift + spread * (item.logits - middle))
        for item in readings
    )
    change = math.log(spread) ** 2 + shift**2
    return total / sum(item.weight for item in readings) + _PENALTY * change


def _apart(item: Unseen, logits: Any) -> float:
    """Return how far confidence and hits are apart, over ten bins of confidence."""
    sure = np.clip(1.0 / (1.0 + np.exp(-logits)), LEAST, MOST)
    bins = (sure * _BINS).astype(int)
    each = np.bincount(bins, sure * item.points - item.right, minlength=_BINS)
    return float(np.abs(each).sum() / item.points.sum())
