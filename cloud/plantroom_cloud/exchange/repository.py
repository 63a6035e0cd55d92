"""SQL of exports and imports: a site's points with what they mean."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, func, select, true, tuple_

from plantroom_cloud.db import insert_into
from plantroom_cloud.exchange.plan import PERSON, Change, ImportPlan, Present
from plantroom_cloud.exchange.record import (
    RELATIONS,
    Equipment,
    Outline,
    PointMeaning,
    SiteAbout,
    usual,
)
from plantroom_cloud.kit.repository import AnyRow, AnySelect, Repository
from plantroom_cloud.review.basis import lock_site
from plantroom_cloud.review.repository import ReviewRepository
from plantroom_cloud.review.standing import IMPORTED, of_point
from plantroom_cloud.tables import Device, Mapping, Point, Site
from plantroom_shared.mapping.names import clean, fold

PAGE: Final = 2000
"""Points read, and written, at once."""
_CHUNK: Final = 500
"""Rows of one statement: below every engine's limit of bound values."""
_FIXED: Final = frozenset({"company_id", "point_id", "site_id", "template"})
"""Columns that a mapping keeps once it is there."""
_EQUIPMENT: Final = func.coalesce(Mapping.equipment, "")


@dataclass(frozen=True, slots=True)
class Decided:
    """What goes with every change of an import."""

    evidence: str
    actor: str
    """Who takes it in."""
    now_us: int


class ExchangeRepository(Repository):
    """What one company's site exports, and what it has when something is imported."""

    async def site(self, site_id: int) -> SiteAbout | None:
        """Return the site; None if the company has none of this id."""
        query = select(Site.slug, Site.name, Site.timezone).where(
            self._own(Site), Site.id == site_id
        )
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else SiteAbout(*row)

    async def outline(self, site_id: int, about: SiteAbout, *, accepted: bool) -> Outline:
        """Return equipment and classes of a site: all that a writer must know before the points."""
        own = (Mapping.equipment, Mapping.equip_class)
        query = (
            select(*own, Mapping.parent, Mapping.relation, func.count())
            .where(self._own(Mapping), Mapping.site_id == site_id, _only(accepted=accepted))
            .group_by(*own, Mapping.parent, Mapping.relation)
        )
        rows = (await self._session.execute(query)).all()
        classes = await self._session.scalars(
            select(Mapping.point_class)
            .where(self._own(Mapping), Mapping.site_id == site_id, Mapping.point_class != "")
            .distinct()
        )
        return Outline(about, _equipment(rows), frozenset(classes))

    async def pages(
        self, site_id: int, *, accepted: bool, most: int = PAGE
    ) -> AsyncIterator[list[PointMeaning]]:
        """Yield the points of a site by equipment and id, so many at once."""
        after: tuple[str, int] | None = None
        while True:
            query = self._points(site_id).where(_only(accepted=accepted))
            if after is not None:
                query = query.where(tuple_(_EQUIPMENT, Point.id) > tuple_(*after))
            query = query.order_by(_EQUIPMENT, Point.id).limit(most)
            rows = (await self._session.execute(query)).all()
            if rows:
                yield [_meaning(row) for row in rows]
            if len(rows) < most:
                return
            after = (rows[-1].equipment or "", rows[-1].id)

    async def present(self, site_id: int) -> list[Present]:
        """Return every point of a site with its mapping."""
        rows = (await self._session.execute(self._points(site_id).order_by(Point.id))).all()
        return [
            Present(row.id, _meaning(row), Equipment("", "", row.parent or "", row.relation or ""))
            for row in rows
        ]

    async def lock(self, site_id: int) -> None:
        """Have nobody else map or decide about a site until the transaction ends."""
        await lock_site(self._session, self._scope, site_id)

    async def decide(
        self, site_id: int, plan: ImportPlan, about: Decided, *, overwrite: bool
    ) -> None:
        """Write the changes of a plan, and who made them into the history of the site.

        Args:
            site_id: the site.
            plan: what is to be changed.
            about: what goes with every change.
            overwrite: also what a person decided here.
        """
        kept = true() if overwrite else Mapping.source != PERSON
        for start in range(0, len(plan.changes), _CHUNK):
            part = plan.changes[start : start + _CHUNK]
            rows = [self._row(site_id, change, about) for change in part]
            new = insert_into(self._session, Mapping)
            fresh = {name: new.excluded[name] for name in rows[0] if name not in _FIXED}
            connection = await self._session.connection()
            await connection.execute(
                new.on_conflict_do_update(
                    index_elements=[Mapping.point_id],
                    set_=fresh,
                    where=and_(self._own(Mapping), kept),
                ),
                rows,
            )

        history = ReviewRepository(self._session, self._scope)
        await history.note(site_id, [_event(change, plan, about) for change in plan.changes])

    def _row(self, site_id: int, change: Change, about: Decided) -> dict[str, Any]:
        after = change.after
        return {
            "company_id": self._scope.company_id,
            "point_id": change.id,
            "site_id": site_id,
            "template": fold(clean(after.name))[0],
            "equipment": after.equipment,
            "equip_class": after.equip_class,
            "parent": change.parent,
            "relation": change.relation,
            "point_class": after.point_class,
            "model_id": after.model_id,
            "model_point": after.model_point,
            "confidence": after.confidence,
            "source": after.source,
            "state": after.state,
            "evidence": [about.evidence],
            "mapped_us": about.now_us,
        }

    def _points(self, site_id: int) -> AnySelect:
        mapped = and_(Mapping.point_id == Point.id, self._own(Mapping))
        return (
            select(
                Point.id,
                Point.gateway_id,
                Point.key,
                Device.key.label("device"),
                Point.name,
                Point.description,
                Point.unit,
                Point.object_type,
                Point.states,
                Point.writable,
                Mapping.equipment,
                Mapping.equip_class,
                Mapping.point_class,
                Mapping.model_id,
                Mapping.model_point,
                Mapping.confidence,
                Mapping.source,
                Mapping.state,
                Mapping.parent,
                Mapping.relation,
            )
            .join(Device, Device.id == Point.device_id)
            .outerjoin(Mapping, mapped)
            .where(self._own(Point, Device), Point.site_id == site_id)
        )


