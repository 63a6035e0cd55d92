"""SQL of a company's licence, what it has and uses, notices and features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, func, or_, select

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.licensing.model import (
    Licence,
    Limit,
    Status,
    day_of,
    from_json,
    month_of,
    to_json,
)
from plantroom_cloud.licensing.usage import Use
from plantroom_cloud.tables import (
    FeatureFlag,
    Gateway,
    LicenceNotice,
    LicenceRow,
    LlmUsage,
    Membership,
    Point,
    Site,
    UsageDay,
)

_COUNTED: Final[dict[Limit, Any]] = {
    Limit.SITES: Site,
    Limit.GATEWAYS: Gateway,
    Limit.POINTS: Point,
    Limit.USERS: Membership,
}
_BY_DAY: Final = {
    Limit.JOBS: Use.JOBS,
    Limit.REQUESTS: Use.REQUESTS,
    Limit.SAMPLES: Use.SAMPLES,
}


class LicenceRepository(Repository):
    """One company's licence, and all that it is measured by."""

    # ------------------------------------------------------------ licence

    async def licence(self, *, lock: bool = False) -> Licence | None:
        """Return the licence; None where none was given.

        Args:
            lock: nobody else who asks so goes on before this transaction has ended.
        """
        columns = (
            LicenceRow.plan,
            LicenceRow.status,
            LicenceRow.limits,
            LicenceRow.from_us,
            LicenceRow.until_us,
        )
        statement = select(*columns).where(self._own(LicenceRow))
        statement = statement.with_for_update() if lock else statement
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            return None
        limits = from_json(row.limits)
        return Licence(row.plan, Status(row.status), limits, row.from_us, row.until_us)

    async def put(self, licence: Licence, now_us: int, by: str) -> None:
        """Make `licence` the one that the company has."""
        values = {
            "plan": licence.plan,
            "status": licence.status.value,
            "limits": to_json(licence.limits),
            "from_us": licence.from_us,
            "until_us": licence.until_us,
            "changed_us": now_us,
            "changed_by": by[:200],
        }
        new = insert_into(self._session, LicenceRow)
        statement = new.values(values | {"company_id": self._scope.company_id})
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["company_id"], set_=values)
        )

    async def remove(self) -> None:
        """Take the licence away: nothing is limited then."""
        await self._session.execute(delete(LicenceRow).where(self._own(LicenceRow)))

    # ------------------------------------------------------------ what there is

    async def used(self, limit: Limit, now_us: int) -> int:
        """Return how much there is of what a limit counts, today or this month."""
        if limit is Limit.LLM_TOKENS:
            return await self.llm_tokens(month_of(now_us))
        if (use := _BY_DAY.get(limit)) is not None:
            which = (UsageDay.day == day_of(now_us), UsageDay.what == use.value)
            statement = select(UsageDay.amount).where(self._own(UsageDay), *which)
            return int((await self._session.execute(statement)).scalar() or 0)
        table = _COUNTED[limit]
        statement = select(func.count()).select_from(table).where(self._own(table))
        if limit is Limit.GATEWAYS:
            statement = statement.where(Gateway.revoked_us.is_(None))
        return int((await self._session.execute(statement)).scalar_one())

    async def llm_tokens(self, month: str) -> int:
        """Return the tokens of a month, those set aside included."""
        total = func.coalesce(func.sum(LlmUsage.tokens_in + LlmUsage.tokens_out), 0)
        within = or_(LlmUsage.period == month, LlmUsage.period.startswith(f"{month}-"))
        statement = select(total).where(self._own(LlmUsage), within)
        return int((await self._session.execute(statement)).scalar_one())

    async def standing(self, licence: Licence, now_us: int) -> dict[Limit, int]:
        """Return how much there is of everything that a licence limits."""
        return {limit: await self.used(limit, now_us) for limit in Limit if limit in licence.limits}

    async def last_point(self, most: int) -> int:
        """Return the id of the last of the `most` oldest points; one above all where there are fewer."""
        if most == 0:
            return 0
        statement = select(Point.id).where(self._own(Point)).order_by(Point.id)
        found = (await self._session.execute(statement.offset(most - 1).limit(1))).scalar()
        return 2**63 - 1 if found is None else int(found)

    async def days(self, first: int, last: int) -> Sequence[AnyRow]:
        """Return what was used from one day to another, both included."""
        columns = (UsageDay.day, UsageDay.what, UsageDay.amount)
        statement = select(*columns).where(
            self._own(UsageDay), UsageDay.day >= first, UsageDay.day <= last
        )
        return (await self._session.execute(statement.order_by(UsageDay.day, UsageDay.what))).all()

    # ------------------------------------------------------------ notices

    async def notice(
        self, *, day: int, subject: str, kind: str, used: int, most: int | None, at_us: int
    ) -> bool:
        """Enter a notice; False where there is one of this day already."""
        values = {"day": day, "subject": subject, "kind": kind, "used": used, "most": most}
        values |= {"at_us": at_us, "company_id": self._scope.company_id}
        statement = insert_into(self._session, LicenceNotice).values(values)
        made = statement.on_conflict_do_nothing().returning(LicenceNotice.id)
        return (await self._session.execute(made)).first() is not None

    async def notices(self, limit: int) -> Sequence[AnyRow]:
        """Return the newest notices."""
        columns = (
            LicenceNotice.at_us,
            LicenceNotice.subject,
            LicenceNotice.kind,
            LicenceNotice.used,
            LicenceNotice.most,
        )
        statement = select(*columns).where(self._own(LicenceNotice))
        newest = statement.order_by(LicenceNotice.id.desc()).limit(limit)
        return (await self._session.execute(newest)).all()

    async def forget(self, before_day: int) -> None:
        """Drop notices of days before."""
        which = (self._own(LicenceNotice), LicenceNotice.day < before_day)
        await self._session.execute(delete(LicenceNotice).where(*which))

    # ------------------------------------------------------------ features

    async def features(self) -> dict[str, AnyRow]:
        """Return what is switched against its default."""
        columns = (
            FeatureFlag.name,
            FeatureFlag.enabled,
            FeatureFlag.changed_us,
            FeatureFlag.changed_by,
        )
        rows = await self._session.execute(select(*columns).where(self._own(FeatureFlag)))
        return {row.name: row for row in rows}

    async def feature(self, name: str) -> bool | None:
        """Return how a feature is switched; None where it is as it is by default."""
        statement = select(FeatureFlag.enabled)
        which = (self._own(FeatureFlag), FeatureFlag.name == name)
        return (await self._session.execute(statement.where(*which))).scalar_one_or_none()

    async def switch(self, name: str, *, enabled: bool, now_us: int, by: str) -> None:
        """Switch a feature on or off."""
        values = {"enabled": enabled, "changed_us": now_us, "changed_by": by[:200]}
        new = insert_into(self._session, FeatureFlag)
        statement = new.values(values | {"name": name, "company_id": self._scope.company_id})
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["company_id", "name"], set_=values)
        )

    async def unswitch(self, name: str) -> None:
        """Leave a feature to its default again."""
        which = (self._own(FeatureFlag), FeatureFlag.name == name)
        await self._session.execute(delete(FeatureFlag).where(*which))
