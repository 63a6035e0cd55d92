"""Every route of the application, and how to call it for a company."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from support.api_world import Tenant


class Route(NamedTuple):
    """A path with a method, as the application has it."""

    method: str
    path: str
    query: frozenset[str]
    """Names of its query parameters."""
    model: Any
    """What it says that it answers."""

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
                "command": tenant.command,
                "model": tenant.model,
                "override": tenant.override,
                "template": tenant.template,
                "job": tenant.job,
            }
        )

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
        bodies |= {"rules": {"request": "r", "text": ""}}
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
