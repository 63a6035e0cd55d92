"""How one gets tokens: by password, refresh token, client secret or invitation.

Nothing of a request says which company's rows a token opens: the credential does, or, for a user
of several companies, the choice among its own memberships.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config_identity import IdentitySettings
from plantroom_cloud.db import Database, Scope, act_for
from plantroom_cloud.identity import keys, passwords, tokens, users
from plantroom_cloud.identity.backoff import Backoff
from plantroom_cloud.identity.errors import (
    BadClient,
    BadGrantRequest,
    BadScope,
    GrantError,
    TooManyTries,
)
from plantroom_cloud.identity.gate import Gate
from plantroom_cloud.identity.passwords import Passwords
from plantroom_cloud.identity.people import PeopleRepository
from plantroom_cloud.identity.permissions import ROLES, granted, unknown
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.identity.signing import SigningKeys
from plantroom_cloud.identity.trail import record
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import DAY, MINUTE, SECOND
from plantroom_cloud.licensing.limits import allow
from plantroom_cloud.licensing.model import Limit
from plantroom_shared.clock import Clock

_WRONG: Final = "address or password are wrong, or you are a member of no company"
_OVER: Final = "this refresh token has been used, has run out or was revoked; log in again"


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from."""

    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Found:
    """A user who has proved to be that one, and the company it is to act for."""

    user: int
    email: str
    company: int
    role: str


