"""What is told of stored samples and findings, when they are committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.gateways.repository import Owned
from plantroom_cloud.ingest.rows import Column
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.live import topics
from plantroom_cloud.live.telling import Happening, is_wanted, publish, tell

_MOST: Final = 2000
"""Points of one event."""


def tell_samples(session: AsyncSession, gateway: Owned, column: Column) -> None:
    """Tell the newest row of each point in `column`, if anybody follows the site.

    Nobody does most of the time: then this is one look into a dictionary.
    """
    topic = topics.samples(gateway.site_id)
    if not is_wanted(session, gateway.scope, topic):
        return
    rows = list(column.newest().values())
    for start in range(0, len(rows), _MOST):
        some = rows[start : start + _MOST]
        data = {
            "gateway": gateway.id,
            "points": [column.point_id[row] for row in some],
            "ts_us": [column.ts_us[row] for row in some],
            "values": [_shown(column, row) for row in some],
            "quality": [column.quality[row] for row in some],
        }
        publish(session, gateway.scope, topic, data, (gateway.site_id,))


def _shown(column: Column, row: int) -> float | str | None:
    text = column.text[row]
    return column.value[row] if text is None else text


async def tell_findings(
    session: AsyncSession, gateway: Owned, findings: Sequence[Mapping[str, Any]], now_us: int
) -> None:
    """Tell findings that have begun, or ended."""
    happened = [
        Happening(
            topics.ALARMS,
            "finding.opened" if finding["ended_us"] is None else "finding.closed",
            {
                "gateway": gateway.id,
                "site": gateway.site_id,
                "finding": finding["id"],
                "detector": finding["detector"],
                "subject": finding["subject"],
                "started": rfc3339(finding["started_us"]),
                "ended": rfc3339_or_none(finding["ended_us"]),
                "score": finding["score"],
                "text": finding["text"],
            },
            (gateway.site_id,),
        )
        for finding in findings
    ]
    if happened:
        await tell(session, gateway.scope, now_us, *happened)
