"""How gateways come to be known: who waits to be claimed, what was issued, who is expected."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant


class PendingGateway(Base):
    """A device that has begun, and what it gets. Of no company: nobody knows yet whose it is."""

    __tablename__ = "pending_gateway"

    id: Mapped[str] = mapped_column(String(22), primary_key=True)
    """Random. Not enough to collect anything: that takes the device's key."""
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    """Of its key: one device waits once."""
    public_key: Mapped[str] = mapped_column(Text)
    code_hash: Mapped[str] = mapped_column(String(64), index=True)
    """Empty where it shows no code."""
    state: Mapped[str] = mapped_column(String(16), index=True)
    """``waiting``, ``claimed`` or ``locked``."""
    tries: Mapped[int] = mapped_column(Big, default=0)
    """How often somebody had its fingerprint and a wrong code, or the other way round."""
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What the device says of its hardware: nobody has checked it."""
    address: Mapped[str] = mapped_column(String(64), default="")
    created_us: Mapped[Micros]
    expires_us: Mapped[Micros] = mapped_column(Big, index=True)
    gateway_id: Mapped[str] = mapped_column(String(40), default="", index=True)
    """What it became."""
    certificate: Mapped[str] = mapped_column(Text, default="")
    """Its certificate and the chain, PEM."""
    binding: Mapped[str] = mapped_column(Text, default="")
    """Whose it is, as JSON, and the authority's signature: base64 behind a blank."""


class IssuedCertificate(Tenant, Base):
    """A certificate that a gateway of the company got."""

    __tablename__ = "issued_certificate"
    __table_args__ = (Index("ix_issued_certificate_gateway_id", "gateway_id"),)

    serial: Mapped[str] = mapped_column(String(64), primary_key=True)
    """In hex."""
    gateway_id: Mapped[str] = mapped_column(String(40), ForeignKey("gateway.id"))
    fingerprint: Mapped[str] = mapped_column(String(64), index=True)
    """Of its key; empty for one whose key was made here, by hand."""
    how: Mapped[str] = mapped_column(String(16))
    """``claim``, ``token``, ``list``, ``renewal`` or ``hand``."""
    issued_us: Mapped[Micros]
    until_us: Mapped[Micros]
    confirmed_us: Mapped[Micros | None]
    """When a hello came with it."""
    superseded_us: Mapped[Micros | None]
    """When a newer one was confirmed; it is revoked a while later."""
    revoked_us: Mapped[Micros | None] = mapped_column(Big, index=True)
    reason: Mapped[str] = mapped_column(String(200), default="")


class EnrolmentToken(Tenant, Base):
    """Lets one device become one gateway of one site, once."""

    __tablename__ = "enrolment_token"

    id: Mapped[BigKey]
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    gateway_id: Mapped[str] = mapped_column(String(40), default="")
    """What it is to be called; empty: whatever is free."""
    created_us: Mapped[Micros]
    created_by: Mapped[str] = mapped_column(String(200))
    expires_us: Mapped[Micros]
    used_us: Mapped[Micros | None]
    used_by: Mapped[str] = mapped_column(String(64), default="")
    """Fingerprint of the key that has used it."""


class ExpectedGateway(Tenant, Base):
    """A device of a list: it needs nobody to stand before it."""

    __tablename__ = "expected_gateway"
    __table_args__ = (Index("ix_expected_gateway_company_page", "company_id", "fingerprint"),)

    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    serial: Mapped[str] = mapped_column(String(128))
    """What the device must call itself, too."""
    site_id: Mapped[int] = mapped_column(Big, ForeignKey("site.id"))
    gateway_id: Mapped[str] = mapped_column(String(40), default="")
    name: Mapped[str] = mapped_column(String(200), default="")
    created_us: Mapped[Micros]
    created_by: Mapped[str] = mapped_column(String(200))
    used_us: Mapped[Micros | None]


class ClaimTry(Tenant, Base):
    """Somebody of the company tried to claim with what is wrong: who does so often is locked out."""

    __tablename__ = "claim_try"
    __table_args__ = (Index("ix_claim_try_company_id_who_at_us", "company_id", "who", "at_us"),)

    id: Mapped[BigKey]
    who: Mapped[str] = mapped_column(String(80))
    at_us: Mapped[Micros]
