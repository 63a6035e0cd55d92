"""How the API shows alarms, rules, receivers and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plantroom_cloud.alarms.flood import Figures
from plantroom_cloud.alarms.rules import priority_name
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import showable
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none


def show_alarm(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of an alarm."""
    return {
        "id": row.id,
        "rule": row.rule_id,
        "site": row.site_id,
        "gateway": row.gateway_id,
        "point": row.point_id,
        "title": row.title,
        "priority": priority_name(row.priority),
        "state": row.standing,
        "active": row.active,
        "latching": row.latching,
        "shelved_until": rfc3339_or_none(row.shelved_until_us),
        "suppressed": row.suppressed,
        "reason": row.reason,
        "value": row.value,
        "raised": rfc3339_or_none(row.raised_us),
        "changed": rfc3339(row.changed_us),
        "calls": row.calls,
        "assignee": row.assignee,
        "response": row.config.get("response", ""),
        "consequence": row.config.get("consequence", ""),
        "version": row.version,
    }


def show_event(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of something that happened."""
    doc = {key: _moment(key, value) for key, value in row.doc.items()}
    return {
        "id": row.id,
        "kind": row.kind,
        "at": rfc3339(row.at_us),
        "entered": rfc3339(row.entered_us),
        "before": row.before,
        "after": row.after,
        "called": row.called,
        "actor": row.actor,
        "doc": showable(doc),
    }


def _moment(key: str, value: Any) -> Any:
    """Return times of a document as people read them."""
    if key not in {"from", "to", "until"}:
        return value
    if isinstance(value, list):
        return [rfc3339_or_none(one) for one in value]
    return rfc3339(value) if isinstance(value, int) else value


def show_rule(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a rule."""
    return {
        "id": row.id,
        "rule": row.config,
        "version": row.version,
        "actor": row.actor,
        "created": rfc3339(row.created_us),
        "changed": rfc3339(row.changed_us),
    }


def show_receiver(row: AnyRow, secret: str = "") -> dict[str, Any]:
    """Return the JSON of a receiver; the secret only where it was just made."""
    return {
        "id": row.id,
        "receiver": row.config,
        "version": row.version,
        "told": rfc3339_or_none(row.told_us),
        "failures": row.failures,
        "last_error": row.last_error,
        "secret": secret or None,
    }


def show_notice(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a notice."""
    return {
        "id": row.id,
        "alarm": row.alarm_id,
        "event": row.event_id,
        "state": row.state,
        "created": rfc3339(row.created_us),
        "due": rfc3339(row.due_us),
        "done": rfc3339_or_none(row.done_us),
        "tries": row.tries,
        "why": row.why,
    }


def show_figures(
    found: Figures, titles: Mapping[int, str], start: int, end: int, operators: int
) -> dict[str, Any]:
    """Return the JSON of figures of a stretch of time."""

    def count(alarm: int, number: int) -> dict[str, Any]:
        return {"alarm": alarm, "title": titles.get(alarm, ""), "count": number}

    return {
        "from": rfc3339(start),
        "to": rfc3339(end),
        "operators": operators,
        "calls": found.calls,
        "per_operator_10min": found.average,
        "peak_per_operator_10min": found.peak,
        "peak": rfc3339_or_none(found.peak_at),
        "flood_share": found.flood_share,
        "floods": [
            {"from": rfc3339(since), "to": rfc3339(until), "calls": calls}
            for since, until, calls in found.floods
        ],
        "priorities": {priority_name(key): n for key, n in sorted(found.by_priority.items())},
        "top": [count(*item) for item in found.top],
        "top_share": found.top_share,
        "chattering": [count(*item) for item in found.chattering],
        "standing": found.standing,
        "stale": [count(*item) for item in found.stale],
    }
