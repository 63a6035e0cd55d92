"""Names → templates → equipment, Brick point class and EnOS thing-model point: pure, offline.

The same code runs on the gateway (``plantroom-edge discover --map``) and in the cloud.
"""

from __future__ import annotations

from plantroom_shared.mapping.classes import canonical, is_equip_class, is_point_class
from plantroom_shared.mapping.confidence import Promise, promise
from plantroom_shared.mapping.meanings import MappedPoint, template_key
from plantroom_shared.mapping.models import model_point, target_unit, thing_models
from plantroom_shared.mapping.pipeline import map_points
from plantroom_shared.mapping.refine import UNKNOWN, choices, with_vote
from plantroom_shared.mapping.things import ModelPoint

__all__ = [
    "UNKNOWN",
    "MappedPoint",
    "ModelPoint",
    "Promise",
    "canonical",
    "choices",
    "is_equip_class",
    "is_point_class",
    "map_points",
    "model_point",
    "promise",
    "target_unit",
    "template_key",
    "thing_models",
    "with_vote",
]
