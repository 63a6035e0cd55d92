"""Every route of the application, and how to call it for a company."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from plantroom_cloud.identity.access import Permit
from plantroom_cloud.live.endpoints import SOCKET
from support.api_world import PASSWORD, Tenant
from support.claim_device import WAITING
from support.governance_world import WORD, deletions, export_id, own_rule

NEW_PASSWORD = "staple battery horse"
_RULE = {"rule": "spares", "about": "point", "when": 'like(name, "spare*")', "text": "{name}"}
_WAIVER = {"rule": "site-without-location", "subject": "*", "reason": "known to all", "days": 9}


class Route(NamedTuple):
    """A path with a method, as the application has it."""

    method: str
    path: str
    query: frozenset[str]
    """Names of its query parameters."""
    model: Any
    """What it says that it answers."""

    @property
    def is_stream(self) -> bool:
        """Whether its answer goes on until the client goes: tests of its own open it."""
        return self.path == "/v1/live/events"

    def url(self, tenant: Tenant) -> str:
        """Return the path with the ids of what `tenant` has."""
        return self.path.format_map(
            {
                "site": tenant.site,
                "gateway": tenant.gateway,
                "point": tenant.points[0],
                "finding:path": "pca/chiller:1",
                "finding": "pca/chiller:1",
                "equipment": "bess/1",
                "row": tenant.quarantined[self.path.endswith("/discard")],
                "consumer": f"reader-{tenant.company}",
                "command": tenant.unconfirmed if self.path.endswith("/confirm") else tenant.command,
                "model": tenant.model,
                "override": tenant.override,
                "template": tenant.template,
                "job": tenant.job,
                "alarm": tenant.alarms.get(self.path.rsplit("/", 1)[1], tenant.alarms[""]),
                "receiver": tenant.receiver,
                "webhook": tenant.spare if self.method == "DELETE" else tenant.webhook,
                "delivery": tenant.delivery,
                "version": 1,
                "assignment": f"a-{tenant.company}",
                "rollout": f"r-{tenant.company}",
                "user": tenant.user,
                "session_id": tenant.session,
                "invitation": tenant.invitation,
                "key_id": tenant.spare_key,
                "account": tenant.account,
                "identity": tenant.identity,
                "feature": "llm",
                "rule": self._rule(tenant),
                "waiver": tenant.waiver,
                "deletion": deletions(tenant.company)[self.path.endswith("/confirm")],
                "export": export_id(tenant.company),
                "file": "site",
            }
        )

    def _rule(self, tenant: Tenant) -> int | str:
        """Return the rule of its kind: of alarms, of governance or of commands."""
        if "/governance/" in self.path:
            return own_rule(tenant.company)
        return tenant.alarm_rule if "/alarm" in self.path else tenant.rule

    @property
    def has_id(self) -> bool:
        """Say whether its path names what one company has; features are everybody's."""
        return "{" in self.path and "{feature}" not in self.path

    @property
    def of_users(self) -> bool:
        """Say whether only a user has what this is about."""
        return self.path.startswith("/v1/me/") or (self.method, self.path) == ("PATCH", "/v1/me")

    @property
    def late(self) -> int:
        """Its place at the end: after it, routes before it would find nothing any more; below 0: first."""
        place = {
            "POST /v1/gateways/claim": 1,  # another gateway, which has no configuration
            # What is staged, or rolled out, leaves nothing to be taken back.
            "POST /v1/configuration-assignments/{assignment}/cancel": -1,
            "DELETE /v1/me/sessions/{session_id}": 1,
            "POST /v1/me/password": 2,
            "DELETE /v1/users/{user}/sessions": 3,
            "DELETE /v1/users/{user}": 4,
        }
        return place.get(f"{self.method} {self.path}", 0)

    @property
    def body(self) -> Any:
        """A body that it takes; None where it needs none."""
        bodies: dict[str, Any] = {
            "discard": {"reason": "a test"},
            "commands": {"value": 21.5},
            "apply": {},
            "jobs": {},
            "thing-models/import": {
                "models": {"New_Model": {"x": {"type": "Double", "unit": "kW"}}}
            },
            "import": {"rows": [{"id": "r:ahu", "dis": "AHU 1", "equip": "m:"}]},
            "mapping-overrides": {"model": "EnOS_HVAC_CH", "sign": -1},
        }
        bodies |= {"answers": {"request": "a", "accept_from": 0.5}, "undo": {"request": "u"}}
        bodies |= {"governance/rules": _RULE, "try": _RULE, "deletions": {"kind": "company"}}
        shown = {"code": WAITING.code, "fingerprint": WAITING.fingerprint}
        bodies |= {"claim": shown | {"site": "tower"}, "look": {"code": WAITING.code}}
        bodies |= {"enrolment-tokens": {"site": "tower"}, "revoke": {"reason": "a test"}}
        bodies |= {"expected": {"site": "tower", "csv": "serial,fingerprint\n"}}
        bodies |= {
            "rules": {"request": "r", "text": ""},
            "replay": {},
            "{webhook}": {"name": "another"},
        }
        bodies |= {"webhooks": {"url": "https://hooks.example/x", "topics": ["jobs"]}}
        gaps = {
            "name": "gaps",
            "when": {"kind": "gateway", "conditions": ["gap"]},
            "enabled": False,
        }
        desk = {"kind": "email", "name": "desk", "target": "desk@plant.example"}
        bodies |= {"alarms/acknowledge": {"alarms": [1]}, "acknowledge": {}, "reset": {}}
        bodies |= {"shelve": {"minutes": 5, "reason": "a test"}, "unshelve": {}, "restore": {}}
        bodies |= {"remove": {"reason": "a test"}, "assign": {"to": "somebody"}}
        bodies |= {"notes": {"text": "a test"}, "alarm-rules": gaps, "alarm-rules/{rule}": gaps}
        bodies |= {"alarm-receivers": desk, "alarm-receivers/{receiver}": desk}
        bodies |= {"versions": {"document": {"site": "tower"}}, "assignments": {"version": 1}}
        bodies |= {"configuration-rollouts": {"all": True}, "resume": {"most_failed": 1}}
        bodies |= {"command-rules": {"points": "modbus:none:*"}}
        bodies |= {"confirm": {"word": WORD}}
        bodies |= {"{rule}": {k: v for k, v in _RULE.items() if k != "rule"}, "waivers": _WAIVER}
        bodies |= {"description": {"location": "Hauptstr. 1", "naming": ["*"]}}
        bodies |= {"api-keys": {"name": "a key", "scopes": ["viewer"]}, "rotate": {"hours": 1}}
        bodies |= {"service-accounts": {"name": "a program", "scopes": ["viewer"]}}
        bodies |= {"invitations": {"email": "zoe@new.example", "role": "viewer"}}
        bodies |= {"identities": {"provider": "elsewhere", "password": PASSWORD}}
        bodies |= {"{feature}": {"enabled": False}}
        bodies |= {"me": {"name": "Ann"}, "password": {"current": PASSWORD, "new": NEW_PASSWORD}}
        if self.method == "PATCH":
            return bodies.get(self.path.rsplit("/", 1)[1], {})
        if self.method not in {"POST", "PUT"}:
            return None
        return next((body for end, body in bodies.items() if self.path.endswith(f"/{end}")), None)


