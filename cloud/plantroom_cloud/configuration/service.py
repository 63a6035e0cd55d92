"""Versions and stages: what an operator does, each within one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.configuration.message import Wish, body, check_travels
from plantroom_cloud.configuration.repository import ConfigurationRepository
from plantroom_cloud.configuration.words import (
    Difference,
    differences,
    digest,
    faults,
    removed,
)
from plantroom_cloud.db import ReadSession, Scope
from plantroom_cloud.governance.configurations import Document
from plantroom_cloud.governance.gate import check_gate
from plantroom_cloud.kit.parameters import MAX_ID
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_shared.clock import Clock

ASK_FROM: Final = 0.2
"""Part of a gateway's points whose loss needs force; the gateway itself counts, and decides."""


class ConfigurationConflict(ApiError):
    """Something else is the newest by now, or it has ended."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "configuration_conflict"
    title: ClassVar[str] = "This does not fit what there is by now"


class NeedsForce(ApiError):
    """Much would go away."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "needs_force"
    title: ClassVar[str] = "This needs force"


class ConfigurationService:
    """Desired configurations of one company, within one transaction."""

    def __init__(self, session: AsyncSession | ReadSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope = session, scope
        self.rows, self.clock = ConfigurationRepository(session, scope), clock

    # ------------------------------------------------------------ versions

    async def gateway(self, gateway: str, *, lock: bool = False) -> AnyRow:
        """Return a gateway of the company; NotFound if it has none such."""
        found = await self.rows.gateway(gateway, lock=lock)
        if found is None:
            msg = f"there is no gateway {gateway}; GET /v1/gateways lists yours"
            raise NotFound(msg)
        return found

    async def version(self, gateway: str, number: int) -> AnyRow:
        """Return a version with its document; NotFound if there is none such."""
        found = await self.rows.version(gateway, number) if number <= MAX_ID else None
        if found is None:
            msg = f"gateway {gateway} has no version {number}; list them with GET .../versions"
            raise NotFound(msg)
        return found

    async def document(self, gateway: str, which: str) -> Mapping[str, Any]:
        """Return the document of a version by its number, or what is ``running``."""
        if which != "running":
            if not which.isascii() or not which.isdecimal() or len(which) > 18:
                msg = "name a version by its number, or `running`"
                raise InvalidRequest(msg)
            document: Mapping[str, Any] = (await self.version(gateway, int(which))).document
            return document
        running = await self.rows.running(gateway)
        if running is None or running.document is None:
            msg = f"gateway {gateway} has not told what it runs, or it is too large to be told"
            raise NotFound(msg)
        return dict(running.document)

    async def add(
        self,
        gateway: str,
        document: Mapping[str, Any],
        wish: Wish,
        *,
        parent: int | None = None,
        origin: str = "edited",
    ) -> int:
        """Keep a new version and return its number.

        Args:
            gateway: whose.
            document: sections by key.
            wish: who makes it, and why.
            parent: the version that it was made from; it must still be the newest.
            origin: where the document comes from.

        Raises:
            NotFound: the company has no such gateway.
            InvalidRequest: no gateway would take it.
            ConfigurationConflict: somebody else has made a version meanwhile.
        """
        await self.gateway(gateway, lock=True)
        _check(document)
        newest = await self.rows.newest(gateway)
        known = newest.number if newest else None
        if parent is not None and parent != known:
            msg = f"version {parent} is not the newest: that is {known}; look at it first"
            raise ConfigurationConflict(msg)
        number = (known or 0) + 1
        await self.rows.add_version(
            gateway_id=gateway,
            number=number,
            parent=known,
            document=dict(document),
            digest=digest(document),
            actor=wish.actor,
            why=wish.why,
            origin=origin,
            created_us=self.clock.now_us(),
        )
        said = {"version": number, "parent": known, "origin": origin, "document": dict(document)}
        self.record("configuration.add", f"gateway/{gateway}", wish, said)
        return number

    async def compare(
        self, gateway: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> tuple[list[Difference], int, int]:
        """Return what differs, how many known points that loses, and how many there are."""
        both = {key: value for key, value in old.items() if key in new}
        found = differences(both, new)
        lost, devices = removed(found), await self.rows.devices(gateway)
        buses = {bus["name"]: bus for bus in old.get("buses") or () if isinstance(bus, dict)}
        gone = {
            f"{bus.get('driver')}:{name}"
            for bus in buses.values()
            for name in (lost.get(bus["name"]) or _devices(bus) if bus["name"] in lost else ())
        }
        dropped = sum(count for key, count in devices.items() if key in gone)
        return found, dropped, sum(devices.values())

    # ------------------------------------------------------------ stages

    async def stage(
        self,
        gateway: str,
        number: int,
        wish: Wish,
        *,
        rollout: str | None = None,
        wave: int = 0,
    ) -> str:
        """Have a gateway get a version, and nothing that was meant for it before; return its id.

        Raises:
            NotFound: there is no such gateway or version.
            NeedsForce: a fifth of its points would go away.
            GateClosed: a rule of governance blocks it; `force` does not open the gate, a waiver does.
            InvalidRequest: it is too large for a message.
        """
        await self.gateway(gateway, lock=True)
        version = await self.version(gateway, number)
        if not wish.force:
            await self._guard(gateway, version.document)
        if rollout is None:
            await self.pass_gate({gateway: number})
        now = self.clock.now_us()
        serial, ident = await self.rows.next_serial(gateway, now), f"a-{secrets.token_hex(12)}"
        check_travels(body(gateway, ident, serial, version, wish=wish, now=now))
        for former in await self.rows.end_open("superseded", now, gateway=gateway):
            by = {"by": ident, "actor": wish.actor}
            await self.note(former, now, "desired.superseded", by)
        await self.rows.add_assignment(
            id=ident,
            gateway_id=gateway,
            serial=serial,
            version=number,
            rollout_id=rollout,
            wave=wave,
            force=wish.force,
            actor=wish.actor,
            why=wish.why,
            state="staged" if wave == 0 else "waiting",
            reason="",
            errors=[],
            created_us=now,
            due_us=now,
            tries=0,
        )
        doc: dict[str, Any] = {
            "version": number,
            "actor": wish.actor,
            "why": wish.why,
            "force": wish.force,
        }
        await self.note(ident, now, "desired.staged", doc)
        said = {"assignment": ident, "version": number, "force": wish.force, "rollout": rollout}
        self.record("configuration.stage", f"gateway/{gateway}", wish, said)
        return ident

    async def pass_gate(self, versions: Mapping[str, int]) -> None:
        """Raise GateClosed where a rule of governance blocks the version that a gateway shall get."""
        sites: dict[int, list[Document]] = {}
        for gateway, number in versions.items():
            site, version = (
                (await self.gateway(gateway)).site_id,
                await self.version(gateway, number),
            )
            sites.setdefault(site, []).append(Document(gateway, version.document, number))
        for site, documents in sorted(sites.items()):
            gate = (self._session, self._scope, site, "the configuration")
            await check_gate(*gate, documents=documents, clock=self.clock)

    async def _guard(self, gateway: str, document: Mapping[str, Any]) -> None:
        running = await self.rows.running(gateway)
        if running is None or running.document is None:
            return  # the gateway itself counts
        _, dropped, of = await self.compare(gateway, running.document, document)
        if dropped and dropped >= ASK_FROM * of:
            msg = f"{dropped} of {of} points of {gateway} would go away; say force if that is meant"
            raise NeedsForce(msg)

    async def note(self, assignment: str, now: int, kind: str, doc: dict[str, Any]) -> None:
        """Enter what happened to an assignment into its history."""
        n = secrets.randbits(62)
        await self.rows.note(assignment, ("cloud", n), at_us=now, kind=kind, doc=doc)

    async def assignment(self, ident: str) -> AnyRow:
        """Return an assignment; NotFound if the company has none such."""
        found = await self.rows.assignment(ident)
        if found is None:
            msg = f"there is no assignment {ident}"
            raise NotFound(msg)
        return found

    async def cancel(self, ident: str, wish: Wish) -> None:
        """Have a gateway not get what has not reached it yet.

        Raises:
            NotFound: there is no such assignment.
            ConfigurationConflict: it is tried already, or it has ended.
        """
        row = await self.assignment(ident)
        await self.gateway(row.gateway_id, lock=True)
        row = await self.assignment(ident)
        if row.state not in {"waiting", "staged", "sent"}:
            msg = f"it is {row.state}: stage the version that is to be in its place"
            raise ConfigurationConflict(msg)
        now = self.clock.now_us()
        await self.rows.change(ident, state="cancelled", ended_us=now)
        await self.note(ident, now, "desired.cancelled", {"actor": wish.actor})
        said = {"assignment": ident, "version": row.version}
        self.record("configuration.cancel", f"gateway/{row.gateway_id}", wish, said)

    def record(self, action: str, subject: str, wish: Wish, after: dict[str, Any]) -> None:
        """Enter an act into the company's audit."""
        said = after | {"why": wish.why} if wish.why else after
        where = self._session, self._scope
        audit.record(*where, who=wish.who, action=action, subject=subject, after=said)


def _check(document: Mapping[str, Any]) -> None:
    found = faults(document)
    if found:
        items = [{"where": "body", "name": key, "detail": detail} for key, detail in found]
        msg = "; ".join(f"{key}: {detail}" for key, detail in found[:3])
        raise InvalidRequest(msg, errors=items)


def _devices(bus: Mapping[str, Any]) -> set[str]:
    devices = bus.get("devices")
    if isinstance(devices, dict):
        return {str(key) for key in devices}
    return {
        str(one.get("instance", one.get("name"))) for one in devices or () if isinstance(one, dict)
    }
