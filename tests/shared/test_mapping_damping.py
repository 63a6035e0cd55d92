"""What was learned on some buildings is trusted on the next one as far as buildings agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.mapping.damping import Unseen, damped
from plantroom_shared.mapping.scorer import Logistic

_MODEL = Logistic(("a", "b"), (1.0, -0.5), 2.0)
_LOGITS = np.linspace(0.0, 4.0, 41)


def _unseen(right: Any, weight: float = 1.0) -> Unseen:
    """Return a building with ten points per template, of which a share is right."""
    return Unseen(_LOGITS, np.full(41, 10.0), 10.0 * np.broadcast_to(right, 41), weight)


def _probabilities(model: Logistic) -> tuple[float, float]:
    """Return what a model gives where the first one has logit 0 and 4."""
    return model.probability((-2.0, 0.0)), model.probability((2.0, 0.0))


def test_a_model_whose_confidences_came_true_elsewhere_is_hardly_changed() -> None:
    """As sure as it was right: it stays within a tenth of where it stood."""
    kept = damped(_MODEL, [_unseen(1 / (1 + np.exp(-_LOGITS)))])
    assert _probabilities(kept) == pytest.approx(_probabilities(_MODEL), abs=0.05)


def test_differences_that_do_not_hold_elsewhere_are_drawn_together() -> None:
    """Equally right at every confidence: the confidences come nearer to each other, in their order."""
    low, high = _probabilities(_MODEL)
    less, more = _probabilities(damped(_MODEL, [_unseen(0.9)]))
    assert low < less < more < high


def test_a_model_that_is_too_modest_elsewhere_is_shifted_up() -> None:
    """Buildings that are always right raise what is said of the next one; wrong ones lower it."""
    low, high = _probabilities(_MODEL)
    for share, sign in ((1.0, 1), (0.3, -1)):
        less, more = _probabilities(damped(_MODEL, [_unseen(share)]))
        assert sign * (less + more) > sign * (low + high)


def test_a_reading_counts_by_its_weight() -> None:
    """Readings with gaps say less than one of the lists as they are."""
    right, wrong = _unseen(1.0, weight=20.0), _unseen(0.0, weight=0.1)
    assert _probabilities(damped(_MODEL, [right, wrong])) > _probabilities(_MODEL)


def test_without_another_building_a_model_stays_as_it_is() -> None:
    """Nothing to compare with, or nothing that was answered."""
    empty = Unseen(np.zeros(0), np.zeros(0), np.zeros(0), 1.0)
    assert damped(_MODEL, []) is _MODEL
    assert damped(_MODEL, [empty]) is _MODEL
