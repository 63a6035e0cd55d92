"""What each measurement point of the thing models takes."""

from __future__ import annotations

from plantroom_cloud.publishing.plan import Mapped
from plantroom_shared.mapping.models import model_point, thing_models
from plantroom_shared.mapping.things import ModelPoint, is_raw

__all__ = ["model_point", "published_point", "target_of", "thing_models"]


def target_of(mapped: Mapped) -> ModelPoint | None:
    """Return what a point is published as takes; None where no model has such a point."""
    return mapped.target or model_point(mapped.model_id, mapped.model_point)


def published_point(model_id: str, identifier: str) -> ModelPoint | None:
    """Return a measurement point that sites publish; None for EnOS's own and unknown ones."""
    return model_point(model_id, identifier) if is_raw(identifier) else None
