"""What a worker does for a chunk: reads what the stage before has left, calls the pure part."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.config import EnosTarget
from plantroom_cloud.db import Database
from plantroom_cloud.mapping.llm import Asker
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.mapping.repository import MappingRepository, SitePoint
from plantroom_cloud.mapping.service import SiteMap, enter
from plantroom_cloud.pipeline import packing, stages
from plantroom_cloud.pipeline.claims import Claim, Claims, Result
from plantroom_cloud.pipeline.repository import JobRepository
from plantroom_cloud.pipeline.searching import NOTHING_FOUND, search
from plantroom_cloud.review.standing import state_of
from plantroom_shared.clock import Clock
from plantroom_shared.errors import PlantroomError, Rejected
from plantroom_shared.mapping import MappedPoint
from plantroom_shared.model import Device, Point

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker works with."""

    db: Database
    clock: Clock
    asker: Asker | None = None
    """The LLM; None where none is configured."""
    enos: Mapping[str, EnosTarget] = field(default_factory=dict)
    """Company's slug → its EnOS, whose Edges search for it."""


Step = Callable[[Means, Claim], Awaitable[Result]]


async def select_points(means: Means, claim: Claim) -> Result:
    """Read the points of a site, or have an Edge find them; an upload was read when it came in."""
    if "edge" in claim.place:
        return await _searched(means, claim)
    now_us = means.clock.now_us()
    async with means.db.read(claim.scope) as session:
        found = await MappingRepository(session, claim.scope).site(int(claim.place["site"]))
    rows, devices = found
    packed = await asyncio.to_thread(_packed, [row.point for row in rows], devices)
    return Result(packed, {"read_us": now_us}, points=len(rows))


async def _searched(means: Means, claim: Claim) -> Result:
    """Have the company's own EnOS search: whose it is comes from the scope, never from the job."""
    async with means.db.read(claim.scope) as session:
        company = await JobRepository(session, claim.scope).company()
    target = means.enos.get(company)
    if target is None:
        msg = f"company {company} has no EnOS in the settings; add an entry for it under enos"
        raise Rejected(msg, reason="no_enos")

    async def told(figures: Mapping[str, int]) -> None:
        try:
            async with means.db.write(claim.scope) as session:
                claims = Claims(session, claim.scope)
                await claims.tell(claim, {"search": figures}, figures["points"])
        except DBAPIError:
            log.warning("progress not noted", extra={"job": claim.job, "stage": claim.stage})

    place = claim.place
    try:
        found = await search(target, means.clock, str(place["edge"]), place["nets"], told)
    except PlantroomError:
        await told(NOTHING_FOUND)  # what it had come to is not kept
        raise
    packed = await asyncio.to_thread(_packed, found.points, found.devices)
    figures = {"search": found.figures, "read_us": means.clock.now_us()}
    return Result(packed, figures, points=len(found.points), reason=found.reason)


def _packed(read: Sequence[Point], devices: Sequence[Device]) -> list[tuple[str, int, bytes]]:
    points = [packing.point_row(point) for point in read]
    listed = [packing.device_row(device) for device in devices]
    return [
        *(("points", number, data) for number, data in packing.pieces(points)),
        *(("devices", number, data) for number, data in packing.pieces(listed)),
    ]


async def group(means: Means, claim: Claim) -> Result:
    """Group and class a building offline, and note what the LLM is to be asked about it."""
    async with means.db.read(claim.scope) as session:
        jobs = JobRepository(session, claim.scope)
        points = await jobs.outputs(claim.job, claim.building, "points")
        devices = await jobs.outputs(claim.job, claim.building, "devices")
        model = means.asker.model if means.asker and claim.options.get("llm") else ""
        site = claim.place.get("site") if model else None
        decided = await MappingRepository(session, claim.scope).decided(site) if site else {}
    outputs, asked = await asyncio.to_thread(_grouped, points, devices, model, frozenset(decided))
    return Result(outputs, {"questions": sum(asked)}, pieces=max(1, len(asked)))


def _grouped(
    points: list[bytes], devices: list[bytes], model: str, decided: Collection[int]
) -> tuple[list[tuple[str, int, bytes]], list[int]]:
    read = [packing.read_point(row) for row in packing.rows_of(points)]
    mapped = stages.group(read, [packing.read_device(row) for row in packing.rows_of(devices)])
    settled = [at for at, point in enumerate(read) if decided and int(point.key) in decided]
    asked = stages.questions(read, mapped, model, settled) if model else []
    outputs = _rows("group", mapped)
    for number, part in enumerate(asked):
        packed = packing.pack([packing.question_row(question) for question in part])
        outputs.append(("questions", number, packed))
    return outputs, [len(part) for part in asked]


