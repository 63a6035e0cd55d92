"""Notes of what the worker is to look at, written with what it is about, in one transaction."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.tables import AlarmDue


async def note(
    session: AsyncSession,
    scope: Scope,
    *,
    points: Sequence[int] = (),
    lo: int = 0,
    due: int = 0,
    rule: int | None = None,
) -> None:
    """Have the worker look at points or a rule.

    Args:
        session: of the transaction that made it necessary.
        scope: whose they are.
        points: whose samples from `lo` on (microseconds) are to be looked at.
        lo: the oldest that may be new; with a rule that did not change: look at its findings again.
        due: not before this moment.
        rule: one that was made or changed.
    """
    values: dict[str, Any] = {"company_id": scope.company_id, "due_us": due, "lo_us": lo}
    values |= {"points": pack(points), "gateway_id": "", "findings": [], "rule_id": rule}
    await session.execute(insert(AlarmDue), [values])


async def note_findings(
    session: AsyncSession, scope: Scope, gateway: str, findings: Sequence[str]
) -> None:
    """Have the worker look at findings of a gateway."""
    values: dict[str, Any] = {"company_id": scope.company_id, "due_us": 0, "lo_us": 0}
    values |= {"points": b"", "gateway_id": gateway, "findings": list(findings), "rule_id": None}
    await session.execute(insert(AlarmDue), [values])


def pack(points: Sequence[int]) -> bytes:
    """Return points as a note keeps them: 64-bit little-endian."""
    return struct.pack(f"<{len(points)}q", *points)


def unpack(data: bytes) -> tuple[int, ...]:
    """Return what `pack` packed."""
    return struct.unpack(f"<{len(data) // 8}q", data)
