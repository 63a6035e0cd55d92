"""SQL of what a company has issued, expects and has tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.pages import Page
from plantroom_cloud.kit.repository import Repository
from plantroom_cloud.tables import (
    ClaimTry,
    EnrolmentToken,
    ExpectedGateway,
    Gateway,
    GatewayCertificate,
    IssuedCertificate,
    Site,
)


class ProvisionRepository(Repository):
    """What one company knows of how its gateways came to be."""

    async def site(self, named: int | str) -> Site | None:
        """Return the site of this id or slug."""
        which = Site.id == named if isinstance(named, int) else Site.slug == named
        query = select(Site).where(self._own(Site), which)
        return (await self._session.execute(query)).scalar_one_or_none()

    async def gateway(self, gateway: str) -> Gateway | None:
        """Return the gateway, as it is now."""
        query = select(Gateway).where(self._own(Gateway), Gateway.id == gateway)
        found = await self._session.execute(query.execution_options(populate_existing=True))
        return found.scalar_one_or_none()

    async def certificates(self, gateway: str) -> Sequence[IssuedCertificate]:
        """Return what was issued to a gateway, the newest first."""
        query = select(IssuedCertificate).where(
            self._own(IssuedCertificate), IssuedCertificate.gateway_id == gateway
        )
        order = (IssuedCertificate.issued_us.desc(), IssuedCertificate.serial)
        return (await self._session.execute(query.order_by(*order).limit(1000))).scalars().all()

    # ------------------------------------------------------------ revocation

    async def revoke(self, gateway: Gateway, reason: str, until_us: int, now_us: int) -> int:
        """Revoke a gateway with all its certificates; return how many those are.

        Args:
            gateway: one of the company's.
            reason: for a person.
            until_us: when certificates that were made by hand, of which nobody noted it, are over.
            now_us: the present.
        """
        await self._note_unknown(gateway, until_us, now_us)
        theirs = update(IssuedCertificate).where(
            self._own(IssuedCertificate),
            IssuedCertificate.gateway_id == gateway.id,
            IssuedCertificate.revoked_us.is_(None),
        )
        done: Any = await self._session.execute(theirs.values(revoked_us=now_us, reason=reason))
        mine = update(Gateway).where(self._own(Gateway), Gateway.id == gateway.id)
        values = {"revoked_us": now_us, "revoked_for": reason, "online": False}
        await self._session.execute(mine.values(**values))
        return int(done.rowcount)

    async def hand_over(self, gateway: Gateway, successor: str) -> None:
        """Let commands be given to the gateway that took a place, if they might be to the one there."""
        mine = update(Gateway).where(self._own(Gateway), Gateway.id == successor)
        await self._session.execute(mine.values(writes=gateway.writes))

    async def _note_unknown(self, gateway: Gateway, until_us: int, now_us: int) -> None:
        """Enter certificates that the gateway has, and of which nothing says that they were issued."""
        shown = select(GatewayCertificate.serial).where(
            self._own(GatewayCertificate), GatewayCertificate.gateway_id == gateway.id
        )
        serials = set((await self._session.execute(shown)).scalars())
        serials |= {gateway.certificate_serial} - {""}
        rows = [
            {
                "company_id": self._scope.company_id,
                "serial": serial,
                "gateway_id": gateway.id,
                "fingerprint": "",
                "how": "hand",
                "issued_us": now_us,
                "until_us": until_us,
            }
            for serial in sorted(serials)
        ]
        if rows:
            insert = insert_into(self._session, IssuedCertificate).on_conflict_do_nothing()
            await self._session.execute(insert, rows)

    # ------------------------------------------------------------ confirmation

    async def confirm(self, gateway: str, serial: str, now_us: int) -> None:
        """Note that a gateway has said hello with a certificate; older ones are superseded by it."""
        theirs = (self._own(IssuedCertificate), IssuedCertificate.gateway_id == gateway)
        this = update(IssuedCertificate).where(
            *theirs, IssuedCertificate.serial == serial, IssuedCertificate.confirmed_us.is_(None)
        )
        done: Any = await self._session.execute(this.values(confirmed_us=now_us))
        if done.rowcount != 1:
            return
        query = select(IssuedCertificate.issued_us).where(
            *theirs, IssuedCertificate.serial == serial
        )
        issued_us = (await self._session.execute(query)).scalar_one()
        older = update(IssuedCertificate).where(
            *theirs,
            IssuedCertificate.serial != serial,
            IssuedCertificate.issued_us <= issued_us,
            IssuedCertificate.superseded_us.is_(None),
        )
        await self._session.execute(older.values(superseded_us=now_us))
        bound = update(Gateway).where(
            self._own(Gateway), Gateway.id == gateway, Gateway.bound_us.is_(None)
        )
        await self._session.execute(bound.values(bound_us=now_us))

    # ------------------------------------------------------------ wrong tries

    async def tries(self, who: str, since_us: int) -> int:
        """Return how often somebody was wrong since then."""
        # By the company alone: tries lie at no site, and whoever is confined to some has his, too.
        mine = (ClaimTry.company_id == self._scope.company_id, ClaimTry.who == who)
        query = select(func.count()).select_from(ClaimTry).where(*mine, ClaimTry.at_us > since_us)
        return int((await self._session.execute(query)).scalar_one())

    async def note_try(self, who: str, now_us: int, keep_us: int) -> None:
        """Note that somebody was wrong, and forget what is older than `keep_us`."""
        mine = ClaimTry.company_id == self._scope.company_id
        old = delete(ClaimTry).where(mine, ClaimTry.at_us <= now_us - keep_us)
        await self._session.execute(old)
        row = ClaimTry(company_id=self._scope.company_id, who=who, at_us=now_us)
        self._session.add(row)

    # ------------------------------------------------------------ tokens and lists

    async def add_token(self, **values: Any) -> EnrolmentToken:
        """Add an enrolment token."""
        row = EnrolmentToken(company_id=self._scope.company_id, **values)
        self._session.add(row)
        await self._session.flush()
        return row

    async def expect(self, rows: Sequence[dict[str, Any]]) -> int:
        """Add devices that are expected; return how many were news."""
        insert = insert_into(self._session, ExpectedGateway).on_conflict_do_nothing()
        added = 0
        for row in rows:
            entered = insert.values(company_id=self._scope.company_id, **row)
            done = await self._session.execute(entered.returning(ExpectedGateway.fingerprint))
            added += done.scalar_one_or_none() is not None
        return added

    async def expected_of(self, fingerprints: Sequence[str]) -> Sequence[ExpectedGateway]:
        """Return those of them that the company expects."""
        query = select(ExpectedGateway).where(
            self._own(ExpectedGateway), ExpectedGateway.fingerprint.in_(fingerprints)
        )
        return (await self._session.execute(query)).scalars().all()

    async def expected(self, page: Page) -> Sequence[ExpectedGateway]:
        """Return a page of devices that are expected, and one row more."""
        query = select(ExpectedGateway).where(self._own(ExpectedGateway))
        if page.after is not None:
            query = query.where(ExpectedGateway.fingerprint > page.after[0])
        query = query.order_by(ExpectedGateway.fingerprint).limit(page.limit + 1)
        return (await self._session.execute(query)).scalars().all()
