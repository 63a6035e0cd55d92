"""What each measurement point of the thing models takes."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final

from plantroom_cloud.publishing.enos.values import ModelPoint, is_raw
from plantroom_shared.mapping import models

_STATE: Final = re.compile(
    r"(status|state|trip|command|mode|occupancy|on_off|alarm|fault|start|stop|closing)(?![a-z])",
    re.IGNORECASE,
)


@functools.cache
def thing_models() -> Mapping[str, Mapping[str, ModelPoint]]:
    """Return thing model → identifier → measurement point."""
    return {
        model_id: {name: _point(point) for name, point in points.items()}
        for model_id, points in models.thing_models().items()
    }


def _point(known: models.ModelPoint) -> ModelPoint:
    """Return the point; types that no public export states follow from unit and name.

    A point with a unit is a measurement, a state or command without one is an Int with signal
    type DI, as in the one model that is public in full.
    """
    state = not known.unit and bool(_STATE.search(known.name))
    data_type = known.data_type or ("Int" if state else "Double")
    signal = known.signal_type or ("DI" if state else "AI")
    return ModelPoint(known.name, data_type.upper(), known.unit, signal)


def model_point(model_id: str, identifier: str) -> ModelPoint | None:
    """Return a measurement point, None where we know no such model or point."""
    return thing_models().get(model_id, {}).get(identifier)


def published_point(model_id: str, identifier: str) -> ModelPoint | None:
    """Return a measurement point that sites publish; None for EnOS's own and unknown ones."""
    return model_point(model_id, identifier) if is_raw(identifier) else None