def all_routes(app: FastAPI) -> Iterator[Route]:
    """Yield every route with every method, those outside of the description too."""
    description = app.openapi()["paths"]
    for context in iter_route_contexts(app.routes):
        path = context.path_format or context.path or ""
        for method in sorted(context.methods or ()):
            operation = description.get(path, {}).get(method.lower(), {})
            names = (
                item["name"] for item in operation.get("parameters", []) if item["in"] == "query"
            )
            yield Route(method, path, frozenset(names), context.response_model)


TICKETED = frozenset({SOCKET})
"""Paths that a ticket opens, which was got at a route with a permission."""


def undeclared(app: FastAPI) -> list[str]:
    """Return method and path of every route under /v1 that does not declare exactly one Permit."""
    return [
        f"{method} {path}"
        for (method, path), found in permits_of(app).items()
        if path.startswith("/v1") and len(found) != 1 and path not in TICKETED
    ]


def permits_of(app: FastAPI) -> dict[tuple[str, str], list[Permit]]:
    """Return what each route asks for, by method and path; ``ANY`` where it has no method."""
    found = {}
    for context in iter_route_contexts(app.routes):
        path = context.path_format or context.path or ""
        dependant = getattr(context, "dependant", None)
        permits = [] if dependant is None else list(_asked(dependant))
        for method in sorted(context.methods or ("ANY",)):
            found[method, path] = permits
    return found


def _asked(dependant: Any) -> Iterator[Permit]:
    if isinstance(dependant.call, Permit):
        yield dependant.call
    for part in dependant.dependencies:
        yield from _asked(part)
