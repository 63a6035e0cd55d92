"""The ways across companies: every statement that is about more than one, and no other.

Each answers whose something is, or who has work: ids, never what a company's rows say. On
PostgreSQL they run as a role that can read these columns and nothing else, and change nothing; on
SQLite a test holds them to the same columns. Who has the answer goes on with the rows of one
company (`db.act_for`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import ACTING, Scope, is_sqlite
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.tables import (
    AlarmDue,
    AlarmNotice,
    AlarmReceiver,
    AlarmRule,
    ApiKey,
    AuditHead,
    AuditSignature,
    CommandRow,
    Company,
    CompanyExport,
    ConfigurationAssignment,
    ConfigurationRollout,
    Deletion,
    EnrolmentToken,
    ExpectedGateway,
    Gateway,
    GatewayEpoch,
    GovernanceDue,
    GovernanceSite,
    Invitation,
    IssuedCertificate,
    JobChunk,
    JobRow,
    LicenceRow,
    LlmBatch,
    MappingBasis,
    Membership,
    OnceRequest,
    Outbox,
    Point,
    RefreshToken,
    ServiceAccount,
    Site,
    StreamMessage,
    Target,
    WebhookDelivery,
    WebhookRow,
)
from plantroom_cloud.tables import Mapping as MappingRow

ROLE: Final = "plantroom_lookup"
"""As whom PostgreSQL runs them."""
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "alarm_due": ("company_id",),
    "alarm_notice": ("company_id", "receiver_id", "state", "due_us"),
    "alarm_receiver": ("id", "next_us"),
    "alarm_rule": ("company_id",),
    "api_key": ("id", "company_id", "digest"),
    "audit_head": ("company_id", "n", "hash"),
    "audit_signature": ("company_id", "n"),
    "command": ("company_id", "state", "expires_us"),
    "company": ("id", "slug", "name"),
    "configuration_assignment": ("company_id", "gateway_id", "state", "due_us"),
    "configuration_rollout": ("company_id", "state"),
    "company_export": ("id", "company_id", "state", "expires_us"),
    "deletion": ("id", "company_id", "state"),
    "enrolment_token": ("id", "company_id", "digest"),
    "expected_gateway": ("company_id", "fingerprint"),
    "gateway": (
        *("id", "company_id", "site_id", "dictionary_stamp", "clock_skew_us"),
        *("revoked_us", "online", "takes"),
    ),
    "gateway_epoch": ("company_id", "superseded_us"),
    "governance_due": ("company_id", "site_id"),
    "governance_site": ("company_id", "site_id", "checked_us"),
    "invitation": ("id", "company_id", "digest"),
    "issued_certificate": ("company_id", "serial", "superseded_us", "revoked_us", "until_us"),
    "job": ("id", "company_id", "source", "ended_us"),
    "job_chunk": ("job_id", "company_id", "stage", "state", "due_us"),
    "licence": ("company_id",),
    "llm_batch": ("company_id", "site_id", "state"),
    "mapping": ("point_id", "mapped_us"),
    "mapping_basis": ("point_id",),
    "membership": ("user_id", "company_id", "role", "sites", "disabled_us"),
    "once_request": ("company_id", "until_us"),
    "outbox": ("kind", "rows", "created_us"),
    "point": ("id", "company_id", "site_id", "changed_us"),
    "refresh_token": ("id", "company_id", "session_id", "digest"),
    "service_account": ("id", "company_id", "client_id"),
    "site": ("id", "company_id", "slug"),
    "stream_message": ("company_id", "stored_us"),
    "target": ("company_id", "kind", "enabled"),
    "webhook": ("id", "company_id", "enabled", "resume_us"),
    "webhook_delivery": ("company_id", "webhook_id", "state", "due_us", "ended_us"),
}
"""Table → all that is read of it across companies."""
OPEN_CHUNKS: Final = ("waiting", "claimed")
"""States of chunks of jobs that are to be done."""
LOCKED: Final = ("gateway",)
"""Tables of which a row may be locked for the rest of a transaction, without being changed."""


class Across:
    """In place of a company in a connection's `info`: a look-up is under way."""

    __slots__ = ()


