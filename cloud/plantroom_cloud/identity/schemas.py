"""What the routes of identity take and show."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from plantroom_cloud.identity.permissions import ROLES, Principal
from plantroom_cloud.identity.users import LONGEST_EMAIL, email_of
from plantroom_cloud.kit.parameters import MAX_ID
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none


def _email(text: str) -> str:
    if (found := email_of(text)) is None:
        msg = "is no e-mail address such as ann@example.org"
        raise ValueError(msg)
    return found


Role = Literal["company_admin", "engineer", "operator", "installer", "viewer"]
Name = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=200, strip_whitespace=True, pattern=r"\A[^\x00-\x1f\x7f]*\z"
    ),
]
Email = Annotated[str, Field(max_length=LONGEST_EMAIL), AfterValidator(_email)]
Password = Annotated[str, StringConstraints(max_length=256)]
Scopes = Annotated[
    list[Annotated[str, StringConstraints(max_length=64)]],
    Field(max_length=64, description="Permissions, or roles for all that they hold."),
]
Sites = Annotated[
    list[Annotated[int, Field(ge=1, le=MAX_ID)]],
    Field(min_length=1, max_length=1000, description="The only sites it sees; null: all."),
]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def changes(self) -> dict[str, Any]:
        """Return what was said, and only that."""
        return self.model_dump(exclude_unset=True)


# ---------------------------------------------------------------- one's own


class CompanyOut(BaseModel):
    """A company."""

    id: int
    slug: str
    name: str


class MembershipOut(BaseModel):
    """A company that one may act for."""

    company: str = Field(description="Its slug.")
    name: str
    role: str


class MeOut(BaseModel):
    """Who asks, and what that may do."""

    kind: str = Field(examples=["user", "service", "key"])
    id: int
    name: str = Field(description="Of a user its address.")
    company: CompanyOut
    permissions: list[str]
    sites: list[int] | None = Field(description="The only sites it sees; null: all.")
    session: int | None = Field(description="The session that a user's token belongs to.")
    memberships: list[MembershipOut] = Field(description="Of a user: choose one at log-in.")


def show_me(who: Principal, company: AnyRow, memberships: Any) -> dict[str, Any]:
    """Return who asks as JSON."""
    return {
        "kind": who.kind,
        "id": who.id,
        "name": who.name,
        "company": {"id": company.id, "slug": company.slug, "name": company.name},
        "permissions": sorted(who.permissions),
        "sites": None if who.sites is None else sorted(who.sites),
        "session": who.session,
        "memberships": [
            {"company": row.slug, "name": row.name, "role": row.role} for row in memberships
        ],
    }


class MeIn(_In):
    """What one can change of oneself."""

    name: Name


class PasswordIn(_In):
    """A new password."""

    current: Password
    new: Password


class DoneOut(BaseModel):
    """It is done."""

    done: bool = True


class SessionOut(BaseModel):
    """A log-in."""

    id: int
    agent: str = Field(description="What the client calls itself.")
    address: str
    created: str
    used: str = Field(description="When it was last refreshed.")
    expires: str
    current: bool


class SessionList(BaseModel):
    """Log-ins that are open, the newest first."""

    items: list[SessionOut]


def show_session(row: AnyRow, current: int | None) -> dict[str, Any]:
    """Return a session as JSON."""
    return {
        "id": row.id,
        "agent": row.agent,
        "address": row.address,
        "created": rfc3339(row.created_us),
        "used": rfc3339(row.used_us),
        "expires": rfc3339(row.expires_us),
        "current": row.id == current,
    }


# ---------------------------------------------------------------- members


class UserOut(BaseModel):
    """A member of the company."""

    id: int
    email: str
    name: str
    role: str
    sites: list[int] | None
    since: str
    disabled: bool


class UserPage(BaseModel):
    """Members, oldest first."""

    items: list[UserOut]
    next: str | None


class UserIn(_In):
    """What is to change of a member; what is left out stays."""

    role: Role = "viewer"
    sites: Sites | None = None
    disabled: bool = False


def show_user(row: AnyRow) -> dict[str, Any]:
    """Return a member as JSON."""
    return {
        "id": row.user_id,
        "email": row.email,
        "name": row.name,
        "role": row.role,
        "sites": row.sites,
        "since": rfc3339(row.created_us),
        "disabled": row.disabled_us is not None or row.gone_us is not None,
    }


class EndedOut(BaseModel):
    """Sessions that were ended."""

    ended: int


class RoleOut(BaseModel):
    """A role and all that it holds."""

    role: str
    permissions: list[str]


class RoleList(BaseModel):
    """The roles there are."""

    items: list[RoleOut]


def show_roles() -> list[dict[str, Any]]:
    """Return the roles as JSON."""
    return [{"role": name, "permissions": sorted(held)} for name, held in ROLES.items()]


class InvitationIn(_In):
    """Whom to invite, and as what."""

    email: Email
    role: Role
    sites: Sites | None = None


class InvitationOut(BaseModel):
    """An invitation."""

    id: int
    email: str
    role: str
    sites: list[int] | None
    by: str
    created: str
    expires: str
    accepted: str | None
    revoked: str | None


class InvitationMade(InvitationOut):
    """An invitation with its token."""

    token: str = Field(description="For whoever is invited; it is shown only now.")


class InvitationPage(BaseModel):
    """Invitations, oldest first."""

    items: list[InvitationOut]
    next: str | None


def show_invitation(row: AnyRow) -> dict[str, Any]:
    """Return an invitation as JSON."""
    return {
        "id": row.id,
        "email": row.email,
        "role": row.role,
        "sites": row.sites,
        "by": row.invited_by,
        "created": rfc3339(row.created_us),
        "expires": rfc3339(row.expires_us),
        "accepted": rfc3339_or_none(row.accepted_us),
        "revoked": rfc3339_or_none(row.revoked_us),
    }


# ---------------------------------------------------------------- keys and service accounts


class KeyIn(_In):
    """A key to be made."""

    name: Name
    scopes: Scopes = Field(min_length=1, examples=[["viewer"]])
    sites: Sites | None = None
    days: int = Field(default=365, ge=1, le=365, description="How long it opens.")


class KeyChange(_In):
    """What is to change of a key; what is left out stays."""

    name: Name = "key"
    scopes: Scopes = Field(default=["viewer"], min_length=1)
    sites: Sites | None = None


class RotateIn(_In):
    """How the old key goes."""

    hours: int = Field(default=24, ge=0, le=720, description="So long the old one still opens.")


class KeyOut(BaseModel):
    """An API key."""

    id: int
    name: str
    prefix: str = Field(description="Its first characters.")
    scopes: list[str]
    sites: list[int] | None
    by: str
    created: str
    expires: str | None
    used: str | None
    revoked: str | None


class KeyMade(KeyOut):
    """An API key, itself."""

    key: str = Field(description="It is shown only now.")


class KeyPage(BaseModel):
    """API keys, oldest first."""

    items: list[KeyOut]
    next: str | None


def show_key(row: AnyRow) -> dict[str, Any]:
    """Return a key as JSON."""
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes,
        "sites": row.sites,
        "by": row.created_by,
        "created": rfc3339(row.created_us),
        "expires": rfc3339_or_none(row.expires_us),
        "used": rfc3339_or_none(row.last_used_us),
        "revoked": rfc3339_or_none(row.revoked_us),
    }


class AccountIn(_In):
    """A service account to be made."""

    name: Name
    scopes: Scopes = Field(min_length=1, examples=[["viewer"]])
    sites: Sites | None = None


class AccountChange(_In):
    """What is to change of a service account; what is left out stays."""

    name: Name = "account"
    scopes: Scopes = Field(default=["viewer"], min_length=1)
    sites: Sites | None = None
    disabled: bool = False


class AccountOut(BaseModel):
    """A service account."""

    id: int
    name: str
    client_id: str
    scopes: list[str]
    sites: list[int] | None
    by: str
    created: str
    used: str | None = Field(description="When it last got a token.")
    disabled: bool


class AccountMade(AccountOut):
    """A service account with its secret."""

    client_secret: str = Field(description="It is shown only now.")


class AccountPage(BaseModel):
    """Service accounts, oldest first."""

    items: list[AccountOut]
    next: str | None


def show_account(row: AnyRow) -> dict[str, Any]:
    """Return a service account as JSON."""
    return {
        "id": row.id,
        "name": row.name,
        "client_id": row.client_id,
        "scopes": row.scopes,
        "sites": row.sites,
        "by": row.created_by,
        "created": rfc3339(row.created_us),
        "used": rfc3339_or_none(row.last_used_us),
        "disabled": row.disabled_us is not None,
    }
