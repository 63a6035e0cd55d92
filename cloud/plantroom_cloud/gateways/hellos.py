"""The history of hellos: which start of the agent runs, and whether two of them share a name.

A gateway that starts again says hello with a new epoch, and the old one never runs again. Where it
does, two agents have one certificate: a copied disk, or a snapshot of a machine. The data of both
is kept, since their epochs differ; a person must say which of them is to go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope, insert_into
from plantroom_cloud.tables import GatewayEpoch
from plantroom_shared import wire


@dataclass(frozen=True, slots=True)
class Twins:
    """Two epochs of one gateway that both run."""

    returned: str
    """Ran before `other` and says hello again."""
    other: str


class HelloRepository:
    """The epochs of one gateway. Whoever writes holds the gateway's lock (`find_owners`)."""

    def __init__(self, session: AsyncSession, scope: Scope, gateway: str) -> None:
        self._session, self._gateway = session, gateway
        self._head = {"company_id": scope.company_id, "gateway_id": gateway}
        self._mine = (
            GatewayEpoch.company_id == scope.company_id,
            GatewayEpoch.gateway_id == gateway,
        )

    async def set_back(self, hello: wire.Hello) -> int:
        """Return the highest count of starts we know, where a new epoch counts no further; else 0.

        The count only grows: such a gateway runs from an old image of its disk. One that begins at
        1 with nothing of its own has got a new disk, which is no restore. Ask before `note`.
        """
        if not hello.epochs or not hello.boot or hello.boot == len(hello.epochs) == 1:
            return 0
        if await self._get(GatewayEpoch.epoch == hello.epochs[-1].ep) is not None:
            return 0
        running = await self._get(GatewayEpoch.superseded_us.is_(None))
        if running is not None and 0 < hello.at <= running.hello_at_us:
            return 0  # overtaken by the hello of a later start
        query = select(func.max(GatewayEpoch.boot)).where(*self._mine)
        highest = await self._session.scalar(query) or 0
        return highest if hello.boot <= highest else 0

    async def note(self, hello: wire.Hello, now_us: int) -> Twins | None:
        """Record `hello`; return the two epochs that run at the same time, if that is so."""
        if not hello.epochs:
            return None
        epoch = hello.epochs[-1].ep
        known = await self._get(GatewayEpoch.epoch == epoch)
        running = await self._get(GatewayEpoch.superseded_us.is_(None))
        if known is None:
            await self._supersede(epoch, now_us)
            await self._insert(epoch, hello, now_us)
            return None
        if known.superseded_us is not None:
            if known.session == hello.session:
                return None  # the same hello, delivered twice
            if known.returns == 0 and _may_be_late(hello, running):
                await self._update(epoch, session=hello.session, returns=1)
                return None
        await self._supersede(epoch, now_us)
        news = {"session": hello.session, "hello_at_us": hello.at, "seen_us": now_us}
        await self._update(epoch, superseded_us=None, returns=0, **news)
        if known.superseded_us is None or running is None:
            return None
        return Twins(epoch, running.epoch)

    async def runs(self, epoch: str) -> bool:
        """Say whether `epoch` is the start that runs, as far as anybody has said hello."""
        running = await self._get(GatewayEpoch.superseded_us.is_(None))
        return running is None or running.epoch == epoch

    async def _get(self, which: Any) -> Any:
        query = select(GatewayEpoch.__table__).where(*self._mine, which)
        return (await self._session.execute(query)).first()

    async def _insert(self, epoch: str, hello: wire.Hello, now_us: int) -> None:
        row = {
            "epoch": epoch,
            "session": hello.session,
            "hello_at_us": hello.at,
            "seen_us": now_us,
            "superseded_us": None,
            "returns": 0,
            "boot": hello.boot,
        }
        await self._session.execute(insert_into(self._session, GatewayEpoch), [self._head | row])

    async def _supersede(self, epoch: str, now_us: int) -> None:
        others = (GatewayEpoch.epoch != epoch, GatewayEpoch.superseded_us.is_(None))
        statement = update(GatewayEpoch).where(*self._mine, *others)
        await self._session.execute(statement.values(superseded_us=now_us))

    async def _update(self, epoch: str, **values: Any) -> None:
        statement = update(GatewayEpoch).where(*self._mine, GatewayEpoch.epoch == epoch)
        await self._session.execute(statement.values(**values))


def _may_be_late(hello: wire.Hello, running: Any) -> bool:
    """Say whether `hello` may have been sent before the one of the epoch that runs now.

    Where several processes take the messages, one may have held an old hello for long. A clone's
    clock may be behind, too: a second such hello is believed.
    """
    return running is None or not 0 < running.hello_at_us < hello.at
