"""SQL of the review."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.review.standing import IMPORTED, Event, Standing, fold, undone
from plantroom_cloud.tables import (
    Latest,
    MappingBasis,
    Point,
    ReviewEvent,
    ReviewRequest,
    Site,
)
from plantroom_cloud.tables import Mapping as MappingRow
from plantroom_shared.mapping import Template

_CHUNK: Final = 500
"""Rows of one statement: below every engine's limit of bound values."""
BASIS: Final = (
    "template_id",
    "key",
    "template",
    "equipment",
    "equip_class",
    "point_class",
    "model_id",
    "model_point",
    "confidence",
    "source",
    "evidence",
    "candidates",
)
BARE: Final = BASIS[:-2]
"""Without the lists."""
SAID: Final = (
    "template",
    "equipment",
    "equip_class",
    "point_class",
    "model_id",
    "model_point",
    "confidence",
    "source",
    "state",
)
"""What a mapping says, without its evidence and when it was said."""
_EVENT: Final = (
    ReviewEvent.id,
    ReviewEvent.request,
    ReviewEvent.at_us,
    ReviewEvent.actor,
    ReviewEvent.action,
    ReviewEvent.subject,
    ReviewEvent.point_class,
    ReviewEvent.before,
    ReviewEvent.note,
)
_SAMPLE: Final = (
    Point.id,
    Point.name,
    Point.description,
    Point.unit,
    Point.object_type,
    Point.states,
    MappingRow.equipment,
    MappingRow.equip_class,
    MappingRow.point_class,
    MappingRow.model_point,
    MappingRow.confidence,
    MappingRow.source,
    MappingRow.state,
    MappingRow.evidence,
    Latest.value,
    Latest.text,
    Latest.ts_us,
)


