"""Routes of claiming: public ones for devices, and those of people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Depends, Request, Response

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.gateways.claim.begin import Beginnings, Challenges
from plantroom_cloud.gateways.claim.errors import Conflict, TooMany
from plantroom_cloud.gateways.claim.limits import Window
from plantroom_cloud.gateways.claim.repository import ProvisionRepository
from plantroom_cloud.gateways.claim.schemas import (
    BeginIn,
    CertificatesOut,
    ClaimedOut,
    ClaimIn,
    EnrolmentTokenIn,
    EnrolmentTokenOut,
    ExpectedPage,
    ListIn,
    ListOut,
    LookIn,
    PollIn,
    RevokeIn,
    SeenOut,
    StandingOut,
    show_certificate,
    show_expected,
    show_grant,
    show_seen,
    show_standing,
    show_token,
)
from plantroom_cloud.gateways.claim.service import ClaimService, CodeHasher
from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.identity.access import CurrentScope, Permit, Session
from plantroom_cloud.identity.permissions import Permission, Principal
from plantroom_cloud.kit.pages import After, Limit, listing_of, read_page
from plantroom_cloud.kit.parameters import GatewayId
from plantroom_cloud.kit.problems import ApiError, Forbidden, NotFound, refusals
from plantroom_cloud.kit.responses import json_response, page_response, secret_response
from plantroom_cloud.kit.session import Clock, database
from plantroom_cloud.kit.times import rfc3339_or_none
from plantroom_cloud.tables import PendingGateway

router = APIRouter(tags=["claiming"])
public = APIRouter(prefix="/provision/v1", tags=["devices that begin"])

Claimer = Annotated[Principal, Depends(Permit(Permission.GATEWAY_CLAIM, confined=True))]
Manager = Annotated[Principal, Depends(Permit(Permission.GATEWAY_WRITE, confined=True))]
Reader = Annotated[Principal, Depends(Permit(Permission.GATEWAY_READ, confined=True))]

_REFUSALS: Final = refusals(Forbidden, Conflict, TooMany)
_HOUR: Final = 3600.0
_POLLS_PER_HOUR: Final = 60
"""For each device that may begin from one address: every 5 s in the first minutes, then rarer."""


@dataclass(slots=True)
class Provision:
    """What the routes share in one process: the authority, its secret, and who asks how often."""

    settings: CloudSettings
    authority: Authority = field(init=False)
    challenges: Challenges = field(init=False)
    codes: CodeHasher = field(default_factory=CodeHasher)
    begins: Window = field(init=False)
    polls: Window = field(init=False)
    all_begins: Window = field(init=False)

    def __post_init__(self) -> None:
        folder = self.settings.data / "pki"
        self.authority, self.challenges = Authority(folder), Challenges(folder)
        own = self.settings.claim.begins_per_hour
        self.begins, self.all_begins = Window(own, _HOUR), Window(own * 100, _HOUR)
        self.polls = Window(own * _POLLS_PER_HOUR, _HOUR)

    def prepared(self) -> Authority:
        """Return the authority, which is made where this process is the first to need it."""
        if not self.authority.crl_file.exists():
            self.authority.prepare((self.settings.mqtt.host,))
        return self.authority

    @property
    def brokers(self) -> list[str]:
        """``host:port`` of each, as gateways shall reach them."""
        mqtt = self.settings.mqtt
        return list(self.settings.claim.brokers) or [f"{mqtt.host}:{mqtt.port}"]

    def grant(self, pending: PendingGateway) -> dict[str, Any] | None:
        """Return what a device gets; None as long as nobody has claimed it."""
        if pending.state != "claimed":
            return None
        return show_grant(pending, self.prepared().ca_pem, self.brokers)


def _provision(request: Request) -> Provision:
    return cast("Provision", request.app.state.provision)


Shared = Annotated[Provision, Depends(_provision)]


# ---------------------------------------------------------------- devices


@public.post("/begin", response_model=StandingOut, responses=_REFUSALS, summary="A device begins")
async def begin_device(request: Request, shared: Shared, clock: Clock, asked: BeginIn) -> Response:
    """A device says that it is there, with its key and the hash of the code that it shows.

    To begin again with the same key changes nothing. A device with an enrolment token, on a list,
    or with a certificate that is to be renewed has its new certificate at once; all others wait to
    be claimed.
    """
    address, now = _address(request), clock.monotonic()
    _heed(shared.begins.wait(address, now) or shared.all_begins.wait("", now))
    authority, now_us = shared.prepared(), clock.now_us()
    async with database(request).write(None) as session:
        beginnings = Beginnings(session, authority, shared.settings.claim, now_us)
        pending = await beginnings.begin(asked, address)
    challenge = shared.challenges.give(pending.id, now_us)
    grant = shared.grant(pending)
    return json_response(show_standing(pending, pending.id, challenge, now_us, grant))


@public.post("/poll", response_model=StandingOut, responses=_REFUSALS, summary="How a claim stands")
async def poll_device(request: Request, shared: Shared, clock: Clock, asked: PollIn) -> Response:
    """A device asks how its claim stands; it shows by a signature that it has the key.

    Who has stolen the id of a device that waits hears nothing but the next challenge.
    """
    _heed(shared.polls.wait(_address(request), clock.monotonic()))
    authority, now_us = shared.prepared(), clock.now_us()
    async with database(request).read(None) as session:
        beginnings = Beginnings(session, authority, shared.settings.claim, now_us)
        pending = await beginnings.poll(asked, shared.challenges)
    challenge = shared.challenges.give(asked.pending, now_us)
    grant = shared.grant(pending) if pending is not None else None
    return json_response(show_standing(pending, asked.pending, challenge, now_us, grant))


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _heed(wait: float) -> None:
    if wait > 0:
        msg = "too many requests from this address"
        raise TooMany(msg, retry_after=wait)


# ---------------------------------------------------------------- installers


@router.post(
    "/gateways/claim/look",
    response_model=SeenOut,
    responses=_REFUSALS,
    summary="The device that shows a code",
)
async def look_at_device(
    *,
    request: Request,
    scope: CurrentScope,
    who: Claimer,
    shared: Shared,
    clock: Clock,
    asked: LookIn,
) -> Response:
    """What a device that waits says of itself: compare the fingerprint before you claim it."""
    code, fingerprint = asked.read
    code_hash = await shared.codes.hash(code)
    async with database(request).write(scope) as session:
        service = ClaimService(session, scope, who, shared.prepared(), clock.now_us())
        found = await service.look(code_hash, fingerprint)
    if isinstance(found, ApiError):
        raise found
    return json_response(show_seen(found))


@router.post(
    "/gateways/claim", response_model=ClaimedOut, responses=_REFUSALS, summary="Claim a device"
)
async def claim_gateway(
    *,
    request: Request,
    scope: CurrentScope,
    who: Claimer,
    shared: Shared,
    clock: Clock,
    asked: ClaimIn,
) -> Response:
    """Make the device that shows this code and this fingerprint a gateway of one of your sites.

    It succeeds once. Five wrong tries lock the code, twenty within an hour lock you out.
    """
    code, fingerprint = asked.shown
    code_hash = await shared.codes.hash(code)
    if asked.replaces and not who.may(Permission.GATEWAY_WRITE):
        msg = f"to replace a gateway needs the permission {Permission.GATEWAY_WRITE}"
        raise Forbidden(msg)
    async with database(request).write(scope) as session:
        service = ClaimService(session, scope, who, shared.prepared(), clock.now_us())
        made = await service.claim(asked, code_hash)
    if isinstance(made, ApiError):
        raise made
    gateway, site = made
    told = {"gateway": gateway, "site": site.id, "fingerprint": fingerprint}
    return json_response(told | {"replaces": asked.replaces or None})


@router.post(
    "/gateways/enrolment-tokens",
    response_model=EnrolmentTokenOut,
    responses=_REFUSALS,
    summary="Make an enrolment token",
)
async def add_enrolment_token(
    *,
    request: Request,
    scope: CurrentScope,
    who: Claimer,
    shared: Shared,
    clock: Clock,
    asked: EnrolmentTokenIn,
) -> Response:
    """A token for one device at one site, good once and for at most 72 hours; shown only now."""
    async with database(request).write(scope) as session:
        service = ClaimService(session, scope, who, shared.authority, clock.now_us())
        row, plain = await service.new_token(asked)
    return secret_response(request, show_token(row, plain))


@router.post(
    "/gateways/expected", response_model=ListOut, responses=_REFUSALS, summary="Expect devices"
)
async def expect_gateways(
    *,
    request: Request,
    scope: CurrentScope,
    who: Manager,
    shared: Shared,
    clock: Clock,
    asked: ListIn,
) -> Response:
    """A list of devices that become gateways of a site when they begin, with nobody before them.

    A fingerprint that another list has is refused: the first one counts.
    """
    async with database(request).write(scope) as session:
        service = ClaimService(session, scope, who, shared.authority, clock.now_us())
        added, known = await service.expect(asked)
    return json_response({"added": added, "known": known})


@router.get("/gateways/expected", response_model=ExpectedPage, summary="Devices that are expected")
async def list_expected_gateways(
    *,
    request: Request,
    session: Session,
    scope: CurrentScope,
    who: Reader,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """The company's lists, by fingerprint."""
    del who
    listing = listing_of("expected")
    page = read_page(listing, limit, after, (str,))
    rows = await ProvisionRepository(session, scope).expected(page)
    return page_response(
        request, listing, page, rows, show=show_expected, key=lambda row: (row.fingerprint,)
    )


