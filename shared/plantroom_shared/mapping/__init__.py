"""Names → templates → equipment, Brick point class and EnOS thing-model point: pure, offline.

The same code runs on the gateway (``plantroom-edge discover --map``) and in the cloud.
"""

from __future__ import annotations

from plantroom_shared.mapping.answers import answered
from plantroom_shared.mapping.classes import canonical, is_equip_class, is_point_class
from plantroom_shared.mapping.confidence import Promise, promise
from plantroom_shared.mapping.learned import Rule, Rulebook, RuleError, induced, parse_rules
from plantroom_shared.mapping.meanings import MappedPoint, one_claim_each
from plantroom_shared.mapping.models import model_point, target_unit, thing_models
from plantroom_shared.mapping.pipeline import map_points
from plantroom_shared.mapping.queue import PRECISIONS, Ask, ordered
from plantroom_shared.mapping.refine import UNKNOWN, choices, with_vote
from plantroom_shared.mapping.template import Template, read_key, template_key, template_of
from plantroom_shared.mapping.things import ModelPoint

__all__ = [
    "PRECISIONS",
    "UNKNOWN",
    "Ask",
    "MappedPoint",
    "ModelPoint",
    "Promise",
    "Rule",
    "RuleError",
    "Rulebook",
    "Template",
    "answered",
    "canonical",
    "choices",
    "induced",
    "is_equip_class",
    "is_point_class",
    "map_points",
    "model_point",
    "one_claim_each",
    "ordered",
    "parse_rules",
    "promise",
    "read_key",
    "target_unit",
    "template_key",
    "template_of",
    "thing_models",
    "with_vote",
]