_ACROSS: Final = Across()
_STEP_OUT: Final = f"SELECT current_setting('role'), set_config('role', '{ROLE}', true)"
_STEP_BACK: Final = "SELECT set_config('role', %s, true)"


@asynccontextmanager
async def _across(session: AsyncSession) -> AsyncIterator[None]:
    """Let the statements of the block see these columns of all companies, and nothing else.

    Where it raises, the transaction stays with that role to its end, which then can do nothing.
    """
    connection = await session.connection()
    await session.flush()
    acting, role = connection.info[ACTING], ""
    if not is_sqlite(session):
        role = (await connection.exec_driver_sql(_STEP_OUT)).one()[0]
    connection.info[ACTING] = _ACROSS
    yield
    connection.info[ACTING] = acting
    if role:
        await connection.exec_driver_sql(_STEP_BACK, (role,))


async def _rows(session: AsyncSession, statement: Any) -> list[AnyRow]:
    async with _across(session):
        return list((await session.execute(statement)).all())


async def _one(session: AsyncSession, statement: Any) -> AnyRow | None:
    found = await _rows(session, statement)
    return found[0] if found else None


# ---------------------------------------------------------------- who is it


async def find_key(session: AsyncSession, digest: str) -> AnyRow | None:
    """Return id and company of the API key with this SHA-256."""
    return await _one(session, select(ApiKey.id, ApiKey.company_id).where(ApiKey.digest == digest))


async def find_refresh(session: AsyncSession, digest: str) -> AnyRow | None:
    """Return id, company and session of the refresh token with this SHA-256."""
    columns = (RefreshToken.id, RefreshToken.company_id, RefreshToken.session_id)
    return await _one(session, select(*columns).where(RefreshToken.digest == digest))


async def find_invitation(session: AsyncSession, digest: str) -> AnyRow | None:
    """Return id and company of the invitation with this SHA-256."""
    columns = (Invitation.id, Invitation.company_id)
    return await _one(session, select(*columns).where(Invitation.digest == digest))


async def find_client(session: AsyncSession, client_id: str) -> AnyRow | None:
    """Return id and company of the service account with this client id."""
    columns = (ServiceAccount.id, ServiceAccount.company_id)
    return await _one(session, select(*columns).where(ServiceAccount.client_id == client_id))


async def memberships_of(session: AsyncSession, user: int) -> list[AnyRow]:
    """Return the companies that a user may act for, by slug; the user has proved to be that one."""
    columns = (Membership.company_id, Membership.role, Membership.sites, Company.slug, Company.name)
    mine = (Membership.user_id == user, Membership.disabled_us.is_(None))
    query = select(*columns).join(Company, Company.id == Membership.company_id).where(*mine)
    return await _rows(session, query.order_by(Company.slug))


async def members_elsewhere(
    session: AsyncSession, scope: Scope, users: Sequence[int]
) -> frozenset[int]:
    """Return those of a company's members whom another company has as members, too."""
    query = select(Membership.user_id).where(
        Membership.company_id != scope.company_id, Membership.user_id.in_(list(users))
    )
    return frozenset([row.user_id for row in await _rows(session, query)])


async def find_gateways(
    session: AsyncSession, ids: Iterable[str], *, lock: bool = False
) -> list[AnyRow]:
    """Return whose the known ones of `ids` are, by id: a certificate names nothing else.

    Args:
        session: any.
        ids: gateways.
        lock: see `gateways.repository.find_owners`.
    """
    query = select(
        Gateway.id,
        Gateway.company_id,
        Gateway.site_id,
        Gateway.dictionary_stamp,
        Gateway.clock_skew_us,
        Gateway.online,
        Gateway.revoked_us,
    )
    query = query.where(Gateway.id.in_(ids)).order_by(Gateway.id)
    if lock:  # as weak as an update of no key: rows that refer to the gateway can still be inserted
        query = query.with_for_update(key_share=True)
    return await _rows(session, query)


async def find_enrolment(session: AsyncSession, digest: str) -> AnyRow | None:
    """Return id and company of the enrolment token with this SHA-256."""
    columns = (EnrolmentToken.id, EnrolmentToken.company_id)
    return await _one(session, select(*columns).where(EnrolmentToken.digest == digest))


