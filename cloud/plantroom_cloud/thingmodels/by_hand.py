"""Thing models from the command line, straight on the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from plantroom_cloud import audit
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, open_database
from plantroom_cloud.gateways.provision import find_site
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.migrations import migrate
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.thing_models import fetch_models
from plantroom_cloud.thingmodels.reading import MAX_FILE, Read, models_in, read_models
from plantroom_cloud.thingmodels.repository import ThingModelRepository
from plantroom_cloud.thingmodels.schemas import show_builtin, show_check, show_head
from plantroom_cloud.thingmodels.service import Imported, ThingModelService
from plantroom_cloud.thingmodels.shapes import Problem, model_ids
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError
from plantroom_shared.mapping.targets import TargetName, builtin

T = TypeVar("T")


def import_files(settings: CloudSettings, company: str, files: Sequence[Path]) -> Imported:
    """Import every file; a file that cannot be read is a problem like any other."""
    reads = [(path.name, _read(path)) for path in files]

    async def do(database: Database) -> Imported:
        return await _keep(database, company, reads)

    return _run(settings, do)


def _read(path: Path) -> Read:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        what = f"it cannot be read: {error.strerror or error}"
        return Read(problems=[Problem(str(path), "", what, "name a file that can be read")])
    return read_models(content, str(path))


def import_enos(settings: CloudSettings, company: str, wanted: Sequence[str]) -> Imported:
    """Import the models that the company's EnOS has: its own, or those that are asked for.

    Raises:
        ConfigError: the company has no EnOS in the settings.
        Unavailable: EnOS is away.
    """
    target = next((target for target in settings.enos if target.company == company), None)
    if target is None:
        what = f"company {company} has no EnOS in the settings"
        raise ConfigError(what, key="enos", fix="add an entry for it, or import files")

    async def do(database: Database) -> Imported:
        gateway = Gateway(target, SystemClock())
        try:
            documents = await fetch_models(gateway, wanted)
        finally:
            await gateway.close()
        origin = f"EnOS {target.org_id}"
        read = models_in(documents, origin) if documents else Read()
        have = {model_ids(item) for item in documents if isinstance(item, dict)}
        for model_id in [name for name in wanted if name not in have]:
            read.tell(Problem(origin, model_id, "EnOS has no such model", "check its id"))
        return await _keep(database, company, [(origin, read)])

    return _run(settings, do)


async def _keep(database: Database, company: str, reads: Iterable[tuple[str, Read]]) -> Imported:
    """Keep what was read, all in one transaction."""
    total = Imported()
    async with database.write(None) as session:
        scope = await find_company(session, company)
        service = ThingModelService(session, scope, SystemClock())
        for origin, read in reads:
            done = await service.add(read, origin=origin, who=audit.cli_user())
            for name in ("new", "changed", "same", "problems"):
                getattr(total, name).extend(getattr(done, name))
            total.untold += done.untold
    return total


def listed(settings: CloudSettings, company: str) -> list[dict[str, Any]]:
    """Return what a company's points can be mapped to, by name."""

    async def do(database: Database) -> list[dict[str, Any]]:
        async with database.read(None) as session:
            scope = await find_company(session, company)
            heads = await ThingModelRepository(session, scope).heads()
        known = {model.model_id: show_builtin(model) for model in builtin()}
        both = known | {row.model_id: show_head(row) for row in heads}
        return [item for _, item in sorted(both.items())]

    return _run(settings, do)


def check(settings: CloudSettings, company: str, site: str, target: TargetName) -> dict[str, Any]:
    """Return what does not fit in the mapping of the site with this slug."""

    async def do(database: Database) -> dict[str, Any]:
        async with database.read(None) as session:
            scope, site_id = await find_site(session, site, company)
            service = ThingModelService(session, scope, SystemClock())
            checked, found = await service.check(site_id, target)
        return show_check(site_id, target, checked, found)

    return _run(settings, do)


def _run(settings: CloudSettings, do: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        database = open_database(settings)
        try:
            await migrate(database)
            return await do(database)
        finally:
            await database.close()

    return asyncio.run(run())
