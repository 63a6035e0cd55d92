"""What a worker does for a chunk: reads what the stage before has left, calls the pure part."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from plantroom_cloud.db import Database
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.mapping.llm import BATCH, LlmUnavailable, Refiner
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.mapping.repository import FIELDS, MappingRepository, SitePoint
from plantroom_cloud.mapping.service import differences
from plantroom_cloud.pipeline import packing, stages
from plantroom_cloud.pipeline.claims import Claim, Result
from plantroom_cloud.pipeline.repository import JobRepository
from plantroom_cloud.tables import JobChunk
from plantroom_cloud.tables import Mapping as MappingRow
from plantroom_shared.clock import Clock
from plantroom_shared.mapping import MappedPoint
from plantroom_shared.model import Device, Point


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker works with."""

    db: Database
    clock: Clock
    refiner: Refiner | None = None
    """The LLM; None where none is configured."""


Step = Callable[[Means, Claim], Awaitable[Result]]


async def select_points(means: Means, claim: Claim) -> Result:
    """Read the points of a site; those of an upload were read when it came in."""
    now_us = means.clock.now_us()
    async with means.db.read() as session:
        found = await MappingRepository(session, claim.scope).site(int(claim.place["site"]))
    rows, devices = found
    packed = await asyncio.to_thread(_packed_site, rows, devices)
    return Result(packed, {"read_us": now_us}, points=len(rows))


def _packed_site(
    rows: Sequence[SitePoint], devices: Sequence[Device]
) -> list[tuple[str, int, bytes]]:
    points = [packing.point_row(row.point) for row in rows]
    listed = [packing.device_row(device) for device in devices]
    return [
        *(("points", number, data) for number, data in packing.pieces(points)),
        *(("devices", number, data) for number, data in packing.pieces(listed)),
    ]


async def group(means: Means, claim: Claim) -> Result:
    """Group and class a building offline, and note what the LLM is to be asked about it."""
    async with means.db.read() as session:
        jobs = JobRepository(session, claim.scope)
        points = await jobs.outputs(claim.job, claim.building, "points")
        devices = await jobs.outputs(claim.job, claim.building, "devices")
    model = means.refiner.model if means.refiner and claim.options.get("llm") else ""
    outputs, asked = await asyncio.to_thread(_grouped, points, devices, model)
    return Result(outputs, {"questions": sum(asked)}, pieces=max(1, len(asked)))


def _grouped(
    points: list[bytes], devices: list[bytes], model: str
) -> tuple[list[tuple[str, int, bytes]], list[int]]:
    read = [packing.read_point(row) for row in packing.rows_of(points)]
    mapped = stages.group(read, [packing.read_device(row) for row in packing.rows_of(devices)])
    asked = stages.questions(read, mapped, model) if model else []
    outputs = _rows("group", mapped)
    for number, part in enumerate(asked):
        packed = packing.pack([packing.question_row(question) for question in part])
        outputs.append(("questions", number, packed))
    return outputs, [len(part) for part in asked]


def _rows(kind: str, mapped: Sequence[MappedPoint]) -> list[tuple[str, int, bytes]]:
    rows = [packing.mapped_row(item) for item in mapped]
    return [(kind, number, data) for number, data in packing.pieces(rows)]


async def analyse(means: Means, claim: Claim) -> Result:
    """Ask the LLM what nobody has asked it before; where it is away, the offline class stands."""
    async with means.db.read() as session:
        jobs = JobRepository(session, claim.scope)
        data = await jobs.output(claim.job, claim.building, "questions", claim.piece)
        asked = [packing.read_question(row) for row in packing.unpack(data)] if data else []
        known = await MappingRepository(session, claim.scope).answers([q.key for q in asked])
    answers = {key: answer.decode() for key, answer in known.items()}
    if asked and means.refiner is not None:
        left = [question for question in asked if question.key not in answers]
        parts = [left[start : start + BATCH] for start in range(0, len(left), BATCH)]
        for more in await asyncio.gather(*(_ask(means, claim, part) for part in parts)):
            answers |= more
    told = {"questions": len(asked), "open": len(asked) - len(answers), "known": len(known)}
    return Result([("answers", claim.piece, packing.pack([answers]))], told)


async def _ask(means: Means, claim: Claim, questions: Sequence[Question]) -> Mapping[str, str]:
    """Ask one batch and keep its answers at once: whoever does this chunk again need not ask."""
    assert means.refiner is not None  # noqa: S101 -- the caller has looked
    try:
        reply = await means.refiner.ask(questions)
    except LlmUnavailable as error:
        reply = error.reply
    async with means.db.write() as session:
        repository = MappingRepository(session, claim.scope)
        encoded = {key: name.encode() for key, name in reply.answers.items()}
        await repository.remember(encoded, means.clock.now_us())
        await repository.count(reply.counts)
    return reply.answers


