"""Thing models and storage policies of EnOS: which points there are, and which are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plantroom_cloud.publishing.enos.errors import Denied
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.messages import chunks
from plantroom_shared.errors import Rejected

_MODELS = "/model-service/v2.1/thing-models"
_POLICIES = "/tsdb-policy/v2.0/policies"
_AT_ONCE = 20
"""Models asked for in one call."""


async def model_points(gateway: Gateway, model_id: str) -> frozenset[str] | None:
    """Return the measurement points of a thing model; None where EnOS has no such model."""
    try:
        reply = await gateway.call("GET", _MODELS, {"action": "get", "modelId": model_id})
    except Rejected:
        return None
    match reply.get("data"):
        case {"measurepoints": dict() as points}:
            return frozenset(map(str, points))
    return None


async def stored_points(
    gateway: Gateway, model_ids: Sequence[str]
) -> dict[str, frozenset[str]] | None:
    """Return thing model → points that some storage policy keeps; None where EnOS will not tell."""
    found: dict[str, frozenset[str]] = {}
    for part in chunks(model_ids, _AT_ONCE):
        try:
            reply = await gateway.call("GET", _POLICIES, {"modelIds": ",".join(part)})
        except (Denied, Rejected):
            return None  # an app need not have this right: publishing works without
        data = reply.get("data")
        for row in data if isinstance(data, list) else []:
            match row:
                case {"modelId": str(model_id), "tsdb_metadata": dict() as kept}:
                    found[model_id] = frozenset(name for name, kinds in kept.items() if kinds)
    return found


async def store(gateway: Gateway, policy: str, points: Mapping[str, Sequence[str]]) -> None:
    """Add points to a storage policy; what it keeps already stays as it is.

    Args:
        gateway: the way to EnOS.
        policy: its id.
        points: thing model → points.
    """
    where = f"{_POLICIES}/{policy}"
    data = (await gateway.call("GET", where, {})).get("data")
    present: dict[str, Any] = data if isinstance(data, dict) else {}
    wanted: dict[str, set[str]] = {}
    for row in present.get("models") or []:
        match row:
            case {"modelId": str(model_id), "points": list() as names}:
                wanted.setdefault(model_id, set()).update(map(str, names))
    for model_id, more in points.items():
        wanted.setdefault(model_id, set()).update(more)
    models = [{"modelId": name, "points": sorted(wanted[name])} for name in sorted(wanted)]
    body: dict[str, Any] = {"models": models}
    if present.get("retention"):
        body["retention"] = present["retention"]
    await gateway.call("POST", where, {}, body)