# ---------------------------------------------------------------- gateways


@router.get(
    "/gateways/{gateway}/certificates",
    response_model=CertificatesOut,
    summary="A gateway's certificates",
)
async def list_certificates(
    session: Session, scope: CurrentScope, who: Reader, gateway: GatewayId
) -> Response:
    """What was issued to a gateway, what it uses, and what is revoked."""
    del who
    return json_response(await _certificates(ProvisionRepository(session, scope), gateway))


async def _certificates(repository: ProvisionRepository, gateway: str) -> dict[str, Any]:
    row = await repository.gateway(gateway)
    if row is None:
        msg = f"there is no gateway {gateway}; GET /v1/gateways lists yours"
        raise NotFound(msg)
    return {
        "gateway": row.id,
        "revoked": rfc3339_or_none(row.revoked_us),
        "bound": rfc3339_or_none(row.bound_us),
        "replaced_by": row.replaced_by or None,
        "certificates": [show_certificate(one) for one in await repository.certificates(gateway)],
    }


@router.post(
    "/gateways/{gateway}/revoke",
    response_model=CertificatesOut,
    responses=_REFUSALS,
    summary="Revoke a gateway",
)
async def revoke_gateway(
    *,
    request: Request,
    scope: CurrentScope,
    who: Manager,
    shared: Shared,
    clock: Clock,
    gateway: GatewayId,
    asked: RevokeIn,
) -> Response:
    """End a gateway's identity for good: within a minute no broker and no route takes it.

    Its history stays. To release a device, so that another company may claim it, is the same: the
    device gets a new identity when it is reset.
    """
    async with database(request).write(scope) as session:
        service = ClaimService(session, scope, who, shared.authority, clock.now_us())
        await service.revoke(gateway, asked.reason)
        told = await _certificates(ProvisionRepository(session, scope), gateway)
    return json_response(told)


@router.post(
    "/gateways/{gateway}/release",
    response_model=CertificatesOut,
    responses=_REFUSALS,
    summary="Release a gateway",
)
async def release_gateway(
    *,
    request: Request,
    scope: CurrentScope,
    who: Manager,
    shared: Shared,
    clock: Clock,
    gateway: GatewayId,
) -> Response:
    """Let a device go to another site or company: it is revoked, and may be claimed once reset."""
    async with database(request).write(scope) as session:
        service = ClaimService(session, scope, who, shared.authority, clock.now_us())
        await service.revoke(gateway, "released")
        told = await _certificates(ProvisionRepository(session, scope), gateway)
    return json_response(told)
