"""What is done with a company's thing models: import, compare, delete, check a site against them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.thingmodels.documents import Change, changes, digest, document_of, model_from
from plantroom_cloud.thingmodels.reading import Read
from plantroom_cloud.thingmodels.repository import (
    ClaimRepository,
    OverrideRepository,
    ThingModelRepository,
)
from plantroom_cloud.thingmodels.shapes import Problem
from plantroom_shared.clock import Clock
from plantroom_shared.mapping.classes import canonical
from plantroom_shared.mapping.conversion import Source
from plantroom_shared.mapping.overrides import Overrides
from plantroom_shared.mapping.schema import Claim, SchemaFinding, check
from plantroom_shared.mapping.targets import TargetName, builtin, catalog
from plantroom_shared.mapping.things import Catalog, ThingModel

MAX_OWN = 2000
"""Models that a company may have, as many as an EnOS organisation."""


class TooMany(ApiError):
    """The company has as many as it may have."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "too_many"
    title: ClassVar[str] = "There are too many"


@dataclass(slots=True)
class Imported:
    """What became of the models of a file."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    untold: int = 0


class ThingModelService:
    """The thing models of one company.

    Args:
        session: of a transaction that writes, for what changes anything.
        scope: the company.
        clock: for the times of versions.
    """

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._models = ThingModelRepository(session, scope)
        self._overrides = OverrideRepository(session, scope)
        self._claims = ClaimRepository(session, scope)
        self._clock, self._session, self._scope = clock, session, scope

    async def add(self, read: Read, *, origin: str, who: Principal | str) -> Imported:
        """Keep models that were read: new ones, and a further version of those that differ.

        Raises:
            TooMany: the company would have more than `MAX_OWN`; nothing is kept.
        """
        await self._models.lock()
        known = {
            row.model_id: digest(model_from(row.document)) for row in await self._models.heads()
        }
        if len(known.keys() | {model.model_id for model in read.models}) > MAX_OWN:
            msg = f"a company may have {MAX_OWN} models; delete some first"
            raise TooMany(msg)
        done = Imported(problems=list(read.problems), untold=read.untold)
        for model in read.models:
            mark = digest(model)
            if known.get(model.model_id) == mark:
                done.same.append(model.model_id)
                continue
            row = {
                "model_id": model.model_id,
                "digest": mark,
                "document": document_of(model),
                "origin": origin[:200],
                "actor": audit.display_name(who)[:200],
                "created_us": self._clock.now_us(),
            }
            await self._models.put(row)
            (done.changed if model.model_id in known else done.new).append(model.model_id)
            about = {"digest": known.get(model.model_id)}
            self._record(who, "import", model.model_id, about, {"digest": mark, "origin": origin})
        return done

    def _record(
        self, who: Principal | str, verb: str, model: str, before: Any = None, after: Any = None
    ) -> None:
        audit.record(
            self._session,
            self._scope,
            who=who,
            action=f"thing-model.{verb}",
            subject=f"thing-model/{model}",
            before=before,
            after=after,
        )

    async def delete(self, model_id: str, who: Principal | str) -> None:
        """End a model; its versions stay to be seen. NotFound where the company has none such."""
        if not await self._models.end(model_id, self._clock.now_us()):
            raise _no_model(model_id)
        self._record(who, "delete", model_id)

    async def catalog(self) -> Catalog:
        """Return the models that the company can map to, built-in ones and its own."""
        return catalog(await self._models.current())

    async def find(self, model_id: str, version: int | None = None) -> tuple[ThingModel, list[Any]]:
        """Return a model (one of its versions) and all versions; NotFound where there is none."""
        versions = await self._models.versions(model_id)
        for row in reversed(versions):
            if row.version == version or (version is None and row.ended_us is None):
                return model_from(row.document), versions
        known = next((model for model in builtin() if model.model_id == model_id), None)
        if known is None or version is not None:
            raise _no_model(model_id, version)
        return known, versions

    async def diff(
        self, model_id: str, old: int | None, new: int | None
    ) -> tuple[str, str, list[Change]]:
        """Return what is compared with what, and how they differ.

        Without numbers: the newest version with the one before; a first one with the built-in
        model of its name, or with nothing.
        """
        after, versions = await self.find(model_id, new)
        numbers = [row.version for row in versions]
        at = new if new is not None else (numbers[-1] if numbers else None)
        if old is None and at is not None:
            old = max((number for number in numbers if number < at), default=None)
        if old is not None:
            before, _ = await self.find(model_id, old)
            return f"version {old}", f"version {at}", changes(before, after)
        known = next((model for model in builtin() if model.model_id == model_id), None)
        return (
            "built in" if known else "nothing",
            "built in" if at is None else f"version {at}",
            changes(known, after),
        )

    async def check(self, site_id: int, target: TargetName) -> tuple[Checked, list[SchemaFinding]]:
        """Return what of a site's mapping does not fit the models it is mapped to.

        Raises:
            NotFound: the company has no such site.
        """
        if not await self._claims.has_site(site_id):
            msg = f"there is no site {site_id}; GET /v1/sites lists yours"
            raise NotFound(msg)
        rows = [row for row in await self._claims.mapped(site_id) if row.state != "rejected"]
        overrides = await self._overrides.current()
        claims = [_claim(row, overrides, site_id, target) for row in rows]
        # Seconds of pure Python for a large site: not in the loop that serves requests.
        found = await asyncio.to_thread(check, claims, await self.catalog())
        mapped = [claim for claim in claims if claim.model_id and claim.model_point]
        return Checked.of(len(rows), mapped, found), found


@dataclass(frozen=True, slots=True)
class Checked:
    """How a site's mapping does, in numbers."""

    points: int
    mapped: int
    fitting: int
    """Mapped points that no error names."""
    equipment: int
    findings: dict[str, int]
    """Kind → how many."""

    @classmethod
    def of(cls, points: int, mapped: Sequence[Claim], found: Sequence[SchemaFinding]) -> Checked:
        """Count."""
        wrong = {point for f in found if f.severity == "error" for point in f.points}
        return cls(
            points,
            len(mapped),
            sum(claim.point not in wrong for claim in mapped),
            len({claim.equipment for claim in mapped}),
            dict(sorted(Counter(f.kind for f in found).items())),
        )


def _claim(row: AnyRow, overrides: Overrides, site_id: int, target: TargetName) -> Claim:
    """Return what a point claims to be; of Brick and Haystack its class."""
    meaning = overrides.apply(row.point_id, site_id, row.equipment, row.model_id, row.model_point)
    claim = Claim(
        str(row.point_id),
        row.equipment,
        meaning.model_id,
        meaning.model_point,
        Source(row.unit, tuple(map(str, row.states or ())), row.object_type),
        meaning.adjustment,
        row.name,
    )
    if target == "enos":
        return claim
    point_class = canonical(row.point_class)
    return replace(claim, model_id=target if point_class else "", model_point=point_class)


def _no_model(model_id: str, version: int | None = None) -> NotFound:
    which = f"version {version} of " if version is not None else ""
    return NotFound(f"there is no {which}thing model {model_id}; GET /v1/thing-models lists yours")
