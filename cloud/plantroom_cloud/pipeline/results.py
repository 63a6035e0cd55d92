"""The rows of a job as far as it has come: readable while it runs."""

from __future__ import annotations

from typing import Any, Final

from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.pipeline import packing
from plantroom_cloud.pipeline.repository import JobRepository
from plantroom_cloud.pipeline.schemas import show_building, show_point
from plantroom_cloud.pipeline.stages import PIECE

_BEST: Final = ("score", "map", "group")
"""Whose rows are shown, the last stage first."""
_LOOK: Final = 50
"""Buildings that are looked at together."""


async def points_page(
    jobs: JobRepository, job: AnyRow, page: Page, only: int | None
) -> list[dict[str, Any]]:
    """Return points with what is found of them, one more than the page holds if there are more.

    Args:
        jobs: within one snapshot.
        job: whose.
        page: the position is building and row.
        only: the number of one building; None means all.
    """
    building, row = (int(part) for part in page.after or (only or 0, -1))
    end = len(job.buildings) if only is None else min(only + 1, len(job.buildings))
    found: list[dict[str, Any]] = []
    while building < end and len(found) <= page.limit:
        high = min(building + _LOOK, end)
        kinds = await jobs.kinds(job.id, building, high)
        for number in range(building, high):
            stage = next((kind for kind in _BEST if (number, kind) in kinds), "")
            start = row + 1 if number == building else 0
            want = page.limit + 1 - len(found)
            found += await _of_building(jobs, job.id, number, stage, start=start, want=want)
            if len(found) > page.limit:
                break
        building, row = high, -1
    return found


async def _of_building(
    jobs: JobRepository, job: str, number: int, stage: str, *, start: int, want: int
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    piece = start // PIECE
    while want > len(found):
        listed = await jobs.output(job, number, "points", piece)
        if listed is None:
            break
        points = packing.unpack(listed)
        data = await jobs.output(job, number, stage, piece) if stage else None
        rows = packing.unpack(data) if data else [{}] * len(points)
        for at in range(max(start - piece * PIECE, 0), len(points)):
            if len(found) == want:
                break
            found.append(show_point(number, piece * PIECE + at, stage, points[at], rows[at]))
        piece += 1
    return found


async def buildings_page(jobs: JobRepository, job: AnyRow, page: Page) -> list[dict[str, Any]]:
    """Return buildings by number, one more than the page holds if there are more."""
    low = int(page.after[0]) + 1 if page.after else 0
    high = min(low + page.limit + 1, len(job.buildings))
    chunks: dict[int, list[AnyRow]] = {number: [] for number in range(low, high)}
    for chunk in await jobs.chunks_of(job.id, low, high):
        chunks[chunk.building].append(chunk)
    return [show_building(number, job.buildings[number], own) for number, own in chunks.items()]
