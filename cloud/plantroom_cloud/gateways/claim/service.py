"""What people of a company do: claim a device, expect some, revoke a gateway."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.gateways.claim import lookups
from plantroom_cloud.gateways.claim.errors import Conflict, TooMany
from plantroom_cloud.gateways.claim.issuing import Issuer, Wanted
from plantroom_cloud.gateways.claim.lists import read_list
from plantroom_cloud.gateways.claim.repository import ProvisionRepository
from plantroom_cloud.gateways.claim.schemas import ClaimIn, DeviceIn, EnrolmentTokenIn, ListIn
from plantroom_cloud.gateways.pki import GRACE, LIFE, Authority
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import ApiError, InvalidRequest, NotFound
from plantroom_cloud.kit.times import HOUR, SECOND
from plantroom_cloud.tables import EnrolmentToken, Gateway, PendingGateway, Site
from plantroom_shared import sparkplug
from plantroom_shared.claiming import hash_code

TRIES: Final = 5
"""Wrong tries after which a device must show another code."""
TRIES_PER_HOUR: Final = 20
"""Wrong tries of one person after which he has to wait."""
_HASHING: Final = 2
"""Codes that are hashed at one time: each takes a processor for milliseconds."""
TOKEN: Final = "pe_"  # noqa: S105 - the prefix of tokens, none itself


class CodeHasher:
    """Hashes codes beside the event loop, a few at a time."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_HASHING)

    async def hash(self, code: str) -> str:
        """Return the hash of a code."""
        async with self._room:
            return await asyncio.to_thread(hash_code, code)


