"""What is told of gateways as it happens."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.gateways.repository import Owned
from plantroom_cloud.kit.times import rfc3339
from plantroom_cloud.live import topics
from plantroom_cloud.live.telling import Happening, tell


async def tell_state(
    session: AsyncSession, gateway: Owned, now_us: int, *, online: bool, **more: str
) -> None:
    """Tell that a gateway has come or gone."""
    kind = "gateway.online" if online else "gateway.offline"
    data = {"gateway": gateway.id, "site": gateway.site_id, "at": rfc3339(now_us), **more}
    happened = Happening(topics.GATEWAYS, kind, data, (gateway.site_id,))
    await tell(session, gateway.scope, now_us, happened)