def _event(change: Change, plan: ImportPlan, about: Decided) -> dict[str, Any]:
    before = change.before
    was = {"point_class": before.point_class, "confidence": before.confidence}
    return {
        "request": plan.digest,
        "at_us": about.now_us,
        "actor": about.actor,
        "action": IMPORTED,
        "subject": of_point(change.id),
        "point_class": change.after.point_class,
        "before": was | {"source": before.source, "points": 1},
        "note": about.evidence,
    }


def _only(*, accepted: bool) -> Any:
    return Mapping.state == "accepted" if accepted else true()


def _equipment(rows: Sequence[AnyRow]) -> dict[str, Equipment]:
    """Return equipment by key, with the class most of its points give it, and every parent."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    relations: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for key, equip_class, parent, relation, count in rows:
        if not key:
            continue
        votes[key][equip_class] += count
        if parent and relation in RELATIONS:
            relations[key][parent, relation] += count
            votes.setdefault(parent, Counter())
    return {
        key: Equipment(key, usual(votes[key]), *_first(relations.get(key))) for key in sorted(votes)
    }


def _first(counted: Counter[tuple[str, str]] | None) -> tuple[str, str]:
    if not counted:
        return "", ""
    return min(counted, key=lambda pair: (-counted[pair], pair))


def _meaning(row: AnyRow) -> PointMeaning:
    return PointMeaning(
        gateway=row.gateway_id,
        key=row.key,
        device=row.device,
        name=row.name,
        description=row.description,
        unit=row.unit,
        object_type=row.object_type,
        states=tuple(map(str, row.states or ())),
        writable=row.writable,
        equipment=row.equipment or "",
        equip_class=row.equip_class or "",
        point_class=row.point_class or "",
        model_id=row.model_id or "",
        model_point=row.model_point or "",
        confidence=row.confidence,
        source=row.source or "",
        state=row.state or "",
    )