async def find_expected(session: AsyncSession, fingerprint: str) -> AnyRow | None:
    """Return whose list has the device with this key."""
    query = select(ExpectedGateway.company_id).where(ExpectedGateway.fingerprint == fingerprint)
    return await _one(session, query)


async def find_sites(session: AsyncSession, slug: str, company: str = "") -> list[AnyRow]:
    """Return (company_id, id, company's slug) of the sites called `slug`: an operator looks."""
    query = select(Site.company_id, Site.id, Company.slug)
    query = query.join(Company, Company.id == Site.company_id).where(Site.slug == slug)
    return await _rows(session, query.where(Company.slug == company) if company else query)


async def slugs(session: AsyncSession) -> dict[str, Scope]:
    """Return the scopes of all companies by their slugs, in order of these."""
    found = await _rows(session, select(Company.slug, Company.id).order_by(Company.slug))
    return {row.slug: Scope(row.id) for row in found}


async def find_company(session: AsyncSession, slug: str) -> Scope | None:
    """Return the scope of the company called `slug`."""
    found = await _rows(session, select(Company.id).where(Company.slug == slug))
    return Scope(found[0].id) if found else None


# ---------------------------------------------------------------- who has work


async def companies(session: AsyncSession) -> list[Scope]:
    """Return the scopes of all companies."""
    found = await _rows(session, select(Company.id).order_by(Company.id))
    return [Scope(row.id) for row in found]


async def licensed(session: AsyncSession) -> list[Scope]:
    """Return the companies that have a licence."""
    found = await _rows(session, select(LicenceRow.company_id).order_by(LicenceRow.company_id))
    return [Scope(row.company_id) for row in found]


async def unsigned_heads(session: AsyncSession) -> list[AnyRow]:
    """Return (company_id, slug, n, hash) of every audit whose end is not signed."""
    same = (AuditSignature.company_id == AuditHead.company_id) & (AuditSignature.n == AuditHead.n)
    query = (
        select(AuditHead.company_id, Company.slug, AuditHead.n, AuditHead.hash)
        .join(Company, Company.id == AuditHead.company_id)
        .outerjoin(AuditSignature, same)
        .where(AuditHead.n > 0, AuditSignature.n.is_(None))
    )
    return await _rows(session, query.order_by(AuditHead.company_id))


async def companies_with_work(session: AsyncSession, *due: ColumnElement[bool]) -> list[int]:
    """Return companies that have a chunk of a job of which all of `due` holds."""
    query = select(JobChunk.company_id).where(*due).distinct()
    found = await _rows(session, query.order_by(JobChunk.company_id))
    return [row.company_id for row in found]


async def outdated_jobs(
    session: AsyncSession, before_us: int, limit: int
) -> list[tuple[Scope, str]]:
    """Return scope and id of up to `limit` jobs that ended before."""
    query = select(JobRow.company_id, JobRow.id).where(JobRow.ended_us < before_us)
    return [(Scope(row.company_id), row.id) for row in await _rows(session, query.limit(limit))]


async def stale_sites(session: AsyncSession) -> list[tuple[int, int]]:
    """Return (company, site) of points that are new, or have changed since they were mapped."""
    unmapped = or_(MappingRow.point_id.is_(None), MappingBasis.point_id.is_(None))
    query = (
        select(Point.company_id, Point.site_id)
        .outerjoin(MappingRow, MappingRow.point_id == Point.id)
        .outerjoin(MappingBasis, MappingBasis.point_id == Point.id)
        .where(or_(unmapped, Point.changed_us > MappingRow.mapped_us))
        .distinct()
        .order_by(Point.company_id, Point.site_id)
    )
    return [(row.company_id, row.site_id) for row in await _rows(session, query)]


async def open_batches(session: AsyncSession) -> list[tuple[int, int]]:
    """Return (company, site) with questions that wait at an LLM's batch interface."""
    query = select(LlmBatch.company_id, LlmBatch.site_id)
    query = query.where(LlmBatch.state.in_(("new", "open"))).distinct()
    found = await _rows(session, query.order_by(LlmBatch.company_id, LlmBatch.site_id))
    return [(row.company_id, row.site_id) for row in found]


