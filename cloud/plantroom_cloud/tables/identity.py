"""Companies, who may act for them, and by what they are recognised."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from plantroom_cloud.tables.base import Base, Big, BigKey, Micros, Tenant

Names = JSON(none_as_null=True)
"""A list: of permissions and roles, or of sites; NULL where nothing is confined."""


class Company(Base):
    """A tenant."""

    __tablename__ = "company"

    id: Mapped[BigKey]
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[Micros]


class ApiKey(Tenant, Base):
    """A credential of the API; only its SHA-256 is kept."""

    __tablename__ = "api_key"
    __table_args__ = (Index("ix_api_key_company_page", "company_id", "id"),)

    id: Mapped[BigKey]
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_us: Mapped[Micros]
    last_used_us: Mapped[Micros | None]
    revoked_us: Mapped[Micros | None]
    scopes: Mapped[list[str]] = mapped_column(JSON)
    """Names of permissions, and of roles for all that they hold."""
    sites: Mapped[list[int] | None] = mapped_column(Names)
    expires_us: Mapped[Micros | None]
    """None: made before keys expired."""
    created_by: Mapped[str] = mapped_column(String(200), default="")


class User(Base):
    """A person; which companies it may act for is told by its memberships."""

    __tablename__ = "user_account"

    id: Mapped[BigKey]
    email: Mapped[str] = mapped_column(String(190), unique=True)
    """In small letters: what it logs in with."""
    name: Mapped[str] = mapped_column(String(200))
    password: Mapped[str] = mapped_column(String(200), default="")
    """argon2id, in its own notation; empty: nobody can log in with a password."""
    created_us: Mapped[Micros]
    valid_from_us: Mapped[Micros]
    """Sessions that began before are void: its password has changed since."""
    disabled_us: Mapped[Micros | None]


class Membership(Tenant, Base):
    """What a user may do for one company."""

    __tablename__ = "membership"
    __table_args__ = (
        UniqueConstraint("company_id", "user_id"),
        Index("ix_membership_company_page", "company_id", "id"),
    )

    id: Mapped[BigKey]
    user_id: Mapped[int] = mapped_column(Big, ForeignKey("user_account.id"), index=True)
    role: Mapped[str] = mapped_column(String(32))
    sites: Mapped[list[int] | None] = mapped_column(Names)
    """The only sites it sees; NULL: all."""
    created_us: Mapped[Micros]
    disabled_us: Mapped[Micros | None]


class UserSession(Tenant, Base):
    """A log-in of a user for a company: what access and refresh tokens hang on."""

    __tablename__ = "user_session"
    __table_args__ = (Index("ix_user_session_company_id_user_id", "company_id", "user_id"),)

    id: Mapped[BigKey]
    user_id: Mapped[int] = mapped_column(Big, ForeignKey("user_account.id"), index=True)
    scopes: Mapped[list[str] | None] = mapped_column(Names)
    """What it was narrowed to when it began."""
    agent: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[Micros]
    used_us: Mapped[Micros]
    """When it was last refreshed."""
    expires_us: Mapped[Micros]
    ended_us: Mapped[Micros | None]
    ended_by: Mapped[str] = mapped_column(String(32), default="")
    """``logout``, ``revoked``, ``reuse``, ``password`` or ``removed``."""


class RefreshToken(Tenant, Base):
    """A refresh token: good once."""

    __tablename__ = "refresh_token"

    id: Mapped[BigKey]
    session_id: Mapped[int] = mapped_column(Big, ForeignKey("user_session.id"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_us: Mapped[Micros]
    expires_us: Mapped[Micros]
    used_us: Mapped[Micros | None]


class Invitation(Tenant, Base):
    """An offer of a membership to whoever has its token."""

    __tablename__ = "invitation"
    __table_args__ = (Index("ix_invitation_company_page", "company_id", "id"),)

    id: Mapped[BigKey]
    email: Mapped[str] = mapped_column(String(190))
    role: Mapped[str] = mapped_column(String(32))
    sites: Mapped[list[int] | None] = mapped_column(Names)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[Micros]
    expires_us: Mapped[Micros]
    accepted_us: Mapped[Micros | None]
    revoked_us: Mapped[Micros | None]


class ServiceAccount(Tenant, Base):
    """A program of a company that gets its tokens by client id and secret."""

    __tablename__ = "service_account"
    __table_args__ = (Index("ix_service_account_company_page", "company_id", "id"),)

    id: Mapped[BigKey]
    name: Mapped[str] = mapped_column(String(200))
    client_id: Mapped[str] = mapped_column(String(64), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of its secret."""
    scopes: Mapped[list[str]] = mapped_column(JSON)
    sites: Mapped[list[int] | None] = mapped_column(Names)
    created_us: Mapped[Micros]
    created_by: Mapped[str] = mapped_column(String(200), default="")
    valid_from_us: Mapped[Micros]
    """Stands in its tokens: another value voids them."""
    last_used_us: Mapped[Micros | None]
    """When it last got a token."""
    disabled_us: Mapped[Micros | None]
    deleted_us: Mapped[Micros | None]


class SigningKey(Base):
    """A key that signs access tokens; of the service, not of a company."""

    __tablename__ = "signing_key"

    kid: Mapped[str] = mapped_column(String(32), primary_key=True)
    private: Mapped[str] = mapped_column(Text)
    """PEM, encrypted with the secret of the installation."""
    public: Mapped[str] = mapped_column(Text)
    created_us: Mapped[Micros]
    from_us: Mapped[Micros]
    """When it begins to sign; it is published before."""
    revoked_us: Mapped[Micros | None]


class LoginBackoff(Base):
    """Failed log-ins, by a digest of who tried."""

    __tablename__ = "login_backoff"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_us: Mapped[Micros]
