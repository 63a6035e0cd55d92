"""Maps the points of a site: offline first, then with what an LLM has to add."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.questions import Question, questions_of, refined
from plantroom_cloud.mapping.repository import FIELDS, MappingRepository, SitePoint
from plantroom_shared.clock import Clock
from plantroom_shared.mapping import MappedPoint, map_points

log = logging.getLogger(__name__)

ACCEPT_FROM: Final = 0.9
"""Confidence from which a proposal is taken without a person."""


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
        existing = await repository.existing(site_id)
        added, changed, same = differences(site_id, rows, mapped, existing, now_us)
        await repository.add(added)
        await repository.change(changed)
        await repository.looked_at(same, now_us)
    still_open = tuple(q for key, q in sorted(questions.items()) if key not in answers)
    return Mapped(len(rows), len(added), len(changed), still_open)


def differences(
    site_id: int,
    rows: Sequence[SitePoint],
    mapped: Sequence[MappedPoint],
    existing: Mapping[int, Mapping[str, Any]],
    now_us: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[int]]:
    """Return rows to add, rows to change, and ids of stale rows that need no change."""
    added: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    same: list[int] = []
    for row, item in zip(rows, mapped, strict=True):
        before = existing.get(row.id)
        after = _row(row.id, site_id, item, before, now_us)
        if before is None:
            added.append(after)
        elif before["source"] != "person" and any(before[f] != after[f] for f in FIELDS):
            changed.append(after)
        elif row.changed_us > before["mapped_us"]:
            same.append(row.id)
    return added, changed, same


def _row(
    point_id: int,
    site_id: int,
    item: MappedPoint,
    before: Mapping[str, Any] | None,
    now_us: int,
) -> dict[str, Any]:
    accepted = item.source == "profile" or (item.confidence or 0.0) >= ACCEPT_FROM
    state = "accepted" if accepted else "proposed"
    if before is not None and before["state"] == "rejected" and _same_meaning(before, item):
        state = "rejected"  # a person said no to exactly this
    return {
        "point_id": point_id,
        "site_id": site_id,
        "template": item.template,
        "equipment": item.equipment,
        "equip_class": item.equip_class,
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
