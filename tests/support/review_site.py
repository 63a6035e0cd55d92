"""A mapped site of VAV boxes and air handlers, to be reviewed."""

from __future__ import annotations

from sqlalchemy import insert

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.service import map_site
from plantroom_cloud.tables import Device, Gateway, Latest, Point, Site
from support.api_world import NOW, Seeder, Stopped, Tenant, seed_company
from support.servers import as_owner

BOXES = 6
NAMES = ("ZN-T", "DMPR-POS", "QXZW", "QXZW-HI")
"""Of each box; nobody knows what the last two are."""
AIR = ("AHU-1 SAT", "AHU-1 QXZW", "AHU-2 SAT", "AHU-2 QXZW")


async def put_site(db: Database, slug: str = "acme", names: tuple[str, ...] = ()) -> Tenant:
    """Return a company with a mapped site of these points, those of boxes and air handlers if none."""
    boxes = [f"VAV-{box} {name}" for box in range(1, BOXES + 1) for name in NAMES]
    tenant = await seed_company(db, slug)
    async with as_owner(db).write() as session:
        seeder = Seeder(session, tenant)
        tenant.site = await seeder.put(
            Site, slug="tower", name="Tower", created_us=NOW, **seeder.own
        )
        await seeder.put(Gateway, id=tenant.gateway, name="Basement", created_us=NOW, **seeder.here)
        about = {"key": "bacnet:1", "name": "controller", "protocol": "bacnet"}
        tenant.device = await seeder.put(Device, **about, **seeder.wired)
    await add_points(db, tenant, *(names or (*boxes, *AIR)))
    return tenant


async def add_points(db: Database, tenant: Tenant, *names: str) -> list[int]:
    """Add points, each with a value, and have the site mapped; return their ids."""
    first = len(tenant.points)
    async with as_owner(db).write() as session:
        seeder = Seeder(session, tenant)
        rows = [
            {"device_id": tenant.device, "key": f"bacnet:1:analog-input:{first + index}"}
            | {"name": name, "unit": "", "states": [], "hints": {}, "changed_us": NOW}
            | seeder.wired
            for index, name in enumerate(names)
        ]
        made = insert(Point).returning(Point.id, sort_by_parameter_order=True)
        ids = list((await session.execute(made, rows)).scalars())
        latest = {"ts_us": NOW, "tie": 1, "quality": 0} | seeder.own
        await session.execute(
            insert(Latest), [{"point_id": i, "value": float(i), **latest} for i in ids]
        )
    tenant.points += ids
    await map_again(db, tenant)
    return ids


async def map_again(db: Database, tenant: Tenant) -> None:
    """Map the site, as the worker does."""
    await map_site(db, Scope(tenant.company), tenant.site, clock=Stopped(NOW + 5))
