"""What claiming takes and answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from plantroom_cloud.kit.parameters import MAX_ID
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.tables import (
    EnrolmentToken,
    ExpectedGateway,
    IssuedCertificate,
    PendingGateway,
)
from plantroom_shared.claiming import read_code, read_qr

_PLAIN = r"\A[^\x00-\x1f\x7f]*\z"
Short = Annotated[str, StringConstraints(max_length=128, pattern=_PLAIN)]
Name = Annotated[str, StringConstraints(max_length=200, pattern=_PLAIN)]
Hex = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
Pem = Annotated[str, StringConstraints(max_length=8192, pattern=r"\A[ -~\r\n]*\z")]
Signature = Annotated[str, StringConstraints(max_length=1024, pattern=r"\A[A-Za-z0-9+/=]*\z")]
SiteName = Annotated[
    Annotated[int, Field(ge=1, le=MAX_ID)]
    | Annotated[str, StringConstraints(max_length=64, pattern=_PLAIN)],
    Field(),
]
GatewayName = Annotated[str, StringConstraints(max_length=40, pattern=_PLAIN)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


# ---------------------------------------------------------------- devices


class BeginIn(_In):
    """What a device says when it begins."""

    csr: Pem
    """A certificate signing request, PEM; only its key is heeded."""
    code_hash: Annotated[str, StringConstraints(pattern=r"\A([0-9a-f]{64})?\z")] = ""
    token: Annotated[str, StringConstraints(max_length=100, pattern=r"\A[!-~]*\z")] = ""
    certificate: Pem = ""
    """The one that is to be renewed."""
    facts: dict[Short, Short] = Field(default_factory=dict, max_length=16)
    """What it says of its hardware: ``serial``, ``model``, ``hostname``, ``agent`` …"""
    signature: Signature
    """By the key of `csr`."""
    renew_signature: Signature = ""
    """By the key of `certificate`."""


class PollIn(_In):
    """What a device sends to hear how its claim stands."""

    pending: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_-]{22}\z")]
    challenge: Annotated[str, StringConstraints(max_length=64, pattern=r"\A[0-9a-f]*\z")] = ""
    signature: Signature = ""


class GrantOut(BaseModel):
    """What a claimed device gets."""

    gateway: str
    certificate: str
    """Its certificate and the chain, PEM."""
    ca: str
    """Whom it trusts, PEM."""
    brokers: list[str]
    binding: str
    """Whose it is: JSON."""
    binding_signature: str
    """Of that, by the authority that has signed the certificate; base64."""


class StandingOut(BaseModel):
    """How a device's claim stands."""

    state: str = Field(examples=["waiting"])
    """``challenge`` (sign the new one), ``waiting``, ``locked`` (begin with a new code) or ``claimed``."""
    pending: str
    challenge: str
    now: str
    expires: str | None
    poll_after: int
    """Seconds until it shall ask again."""
    grant: GrantOut | None


def show_standing(
    pending: PendingGateway | None, asked: str, challenge: str, now_us: int, grant: Any = None
) -> dict[str, Any]:
    """Return how a claim stands; nothing but a challenge to whoever has not shown the key."""
    return {
        "state": "challenge" if pending is None else pending.state,
        "pending": asked,
        "challenge": challenge,
        "now": rfc3339(now_us),
        "expires": None if pending is None else rfc3339(pending.expires_us),
        "poll_after": 5,
        "grant": grant,
    }


def show_grant(pending: PendingGateway, ca: bytes, brokers: list[str]) -> dict[str, Any]:
    """Return what a claimed device gets."""
    signature, _, binding = pending.binding.partition(" ")
    return {
        "gateway": pending.gateway_id,
        "certificate": pending.certificate,
        "ca": ca.decode(),
        "brokers": brokers,
        "binding": binding,
        "binding_signature": signature,
    }


# ---------------------------------------------------------------- installers


class LookIn(_In):
    """What an installer has read from a device: typed, or scanned."""

    code: Annotated[str, StringConstraints(max_length=200, pattern=_PLAIN)]
    """Ten characters, or the whole text of the QR code."""

    @field_validator("code")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not read_code(value) and read_qr(value) is None:
            msg = "a code has ten of 0-9 and A-Z without I, L, O and U, like AB3DE-FGH12"
            raise ValueError(msg)
        return value

    @property
    def read(self) -> tuple[str, str]:
        """The code, and the fingerprint if a QR code said it."""
        return read_qr(self.code) or (read_code(self.code), "")


