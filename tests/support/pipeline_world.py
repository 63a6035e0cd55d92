"""Buildings for jobs, and what a job has come to."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

import httpx
from sqlalchemy import insert

from plantroom_cloud.db import Database
from plantroom_cloud.pipeline.claims import companies_with_work
from plantroom_cloud.pipeline.work import Worker
from plantroom_cloud.tables import Device, Gateway, Point, Site
from plantroom_shared.clock import Clock
from support.servers import as_owner

_UNIT = (
    ("Supply Air Temp", "degC", "analog-input"),
    ("Return Air Temp", "degC", "analog-input"),
    ("Supply Fan Status", "", "binary-input"),
    ("Supply Fan Command", "", "binary-output"),
    ("Cooling Valve Position", "%", "analog-output"),
    ("Zone Temp Setpoint", "degC", "analog-value"),
    ("QX{0} zzv", "", "analog-value"),
)


def names(units: int) -> list[tuple[str, str, str]]:
    """Return name, unit and object type of the points of so many air handlers."""
    return [
        (f"AHU-{number} {what.format(number)}", unit, kind)
        for number in range(1, units + 1)
        for what, unit, kind in _UNIT
    ]


def point_list(buildings: int, units: int) -> bytes:
    """Return a CSV list of buildings, each with so many air handlers of seven points."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("building", "point_name", "units", "object_type"))
    for number in range(buildings):
        writer.writerows((f"house {number}", *row) for row in names(units))
    return text.getvalue().encode()


async def add_site(db: Database, company: int, slug: str, units: int, now_us: int) -> int:
    """Add a site with so many air handlers and return its id."""
    own = {"company_id": company}
    async with as_owner(db).write() as session:

        async def put(table: Any, **values: Any) -> Any:
            statement = insert(table).values(**own, **values)
            key = table.__mapper__.primary_key
            return (await session.execute(statement.returning(*key))).one()[0]

        site: int = await put(Site, slug=slug, name=slug.title(), created_us=now_us)
        gateway = f"gw-{company}-{slug}"
        await put(Gateway, id=gateway, site_id=site, name=gateway, created_us=now_us)
        here = {"site_id": site, "gateway_id": gateway}
        device = await put(Device, key="bacnet:1", name="controller", protocol="bacnet", **here)
        rows = [
            {
                **own, **here, "device_id": device, "key": f"bacnet:1:x:{number}", "name": name,
                "unit": unit, "object_type": kind, "changed_us": now_us,
            }
            for number, (name, unit, kind) in enumerate(names(units))
        ]  # fmt: skip
        if rows:
            await session.execute(insert(Point), rows)
    return site


async def drain(worker: Worker, most: int = 1000) -> int:
    """Let a worker do all there is to do; return how many chunks that were."""
    for count in range(most):
        if not await worker.step():
            return count
    msg = f"after {most} chunks there is still something to do"
    raise AssertionError(msg)


async def has_work(db: Database, clock: Clock) -> bool:
    """Say whether a chunk may be taken."""
    async with as_owner(db).read() as session:
        return bool(await companies_with_work(session, clock.now_us()))


async def job_of(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    """Return a job as the API shows it."""
    answer = await client.get(f"/v1/jobs/{job}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def rows_of(client: httpx.AsyncClient, job: str, limit: int = 1000) -> list[dict[str, Any]]:
    """Return all rows of a job, page by page."""
    url, params, rows = f"/v1/jobs/{job}/points", {"limit": limit}, list[dict[str, Any]]()
    after: str | None = None
    while True:
        answer = await client.get(url, params=params | ({"after": after} if after else {}))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        rows += body["items"]
        after = body["next"]
        if after is None:
            return rows


def states(shown: dict[str, Any]) -> dict[str, str]:
    """Return stage → state."""
    return {one["stage"]: one["state"] for one in shown["stages"]}


def said(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without ids, which differ from database to database."""
    return [{name: value for name, value in row.items() if name != "point"} for row in rows]