async def enabled_targets(session: AsyncSession, kind: str) -> dict[int, str]:
    """Return company id → slug of those that publish to `kind`."""
    query = select(Company.id, Company.slug).join(Target, Target.company_id == Company.id)
    found = await _rows(session, query.where(Target.kind == kind, Target.enabled))
    return {row.id: row.slug for row in found}


async def companies_with_commands(
    session: AsyncSession, late: Iterable[tuple[str, int]], now_us: int
) -> list[Scope]:
    """Return companies with a command that is to be sent, or whose time is over.

    Args:
        session: any.
        late: state, and the moment before which a command in it must have expired to be too late.
        now_us: now.
    """
    waits = and_(CommandRow.state == "pending", CommandRow.expires_us > now_us)
    over = [and_(CommandRow.state == state, CommandRow.expires_us <= at) for state, at in late]
    query = select(CommandRow.company_id).where(or_(waits, *over)).distinct()
    return [
        Scope(row.company_id) for row in await _rows(session, query.order_by(CommandRow.company_id))
    ]


async def revoked_certificates(session: AsyncSession, since_us: int) -> list[AnyRow]:
    """Return serial and time of whatever is revoked, and not over by `since_us`: for brokers."""
    columns = (IssuedCertificate.serial, IssuedCertificate.revoked_us)
    query = select(*columns).where(IssuedCertificate.revoked_us.is_not(None))
    query = query.where(IssuedCertificate.until_us > since_us)
    return await _rows(session, query.order_by(IssuedCertificate.serial))


async def revoked_gateways(session: AsyncSession, since_us: int) -> list[str]:
    """Return the gateways that were revoked after `since_us`: for brokers."""
    query = select(Gateway.id).where(Gateway.revoked_us > since_us).order_by(Gateway.id)
    return [row.id for row in await _rows(session, query)]


async def companies_with_superseded(session: AsyncSession, before_us: int) -> list[Scope]:
    """Return companies with a certificate that was superseded before, and is not revoked yet."""
    query = select(IssuedCertificate.company_id).where(
        IssuedCertificate.superseded_us <= before_us, IssuedCertificate.revoked_us.is_(None)
    )
    found = await _rows(session, query.distinct().order_by(IssuedCertificate.company_id))
    return [Scope(row.company_id) for row in found]


async def companies_with_configurations(session: AsyncSession, now_us: int) -> list[Scope]:
    """Return companies with a configuration to be sent to a gateway that is there."""
    mine = ConfigurationAssignment
    query = select(mine.company_id).join(Gateway, Gateway.id == mine.gateway_id)
    query = query.where(mine.state.in_(("staged", "sent")), mine.due_us <= now_us)
    query = query.where(Gateway.online.is_(True), Gateway.takes.contains("cfg")).distinct()
    return [Scope(row.company_id) for row in await _rows(session, query.order_by(mine.company_id))]


async def companies_with_rollouts(session: AsyncSession) -> list[Scope]:
    """Return companies with a rollout that is under way."""
    mine = ConfigurationRollout
    query = select(mine.company_id).where(mine.state == "running").distinct()
    return [Scope(row.company_id) for row in await _rows(session, query.order_by(mine.company_id))]


async def companies_with_old_requests(session: AsyncSession, now_us: int) -> list[Scope]:
    """Return companies that keep answers to requests which need not be kept any more."""
    query = select(OnceRequest.company_id).where(OnceRequest.until_us <= now_us).distinct()
    return [
        Scope(row.company_id)
        for row in await _rows(session, query.order_by(OnceRequest.company_id))
    ]


async def companies_with_alarms(session: AsyncSession) -> list[Scope]:
    """Return companies that have rules for alarms, or notes of what is to be looked at."""
    query = select(AlarmRule.company_id).union(select(AlarmDue.company_id))
    return [Scope(found) for found in sorted(row[0] for row in await _rows(session, query))]


async def receivers_with_notices(session: AsyncSession, now_us: int) -> list[tuple[int, int]]:
    """Return (company, receiver) of those that are to be told of an alarm now."""
    query = (
        select(AlarmNotice.company_id, AlarmNotice.receiver_id)
        .join(AlarmReceiver, AlarmReceiver.id == AlarmNotice.receiver_id)
        .where(AlarmNotice.state == "waiting", AlarmNotice.due_us <= now_us)
        .where(AlarmReceiver.next_us <= now_us)
        .distinct()
        .order_by(AlarmNotice.company_id, AlarmNotice.receiver_id)
    )
    return [(row.company_id, row.receiver_id) for row in await _rows(session, query)]


