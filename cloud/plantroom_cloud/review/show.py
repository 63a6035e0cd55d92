"""The JSON of the review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.responses import showable
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.review.picture import Group, Picture
from plantroom_cloud.review.standing import Event, undone
from plantroom_shared.mapping import Template, read_key


def show_overview(site: int, picture: Picture, last: str) -> dict[str, Any]:
    """Return how far the review has come."""
    groups = picture.groups.values()
    single = sum(subject.startswith("@") for subject in picture.standing.decided)
    waiting = picture.open
    total = sum(len(group.points) for group in groups) + single
    unsure = sum(len(group.points) for group in waiting)
    return {
        "site": site,
        "points": total,
        "templates": len(picture.groups),
        "decided": total - unsure,
        "ruled": sum(group.sources["rule"] for group in waiting),
        "open": unsure,
        "open_templates": len(waiting),
        "deferred": sum(group.state == "deferred" for group in waiting),
        "expected_wrong": round(sum(group.worth for group in waiting), 1),
        "promises": [
            {
                "precision": made.precision,
                "points": made.points,
                "share": round(made.share, 4),
                "min_confidence": made.min_confidence,
            }
            for made in picture.promises()
        ],
        "last": last,
    }


def show_group(group: Group, example: str = "") -> dict[str, Any]:
    """Return a template in the queue."""
    template, name = group.template, group.point_class
    sure = group.confidence
    return {
        "template": group.id,
        "name": template.suffix,
        "equip_class": template.equip_class,
        "unit": template.unit,
        "object_type": template.object_type,
        "states": ", ".join(template.states),
        "description": template.description,
        "points": len(group.points),
        "worth": round(group.worth, 3),
        "point_class": name,
        "also": {other: count for other, count in group.classes.most_common() if other != name},
        "confidence": None if sure is None else round(sure, 3),
        "source": group.source,
        "state": group.state,
        "example": example,
    }


def show_sample(row: AnyRow) -> dict[str, Any]:
    """Return a point of a template."""
    return {
        "point": row.id,
        "name": row.name,
        "description": row.description,
        "equipment": row.equipment,
        "point_class": row.point_class,
        "confidence": row.confidence,
        "source": row.source,
        "state": row.state,
        "model_point": row.model_point,
        "value": row.text if row.text is not None else row.value,
        "unit": row.unit,
        "at": rfc3339_or_none(row.ts_us),
        "evidence": showable(row.evidence),
    }


def show_event(event: Event | AnyRow, gone: set[str]) -> dict[str, Any]:
    """Return a line of the history."""
    template = read_key(event.subject)
    return {
        "id": event.id,
        "at": rfc3339(event.at_us),
        "actor": event.actor,
        "action": event.action,
        "request": event.request,
        "subject": event.subject,
        "name": _name(template) if template else event.subject,
        "point_class": event.point_class,
        "before": dict(event.before),
        "note": event.note,
        "undone": event.request in gone,
    }


def _name(template: Template) -> str:
    place = f"{template.equip_class}: " if template.equip_class else ""
    return f"{place}{template.suffix}"


def show_why(
    group: Group,
    rows: Sequence[AnyRow],
    samples: Sequence[AnyRow],
    picture: Picture,
    events: Sequence[Event],
) -> dict[str, Any]:
    """Return everything there is to say about a template."""
    classes = Counter(row.point_class for row in rows)
    usual = min(classes, key=lambda name: (-classes[name], name))
    found = next(row for row in rows if row.point_class == usual)
    rule = picture.standing.rules.find(group.template)
    keys = {found.key, *(f"@{row.point_id}" for row in rows)}
    gone = undone(events)
    return {
        "template": show_group(group, samples[0].name if samples else ""),
        "found": {
            "point_class": found.point_class,
            "confidence": found.confidence,
            "source": found.source,
            "evidence": showable(found.evidence),
        },
        "candidates": list(found.candidates),
        "rule": rule.text if rule else "",
        "samples": [show_sample(row) for row in samples],
        "history": [show_event(event, gone) for event in events if event.subject in keys],
    }


def show_rules(picture: Picture) -> dict[str, Any]:
    """Return the rules of a site, as text and one by one."""
    standing = picture.standing
    counts: Counter[str] = Counter()
    for group in picture.groups.values():
        if group.state != "decided" and (rule := standing.rules.find(group.template)):
            counts[rule.text] += len(group.points)
    own = [rule.text for rule in standing.own.values()]
    learned = [rule.text for rule in standing.learned if rule.text not in standing.own]
    items = [
        {"text": text, "learned": text not in standing.own, "points": counts[text]}
        for text in (*own, *learned)
    ]
    lines = [*own, *(f"{text}  # learned" for text in learned)]
    return {"text": "".join(f"{line}\n" for line in lines), "items": items}
