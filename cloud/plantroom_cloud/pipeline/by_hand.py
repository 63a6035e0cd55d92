"""Jobs from the command line, straight on the database."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.audit import cli_user
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.conventions.store import OnceRepository, fingerprint
from plantroom_cloud.db import Scope, open_database
from plantroom_cloud.identity.setup import find_company
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.problems import ApiError
from plantroom_cloud.migrations import migrate
from plantroom_cloud.pipeline.edges import Edges, identity_of
from plantroom_cloud.pipeline.repository import JobRepository
from plantroom_cloud.pipeline.results import points_page
from plantroom_cloud.pipeline.schemas import show_job, show_short
from plantroom_cloud.pipeline.searching import targets_of
from plantroom_cloud.pipeline.service import Asked, JobService, no_job
from plantroom_cloud.pipeline.uploads import MAX_UPLOAD, Upload
from plantroom_cloud.tables import Site
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

T = TypeVar("T")
Do = Callable[[AsyncSession, Scope], Awaitable[T]]
COLUMNS: Final = (
    "building", "point_name", "equip_id", "equip_class", "point_type", "model", "model_point",
    "confidence", "state", "point", "device_instance", "object_type", "object_instance",
)  # fmt: skip
_PAGE: Final = 1000


class Jobs:
    """A company's jobs, for whoever runs the service.

    Args:
        settings: of the service.
        company: the company's slug.
    """

    def __init__(self, settings: CloudSettings, company: str) -> None:
        self._settings, self._company = settings, company

    def start(
        self,
        file: Path | None,
        sites: Sequence[str],
        key: str | None,
        options: dict[str, Any],
        edges: Edges | None = None,
    ) -> str:
        """Enter a job over a list, Edges, or sites by their slugs, all where none is named."""
        asked = None if file is None else _upload(file, options)
        if edges is not None:
            self._has_enos()
            asked = Asked(edges=edges, options=options)
        data = b"" if file is None else file.read_bytes()

        async def do(session: AsyncSession, scope: Scope) -> str:
            wanted = asked or Asked(await _sites(session, scope, sites), options=options)
            start = partial(JobService(session, scope, SystemClock()).start, wanted, cli_user())
            if key is None:
                return await start()
            of = fingerprint(
                data,
                str(file),
                orjson.dumps([*sites]),
                orjson.dumps(edges.buildings if edges else None),
                orjson.dumps(options),
            )
            once = OnceRepository(session, scope)
            return await once.within("job start", key, of, SystemClock().now_us(), start)

        return self._run(do)

    def status(self, job: str) -> dict[str, Any]:
        """Return how far a job has come, as the API shows it."""

        async def do(session: AsyncSession, scope: Scope) -> dict[str, Any]:
            jobs = JobRepository(session, scope)
            row = await jobs.find(job)
            if row is None:
                raise no_job(job)
            progress, told = await jobs.progress([job]), await jobs.told(job, "score")
            return show_job(row, progress, told, await jobs.troubles(job))

        return self._run(do)

    def listed(self) -> list[dict[str, Any]]:
        """Return the newest hundred jobs."""

        async def do(session: AsyncSession, scope: Scope) -> list[dict[str, Any]]:
            jobs = JobRepository(session, scope)
            rows = (await jobs.page(None, Page(100, None)))[:100]
            progress = await jobs.progress([row.id for row in rows])
            return [show_short(row, [p for p in progress if p.job_id == row.id]) for row in rows]

        return self._run(do)

    def cancel(self, job: str) -> None:
        """End a job."""
        self._run(
            lambda session, scope: JobService(session, scope, SystemClock()).cancel(job, cli_user())
        )

    def resume(self, job: str) -> None:
        """Go on with a job."""
        self._run(
            lambda session, scope: JobService(session, scope, SystemClock()).resume(job, cli_user())
        )

    def result(self, job: str, out: Path) -> int:
        """Write what is found so far as CSV; return how many points that are."""

        async def do(session: AsyncSession, scope: Scope) -> int:
            jobs, count, after = JobRepository(session, scope), 0, None
            row = await jobs.find(job)
            if row is None:
                raise no_job(job)
            text = io.StringIO(newline="")
            writer = csv.writer(text)
            writer.writerow(COLUMNS)
            while True:
                found = (await points_page(jobs, row, Page(_PAGE, after), None))[:_PAGE]
                writer.writerows(_cells(row.buildings, found))
                count += len(found)
                if len(found) < _PAGE:
                    break
                after = (found[-1]["building"], found[-1]["row"])
            _write(out, text.getvalue())
            return count

        return self._run(do)

    def _has_enos(self) -> None:
        if self._company not in targets_of(self._settings):
            what = f"company {self._company} has no EnOS in the settings"
            raise ConfigError(what, key="enos", fix="add an entry for it")

    def _run(self, do: Do[T]) -> T:
        async def run() -> T:
            database = open_database(self._settings)
            try:
                await migrate(database)
                async with database.write(None) as session:
                    return await do(session, await find_company(session, self._company))
            finally:
                await database.close()

        try:
            return asyncio.run(run())
        except ApiError as error:
            raise ConfigError(error.detail, key="job") from error


def _upload(file: Path, options: dict[str, Any]) -> Asked:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_UPLOAD + 1)
    except OSError as error:
        what = error.strerror or "cannot be read"
        raise ConfigError(what, file=str(file), fix="name a CSV file that can be read") from error
    if len(data) > MAX_UPLOAD:
        what = f"larger than {MAX_UPLOAD} bytes"
        raise ConfigError(what, file=str(file), fix="split it by building")
    name = file.stem or "upload"
    try:
        return Asked(upload=Upload(data, name), options=options)
    except ApiError as error:
        raise ConfigError(error.detail, file=str(file)) from error


async def _sites(
    session: AsyncSession, scope: Scope, slugs: Sequence[str]
) -> tuple[int, ...] | None:
    if not slugs:
        return None
    mine = select(Site.slug, Site.id).where(Site.company_id == scope.company_id)
    known = dict((await session.execute(mine)).all())
    for slug in slugs:
        if slug not in known:
            what = f"there is no site {slug[:64]!r}"
            fix = f"choose among: {', '.join(sorted(known)) or '(none yet)'}"
            raise ConfigError(what, key="site", fix=fix)
    return tuple(sorted({known[slug] for slug in slugs}))


def _cells(
    buildings: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, ...]]:
    for row in found:
        sure = "" if row["confidence"] is None else f"{row['confidence']:.3f}"
        yield (
            buildings[row["building"]]["name"], row["name"], row["equipment"], row["equip_class"],
            row["point_class"], row["model"], row["model_point"], sure, row["state"],
            row["point"], *identity_of(row["point"]),
        )  # fmt: skip


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8", newline="", errors="surrogatepass")
    except OSError as error:
        fix = "give --out a file in a folder that exists and may be written"
        raise ConfigError(error.strerror or "cannot be written", file=str(out), fix=fix) from error
