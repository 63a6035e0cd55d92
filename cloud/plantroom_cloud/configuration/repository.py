"""SQL of desired configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import func, insert, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import (
    ConfigurationAssignment,
    ConfigurationEvent,
    ConfigurationRollout,
    ConfigurationRunning,
    ConfigurationVersion,
    Device,
    Gateway,
    Point,
)

OPEN: Final = ("waiting", "staged", "sent", "pending")
"""States of an assignment that has not ended."""

_VERSION = (
    ConfigurationVersion.id, ConfigurationVersion.gateway_id, ConfigurationVersion.number,
    ConfigurationVersion.parent, ConfigurationVersion.digest, ConfigurationVersion.actor,
    ConfigurationVersion.why, ConfigurationVersion.origin, ConfigurationVersion.created_us,
)  # fmt: skip
_ASSIGNMENT = (
    ConfigurationAssignment.id, ConfigurationAssignment.gateway_id, ConfigurationAssignment.serial,
    ConfigurationAssignment.version, ConfigurationAssignment.rollout_id,
    ConfigurationAssignment.wave, ConfigurationAssignment.force, ConfigurationAssignment.actor,
    ConfigurationAssignment.why, ConfigurationAssignment.state, ConfigurationAssignment.reason,
    ConfigurationAssignment.errors, ConfigurationAssignment.created_us,
    ConfigurationAssignment.sent_us, ConfigurationAssignment.tries,
    ConfigurationAssignment.ended_us,
)  # fmt: skip
_ROLLOUT = (
    ConfigurationRollout.id, ConfigurationRollout.state, ConfigurationRollout.wave,
    ConfigurationRollout.waves, ConfigurationRollout.most_failed, ConfigurationRollout.patience_s,
    ConfigurationRollout.force, ConfigurationRollout.actor, ConfigurationRollout.why,
    ConfigurationRollout.reason, ConfigurationRollout.created_us, ConfigurationRollout.wave_us,
    ConfigurationRollout.ended_us,
)  # fmt: skip
_MOST_EVENTS: Final = 200
_SENDABLE: Final = ("staged", "sent")


class ConfigurationRepository(Repository):
    """A company's desired configurations."""

    # ------------------------------------------------------------ gateways

    async def gateway(self, gateway: str, *, lock: bool = False) -> AnyRow | None:
        """Return id, takes and online of a gateway, held for this transaction if that is asked."""
        query = select(Gateway.id, Gateway.takes, Gateway.online, Gateway.site_id)
        query = query.where(self._own(Gateway), Gateway.id == gateway)
        if lock:
            query = query.with_for_update(key_share=True)
        return (await self._session.execute(query)).one_or_none()

    async def gateways(self, site: int | None) -> list[str]:
        """Return the ids of all gateways, of one site if that is asked."""
        query = select(Gateway.id).where(self._own(Gateway)).order_by(Gateway.id)
        if site is not None:
            query = query.where(Gateway.site_id == site)
        return list((await self._session.execute(query)).scalars())

    async def devices(self, gateway: str) -> dict[str, int]:
        """Return how many points each device of a gateway has, by its key."""
        query = (
            select(Device.key, func.count(Point.id))
            .join(Point, Point.device_id == Device.id)
            .where(self._own(Device, Point), Device.gateway_id == gateway)
            .group_by(Device.key)
        )
        return {row[0]: row[1] for row in await self._session.execute(query)}

    # ------------------------------------------------------------ versions

    async def newest(self, gateway: str) -> AnyRow | None:
        """Return the newest version of a gateway."""
        return await self._one_version(gateway, None)

    async def version(self, gateway: str, number: int) -> AnyRow | None:
        """Return one version, with its document."""
        return await self._one_version(gateway, number)

    async def _one_version(self, gateway: str, number: int | None) -> AnyRow | None:
        query = select(*_VERSION, ConfigurationVersion.document).where(
            self._own(ConfigurationVersion), ConfigurationVersion.gateway_id == gateway
        )
        if number is not None:
            query = query.where(ConfigurationVersion.number == number)
        query = query.order_by(ConfigurationVersion.number.desc()).limit(1)
        return (await self._session.execute(query)).one_or_none()

    async def versions(self, gateway: str, page: Page) -> Sequence[AnyRow]:
        """Return versions, the newest first, one more than the page holds if there are more."""
        query = select(*_VERSION).where(
            self._own(ConfigurationVersion), ConfigurationVersion.gateway_id == gateway
        )
        if page.after:
            query = query.where(ConfigurationVersion.number < page.after[0])
        query = query.order_by(ConfigurationVersion.number.desc()).limit(page.limit + 1)
        return (await self._session.execute(query)).all()

    async def add_version(self, **values: Any) -> None:
        """Insert a version."""
        row = {"company_id": self._scope.company_id} | values
        await self._session.execute(insert(ConfigurationVersion).values(**row))

    async def running(self, gateway: str) -> AnyRow | None:
        """Return what a gateway said last that it runs."""
        columns = (
            ConfigurationRunning.version, ConfigurationRunning.config,
            ConfigurationRunning.document, ConfigurationRunning.told_us,
        )  # fmt: skip
        query = select(*columns).where(
            self._own(ConfigurationRunning), ConfigurationRunning.gateway_id == gateway
        )
        return (await self._session.execute(query)).one_or_none()

    async def note_running(self, gateway: str, **values: Any) -> None:
        """Keep what a gateway runs, unless it has said something newer.

        What is newer its journal tells, not its clock: that may have been wrong.
        """
        row = {"company_id": self._scope.company_id, "gateway_id": gateway}
        statement = insert_into(self._session, ConfigurationRunning).values(**row, **values)
        there, said = ConfigurationRunning, statement.excluded
        newer = (there.journal != said.journal) | (there.n <= said.n)
        mine = there.company_id == self._scope.company_id
        names = ("version", "config", "document", "journal", "n", "told_us")
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=["gateway_id"],
                set_={name: getattr(statement.excluded, name) for name in names},
                where=newer & mine,
            )
        )

    # ------------------------------------------------------------ assignments

    async def next_serial(self, gateway: str, now_us: int) -> int:
        """Return a number above all that were given to a gateway.

        Also above those that a database had given which was lost: it follows the seconds.
        """
        query = select(func.max(ConfigurationAssignment.serial)).where(
            self._own(ConfigurationAssignment), ConfigurationAssignment.gateway_id == gateway
        )
        last = (await self._session.execute(query)).scalar_one_or_none() or 0
        return max(last + 1, now_us // 1_000_000)

    async def add_assignment(self, **values: Any) -> None:
        """Insert an assignment."""
        row = {"company_id": self._scope.company_id} | values
        await self._session.execute(insert(ConfigurationAssignment).values(**row))

    async def assignment(self, ident: str) -> AnyRow | None:
        """Return one assignment."""
        query = select(*_ASSIGNMENT).where(
            self._own(ConfigurationAssignment), ConfigurationAssignment.id == ident
        )
        return (await self._session.execute(query)).one_or_none()

    async def latest(self, gateway: str) -> AnyRow | None:
        """Return a gateway's last assignment."""
        rows = await self.assignments(gateway, Page(1, None))
        return rows[0] if rows else None

    async def assignments(self, gateway: str, page: Page) -> Sequence[AnyRow]:
        """Return assignments of a gateway, the newest first."""
        query = select(*_ASSIGNMENT).where(
            self._own(ConfigurationAssignment), ConfigurationAssignment.gateway_id == gateway
        )
        if page.after:
            query = query.where(ConfigurationAssignment.serial < page.after[0])
        query = query.order_by(ConfigurationAssignment.serial.desc()).limit(page.limit + 1)
        return (await self._session.execute(query)).all()

    async def change(self, ident: str, **values: Any) -> None:
        """Change what is known of an assignment."""
        statement = update(ConfigurationAssignment).where(
            self._own(ConfigurationAssignment), ConfigurationAssignment.id == ident
        )
        await self._session.execute(statement.values(**values))

    async def due(self, now_us: int, limit: int) -> Sequence[AnyRow]:
        """Return what is to be sent now to gateways that are there, with version and document."""
        mine, version = ConfigurationAssignment, ConfigurationVersion
        there = (version.gateway_id == mine.gateway_id) & (version.number == mine.version)
        query = (
            select(mine.id, mine.gateway_id, mine.serial, mine.actor, mine.why, mine.force)
            .add_columns(mine.tries, version.number, version.document)
            .join(Gateway, Gateway.id == mine.gateway_id)
            .join(version, there)
            .where(self._own(mine, version, Gateway))
            .where(mine.state.in_(_SENDABLE), mine.due_us <= now_us)
            .where(Gateway.online.is_(True), Gateway.takes.contains("cfg"))
        )
        return (await self._session.execute(query.order_by(mine.due_us).limit(limit))).all()

    async def take(self, ident: str, now_us: int, pause_us: int) -> bool:
        """Enter that an assignment is sent; False if somebody else does, or it ended meanwhile."""
        mine = ConfigurationAssignment
        statement = (
            update(mine)
            .where(self._own(mine), mine.id == ident)
            .where(mine.state.in_(_SENDABLE), mine.due_us <= now_us)
            .values(state="sent", sent_us=now_us, due_us=now_us + pause_us, tries=mine.tries + 1)
            .returning(mine.id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def hurry(self, gateway: str, now_us: int) -> None:
        """Let what a gateway has not answered be sent again at once."""
        mine = ConfigurationAssignment
        statement = update(mine).where(
            self._own(mine), mine.gateway_id == gateway, mine.state == "sent"
        )
        await self._session.execute(statement.values(due_us=now_us))

    async def end_open(
        self, state: str, now_us: int, *, gateway: str = "", rollout: str = ""
    ) -> list[str]:
        """End what is open of a gateway; of a rollout: what was not sent yet. Return their ids."""
        mine = ConfigurationAssignment
        states = OPEN if gateway else ("waiting", "staged")
        statement = update(mine).where(self._own(mine), mine.state.in_(states))
        statement = statement.where(
            mine.gateway_id == gateway if gateway else mine.rollout_id == rollout
        )
        result = await self._session.execute(
            statement.values(state=state, ended_us=now_us).returning(mine.id)
        )
        return list(result.scalars())

    async def note(self, assignment: str, source: tuple[str, int], **event: Any) -> bool:
        """Add something that happened; False if it was told before."""
        row = {"company_id": self._scope.company_id, "assignment_id": assignment}
        row |= {"journal": source[0], "n": source[1]} | event
        statement = (
            insert_into(self._session, ConfigurationEvent)
            .values(**row)
            .on_conflict_do_nothing(index_elements=["assignment_id", "journal", "n"])
            .returning(ConfigurationEvent.id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def events(self, assignment: str) -> Sequence[AnyRow]:
        """Return what happened to an assignment, in order."""
        columns = ConfigurationEvent.at_us, ConfigurationEvent.kind, ConfigurationEvent.doc
        query = (
            select(*columns)
            .where(self._own(ConfigurationEvent), ConfigurationEvent.assignment_id == assignment)
            .order_by(ConfigurationEvent.id)
            .limit(_MOST_EVENTS)
        )
        return (await self._session.execute(query)).all()

    # ------------------------------------------------------------ rollouts

    async def add_rollout(self, **values: Any) -> None:
        """Insert a rollout."""
        row = {"company_id": self._scope.company_id, "reason": ""} | values
        await self._session.execute(insert(ConfigurationRollout).values(**row))

    async def rollout(self, ident: str, *, lock: bool = False) -> AnyRow | None:
        """Return one rollout, held for this transaction if that is asked."""
        query = select(*_ROLLOUT).where(
            self._own(ConfigurationRollout), ConfigurationRollout.id == ident
        )
        if lock:
            query = query.with_for_update(key_share=True)
        return (await self._session.execute(query)).one_or_none()

    async def running_rollouts(self) -> Sequence[str]:
        """Return the ids of those under way."""
        mine = ConfigurationRollout
        query = select(mine.id).where(self._own(mine), mine.state == "running").order_by(mine.id)
        return (await self._session.scalars(query)).all()

    async def rollouts(self, page: Page) -> Sequence[AnyRow]:
        """Return rollouts, the newest first."""
        query = select(*_ROLLOUT).where(self._own(ConfigurationRollout))
        key = (ConfigurationRollout.created_us, ConfigurationRollout.id)
        if page.after:
            at, ident = page.after
            query = query.where((key[0] < at) | ((key[0] == at) & (key[1] < ident)))
        query = query.order_by(key[0].desc(), key[1].desc()).limit(page.limit + 1)
        return (await self._session.execute(query)).all()

    async def of_rollout(self, ident: str) -> Sequence[AnyRow]:
        """Return the assignments of a rollout, by wave."""
        mine = ConfigurationAssignment
        query = select(*_ASSIGNMENT).where(self._own(mine), mine.rollout_id == ident)
        query = query.order_by(mine.wave, mine.gateway_id)
        return (await self._session.execute(query)).all()

    async def change_rollout(self, ident: str, **values: Any) -> None:
        """Change what is known of a rollout."""
        statement = update(ConfigurationRollout).where(
            self._own(ConfigurationRollout), ConfigurationRollout.id == ident
        )
        await self._session.execute(statement.values(**values))

    async def hold(self, ident: str) -> None:
        """Let what of a rollout was not sent yet wait."""
        mine = ConfigurationAssignment
        statement = update(mine).where(
            self._own(mine), mine.rollout_id == ident, mine.state == "staged"
        )
        await self._session.execute(statement.values(state="waiting"))

    async def open_wave(self, ident: str, wave: int, now_us: int) -> None:
        """Let a wave's assignments be sent."""
        mine = ConfigurationAssignment
        statement = update(mine).where(
            self._own(mine), mine.rollout_id == ident, mine.wave == wave, mine.state == "waiting"
        )
        await self._session.execute(statement.values(state="staged", due_us=now_us))