def _rows(kind: str, mapped: Sequence[MappedPoint]) -> list[tuple[str, int, bytes]]:
    rows = [packing.mapped_row(item) for item in mapped]
    return [(kind, number, data) for number, data in packing.pieces(rows)]


async def analyse(means: Means, claim: Claim) -> Result:
    """Ask the LLM what nobody has asked it before; where it is away, the offline class stands.

    Every answer is kept as soon as it is there: whoever does this chunk again need not ask.
    """
    asker = means.asker
    async with means.db.read(claim.scope) as session:
        jobs = JobRepository(session, claim.scope)
        data = await jobs.output(claim.job, claim.building, "questions", claim.piece)
        asked = [packing.read_question(row) for row in packing.unpack(data)] if data else []
        keys = [question.key for question in asked]
        known = await asker.cache.find(session, claim.scope, keys) if asker else {}
    answers, problem = dict(known), ""
    if asker is not None:
        left = [question for question in asked if question.key not in known]
        outcome = await asker.ask(claim.scope, left)
        answers, problem = answers | outcome.answers, outcome.problem
    told = {"questions": len(asked), "open": len(asked) - len(answers), "known": len(known)}
    return Result([("answers", claim.piece, packing.pack([[answers, problem]]))], told)


async def map_models(means: Means, claim: Claim) -> Result:
    """Count the LLM's voices in, and leave each thing-model point to one point."""
    async with means.db.read(claim.scope) as session:
        jobs = JobRepository(session, claim.scope)
        grouped = await jobs.outputs(claim.job, claim.building, "group")
        asked = await jobs.outputs(claim.job, claim.building, "questions")
        answered = await jobs.outputs(claim.job, claim.building, "answers")
        model = means.asker.model if means.asker else ""
        trust = await LlmRepository(session, claim.scope).trust(model)
    return Result(await asyncio.to_thread(_settled, grouped, asked, answered, trust))


def _settled(
    grouped: list[bytes], asked: list[bytes], answered: list[bytes], trust: float
) -> list[tuple[str, int, bytes]]:
    if not answered or not asked:
        return [("map", number, data) for number, data in enumerate(grouped)]
    mapped = [packing.read_mapped(row) for row in packing.rows_of(grouped)]
    questions = [packing.read_question(row) for row in packing.rows_of(asked)]
    heard = packing.rows_of(answered)
    answers = {key: name for part, _ in heard for key, name in part.items()}
    failed = next((problem for _, problem in heard if problem), "")
    return _rows("map", stages.settle(mapped, questions, answers, trust=trust, failed=failed))


async def score(means: Means, claim: Claim) -> Result:
    """Say what can be accepted, and how sure the building is as a whole."""
    async with means.db.read(claim.scope) as session:
        packed = await JobRepository(session, claim.scope).outputs(claim.job, claim.building, "map")
    outputs, told = await asyncio.to_thread(_scored, packed)
    return Result(outputs, told)


def _scored(packed: list[bytes]) -> tuple[list[tuple[str, int, bytes]], dict[str, Any]]:
    rows = packing.rows_of(packed)
    mapped = [packing.read_mapped(row) for row in rows]
    scored = [{**row, "state": state_of(item)} for row, item in zip(rows, mapped, strict=True)]
    outputs = [("score", number, data) for number, data in packing.pieces(scored)]
    return outputs, stages.figures(mapped)


async def publish(means: Means, claim: Claim) -> Result:
    """Enter a building into the mappings of its site; what is accepted goes on to its targets.

    In one transaction: what people have decided says something about the whole of a site.
    """
    async with means.db.read(claim.scope) as session:
        jobs = JobRepository(session, claim.scope)
        listed = await jobs.outputs(claim.job, claim.building, "points")
        scored = await jobs.outputs(claim.job, claim.building, "score")
        read_us = (await jobs.told_of(claim.job, claim.building, "select")).get("read_us", 0)
    at = (int(claim.place["site"]), int(read_us))
    site = await asyncio.to_thread(_read_back, listed, scored, *at)
    async with means.db.write(claim.scope) as session:
        done = await enter(session, claim.scope, site, site.offline, late=True)
    return Result(told={"added": done.added, "changed": done.changed, "newer": done.newer})


def _read_back(listed: list[bytes], scored: list[bytes], site_id: int, read_us: int) -> SiteMap:
    points = [packing.read_point(row) for row in packing.rows_of(listed)]
    rows = [SitePoint(int(point.key), "", read_us, point) for point in points]
    mapped = [packing.read_mapped(row) for row in packing.rows_of(scored)]
    return SiteMap(site_id, rows, mapped, {}, read_us)


STEPS: Final[Mapping[str, Step]] = {
    "select": select_points,
    "group": group,
    "analyse": analyse,
    "map": map_models,
    "score": score,
    "publish": publish,
}