class ClaimService:
    """Claims for one person, within one transaction.

    What a person got wrong must be remembered though he gets an error: such errors are returned,
    to be raised when the transaction is through.

    Args:
        session: of the transaction.
        scope: the person's company.
        who: the person; a text for an operator at the command line.
        authority: signs.
        now_us: the present.
    """

    def __init__(
        self,
        session: AsyncSession,
        scope: Scope,
        who: Principal | str,
        authority: Authority,
        now_us: int,
    ) -> None:
        self._session, self._scope, self._who = session, scope, who
        self._authority, self._now_us = authority, now_us
        self._repository = ProvisionRepository(session, scope)

    async def look(self, code_hash: str, fingerprint: str) -> PendingGateway | ApiError:
        """Return the device that shows a code, for a person to compare."""
        if late := await self._locked_out():
            return late
        rows = [
            row
            for row in await self._waiting(code_hash)
            if not fingerprint or row.fingerprint == fingerprint
        ]
        if not rows:
            return await self._wrong(code_hash, fingerprint)
        if len(rows) > 1:
            msg = "several devices show this code: scan the QR code, or have the device begin anew"
            return Conflict(msg, code="ambiguous")
        return rows[0]

    async def claim(self, asked: ClaimIn, code_hash: str) -> tuple[str, Site] | ApiError:
        """Make the device a gateway of the company; return its id and its site."""
        if late := await self._locked_out():
            return late
        _, fingerprint = asked.shown
        if not fingerprint:
            msg = "compare the fingerprint with the one that the device shows, and send it"
            raise InvalidRequest(msg)
        site, old = await self._place(asked)
        pending = await lookups.find_pending(self._session, fingerprint=fingerprint)
        right = pending is not None and hmac.compare_digest(pending.code_hash, code_hash)
        if pending is None or not right or self._is_over(pending):
            return await self._wrong(code_hash, fingerprint)
        if pending.state != "waiting":
            what = "has been claimed" if pending.state == "claimed" else "is locked; it shows a new"
            return Conflict(f"this device {what}", code=pending.state)
        wanted = Wanted(
            self._scope,
            site.id,
            "claim",
            asked.gateway,
            asked.name or (old.name if old is not None else ""),
            *_streams(asked.device),
            who=self._who,
            replaces=old is not None and old.revoked_us is None,
        )
        issuer = Issuer(self._session, self._authority, self._now_us)
        gateway = await issuer.claim(pending, wanted)
        if old is not None:
            await self._retire(old, f"replaced by {gateway}", gateway)
        return gateway, site

    async def _place(self, asked: ClaimIn) -> tuple[Site, Gateway | None]:
        """Return where the gateway goes, and whose place it takes."""
        site = await self.site(asked.site)
        if not asked.replaces:
            return site, None
        old = await self.gateway(asked.replaces)
        if old.site_id != site.id:
            msg = f"{asked.replaces} stands at another site"
            raise Conflict(msg, code="site")
        return site, old

    def _is_over(self, pending: PendingGateway) -> bool:
        return pending.state != "claimed" and pending.expires_us <= self._now_us

    async def _waiting(self, code_hash: str) -> list[PendingGateway]:
        query = select(PendingGateway).where(
            PendingGateway.code_hash == code_hash,
            PendingGateway.state == "waiting",
            PendingGateway.expires_us > self._now_us,
        )
        return list((await self._session.execute(query.limit(10))).scalars())

    # ------------------------------------------------------------ wrong tries

    @property
    def _name(self) -> str:
        who = self._who
        return who[:80] if isinstance(who, str) else f"{who.kind}:{who.id}"

    async def _locked_out(self) -> TooMany | None:
        if await self._repository.tries(self._name, self._now_us - HOUR) < TRIES_PER_HOUR:
            return None
        msg = f"you were wrong {TRIES_PER_HOUR} times within an hour; try again later"
        return TooMany(msg, retry_after=HOUR / SECOND, code="locked_out")

    async def _wrong(self, code_hash: str, fingerprint: str) -> ApiError:
        """Count a wrong try: of the person, and of each device that it was half right for."""
        await self._repository.note_try(self._name, self._now_us, 24 * HOUR)
        hit = (
            PendingGateway.fingerprint == fingerprint
            if fingerprint
            else PendingGateway.code_hash == code_hash
        )
        half = select(PendingGateway).where(
            hit | (PendingGateway.code_hash == code_hash), PendingGateway.state == "waiting"
        )
        for row in (await self._session.execute(half.limit(10).with_for_update())).scalars():
            row.tries += 1
            if row.tries >= TRIES:
                row.state = "locked"
        self._record("gateway.claim-refused", f"device/{fingerprint[:16] or 'unknown'}")
        msg = "no device that waits shows this code and this fingerprint; codes last 24 hours"
        return NotFound(msg, code="no_such_device")

    # ------------------------------------------------------------ what is the company's

    async def site(self, named: int | str) -> Site:
        """Return one of the sites that the person may work on."""
        site = await self._repository.site(named)
        if site is None:
            msg = f"there is no site {named}; GET /v1/sites lists yours"
            raise NotFound(msg)
        return site

    async def gateway(self, gateway: str) -> Gateway:
        """Return one of the gateways that the person may work on, if it is not revoked."""
        row = await self._repository.gateway(gateway)
        if row is None:
            msg = f"there is no gateway {gateway}; GET /v1/gateways lists yours"
            raise NotFound(msg)
        return row

    async def revoke(self, gateway: str, reason: str) -> int:
        """Revoke a gateway for good; return how many certificates that were worth something."""
        return await self._retire(await self.gateway(gateway), reason)

    async def _retire(self, row: Gateway, reason: str, successor: str = "") -> int:
        until_us = self._now_us + int((LIFE + GRACE).total_seconds() * SECOND)
        revoked = await self._repository.revoke(row, reason, until_us, self._now_us)
        if successor:
            row.replaced_by = successor
            await self._session.flush()
            await self._repository.hand_over(row, successor)
        after = {"reason": reason, "certificates": revoked, "replaced_by": successor}
        self._record("gateway.revoke", f"gateway/{row.id}", after)
        return revoked

    def _record(self, action: str, subject: str, after: dict[str, Any] | None = None) -> None:
        audit.record(
            self._session, self._scope, who=self._who, action=action, subject=subject, after=after
        )

    # ------------------------------------------------------------ tokens and lists

    async def new_token(self, asked: EnrolmentTokenIn) -> tuple[EnrolmentToken, str]:
        """Return a new enrolment token: its row, and its text, which nothing can show again."""
        site = await self.site(asked.site)
        plain = TOKEN + secrets.token_urlsafe(32)
        row = await self._repository.add_token(
            digest=hashlib.sha256(plain.encode()).hexdigest(),
            site_id=site.id,
            gateway_id=asked.gateway,
            created_us=self._now_us,
            created_by=audit.display_name(self._who),
            expires_us=self._now_us + int(asked.hours * HOUR),
        )
        after = {"site": site.id, "gateway": asked.gateway, "hours": asked.hours}
        self._record("enrolment-token.add", f"enrolment-token/{row.id}", after)
        return row, plain

    async def expect(self, asked: ListIn) -> tuple[int, int]:
        """Expect the devices of a list; return how many are new, and how many were expected.

        Raises:
            Conflict: a fingerprint is expected elsewhere, or otherwise.
        """
        site = await self.site(asked.site)
        devices = read_list(asked.csv)
        rows: list[dict[str, Any]] = [
            {
                "fingerprint": one.fingerprint,
                "serial": one.serial,
                "site_id": site.id,
                "gateway_id": one.gateway,
                "name": one.name,
                "created_us": self._now_us,
                "created_by": audit.display_name(self._who),
            }
            for one in devices
        ]
        added = await self._repository.expect(rows)
        wanted = {(one.fingerprint, one.serial) for one in devices}
        mine = await self._repository.expected_of([one.fingerprint for one in devices])
        there = {(row.fingerprint, row.serial) for row in mine if row.site_id == site.id}
        if missing := wanted - there:
            # Whose they are stays unsaid: it may be another company.
            msg = f"{len(missing)} of these devices are expected elsewhere, or with another serial"
            raise Conflict(msg, code="expected_elsewhere")
        after = {"added": added, "known": len(wanted) - added}
        self._record("gateway.expect", f"site/{site.id}", after)
        return added, len(wanted) - added


def _streams(device: DeviceIn | None) -> tuple[str, str]:
    if device is None:
        return "", ""
    group = device.sparkplug_group
    if (device.protocol == "sparkplug") != bool(group) or group != sparkplug.level(group):
        msg = (
            "name the group of a Sparkplug node, without '/', '+' and '#'; no other device has one"
        )
        raise InvalidRequest(msg)
    return device.protocol, group