class Grants:
    """Gives out access and refresh tokens."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        settings: IdentitySettings,
        *,
        signing: SigningKeys,
        checker: Passwords,
        gate: Gate,
    ) -> None:
        self._db, self._clock, self._signing = db, clock, signing
        self._passwords, self._settings, self._gate = checker, settings, gate

    # ------------------------------------------------------------ the four ways

    async def by_password(
        self, email: str, password: str, *, company: str, scope: str, caller: Caller
    ) -> dict[str, Any]:
        """Return tokens of a new session."""
        wanted = _wanted(scope)
        user = await self.prove(email, password, caller)
        async with self._db.read(None) as session:
            memberships = await lookups.memberships_of(session, user.id)
        chosen = choose(memberships, company)
        found = Found(user.id, user.email, chosen.company_id, chosen.role)
        return await self.begin(found, wanted, caller)

    async def by_refresh(self, plain: str) -> dict[str, Any]:
        """Return further tokens of a session; a token that comes a second time ends it.

        Whoever has stolen one and whoever it was stolen from cannot both go on.
        """
        row = await self._found_refresh(plain)
        async with self._db.write(Scope(row.company_id)) as session:
            done = await self._refreshed(session, row)
        if done is None:
            self._gate.forget()
            raise GrantError(_OVER)
        refresh, standing = done
        who, may = f"user:{standing.id}", ROLES.get(standing.role, frozenset())
        narrowed = _narrowed(may, standing.scopes)
        session_id = row.session_id
        issued = await self._access(who, row.company_id, session_id, standing.scopes, narrowed)
        return issued | {"refresh_token": refresh}

    async def by_client(self, client_id: str, secret: str, scope: str) -> dict[str, Any]:
        """Return an access token of a service account."""
        wanted = _wanted(scope)
        known = keys.plausible(client_id) and keys.plausible(secret)
        row, found = None, None
        async with self._db.read(None) as session:
            if known and (found := await lookups.find_client(session, client_id)) is not None:
                whose = Scope(found.company_id)
                await act_for(session, whose)
                row = await IdentityRepository(session, whose).account(found.id)
        right = row is not None and secrets.compare_digest(keys.digest(secret), row.digest)
        if found is None or row is None or not right or row.disabled_us is not None:
            msg = "client id or secret are wrong, or the account is disabled"
            raise BadClient(msg)
        async with self._db.write(Scope(found.company_id)) as session:
            repository = IdentityRepository(session, Scope(found.company_id))
            await repository.change_account(row.id, last_used_us=self._clock.now_us())
        may = _narrowed(granted(row.scopes), wanted)
        return await self._access(
            f"service:{row.id}", found.company_id, row.valid_from_us, wanted, may
        )

    async def by_invitation(
        self, plain: str, name: str, password: str, caller: Caller
    ) -> dict[str, Any]:
        """Return tokens of a new session of whoever accepts an invitation.

        Who is a user already joins with the password it has; anybody else becomes one.
        """
        digest = keys.digest_of(plain)
        async with self._db.read(None) as session:
            invited = await self.invited(session, digest)
            user = await users.find_user(session, invited[1].email)
        if user is not None:
            await self.prove(user.email, password, caller)
            kept = ""
        else:
            if weak := passwords.weakness(password, invited[1].email):
                msg = f"password: {weak}"
                raise BadGrantRequest(msg)
            kept = await self._passwords.hash(password)
        async with self._db.write(None) as session:
            scope, invitation = await self.invited(session, digest, lock=True)
            found = await self._join(session, scope, invitation, name.strip(), kept)
        return await self.begin(found, None, caller)

    # ------------------------------------------------------------ passwords

    async def prove(self, email: str, password: str, caller: Caller) -> AnyRow:
        """Return the user of this address and password; each try counts before it is looked at.

        Raises:
            GrantError: there is none; nobody can tell which of the two is wrong.
            TooManyTries: too many have failed.
        """
        account = users.email_of(email) or ""
        now = self._clock.now_us()
        async with self._db.write(None) as session:
            wait = await Backoff(session, account, caller.address).enter(now)
            user = await users.find_user(session, account) if account and not wait else None
        if wait:
            raise TooManyTries(wait)
        kept = user.password if user is not None else ""
        right = await self._passwords.matches(password, kept)
        if user is None or not right or user.disabled_us is not None:
            raise GrantError(_WRONG)
        again = await self._passwords.hash(password) if passwords.outdated(kept) else ""
        async with self._db.write(None) as session:
            await Backoff(session, account, caller.address).succeeded(now)
            if again:
                await users.rehash(session, user.id, again)
        return user

    # ------------------------------------------------------------ inside

    async def begin(
        self, found: Found, wanted: list[str] | None, caller: Caller, by: str = ""
    ) -> dict[str, Any]:
        """Begin a session and return its first tokens.

        Args:
            found: who, for which company.
            wanted: scopes it is narrowed to; None: all there are.
            caller: where the request comes from.
            by: the provider at which it was proved who that is; empty: by password here.
        """
        now, scope = self._clock.now_us(), Scope(found.company)
        refresh, ends = keys.new_key(keys.REFRESH), self._session_end(now, now)
        async with self._db.write(scope) as session:
            people = PeopleRepository(session, scope)
            await people.drop_old_sessions(found.user, now - 30 * DAY)
            number = await people.add_session(
                user_id=found.user,
                scopes=wanted,
                agent=cleaned(caller.agent, 200),
                address=cleaned(caller.address, 64),
                created_us=now,
                used_us=now,
                expires_us=ends,
            )
            await people.add_refresh(number, refresh.digest, now, ends)
            who = f"user:{found.user}"
            subject, after = f"session/{number}", {"by": by} if by else None
            record(session, scope, who=who, action="session.begin", subject=subject, after=after)
        may = _narrowed(ROLES.get(found.role, frozenset()), wanted)
        issued = await self._access(who, found.company, number, wanted, may)
        return issued | {"refresh_token": refresh.plain}

    async def _found_refresh(self, plain: str) -> AnyRow:
        """Return a refresh token that there is; guessing takes no lock."""
        digest = keys.digest_of(plain)
        async with self._db.read(None) as session:
            row = await lookups.find_refresh(session, digest) if digest else None
        if row is None:
            raise GrantError(_OVER)
        return row

    async def _refreshed(self, session: AsyncSession, row: AnyRow) -> tuple[str, AnyRow] | None:
        """Return the next refresh token and its session; None where this one is not good."""
        now, scope = self._clock.now_us(), Scope(row.company_id)
        people = PeopleRepository(session, scope)
        ends = await people.use_refresh(row.id, now)
        standing = await IdentityRepository(session, scope).standing_of_session(row.session_id)
        if standing is None:
            return None
        who = f"user:{standing.id}"
        if ends is None:
            await people.end_sessions(standing.id, now, "reuse", one=row.session_id)
            subject = f"session/{row.session_id}"
            record(session, scope, who=who, action="session.reuse", subject=subject)
            return None
        if now >= min(ends, standing.expires_us):
            return None
        refresh = keys.new_key(keys.REFRESH)
        later = self._session_end(standing.created_us, now)
        await people.used_session(row.session_id, now, later)
        await people.add_refresh(row.session_id, refresh.digest, now, later)
        return refresh.plain, standing

    def _session_end(self, began_us: int, now_us: int) -> int:
        """Return when a session is over that is not refreshed again."""
        idle = now_us + round(self._settings.idle_days * DAY)
        return min(idle, began_us + round(self._settings.session_days * DAY))

    async def _access(
        self, who: str, company: int, sid: int, wanted: Sequence[str] | None, may: list[str]
    ) -> dict[str, Any]:
        kid, key = await self._signing.signer()
        now = self._clock.now_us() // SECOND
        life = round(self._settings.access_minutes * MINUTE) // SECOND
        claims = tokens.Claims(
            iss=self._settings.issuer,
            aud=tokens.AUDIENCE,
            sub=who,
            company=company,
            sid=sid,
            iat=now,
            nbf=now,
            exp=now + life,
            jti=secrets.token_urlsafe(16),
            scope=None if wanted is None else " ".join(wanted),
        )
        return {
            "access_token": tokens.sign(claims, kid, key),
            "token_type": "Bearer",
            "expires_in": life,
            "scope": " ".join(may),
        }

    async def invited(
        self, session: AsyncSession, digest: str, *, lock: bool = False
    ) -> tuple[Scope, AnyRow]:
        """Return an invitation that can be accepted, by the digest of its token; and whose it is.

        Raises:
            GrantError: there is none.
        """
        found = await lookups.find_invitation(session, digest) if digest else None
        if found is not None:
            scope = Scope(found.company_id)
            await act_for(session, scope)
            row = await PeopleRepository(session, scope).invitation(found.id, lock=lock)
            over = row is None or row.accepted_us is not None or row.revoked_us is not None
            if row is not None and not over and self._clock.now_us() < row.expires_us:
                return scope, row
        msg = "this invitation was accepted, has run out or was taken back; ask for another"
        raise GrantError(msg)

    async def _join(
        self, session: AsyncSession, scope: Scope, invitation: AnyRow, name: str, kept: str
    ) -> Found:
        now = self._clock.now_us()
        user = await users.find_user(session, invitation.email)
        if (user is None) != bool(kept):
            msg = "somebody has just signed up with this address; accept it again as that one"
            raise GrantError(msg)
        called = cleaned(name, 200) or invitation.email.partition("@")[0]
        number = user.id if user is not None else None
        if number is None:
            number = await users.add_user(session, invitation.email, called, kept, now)
        return await self.admit(session, scope, invitation, number)

    async def admit(
        self, session: AsyncSession, scope: Scope, invitation: AnyRow, number: int | None
    ) -> Found:
        """Make a user a member by an invitation, which is locked.

        Raises:
            GrantError: it is one already.
            LimitReached: the licence has no room for one more.
        """
        now, people = self._clock.now_us(), PeopleRepository(session, scope)
        if number is None or await people.member(number) is not None:
            msg = "you are a member already, or were put out; ask your administrator"
            raise GrantError(msg)
        await allow(session, scope, Limit.USERS, now)
        await people.add_member(number, invitation.role, invitation.sites, now)
        await people.change_invitation(invitation.id, accepted_us=now)
        after = {"role": invitation.role, "sites": invitation.sites, "by": invitation.invited_by}
        who, subject = f"user:{number}", f"user/{number}"
        record(session, scope, who=who, action="user.join", subject=subject, after=after)
        return Found(number, invitation.email, scope.company_id, invitation.role)


def _wanted(scope: str) -> list[str] | None:
    """Return the scopes asked for; None where all is asked for that there is."""
    names = sorted(set(scope.split()))
    if unknown(names):
        msg = f"no such scope: {' '.join(unknown(names))[:200]}"
        raise BadScope(msg)
    return names or None


def _narrowed(may: frozenset[Any], wanted: Sequence[str] | None) -> list[str]:
    return sorted(may if wanted is None else may & granted(wanted))


def choose(memberships: Sequence[AnyRow], company: str) -> AnyRow:
    """Return the membership of a company by its slug, or the only one; GrantError if none."""
    if not memberships:
        raise GrantError(_WRONG)
    if company:
        chosen = [row for row in memberships if row.slug == company]
        if not chosen:
            msg = f"you are no member of {company[:64]!r}"
            raise GrantError(msg)
        return chosen[0]
    if len(memberships) > 1:
        slugs = ", ".join(row.slug for row in memberships[:20])
        msg = f"say company=... with one of: {slugs}"
        raise BadGrantRequest(msg)
    return memberships[0]


def cleaned(text: str, most: int) -> str:
    """Return a text from a header as it can be kept."""
    return "".join(letter for letter in text if letter.isprintable())[:most]