class ReviewRepository(Repository):
    """Decisions about the mappings of one company."""

    async def lock(self, site_id: int) -> bool:
        """Have one at a time decide about a site; False if the company has none of this id."""
        # On PostgreSQL; on SQLite there is one writer anyway.
        statement = select(Site.id).where(self._own(Site), Site.id == site_id)
        found = await self._session.execute(statement.with_for_update(key_share=True))
        return found.first() is not None

    async def exists(self, site_id: int) -> bool:
        """Tell whether the company has this site."""
        statement = select(Site.id).where(self._own(Site), Site.id == site_id)
        return (await self._session.execute(statement)).first() is not None

    async def events(self, site_id: int) -> list[Event]:
        """Return the history of a site, in order; what was imported stands in its mappings."""
        statement = (
            select(*_EVENT)
            .where(
                self._own(ReviewEvent),
                ReviewEvent.site_id == site_id,
                ReviewEvent.action != IMPORTED,
            )
            .order_by(ReviewEvent.id)
        )
        return [Event(*row) for row in await self._session.execute(statement)]

    async def standing(self, site_id: int, known: Iterable[Template]) -> Standing:
        """Return what holds at a site of which `known` are the templates."""
        return fold(await self.events(site_id), frozenset(known))

    async def history(self, site_id: int, page: Page) -> Sequence[AnyRow]:
        """Return events, the newest first, one more than the page holds if there are more."""
        statement = select(*_EVENT).where(self._own(ReviewEvent), ReviewEvent.site_id == site_id)
        if page.after:
            statement = statement.where(ReviewEvent.id < page.after[0])
        statement = statement.order_by(ReviewEvent.id.desc()).limit(page.limit + 1)
        return (await self._session.execute(statement)).all()

    async def undone(self, site_id: int) -> set[str]:
        """Return the requests that were taken back."""
        statement = select(*_EVENT).where(
            self._own(ReviewEvent), ReviewEvent.site_id == site_id, ReviewEvent.action == "undo"
        )
        return undone(Event(*row) for row in await self._session.execute(statement))

    async def note(self, site_id: int, events: Sequence[Mapping[str, Any]]) -> None:
        """Add to the history."""
        own = {"company_id": self._scope.company_id, "site_id": site_id}
        for part in _parts(events):
            await self._session.execute(insert(ReviewEvent), [own | dict(row) for row in part])

    async def request(self, site_id: int, request: str) -> AnyRow | None:
        """Return digest and answer of a request that was heard before."""
        statement = select(ReviewRequest.digest, ReviewRequest.answer).where(
            self._own(ReviewRequest), ReviewRequest.site_id == site_id, ReviewRequest.id == request
        )
        return (await self._session.execute(statement)).one_or_none()

    async def heard(
        self, site_id: int, request: str, digest: str, answer: Mapping[str, Any]
    ) -> None:
        """Keep what a request was and what was answered."""
        row = {"company_id": self._scope.company_id, "site_id": site_id, "id": request}
        await self._session.execute(
            insert(ReviewRequest).values(**row, digest=digest, answer=dict(answer))
        )

    # ------------------------------------------------------------ what the mapper found

    async def basis(self, site_id: int, names: Sequence[str] = BARE) -> Sequence[AnyRow]:
        """Return what the mapper found of every point of a site, by point id.

        Args:
            site_id: the site.
            names: which columns; without lists, which take long to read, unless they are needed.
        """
        columns = [getattr(MappingBasis, name) for name in ("point_id", *names)]
        statement = (
            select(*columns)
            .where(self._own(MappingBasis), MappingBasis.site_id == site_id)
            .order_by(MappingBasis.point_id)
        )
        return (await self._session.execute(statement)).all()

    async def keep_basis(self, site_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep what the mapper found: each row has point_id and what `BASIS` names."""
        if not rows:
            return
        own = {"company_id": self._scope.company_id, "site_id": site_id}
        new = insert_into(self._session, MappingBasis)
        changed = {name: new.excluded[name] for name in BASIS}
        connection = await self._session.connection()
        await connection.execute(
            new.on_conflict_do_update(index_elements=["point_id"], set_=changed),
            [own | dict(row) for row in rows],
        )

    async def evidence(self, point_ids: Sequence[int]) -> dict[int, list[Any]]:
        """Return the mapper's evidence of points, by point id."""
        found: dict[int, list[Any]] = {}
        for part in _parts(point_ids):
            statement = select(MappingBasis.point_id, MappingBasis.evidence).where(
                self._own(MappingBasis), MappingBasis.point_id.in_(part)
            )
            found.update(
                (row.point_id, row.evidence) for row in await self._session.execute(statement)
            )
        return found

    async def said(self, site_id: int) -> dict[int, AnyRow]:
        """Return what the mappings of a site say, by point id."""
        columns = [getattr(MappingRow, name) for name in ("point_id", *SAID)]
        statement = select(*columns).where(self._own(MappingRow), MappingRow.site_id == site_id)
        return {row.point_id: row for row in await self._session.execute(statement)}

    async def say(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Change mappings by point id; each row has point_id, what `SAID` names, and evidence."""
        if not rows:
            return
        table = MappingRow.__table__
        names = (*SAID, "evidence")
        new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
        statement = (
            update(table)  # type: ignore[arg-type]  # the mapped class's own table
            .where(
                table.c.point_id == bindparam("at"),
                table.c.company_id == self._scope.company_id,
            )
            .values(new)
        )
        values = [
            {"at": row["point_id"], **{f"new_{name}": row[name] for name in names}} for row in rows
        ]
        connection = await self._session.connection()
        await connection.execute(statement, values)

    # ------------------------------------------------------------ for a person to look at

    async def of_template(self, site_id: int, template: str) -> Sequence[AnyRow]:
        """Return point id, key, evidence and candidates of the points of a template."""
        statement = (
            select(
                MappingBasis.point_id,
                MappingBasis.key,
                MappingBasis.point_class,
                MappingBasis.confidence,
                MappingBasis.source,
                MappingBasis.evidence,
                MappingBasis.candidates,
            )
            .where(
                self._own(MappingBasis),
                MappingBasis.site_id == site_id,
                MappingBasis.template_id == template,
            )
            .order_by(MappingBasis.point_id)
        )
        return (await self._session.execute(statement)).all()

    async def names(self, point_ids: Sequence[int]) -> dict[int, str]:
        """Return the raw names of points, by id."""
        found: dict[int, str] = {}
        for part in _parts(point_ids):
            statement = select(Point.id, Point.name).where(self._own(Point), Point.id.in_(part))
            found.update((row.id, row.name) for row in await self._session.execute(statement))
        return found

    async def samples(self, point_ids: Collection[int]) -> Sequence[AnyRow]:
        """Return a few points with what they are mapped to and their newest values, by id."""
        newest = (Latest.point_id == Point.id) & self._own(Latest)
        statement = (
            select(*_SAMPLE)
            .join(MappingRow, MappingRow.point_id == Point.id)
            .outerjoin(Latest, newest)
            .where(self._own(Point, MappingRow), Point.id.in_(sorted(point_ids)))
            .order_by(Point.id)
        )
        return (await self._session.execute(statement)).all()


def _parts(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
