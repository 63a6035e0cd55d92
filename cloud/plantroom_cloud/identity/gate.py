"""From a credential to who presents it: the only way that a `Scope` comes into being at the API."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from plantroom_cloud.config_identity import IdentitySettings
from plantroom_cloud.db import Database, Scope, act_for
from plantroom_cloud.identity import keys, tokens
from plantroom_cloud.identity.permissions import ROLES, Permission, Principal, granted
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.identity.signing import SigningKeys
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit.cache import Cache, Lives
from plantroom_cloud.kit.problems import Unauthorized
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import MINUTE
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

_MOST: Final = 10_000
"""Credentials that a process remembers."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of a credential."""

    who: Principal
    sid: int
    """What its tokens say in `sid`."""
    until_us: int | None
    """When it runs out."""


class Gate:
    """Says who presents a credential; notes at most once a minute that a key is in use.

    What it has read of a credential it believes for `cache` seconds: so long may one that is
    revoked in another process still be let through. What is revoked in this one ends at once.
    """

    def __init__(
        self, db: Database, clock: Clock, signing: SigningKeys, settings: IdentitySettings
    ) -> None:
        self._db, self._clock, self._signing = db, clock, signing
        self._issuer = settings.issuer
        # In memory alone, and nothing old is ever served: what was revoked does not come back
        # because the database is away, and nobody who can write to Redis makes up who he is.
        self._known = Cache[_Known]("credentials", clock, Lives(settings.cache), most=_MOST)
        self._used: dict[int, int] = {}

    async def who(self, presented: str | None) -> tuple[Principal, bool]:
        """Return who presents this key or access token, and whether its use is to be noted.

        Raises:
            Unauthorized: it is none, nobody knows it, it has run out or was revoked.
        """
        if not presented:
            msg = "send your key or token as 'Authorization: Bearer ...', or a key as 'X-API-Key'"
            raise Unauthorized(msg)
        if presented.count(".") == 2:
            return await self._by_token(presented), False
        return await self._by_key(presented)

    def forget(self) -> None:
        """Read every credential again: something was revoked or changed."""
        self._known.clear()

    # ------------------------------------------------------------ keys

    async def _by_key(self, plain: str) -> tuple[Principal, bool]:
        digest = keys.digest(plain) if keys.plausible(plain) else ""
        known = await self._known.get(None, f"key/{digest}", partial(self._read_key, digest))
        now = self._clock.now_us()
        if known is None:
            msg = "this key is not known, or was revoked; ask your administrator for another"
            raise Unauthorized(msg)
        if known.until_us is not None and now >= known.until_us:
            msg = "this key has run out; ask your administrator for another"
            raise Unauthorized(msg)
        return known.who, now - self._used.get(known.who.id, 0) >= MINUTE

    async def _read_key(self, digest: str) -> _Known | None:
        if not digest:
            return None
        async with self._db.read(None) as session:
            found = await lookups.find_key(session, digest)
            if found is None:
                return None
            scope = Scope(found.company_id)
            await act_for(session, scope)
            row = await IdentityRepository(session, scope).key(found.id)
        if row is None or row.revoked_us is not None:
            return None
        self._used[row.id] = max(row.last_used_us or 0, self._used.get(row.id, 0))
        who = principal_of(scope.company_id, "key", row, row.name, granted(row.scopes))
        return _Known(who, 0, row.expires_us)

    async def note_use(self, scope: Scope, key_id: int) -> None:
        """Write down that a key is in use; a database that is busy costs only this note."""
        now = self._clock.now_us()
        if now - self._used.get(key_id, 0) < MINUTE:
            return
        self._used[key_id] = now
        try:
            async with self._db.write(scope) as session:
                repository = IdentityRepository(session, scope)
                await repository.touch_key(key_id, now, now - MINUTE)
        except SQLAlchemyError as error:
            log.warning("use of a key not noted", extra={"key": key_id, "error": str(error)})

    # ------------------------------------------------------------ tokens

    async def _by_token(self, token: str) -> Principal:
        claims = await self._claims(token)
        kind, subject = claims.subject
        if kind == "user":
            place, read = f"session/{claims.sid}", partial(self._read_session, claims)
        else:
            place, read = f"service/{subject}", partial(self._read_account, claims, subject)
        known = await self._known.get(claims.company, place, read)
        if known is None or not self._fits(known, claims):
            raise _ended()
        who = known.who
        if claims.scope is not None:
            narrowed = who.permissions & granted(claims.scope.split())
            who = replace(who, permissions=narrowed | {Permission.OWN})
        return who

    async def _claims(self, token: str) -> tokens.Claims:
        try:
            public = await self._signing.public(tokens.kid_of(token))
            if public is None:
                raise _ended()
            now = self._clock.now_us()
            return tokens.read(token, public, issuer=self._issuer, now_us=now)
        except tokens.BadToken as error:
            raise _ended() from error

    def _fits(self, known: _Known, claims: tokens.Claims) -> bool:
        who, now = known.who, self._clock.now_us()
        return (
            (who.kind, who.id) == claims.subject
            and who.company_id == claims.company
            and claims.sid == known.sid
            and (known.until_us is None or now < known.until_us)
        )

    async def _read_session(self, claims: tokens.Claims) -> _Known | None:
        async with self._db.read(Scope(claims.company)) as session:
            repository = IdentityRepository(session, Scope(claims.company))
            row = await repository.standing_of_session(claims.sid)
        if row is None:
            return None
        may = ROLES.get(row.role, frozenset())
        who = principal_of(claims.company, "user", row, row.email, may)
        who = replace(who, session=claims.sid, mark=claims.sid)
        return _Known(who, claims.sid, row.expires_us)

    async def _read_account(self, claims: tokens.Claims, account: int) -> _Known | None:
        async with self._db.read(Scope(claims.company)) as session:
            row = await IdentityRepository(session, Scope(claims.company)).account(account)
        if row is None or row.disabled_us is not None:
            return None
        may = granted(row.scopes)
        who = principal_of(claims.company, "service", row, row.name, may)
        who = replace(who, mark=row.valid_from_us)
        return _Known(who, row.valid_from_us, None)


def principal_of(
    company: int, kind: str, row: AnyRow, name: str, may: frozenset[Permission]
) -> Principal:
    """Return who asks; what is one's own whoever is somebody may."""
    sites = None if row.sites is None else frozenset(int(site) for site in row.sites)
    return Principal(company, kind, row.id, name, may | {Permission.OWN}, sites)


def _ended() -> Unauthorized:
    msg = "this token is none of ours, has run out or was revoked; get another at /oauth/token"
    return Unauthorized(msg)