class DeviceIn(_In):
    """A device that streams by itself, without an agent."""

    protocol: Annotated[str, StringConstraints(pattern=r"\A(json|sparkplug)\z")] = "json"
    sparkplug_group: Short = ""


class ClaimIn(LookIn):
    """Which device an installer claims, and what it is to be."""

    fingerprint: Annotated[str, StringConstraints(max_length=100)] = ""
    """As the device shows it; it may be left out where `code` is the text of the QR code."""
    site: SiteName
    """Id or slug of one of the company's sites."""
    gateway: GatewayName = ""
    name: Name = ""
    replaces: GatewayName = ""
    """A gateway of the same site whose place this one takes; that one is revoked."""
    device: DeviceIn | None = None

    @field_validator("fingerprint")
    @classmethod
    def _hex(cls, value: str) -> str:
        plain = value.replace(" ", "").replace(":", "").lower()
        if plain and (len(plain) != 64 or set(plain) - set("0123456789abcdef")):
            msg = "a fingerprint has 64 hex digits"
            raise ValueError(msg)
        return plain

    @property
    def shown(self) -> tuple[str, str]:
        """Code and fingerprint."""
        code, scanned = self.read
        return code, self.fingerprint or scanned


class SeenOut(BaseModel):
    """A device that waits, for a person to compare."""

    fingerprint: str
    facts: dict[str, str]
    address: str
    since: str
    expires: str


class ClaimedOut(BaseModel):
    """What a device has become."""

    gateway: str
    site: int
    fingerprint: str
    replaces: str | None


def show_seen(row: PendingGateway) -> dict[str, Any]:
    """Return a device that waits."""
    return {
        "fingerprint": row.fingerprint,
        "facts": row.facts,
        "address": row.address,
        "since": rfc3339(row.created_us),
        "expires": rfc3339(row.expires_us),
    }


# ---------------------------------------------------------------- those who run gateways


class RevokeIn(_In):
    """Why a gateway is revoked."""

    reason: Name = ""


class CertificateOut(BaseModel):
    """A certificate that a gateway got."""

    serial: str
    how: str
    fingerprint: str
    issued: str
    until: str
    confirmed: str | None
    superseded: str | None
    revoked: str | None
    reason: str


class CertificatesOut(BaseModel):
    """The certificates of one gateway, the newest first."""

    gateway: str
    revoked: str | None
    bound: str | None
    replaced_by: str | None
    certificates: list[CertificateOut]


def show_certificate(row: IssuedCertificate) -> dict[str, Any]:
    """Return one certificate."""
    return {
        "serial": row.serial,
        "how": row.how,
        "fingerprint": row.fingerprint,
        "issued": rfc3339(row.issued_us),
        "until": rfc3339(row.until_us),
        "confirmed": rfc3339_or_none(row.confirmed_us),
        "superseded": rfc3339_or_none(row.superseded_us),
        "revoked": rfc3339_or_none(row.revoked_us),
        "reason": row.reason,
    }


class EnrolmentTokenIn(_In):
    """What an enrolment token is for."""

    site: SiteName
    gateway: GatewayName = ""
    hours: float = Field(default=24, gt=0, le=72)


class EnrolmentTokenOut(BaseModel):
    """An enrolment token; `token` is shown only now."""

    id: int
    token: str
    site: int
    gateway: str
    expires: str


def show_token(row: EnrolmentToken, plain: str) -> dict[str, Any]:
    """Return a token that was just made."""
    return {
        "id": row.id,
        "token": plain,
        "site": row.site_id,
        "gateway": row.gateway_id,
        "expires": rfc3339(row.expires_us),
    }


class ListIn(_In):
    """Devices that will come."""

    site: SiteName
    csv: Annotated[str, StringConstraints(max_length=900_000)]
    """With a head: ``serial``, ``fingerprint``, and where wanted ``gateway`` and ``name``."""


class ListOut(BaseModel):
    """What became of a list."""

    added: int
    known: int
    """Rows that were there already, unchanged."""


class ExpectedOut(BaseModel):
    """A device that is expected."""

    serial: str
    fingerprint: str
    site: int
    gateway: str
    name: str
    used: str | None


class ExpectedPage(BaseModel):
    """A page of them."""

    items: list[ExpectedOut]
    next: str | None


def show_expected(row: ExpectedGateway) -> dict[str, Any]:
    """Return a device that is expected."""
    return {
        "serial": row.serial,
        "fingerprint": row.fingerprint,
        "site": row.site_id,
        "gateway": row.gateway_id,
        "name": row.name,
        "used": rfc3339_or_none(row.used_us),
    }