async def webhooks_with_work(session: AsyncSession, now_us: int) -> list[tuple[Scope, int]]:
    """Return scope and id of webhooks that something is to be sent to, and that take it now."""
    due = (WebhookDelivery.state == "waiting", WebhookDelivery.due_us <= now_us)
    query = (
        select(WebhookRow.company_id, WebhookRow.id)
        .join(WebhookDelivery, WebhookDelivery.webhook_id == WebhookRow.id)
        .where(*due, WebhookRow.enabled, WebhookRow.resume_us <= now_us)
        .distinct()
        .order_by(WebhookRow.company_id, WebhookRow.id)
    )
    return [(Scope(row.company_id), row.id) for row in await _rows(session, query)]


async def companies_with_old_deliveries(session: AsyncSession, before_us: int) -> list[Scope]:
    """Return companies that keep messages to webhooks which ended before."""
    query = select(WebhookDelivery.company_id).where(WebhookDelivery.ended_us < before_us)
    found = await _rows(session, query.distinct().order_by(WebhookDelivery.company_id))
    return [Scope(row.company_id) for row in found]


async def companies_to_prune(
    session: AsyncSession, stored_us: int, superseded_us: int
) -> list[Scope]:
    """Return companies that keep messages or starts of agents older than is needed."""
    messages = select(StreamMessage.company_id).where(StreamMessage.stored_us < stored_us)
    epochs = select(GatewayEpoch.company_id).where(GatewayEpoch.superseded_us < superseded_us)
    return [Scope(row.company_id) for row in await _rows(session, messages.union(epochs))]


async def sites_to_check(session: AsyncSession, before_us: int, most: int) -> list[tuple[int, int]]:
    """Return (company, site) with notes of changes, and those last checked before a moment."""
    due = select(GovernanceDue.company_id, GovernanceDue.site_id).distinct().limit(most)
    never = or_(GovernanceSite.checked_us.is_(None), GovernanceSite.checked_us < before_us)
    old = (
        select(Site.company_id, Site.id.label("site_id"))
        .outerjoin(GovernanceSite, GovernanceSite.site_id == Site.id)
        .where(never)
        .limit(most)
    )
    found = {(row.company_id, row.site_id) for row in await _rows(session, due)}
    found |= {(row.company_id, row.site_id) for row in await _rows(session, old)}
    return sorted(found)


async def deletions_to_do(session: AsyncSession) -> list[tuple[Scope, str]]:
    """Return scope and id of the deletions that are confirmed and not at their end."""
    query = select(Deletion.company_id, Deletion.id).where(Deletion.state == "confirmed")
    rows = await _rows(session, query.order_by(Deletion.id))
    return [(Scope(row.company_id), row.id) for row in rows]


async def exports_to_do(session: AsyncSession, now_us: int) -> list[tuple[Scope, str]]:
    """Return scope and id of the exports that are to be made, and of those kept long enough."""
    over = (CompanyExport.state == "done") & (CompanyExport.expires_us < now_us)
    query = select(CompanyExport.company_id, CompanyExport.id)
    query = query.where((CompanyExport.state == "waiting") | over).order_by(CompanyExport.id)
    return [(Scope(row.company_id), row.id) for row in await _rows(session, query)]


# ---------------------------------------------------------------- how much waits


async def outbox(session: AsyncSession) -> list[AnyRow]:
    """Return (kind, values, since_us) of what waits for each kind of platform, of all together."""
    values, since = func.sum(Outbox.rows), func.min(Outbox.created_us)
    query = select(Outbox.kind, values.label("values"), since.label("since_us"))
    return await _rows(session, query.group_by(Outbox.kind))


async def open_chunks(session: AsyncSession) -> list[AnyRow]:
    """Return (state, chunks, due_us) of the chunks of jobs that are to be done, of all together."""
    chunks, due = func.count().label("chunks"), func.min(JobChunk.due_us).label("due_us")
    query = select(JobChunk.state, chunks, due).where(JobChunk.state.in_(OPEN_CHUNKS))
    return await _rows(session, query.group_by(JobChunk.state))
