"""Making a device a gateway: the row, the certificate, and the word of whose it is."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope, insert_into
from plantroom_cloud.gateways.certificates import fingerprint
from plantroom_cloud.gateways.claim.errors import Conflict
from plantroom_cloud.gateways.claim.lookups import names_of
from plantroom_cloud.gateways.pki import Authority, Issued, check_gateway_id
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import InvalidRequest
from plantroom_cloud.licensing.limits import allow
from plantroom_cloud.licensing.model import Limit
from plantroom_cloud.tables import Gateway, IssuedCertificate, PendingGateway, StreamingDevice
from plantroom_shared.claiming import binding_message
from plantroom_shared.errors import ConfigError

_LETTERS: Final = "abcdefghjkmnpqrstvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a device is to become."""

    scope: Scope
    site_id: int
    how: str
    """``claim``, ``token``, ``list`` or ``renewal``."""
    gateway: str = ""
    """Its id; empty: whatever is free."""
    name: str = ""
    protocol: str = ""
    """``json`` or ``sparkplug`` for a device that streams by itself; empty for an agent."""
    sparkplug_group: str = ""
    who: Principal | str = ""
    """Who claims; empty: the device itself, by its token, its place on a list or its old key."""
    replaces: bool = False
    """Whether another goes for it: then the licence needs no room for one more."""


class Issuer:
    """Makes gateways of devices, within the caller's transaction.

    Args:
        session: of that transaction.
        authority: signs.
        now_us: the present.
    """

    def __init__(self, session: AsyncSession, authority: Authority, now_us: int) -> None:
        self._session, self._authority, self._now_us = session, authority, now_us

    async def claim(self, pending: PendingGateway, wanted: Wanted) -> str:
        """Make `pending` a gateway and return its id.

        Raises:
            Conflict: somebody else was faster, or the id is taken.
            LimitReached: the licence has no room for one more.
        """
        taken = update(PendingGateway).where(
            PendingGateway.id == pending.id, PendingGateway.state == "waiting"
        )
        done: Any = await self._session.execute(taken.values(state="claimed"))
        if done.rowcount != 1:
            msg = "this device was claimed a moment ago"
            raise Conflict(msg, code="claimed")
        gateway = await self._add(wanted)
        await self._issue(pending, gateway, wanted)
        return gateway

    async def renew(self, pending: PendingGateway, gateway: str, wanted: Wanted) -> None:
        """Issue a certificate for the new key of a gateway that there is."""
        await self._issue(pending, gateway, wanted)

    async def _add(self, wanted: Wanted) -> str:
        company, more = wanted.scope.company_id, 0 if wanted.replaces else 1
        await allow(self._session, wanted.scope, Limit.GATEWAYS, self._now_us, more=more)
        gateway = await self._enter(wanted)
        if wanted.protocol:
            device = StreamingDevice(
                gateway_id=gateway,
                company_id=company,
                protocol=wanted.protocol,
                sparkplug_group=wanted.sparkplug_group,
                session={},
            )
            self._session.add(device)
        return gateway

    async def _enter(self, wanted: Wanted) -> str:
        """Enter the gateway under the id that is wanted, or one that is free; return the id."""
        while True:
            gateway = wanted.gateway or f"gw-{''.join(secrets.choice(_LETTERS) for _ in range(10))}"
            try:
                check_gateway_id(gateway)
            except ConfigError as error:
                raise InvalidRequest(str(error)) from error
            row = {
                "id": gateway,
                "company_id": wanted.scope.company_id,
                "site_id": wanted.site_id,
                "name": wanted.name or gateway,
                "created_us": self._now_us,
            }
            insert = insert_into(self._session, Gateway).on_conflict_do_nothing()
            entered = insert.values(**row).returning(Gateway.id)
            if (await self._session.execute(entered)).scalar_one_or_none() is not None:
                return gateway
            if wanted.gateway:
                # Whose it is stays unsaid: it may be another company's.
                msg = f"the id {gateway} is taken; choose another, or leave it out"
                raise Conflict(msg, code="gateway_taken")

    async def _issue(self, pending: PendingGateway, gateway: str, wanted: Wanted) -> None:
        key = load_pem_public_key(pending.public_key.encode())
        # What was checked at the begin is what is signed now, or nothing is.
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - `read_request` took no other
        if fingerprint(key) != pending.fingerprint:
            msg = "the device's key is not the one it has begun with"
            raise Conflict(msg, code="key")
        issued = self._authority.certify(gateway, key)
        self._session.add(
            issued_row(issued, wanted, gateway, pending.fingerprint, now_us=self._now_us)
        )
        mine = (Gateway.company_id == wanted.scope.company_id, Gateway.id == gateway)
        newest = update(Gateway).where(*mine).values(certificate_serial=issued.serial)
        await self._session.execute(newest)
        pending.state, pending.gateway_id = "claimed", gateway
        pending.certificate = issued.certificate.decode()
        pending.binding = await self._binding(pending.fingerprint, gateway, wanted)
        await self._session.flush()
        audit.record(
            self._session,
            wanted.scope,
            who=wanted.who or f"device:{pending.fingerprint[:16]}",
            action="gateway.renew" if wanted.how == "renewal" else "gateway.claim",
            subject=f"gateway/{gateway}",
            after={
                "site": wanted.site_id,
                "how": wanted.how,
                "certificate": issued.serial,
                "fingerprint": pending.fingerprint,
            },
        )

    async def _binding(self, key: str, gateway: str, wanted: Wanted) -> str:
        """Return the authority's word of whose the gateway is."""
        company, site = await names_of(self._session, wanted.scope.company_id, wanted.site_id)
        said = {"gateway": gateway, "company": company, "site": site, "fingerprint": key}
        text = orjson.dumps(said | {"at_us": self._now_us}, option=orjson.OPT_SORT_KEYS).decode()
        signature = base64.b64encode(self._authority.sign(binding_message(text))).decode()
        return f"{signature} {text}"


def issued_row(
    issued: Issued, wanted: Wanted, gateway: str, key: str, *, now_us: int
) -> IssuedCertificate:
    """Return the row that remembers a certificate."""
    until = issued.until or datetime.fromtimestamp(now_us / 1e6)  # noqa: DTZ006 - never without one
    return IssuedCertificate(
        company_id=wanted.scope.company_id,
        serial=issued.serial,
        gateway_id=gateway,
        fingerprint=key,
        how=wanted.how,
        issued_us=now_us,
        until_us=int(until.timestamp() * 1e6),
    )