async def map_models(means: Means, claim: Claim) -> Result:
    """Count the LLM's voices in, and leave each thing-model point to one point."""
    async with means.db.read() as session:
        jobs = JobRepository(session, claim.scope)
        grouped = await jobs.outputs(claim.job, claim.building, "group")
        asked = await jobs.outputs(claim.job, claim.building, "questions")
        answered = await jobs.outputs(claim.job, claim.building, "answers")
    return Result(await asyncio.to_thread(_settled, grouped, asked, answered))


def _settled(
    grouped: list[bytes], asked: list[bytes], answered: list[bytes]
) -> list[tuple[str, int, bytes]]:
    if not answered or not asked:
        return [("map", number, data) for number, data in enumerate(grouped)]
    mapped = [packing.read_mapped(row) for row in packing.rows_of(grouped)]
    questions = [packing.read_question(row) for row in packing.rows_of(asked)]
    answers = {key: name for part in packing.rows_of(answered) for key, name in part.items()}
    return _rows("map", stages.settle(mapped, questions, answers))


async def score(means: Means, claim: Claim) -> Result:
    """Say what can be accepted, and how sure the building is as a whole."""
    async with means.db.read() as session:
        packed = await JobRepository(session, claim.scope).outputs(claim.job, claim.building, "map")
    outputs, told = await asyncio.to_thread(_scored, packed)
    return Result(outputs, told)


def _scored(packed: list[bytes]) -> tuple[list[tuple[str, int, bytes]], dict[str, Any]]:
    rows = packing.rows_of(packed)
    mapped = [packing.read_mapped(row) for row in rows]
    scored = [
        {**row, "state": stages.state_of(item)} for row, item in zip(rows, mapped, strict=True)
    ]
    outputs = [("score", number, data) for number, data in packing.pieces(scored)]
    return outputs, stages.figures(mapped)


async def publish(means: Means, claim: Claim) -> Result:
    """Enter a piece into the mappings of its site, from where what is accepted goes to its targets.

    A person's word stands, and what was mapped after the points were read is newer than this.
    """
    async with means.db.read() as session:
        jobs = JobRepository(session, claim.scope)
        listed = await jobs.output(claim.job, claim.building, "points", claim.piece)
        scored = await jobs.output(claim.job, claim.building, "score", claim.piece)
        read_us = await _Published(session, claim.scope).read_us(claim)
    points = [packing.read_point(row) for row in packing.unpack(listed or packing.pack([]))]
    mapped = [packing.read_mapped(row) for row in packing.unpack(scored or packing.pack([]))]
    site = int(claim.place["site"])
    async with means.db.write() as session:
        existing = await _Published(session, claim.scope).existing(points)
        pairs = [
            (SitePoint(int(point.key), "", read_us, point), item)
            for point, item in zip(points, mapped, strict=True)
            if existing.get(int(point.key), {}).get("mapped_us", 0) <= read_us
        ]
        rows, items = [row for row, _ in pairs], [item for _, item in pairs]
        added, changed, same = differences(site, rows, items, existing, read_us)
        repository = MappingRepository(session, claim.scope)
        await repository.add(added)
        await repository.change(changed)
        await repository.looked_at(same, read_us)
    told = {"added": len(added), "changed": len(changed), "newer": len(points) - len(pairs)}
    return Result(told=told)


class _Published(Repository):
    """Mappings of a site as they stand."""

    async def read_us(self, claim: Claim) -> int:
        """Return when the building's points were read."""
        told = await self._session.scalar(
            select(JobChunk.told).where(
                self._own(JobChunk),
                JobChunk.job_id == claim.job,
                JobChunk.building == claim.building,
                JobChunk.stage == "select",
            )
        )
        return int((told or {}).get("read_us", 0))

    async def existing(self, points: Sequence[Point]) -> dict[int, dict[str, Any]]:
        """Return point id → what its mapping says, and when it was said."""
        columns = [getattr(MappingRow, name) for name in (*FIELDS, "mapped_us")]
        ids = [int(point.key) for point in points]
        rows = await self._session.execute(
            select(MappingRow.point_id, *columns).where(
                self._own(MappingRow), MappingRow.point_id.in_(ids)
            )
        )
        return {row.point_id: dict(row._mapping) for row in rows}  # noqa: SLF001 - its public way


STEPS: Final[Mapping[str, Step]] = {
    "select": select_points,
    "group": group,
    "analyse": analyse,
    "map": map_models,
    "score": score,
    "publish": publish,
}
