"""Sending desired configurations: the newest of each gateway, signed, once it is there; and the waves.

Nothing is retained anywhere: a gateway that was away for days finds the newest and no other. What is
not answered is sent again, ever more slowly; the gateway takes each at most once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from plantroom_cloud.commands.sender import Due, Sender
from plantroom_cloud.commands.signing import load_signer
from plantroom_cloud.configuration.message import VALID_US, Wish, body
from plantroom_cloud.configuration.repository import ConfigurationRepository
from plantroom_cloud.configuration.rollouts import Step, step
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.isolation.lookups import (
    companies_with_configurations,
    companies_with_rollouts,
)
from plantroom_shared import topics
from plantroom_shared.backoff import doubling
from plantroom_shared.clock import Clock

AGAIN_US: Final = 15_000_000
"""Microseconds after which what was not answered is sent again, at first."""
EVERY: Final = 1.0
"""Seconds between two looks."""
SLOWEST_US: Final = 900_000_000
_MOST: Final = 20


class ConfigurationSender:
    """Finds what is to be sent, of all companies.

    Args:
        database: with the assignments.
        clock: says when they are due.
        data: folder with the key that signs.
    """

    def __init__(self, database: Database, clock: Clock, data: Path) -> None:
        self._database, self._clock, self._data = database, clock, data

    async def due(self) -> AsyncIterator[Due]:
        """Yield what is to be published, each entered as sent before it is."""
        async with self._database.read(None) as session:
            scopes = await companies_with_configurations(session, self._clock.now_us())
        for scope in scopes:
            async for one in self._due_of(scope):
                yield one

    async def _due_of(self, scope: Scope) -> AsyncIterator[Due]:
        async with self._database.read(scope) as session:
            rows = await ConfigurationRepository(session, scope).due(self._clock.now_us(), _MOST)
        signer = load_signer(self._data) if rows else None
        for row in rows if signer else ():
            now = self._clock.now_us()
            pause = round(doubling(row.tries + 1, first=AGAIN_US, most=SLOWEST_US))
            async with self._database.write(scope) as session:
                mine = await ConfigurationRepository(session, scope).take(row.id, now, pause)
            if mine:
                wish = Wish(row.actor, row.why, row.force)
                text = body(row.gateway_id, row.id, row.serial, row, wish=wish, now=now)
                payload = signer.sign_configuration(text) if signer else b""
                topic = topics.down(row.gateway_id, "cfg")
                yield Due(row.id, topic, payload, VALID_US // 1_000_000)

    # ------------------------------------------------------------ waves

    async def advance(self) -> None:
        """Open waves whose turn it is; halt rollouts in which too many have failed."""
        async with self._database.read(None) as session:
            scopes = await companies_with_rollouts(session)
        for scope in scopes:
            async with self._database.read(scope) as session:
                rows = ConfigurationRepository(session, scope)
                todo = {
                    ident: await self._todo(rows, ident) for ident in await rows.running_rollouts()
                }
            for ident, one in todo.items():
                if one.what != "wait":
                    await self._advance(scope, ident)

    async def _todo(self, rows: ConfigurationRepository, ident: str, *, lock: bool = False) -> Step:
        rollout = await rows.rollout(ident, lock=lock)
        if rollout is None or rollout.state != "running":
            return Step("wait")
        return step(
            await rows.of_rollout(ident),
            wave=rollout.wave,
            waves=len(rollout.waves),
            most_failed=rollout.most_failed,
            waited_s=(self._clock.now_us() - rollout.wave_us) / 1e6,
            patience_s=rollout.patience_s,
        )

    async def _advance(self, scope: Scope, ident: str) -> None:
        async with self._database.write(scope) as session:
            rows, now = ConfigurationRepository(session, scope), self._clock.now_us()
            todo = await self._todo(rows, ident, lock=True)
            if todo.what == "open":
                await rows.open_wave(ident, todo.wave, now)
                await rows.change_rollout(ident, wave=todo.wave, wave_us=now)
            elif todo.what == "done":
                await rows.change_rollout(ident, state="done", ended_us=now)
            elif todo.what == "halt":
                await rows.hold(ident)
                await rows.change_rollout(ident, state="halted", reason=todo.reason)


class Senders:
    """All that goes down unasked: commands, which are looked for often, and configurations.

    Args:
        commands: finds commands.
        configurations: finds desired configurations.
        clock: says when to look.
    """

    def __init__(self, commands: Sender, configurations: ConfigurationSender, clock: Clock) -> None:
        self._commands, self._configurations, self._clock = commands, configurations, clock
        self._next = 0.0

    async def due(self) -> AsyncIterator[Due]:
        """Yield what is to be published."""
        async for one in self._commands.due():
            yield one
        if (now := self._clock.monotonic()) >= self._next:
            self._next = now + EVERY
            await self._configurations.advance()
            async for one in self._configurations.due():
                yield one
