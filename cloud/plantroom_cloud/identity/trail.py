"""Where acts of this folder are recorded, and told to those who are connected."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.live import topics
from plantroom_cloud.live.telling import publish

__all__ = ["record"]


def record(session: AsyncSession, scope: Scope, **about: Any) -> None:
    """Enter an act in the audit; after it every open connection of the company is looked at again."""
    audit.record(session, scope, **about)
    publish(session, scope, topics.ACCESS, {})
