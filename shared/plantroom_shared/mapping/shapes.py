"""What Brick's own SHACL shapes let be said of equipment and points. Pure; data in ``brick_shapes.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from plantroom_shared.mapping.classes import canonical
from plantroom_shared.mapping.rules import load


@functools.cache
def _under() -> Mapping[str, frozenset[str]]:
    rows: Mapping[str, str] = load("brick_shapes.yaml")["under"]
    return {name: frozenset(names.split()) for name, names in rows.items()}


@functools.cache
def _allowed(relation: str) -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    """Return (classes of the parent, classes that its children must have) of each rule."""
    rows: Mapping[str, str] = load("brick_shapes.yaml")[relation]
    under = _under()
    return tuple(
        (under[name], frozenset().union(*(under[child] for child in children.split())))
        for name, children in rows.items()
    )


@functools.cache
def _points() -> Mapping[str, frozenset[str]]:
    rows: Mapping[str, str] = load("brick_shapes.yaml")["points"]
    return {point: _under()[name] for name, points in rows.items() for point in points.split()}


def may_relate(relation: str, parent_class: str, child_class: str) -> bool:
    """Tell whether Brick lets a parent of that class feed, or contain, such a child.

    Args:
        relation: ``feeds`` or ``part-of``.
        parent_class: Brick equipment class; empty for any.
        child_class: the same, of the child.
    """
    above, below = canonical(parent_class), canonical(child_class)
    return all(below in allowed for parents, allowed in _allowed(relation) if above in parents)


def may_be_point_of(point_class: str, equip_class: str) -> bool:
    """Tell whether Brick lets a point of that class be one of such an equipment."""
    allowed = _points().get(canonical(point_class))
    return allowed is None or canonical(equip_class) in allowed
