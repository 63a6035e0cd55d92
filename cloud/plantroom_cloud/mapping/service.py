"""Maps the points of a site: offline first, then with what an LLM has to add."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.llm.cache import AnswerCache
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.mapping.questions import Question, questions_of, refined
from plantroom_cloud.mapping.repository import DECIDED, FIELDS, MappingRepository, SitePoint
from plantroom_cloud.review.basis import Found, keep_found, lock_site, on_top
from plantroom_shared.clock import Clock
from plantroom_shared.mapping import MappedPoint, map_points, template_key, template_of
from plantroom_shared.mapping.refine import TRUST

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SiteMap:
    """A site with what the offline mapping found, from one look at it."""

    site_id: int
    rows: Sequence[SitePoint]
    offline: Sequence[MappedPoint]
    questions: Mapping[str, Question]
    """What the LLM may be asked, by key; empty where none is configured."""
    read_us: int
    """When its points were read."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one pass over a site did."""

    points: int = 0
    added: int = 0
    changed: int = 0
    newer: int = 0
    """Points that somebody has mapped since they were read: theirs stands."""
    open_questions: tuple[Question, ...] = ()
    """What the LLM could still be asked."""
    site: SiteMap | None = None
    """What `store_site` takes to count later answers in; None where the site has no points."""


async def map_site(
    db: Database,
    scope: Scope,
    site_id: int,
    *,
    clock: Clock,
    llm_model: str = "",
    cache: AnswerCache | None = None,
    failed: str = "",
) -> Mapped:
    """Map every point of a site and store what is new; the same points give the same rows.

    Args:
        db: the database.
        scope: the company.
        site_id: one of its sites.
        clock: for the time of mapping, taken before the points are read.
        llm_model: the model whose answers count; empty where no LLM is configured.
        cache: answers in memory; those of the database are found without it too.
        failed: why the open questions were not answered; empty where they are yet to be asked.
    """
    site = await read_site(db, scope, site_id, clock=clock, llm_model=llm_model)
    if site is None:
        return Mapped()
    return await store_site(db, scope, site, model=llm_model, cache=cache, failed=failed)


async def read_site(
    db: Database, scope: Scope, site_id: int, *, clock: Clock, llm_model: str = ""
) -> SiteMap | None:
    """Map a site offline and find what to ask; nothing is stored. None where it has no points."""
    now_us = clock.now_us()
    async with db.read(scope) as session:
        repository = MappingRepository(session, scope)
        rows, devices = await repository.site(site_id)
        decided = await repository.decided(site_id) if llm_model else {}
    if not rows:
        return None
    points = [row.point for row in rows]
    settled = [index for index, row in enumerate(rows) if row.id in decided]

    def work() -> tuple[list[MappedPoint], dict[str, Question]]:
        mapped = map_points(points, devices)
        asked = questions_of(points, mapped, llm_model, settled) if llm_model else {}
        return mapped, asked

    # Seconds of pure Python for a large site: not in the loop that serves requests.
    mapped, questions = await asyncio.to_thread(work)
    if decided:
        # What people decided is a verdict on what the LLM had said of the same template.
        decisions = _decisions(rows, mapped, decided)
        async with db.write(scope) as writing:
            await LlmRepository(writing, scope).decided(decisions, now_us)
    return SiteMap(site_id, rows, mapped, questions, now_us)


async def store_site(
    db: Database,
    scope: Scope,
    site: SiteMap,
    *,
    model: str = "",
    cache: AnswerCache | None = None,
    failed: str = "",
) -> Mapped:
    """Count the known answers in and store what has changed by that; see `map_site`."""
    answers: dict[str, str] = {}
    trust = TRUST
    if site.questions:
        async with db.read(scope) as session:
            known = AnswerCache() if cache is None else cache
            answers = await known.find(session, scope, site.questions)
            trust = await LlmRepository(session, scope).trust(model)
    mapped = refined(site.offline, site.questions, answers, trust=trust, failed=failed)
    async with db.write(scope) as session:
        done = await enter(session, scope, site, mapped)
    still_open = tuple(q for key, q in sorted(site.questions.items()) if key not in answers)
    return replace(done, open_questions=still_open, site=site)


async def enter(
    session: AsyncSession,
    scope: Scope,
    site: SiteMap,
    mapped: Sequence[MappedPoint],
    *,
    late: bool = False,
) -> Mapped:
    """Store what was found of points of a site, with the say of people on top.

    Args:
        session: of the transaction.
        scope: the company.
        site: one of its sites, as it was read.
        mapped: what was found of each point, all voices counted.
        late: it was read long ago: what was mapped since then is newer, and stays.
    """
    rows, site_id, read_us = site.rows, site.site_id, site.read_us
    repository = MappingRepository(session, scope)
    await lock_site(session, scope, site_id)
    existing = await repository.existing(site_id)
    found = [
        (row, Found(row.id, item, template_of(item, row.point)))
        for row, item in zip(rows, mapped, strict=True)
        if not late or row.id not in existing or existing[row.id]["mapped_us"] <= read_us
    ]
    own = [one for _, one in found]
    await keep_found(session, scope, site_id, own)
    stated = await on_top(session, scope, site_id, own)
    added, changed, same = _differences(
        site_id, [row for row, _ in found], stated, existing, read_us
    )
    await repository.add(added)
    await repository.change(changed)
    await repository.looked_at(same, read_us)
    return Mapped(len(rows), len(added), len(changed), newer=len(rows) - len(found))


def _decisions(
    rows: Sequence[SitePoint], mapped: Sequence[MappedPoint], decided: Mapping[int, str]
) -> dict[str, str]:
    """Return template key → class of what people decided."""
    return {
        template_key(item, row.point): decided[row.id]
        for row, item in zip(rows, mapped, strict=True)
        if row.id in decided
    }


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
