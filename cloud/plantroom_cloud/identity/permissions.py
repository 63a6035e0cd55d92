"""Who may do what: permissions, roles as sets of them, and the one who asks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a route asks for: a noun of ours and what is done with it."""

    SITE_READ = "site:read"
    SITE_WRITE = "site:write"
    GATEWAY_READ = "gateway:read"
    GATEWAY_CLAIM = "gateway:claim"
    """Bring a gateway to a site: what an installer does."""
    GATEWAY_WRITE = "gateway:write"
    """Configure, revoke, re-home."""
    POINT_READ = "point:read"
    """Points with their samples, findings and figures."""
    POINT_WRITE = "point:write"
    """Give commands to a plant."""
    MAPPING_READ = "mapping:read"
    MAPPING_WRITE = "mapping:write"
    PUBLISHING_READ = "publishing:read"
    PUBLISHING_WRITE = "publishing:write"
    QUARANTINE_READ = "quarantine:read"
    QUARANTINE_WRITE = "quarantine:write"
    JOB_READ = "job:read"
    JOB_WRITE = "job:write"
    ALARM_READ = "alarm:read"
    ALARM_WRITE = "alarm:write"
    """Acknowledge, shelve, suppress, assign."""
    ALARM_DESIGN = "alarm:design"
    """Rules, and who is told."""
    GOVERNANCE_READ = "governance:read"
    GOVERNANCE_WRITE = "governance:write"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_WRITE = "webhook:write"
    USER_READ = "user:read"
    USER_WRITE = "user:write"
    """Users, roles, invitations, service accounts."""
    KEY_READ = "key:read"
    KEY_WRITE = "key:write"
    AUDIT_READ = "audit:read"
    COMPANY_READ = "company:read"
    """Counters, licence, usage."""
    COMPANY_WRITE = "company:write"
    """Settings, retention, deletion, export of everything."""
    OWN = "own:write"
    """One's own password, sessions and profile: whoever is somebody may."""


_READS: Final = frozenset(p for p in Permission if p.value.endswith(":read")) - {
    Permission.USER_READ,
    Permission.KEY_READ,
    Permission.AUDIT_READ,
    Permission.WEBHOOK_READ,
}
_OPERATES: Final = _READS | {Permission.ALARM_WRITE, Permission.POINT_WRITE, Permission.OWN}
_ENGINEERS: Final = _OPERATES | {
    Permission.ALARM_DESIGN,
    Permission.SITE_WRITE,
    Permission.GATEWAY_CLAIM,
    Permission.GATEWAY_WRITE,
    Permission.MAPPING_WRITE,
    Permission.PUBLISHING_WRITE,
    Permission.QUARANTINE_WRITE,
    Permission.JOB_WRITE,
    Permission.GOVERNANCE_WRITE,
    Permission.WEBHOOK_READ,
    Permission.WEBHOOK_WRITE,
}

ROLES: Final[Mapping[str, frozenset[Permission]]] = {
    "viewer": _READS | {Permission.OWN},
    "installer": frozenset(
        {
            Permission.SITE_READ,
            Permission.GATEWAY_READ,
            Permission.GATEWAY_CLAIM,
            Permission.POINT_READ,
            Permission.OWN,
        }
    ),
    "operator": _OPERATES,
    "engineer": _ENGINEERS,
    "company_admin": frozenset(Permission),
}
"""Role → what whoever has it may do."""
_KNOWN: Final = frozenset(permission.value for permission in Permission)


def granted(names: Iterable[str]) -> frozenset[Permission]:
    """Return what names of permissions and of roles stand for; a name nobody knows is nothing."""
    found: set[Permission] = set()
    for name in names:
        found |= ROLES.get(name, frozenset())
        found |= {Permission(name)} if name in _KNOWN else set()
    return frozenset(found)


def unknown(names: Iterable[str]) -> list[str]:
    """Return the names that are neither a permission nor a role."""
    return sorted(name for name in set(names) if name not in _KNOWN and name not in ROLES)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a user, a service account, or whoever has an API key."""

    company_id: int
    kind: str
    """``user``, ``service`` or ``key``."""
    id: int
    """Of its row."""
    name: str
    """For people: in histories and in the audit."""
    permissions: frozenset[Permission] = field(default_factory=frozenset)
    sites: frozenset[int] | None = None
    """The sites it is confined to; None: all of its company."""
    session: int | None = None
    """The log-in that a user's token belongs to."""
    mark: int = 0
    """What its token says in `sid`; other tokens of the same one may be void."""

    def may(self, permission: Permission) -> bool:
        """Tell whether it has a permission."""
        return permission in self.permissions
