"""What the mapper hands over to the review, and gets back with people's say on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.review.repository import BASIS, ReviewRepository
from plantroom_cloud.review.standing import template_id
from plantroom_shared.mapping import MappedPoint, Template, one_claim_each


@dataclass(frozen=True, slots=True)
class Found:
    """What the mapper found of a point."""

    point_id: int
    item: MappedPoint
    template: Template


async def lock_site(session: AsyncSession, scope: Scope, site_id: int) -> None:
    """Have nobody else map or decide about a site until the transaction ends."""
    await ReviewRepository(session, scope).lock(site_id)


async def keep_found(
    session: AsyncSession, scope: Scope, site_id: int, found: Sequence[Found]
) -> None:
    """Keep what the mapper found of points of a site: what people decide is laid over it."""
    rows = ReviewRepository(session, scope)
    before = {row.point_id: tuple(row)[1:] for row in await rows.basis(site_id, BASIS)}
    new = [_row(one) for one in found]
    await rows.keep_basis(
        site_id,
        [row for row in new if before.get(row["point_id"]) != tuple(row[name] for name in BASIS)],
    )


async def on_top(
    session: AsyncSession, scope: Scope, site_id: int, found: Sequence[Found]
) -> list[tuple[MappedPoint, str]]:
    """Return what the points mean after all that people have decided, and the state of each."""
    known = {one.template for one in found}
    standing = await ReviewRepository(session, scope).standing(site_id, known)
    made = [standing.laid_over(one.item, one.template, one.point_id) for one in found]
    items = one_claim_each([item for item, _ in made])
    return [(item, state) for item, (_, state) in zip(items, made, strict=True)]


def _row(one: Found) -> dict[str, Any]:
    item, key = one.item, one.template.key
    return {
        "point_id": one.point_id,
        "template_id": template_id(key),
        "key": key,
        "template": item.template,
        "equipment": item.equipment,
        "equip_class": item.equip_class,
        "point_class": item.point_class,
        "model_id": item.model_id,
        "model_point": item.model_point,
        "confidence": item.confidence,
        "source": item.source,
        "evidence": list(item.evidence),
        "candidates": list(item.candidates),
    }
