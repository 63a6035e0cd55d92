"""Hello and state: who is there, what it holds, how its clock goes, and what it is answered."""

from __future__ import annotations

import math
from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.gateways.alarms import AlarmRepository
from plantroom_cloud.gateways.claim.repository import ProvisionRepository
from plantroom_cloud.gateways.hellos import HelloRepository
from plantroom_cloud.gateways.news import tell_state
from plantroom_cloud.gateways.repository import SKEW_US, GatewayRepository, Owned
from plantroom_cloud.gateways.signing import Trust
from plantroom_cloud.ingest.dictionary import DictionaryRepository
from plantroom_cloud.ingest.streams import StreamRepository
from plantroom_shared import wire
from plantroom_shared.errors import Rejected

MEASURED = "clock_skew_us"
"""The counter of a state in which a gateway says how far its clock is ahead, by a round trip."""
_ALWAYS = ("tel", "evt")  # streams that every release of the agent knows
_FOREVER_US = 2**62


class Greeting:
    """Takes what one gateway says of itself, within one transaction."""

    def __init__(
        self, session: AsyncSession, gateway: Owned, trust: Trust | None, now_us: int
    ) -> None:
        self._gateway, self._trust, self._now_us = gateway, trust, now_us
        self._session, self._online = session, gateway.online
        self._gateways = GatewayRepository(session, gateway.scope)
        self._alarms = AlarmRepository(session, gateway.scope)
        self._provision = ProvisionRepository(session, gateway.scope)
        self._hellos = HelloRepository(session, gateway.scope, gateway.id)
        self._rows = StreamRepository(session, gateway.scope, gateway.id)
        self._points = DictionaryRepository(session, gateway)
        self._skew_us = gateway.clock_skew_us
        self.counts: dict[str, int] = {}
        """What is to be counted for the company."""

    async def hello(self, hello: wire.Hello, received_us: int) -> None:
        """Record `hello`, which came at `received_us` by our clock."""
        gateway = self._gateway.id
        await self._keep_certificate(hello.certificate)
        if highest := await self._hellos.set_back(hello):
            details = {"epoch": hello.epochs[-1].ep, "boot": hello.boot, "here": highest}
            await self._alarms.note(gateway, "restored", details, self._now_us)
        if twins := await self._hellos.note(hello, self._now_us):
            details = {"epoch": twins.returned, "other_epoch": twins.other}
            await self._alarms.note(gateway, "duplicate_identity", details, self._now_us)
        await self._look_for_restore(hello)
        if not await self._gateways.greet(gateway, hello, self._now_us):
            self._count("report_late")
            return
        await self._tell_state(online=True, agent=hello.agent)
        if hello.at and hello.clock != "unset":
            await self._note_skew(hello.at - received_us, received_us, exact=False)

    async def state(self, state: wire.State, received_us: int) -> None:
        """Record a state message, which came at `received_us` by our clock."""
        if not await self._gateways.note_state(self._gateway.id, state, self._now_us):
            self._count("report_late")
            return
        await self._tell_state(online=state.online)
        if not state.online:
            return
        measured = state.counters.get(MEASURED, math.nan)
        if abs(measured) < _FOREVER_US:
            await self._note_skew(int(measured), received_us, exact=True)
        elif state.at and state.clock != "unset":
            await self._note_skew(state.at - received_us, received_us, exact=True)

    async def resume(self, hello: wire.Hello) -> wire.Resume:
        """Return the answer to `hello`: what is in the database now, and nothing else."""
        epochs = {epoch.ep: epoch for epoch in hello.epochs}
        ranges = await self._rows.known(epochs)
        lengths = await self._points.lengths(epochs)
        known = [
            wire.Known(
                ep=name,
                ranges={
                    stream: list(ranges[name, stream])
                    for stream in wire.STREAMS
                    # A gateway of an older release would refuse the name of a later stream.
                    if (name, stream) in ranges
                    and stream in {*_ALWAYS, *epoch.accepted, *epoch.held}
                },
                dictionary=lengths.get(name, 0),
            )
            for name, epoch in epochs.items()
        ]
        return wire.Resume(
            session=hello.session,
            epochs=known,
            time=self._now_us,
            hello_at=hello.at,
            takes=list(wire.CHANNELS),
        )

    async def _keep_certificate(self, pem: str) -> None:
        if not pem or self._trust is None:
            return
        try:
            serial = self._trust.serial(self._gateway.id, pem)
        except Rejected as error:
            self._count(error.reason)
            return
        await self._gateways.keep_certificate(self._gateway.id, serial, pem, self._now_us)
        await self._provision.confirm(self._gateway.id, serial, self._now_us)

    async def _look_for_restore(self, hello: wire.Hello) -> None:
        """Raise an alarm where a former epoch has accepted less than we have of it.

        The running epoch is left out: its rows may have overtaken this hello.
        """
        former = {epoch.ep: epoch for epoch in hello.epochs[:-1]}
        if not former:
            return
        for (name, stream), highest in (await self._rows.highest(former)).items():
            accepted = former[name].accepted.get(cast("wire.Stream", stream))
            if accepted is not None and accepted < highest:
                details = {"epoch": name, "stream": stream, "accepted": accepted, "here": highest}
                await self._alarms.note(self._gateway.id, "restored", details, self._now_us)
                return

    async def _note_skew(self, skew_us: int, received_us: int, *, exact: bool) -> None:
        """Record how far the gateway's clock is ahead; raise or clear the alarm.

        Args:
            skew_us: the gateway's clock minus ours.
            received_us: when that was.
            exact: a clock that seems behind is behind. Of a hello that is not said: it may have
                been on its way for long, and the next state tells.
        """
        limit, before = _FOREVER_US, self._skew_us
        skew_us = self._skew_us = max(-limit, min(skew_us, limit))
        await self._gateways.note_skew(self._gateway.id, skew_us, received_us)
        if skew_us > SKEW_US or (exact and skew_us < -SKEW_US):
            details = {"skew_us": skew_us}
            await self._alarms.note(self._gateway.id, "clock_skew", details, self._now_us)
        elif abs(skew_us) <= SKEW_US and before is not None and abs(before) > SKEW_US:
            await self._alarms.clear(self._gateway.id, "clock_skew", self._now_us)

    async def _tell_state(self, *, online: bool, **more: str) -> None:
        """Tell that the gateway has come or gone, if that is news."""
        if online == self._online:
            return
        self._online = online
        await tell_state(self._session, self._gateway, self._now_us, online=online, **more)

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
