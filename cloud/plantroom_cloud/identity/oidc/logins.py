"""Logging in by what an identity provider says: begin, come back, be known by issuer and subject."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config_oidc import OidcSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity import keys, users
from plantroom_cloud.identity.errors import BadGrantRequest, GrantError
from plantroom_cloud.identity.grants import Caller, Found, Grants, choose, cleaned
from plantroom_cloud.identity.oidc import flows, links
from plantroom_cloud.identity.oidc.idtoken import Proof
from plantroom_cloud.identity.oidc.port import Http
from plantroom_cloud.identity.oidc.provider import Provider
from plantroom_cloud.identity.repository import IdentityRepository
from plantroom_cloud.identity.trail import record
from plantroom_cloud.isolation import lookups
from plantroom_cloud.kit.problems import NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import MINUTE
from plantroom_shared.clock import Clock

_NOT_BEGUN: Final = (
    "this log-in was not begun by this browser, has come back before or took too long"
)
_UNKNOWN: Final = (
    "nobody here is known by this log-in; accept an invitation with it, or link it to your account"
)


@dataclass(frozen=True, slots=True)
class Begun:
    """A log-in that has begun."""

    secret: str
    """For the browser's cookie."""
    url: str
    """Where the browser goes."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What a browser brings back."""

    secret: str
    state: str
    code: str
    issuer: str | None
    error: str


