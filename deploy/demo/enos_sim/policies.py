"""Storage policies of the simulated EnOS: which points its time-series database keeps. No HTTP."""

from __future__ import annotations

from typing import Any

from demo.enos_sim.world import Refused, World

_POINTS = 3000
_KINDS = {"AI": "AI_RAW", "DI": "DI", "PI": "PI"}


class Policies:
    """The policies of an organisation; points are put into one by hand or by a plan."""

    def __init__(self, world: World) -> None:
        self.world = world

    def get_points(self, query: dict[str, str], _body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return model → point → kinds of storage, for ``modelIds``."""
        model_ids = [name for name in query.get("modelIds", "").split(",") if name]
        if not model_ids:
            raise Refused(99400, "Invalid Argument: modelIds")
        wanted = {name for name in query.get("measurepoints", "").split(",") if name}
        if len(model_ids) * len(wanted) > _POINTS:
            raise Refused(99400, "Invalid Argument: too many measurepoints")
        found = []
        for model_id in model_ids:
            kept: dict[str, list[str]] = {}
            for name, point in self._points(model_id).items():
                if self.world.keeps(model_id, name) and (not wanted or name in wanted):
                    kept[name] = [_KINDS.get(point["signalType"], "GENERIC")]
            found.append({"modelId": model_id, "tsdb_metadata": kept})
        return found

    def _points(self, model_id: str) -> dict[str, Any]:
        try:
            points: dict[str, Any] = self.world.model(model_id)["measurepoints"]
        except Refused:
            return {}
        return points

    def get(self, query: dict[str, str], _body: dict[str, Any]) -> dict[str, Any]:
        """Return a policy."""
        policy = self._policy(query)
        return {
            "policyId": query["policy"],
            "policyName": query["policy"],
            "policyType": "RAW",
            "retention": policy.retention,
            "models": [
                {"modelId": model_id, "points": sorted(points)}
                for model_id, points in sorted(policy.models.items())
            ],
        }

    def save(self, query: dict[str, str], body: dict[str, Any]) -> None:
        """Set what a policy keeps: what is not named is kept no more."""
        policy, models = self._policy(query), body.get("models")
        if not isinstance(models, list):
            raise Refused(99400, "Invalid Argument: models")
        policy.models = {row["modelId"]: set(row["points"]) for row in models}
        policy.retention = body.get("retention", policy.retention)

    def _policy(self, query: dict[str, str]) -> Any:
        policy = self.world.policies.get(query.get("policy", ""))
        if policy is None:
            raise Refused(99404, "policy not found")
        return policy
