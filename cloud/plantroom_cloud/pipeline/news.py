"""What is told of jobs as it happens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.live import topics
from plantroom_cloud.live.telling import Happening, tell


def sites_of_places(places: Iterable[Mapping[str, Any]]) -> tuple[int, ...]:
    """Return the sites that a job is about; none where some of it is no site's."""
    sites = [place.get("site") for place in places]
    return tuple(site for site in sites if site is not None) if None not in sites else ()


async def tell_job(
    session: AsyncSession,
    scope: Scope,
    now_us: int,
    *,
    job: str,
    state: str,
    places: Iterable[Mapping[str, Any]],
) -> None:
    """Tell that a job has come to a state: ``open``, ``done``, ``failed`` or ``cancelled``."""
    data = {"job": job, "state": state}
    happened = Happening(topics.JOBS, f"job.{state}", data, sites_of_places(places))
    await tell(session, scope, now_us, happened)