class Logins:
    """Logs people in whom identity providers know.

    Args:
        db: where links and log-ins under way are.
        clock: what "now" means.
        settings: the providers.
        grants: gives out tokens.
        http: asks the providers.
    """

    def __init__(
        self, db: Database, clock: Clock, settings: OidcSettings, *, grants: Grants, http: Http
    ) -> None:
        self._db, self._clock, self._settings, self._grants = db, clock, settings, grants
        self._providers = {
            one.name: Provider(one, settings, http, clock) for one in settings.providers
        }

    def titles(self) -> Sequence[tuple[str, str]]:
        """Return name and title of every provider."""
        return [(name, one.about.title or name) for name, one in self._providers.items()]

    def name_of(self, issuer: str) -> str:
        """Return the name of an issuer's provider; empty where it is none any more."""
        return next((k for k, one in self._providers.items() if one.about.issuer == issuer), "")

    async def begin(
        self, name: str, *, invitation: str = "", company: str = "", user: int | None = None
    ) -> Begun:
        """Begin a log-in.

        Args:
            name: the provider's.
            invitation: token of one that is to be accepted.
            company: slug of the one it is for; empty: the only one.
            user: whom the log-in is to be linked to: who asks has just proved to be that one.

        Raises:
            NotFound: there is no such provider.
            GrantError: there is no such invitation.
            ProviderTrouble: it does not answer.
        """
        provider = self._provider(name)
        offered = keys.digest_of(invitation)
        if invitation:
            async with self._db.read(None) as session:
                await self._grants.invited(session, offered)
        secret = flows.new_secret()
        made = flows.secrets_of(secret)
        url = await provider.authorize_url(
            state=made.state, nonce=made.nonce, challenge=made.challenge
        )
        now = self._clock.now_us()
        async with self._db.write(None) as session:
            await flows.open_flow(
                session,
                made.state,
                provider=name,
                now_us=now,
                expires_us=now + round(self._settings.minutes * MINUTE),
                most=self._settings.most_open,
                invitation=offered,
                company=company,
                user_id=user,
            )
        return Begun(secret, url)

    async def finish(self, name: str, back: Returned, caller: Caller) -> dict[str, Any]:
        """Return tokens of a new session for what a browser brings back.

        Raises:
            NotFound: there is no such provider.
            GrantError: it is not what was begun, not from whom it was asked, or nobody known.
            ProviderTrouble: the provider does not answer.
        """
        provider = self._provider(name)
        flow = await self._taken(name, back)
        await provider.check_sender(back.issuer)
        if back.error or not back.code:
            told = cleaned(back.error, 64) or "no code"
            msg = f"the provider has not logged you in: {told}"
            raise GrantError(msg)
        made = flows.secrets_of(back.secret)
        proof = await provider.redeem(back.code, made.verifier, made.nonce)
        async with self._db.write(None) as session:
            found = await self._found(session, provider, flow, proof)
        return await self._grants.begin(found, None, caller, by=f"oidc:{name}")

    # ------------------------------------------------------------ inside

    def _provider(self, name: str) -> Provider:
        if (provider := self._providers.get(name)) is None:
            msg = f"there is no identity provider {name[:32]!r}"
            raise NotFound(msg)
        return provider

    async def _taken(self, name: str, back: Returned) -> AnyRow:
        """Return the log-in that has come back; it can do so once."""
        mine = keys.plausible(back.secret) and keys.plausible(back.state)
        if mine:
            state = flows.secrets_of(back.secret).state
            mine = hmac.compare_digest(state.encode(), back.state.encode())
        if not mine:
            raise GrantError(_NOT_BEGUN)
        async with self._db.write(None) as session:
            flow = await flows.take_flow(session, back.state)
        if flow is None or flow.provider != name or flow.expires_us <= self._clock.now_us():
            raise GrantError(_NOT_BEGUN)
        return flow

    async def _found(
        self, session: AsyncSession, provider: Provider, flow: AnyRow, proof: Proof
    ) -> Found:
        """Return who that is here, for which company; by issuer and subject, and nothing else."""
        known = await links.find(session, proof)
        if known is not None:
            if known.disabled_us is not None:
                raise GrantError(_UNKNOWN)
            await links.used(session, known.link, self._clock.now_us())
        if flow.invitation:
            return await self._joined(session, provider, flow.invitation, proof, known)
        if flow.user_id is not None:
            await self._linked(session, provider, flow.user_id, proof, known)
        elif known is None:
            raise GrantError(_UNKNOWN)
        user = known.id if known is not None else flow.user_id
        return await self._member(session, provider, user, flow.company)

    async def _member(
        self, session: AsyncSession, provider: Provider, user: int, company: str
    ) -> Found:
        led = provider.about.companies
        memberships = await lookups.memberships_of(session, user)
        chosen = choose([row for row in memberships if not led or row.slug in led], company)
        return Found(user, "", chosen.company_id, chosen.role)

    async def _joined(
        self,
        session: AsyncSession,
        provider: Provider,
        digest: str,
        proof: Proof,
        known: AnyRow | None,
    ) -> Found:
        """Let somebody in by an invitation: as the user that the log-in is, or as a new one.

        An account that there is already is never taken over by an address: its owner links it.
        """
        scope, invitation = await self._grants.invited(session, digest, lock=True)
        await self._check_company(session, provider, scope)
        there = await users.find_user(session, invitation.email)
        if known is not None:
            if there is None or there.id != known.id:
                msg = "this invitation is for another address than your account's; ask for one"
                raise GrantError(msg)
            return await self._grants.admit(session, scope, invitation, known.id)
        if there is not None:
            msg = (
                "there is an account with this address: accept the invitation with its password, "
                "then link this log-in with POST /v1/me/identities"
            )
            raise GrantError(msg)
        now = self._clock.now_us()
        called = cleaned(proof.name, 200).strip() or invitation.email.partition("@")[0]
        user = await users.add_user(session, invitation.email, called, "", now)
        if user is None or await links.add(session, user, proof, now) is None:
            msg = "somebody has just signed up with this address or this log-in; try again"
            raise GrantError(msg)
        found = await self._grants.admit(session, scope, invitation, user)
        self._record(session, scope, provider, user)
        return found

    async def _linked(
        self,
        session: AsyncSession,
        provider: Provider,
        user: int,
        proof: Proof,
        known: AnyRow | None,
    ) -> None:
        if known is not None:
            if known.id != user:
                msg = "this log-in is linked to another account"
                raise GrantError(msg)
            return
        if await links.add(session, user, proof, self._clock.now_us()) is None:
            msg = "this log-in has just been linked to another account"
            raise GrantError(msg)
        for row in await lookups.memberships_of(session, user):
            self._record(session, Scope(row.company_id), provider, user)

    async def _check_company(self, session: AsyncSession, provider: Provider, scope: Scope) -> None:
        led = provider.about.companies
        company = await IdentityRepository(session, scope).company()
        if led and company.slug not in led:
            msg = f"{provider.about.name} does not lead to this company; take another way in"
            raise BadGrantRequest(msg)

    def _record(self, session: AsyncSession, scope: Scope, provider: Provider, user: int) -> None:
        after = {"provider": provider.about.name, "issuer": provider.about.issuer}
        who, subject = f"user:{user}", f"user/{user}"
        record(session, scope, who=who, action="user.link", subject=subject, after=after)
