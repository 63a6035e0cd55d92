"""A sample's value as EnOS takes it: `plantroom_shared.mapping.conversion`, by its name here. Pure."""

from __future__ import annotations

from plantroom_shared.mapping.conversion import (
    NOTHING,
    Adjustment,
    ModelValue,
    Source,
    conversion_of,
)
from plantroom_shared.mapping.things import ModelPoint, is_raw
from plantroom_shared.model import Value

EnosValue = ModelValue

__all__ = ["EnosValue", "ModelPoint", "Source", "is_raw", "to_model"]


def to_model(
    value: Value, source: Source, target: ModelPoint, adjustment: Adjustment = NOTHING
) -> EnosValue:
    """Return `value` as `target` takes it.

    Raises:
        Rejected: ``unit``: the units do not convert; ``type``: the model point takes no scalar;
            ``value``: no such value can be sent.
    """
    return conversion_of(source, target, adjustment)(value)
