"""Maps the points of a site: offline first, then with what an LLM has to add."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.questions import Question, questions_of, refined
from plantroom_cloud.mapping.repository import DECIDED, FIELDS, MappingRepository, SitePoint
from plantroom_cloud.review.basis import Found, keep_found, on_top
from plantroom_shared.clock import Clock
from plantroom_shared.mapping import MappedPoint, map_points, template_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one pass over a site did."""

    points: int = 0
    added: int = 0
    changed: int = 0
    open_questions: tuple[Question, ...] = ()
    """What the LLM could still be asked."""


async def map_site(
    db: Database, scope: Scope, site_id: int, *, clock: Clock, llm_model: str = ""
) -> Mapped:
    """Map every point of a site and store what is new; the same points give the same rows.

    Args:
        db: the database.
        scope: the company.
        site_id: one of its sites.
        clock: for the time of mapping, taken before the points are read.
        llm_model: the model whose cached answers count; empty where no LLM is configured.
    """
    now_us = clock.now_us()
    async with db.read() as session:
        rows, devices = await MappingRepository(session, scope).site(site_id)
    if not rows:
        return Mapped()
    # Seconds of pure Python for a large site: not in the loop that serves requests.
    mapped = await asyncio.to_thread(map_points, [row.point for row in rows], devices)
    questions: dict[str, Question] = {}
    if llm_model:
        points = [row.point for row in rows]
        questions = questions_of(points, mapped, llm_model)
    async with db.write() as session:
        repository = MappingRepository(session, scope)
        answers = await repository.answers(questions)
        mapped = refined(mapped, questions, answers)
        found = [
            Found(row.id, item, template_of(item, row.point))
            for row, item in zip(rows, mapped, strict=True)
        ]
        await keep_found(session, scope, site_id, found)
        stated = await on_top(session, scope, site_id, found)
        existing = await repository.existing(site_id)
        added, changed, same = _differences(site_id, rows, stated, existing, now_us)
        await repository.add(added)
        await repository.change(changed)
        await repository.looked_at(same, now_us)
    still_open = tuple(q for key, q in sorted(questions.items()) if key not in answers)
    return Mapped(len(rows), len(added), len(changed), still_open)


def _differences(
    site_id: int,
    rows: Sequence[SitePoint],
    stated: Sequence[tuple[MappedPoint, str]],
    existing: Mapping[int, Mapping[str, Any]],
    now_us: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[int]]:
    """Return rows to add, rows to change, and ids of stale rows that need no change."""
    added: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    same: list[int] = []
    for row, (item, state) in zip(rows, stated, strict=True):
        before = existing.get(row.id)
        if before is not None and before["state"] == "rejected" and _same_meaning(before, item):
            state = "rejected"  # noqa: PLW2901 - a person said no to exactly this
        after = _row(row.id, site_id, item, state, now_us)
        if before is None:
            added.append(after)
        elif before["source"] not in DECIDED and any(before[f] != after[f] for f in FIELDS):
            changed.append(after)
        elif row.changed_us > before["mapped_us"]:
            same.append(row.id)
    return added, changed, same


def _row(point_id: int, site_id: int, item: MappedPoint, state: str, now_us: int) -> dict[str, Any]:
    return {
        "point_id": point_id,
        "site_id": site_id,
        "template": item.template,
        "equipment": item.equipment,
        "equip_class": item.equip_class,
        "parent": getattr(item, "parent", ""),
        "relation": getattr(item, "relation", ""),
        "point_class": item.point_class,
        "model_id": item.model_id,
        "model_point": item.model_point,
        "confidence": item.confidence,
        "source": item.source,
        "state": state,
        "evidence": list(item.evidence),
        "mapped_us": now_us,
    }


def _same_meaning(before: Mapping[str, Any], item: MappedPoint) -> bool:
    was = (before["point_class"], before["model_id"], before["model_point"])
    return was == (item.point_class, item.model_id, item.model_point)
