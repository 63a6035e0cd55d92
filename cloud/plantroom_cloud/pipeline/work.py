"""A worker: takes a chunk, keeps its lease while it is done, enters what it brought."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from typing import Final

from sqlalchemy.exc import DBAPIError

from plantroom_cloud.db import Scope
from plantroom_cloud.kit import figures
from plantroom_cloud.pipeline.claims import (
    MAX_TRIES,
    Claim,
    Claims,
    Lane,
    Result,
    companies_with_work,
)
from plantroom_cloud.pipeline.steps import STEPS, Means, Step
from plantroom_shared.backoff import doubling, half
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import Rejected

log = logging.getLogger(__name__)

_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 60.0
"""Seconds at most until a chunk that failed is tried again."""


class Lost(Exception):
    """The chunk is somebody else's by now, or nobody's: the job was cancelled."""


class Worker:
    """Does chunks, one at a time, for whichever company has some.

    Args:
        means: database, clock and LLM.
        lease: seconds for which a chunk is claimed; renewed while it is being done.
        steps: stage → what is done for a chunk of it.
        name: for people.
        lane: of which chunks; None means all.
    """

    def __init__(
        self,
        means: Means,
        lease: float,
        steps: Mapping[str, Step] = STEPS,
        name: str = "",
        lane: Lane | None = None,
    ) -> None:
        self._means, self._lease, self._steps, self._lane = means, lease, steps, lane
        self._name = name or f"{socket.gethostname()[:40]}:{os.getpid()}"
        self._last = 0
        """The company that was served last: the next one is another, where others wait."""

    async def step(self) -> bool:
        """Do one chunk; return whether there was one."""
        claim = await self._taken()
        if claim is None:
            return False
        if claim.tries > MAX_TRIES:
            await self._fail(claim, f"its worker died, {MAX_TRIES} times in a row")
        else:
            await self._do(claim)
        return True

    async def _taken(self) -> Claim | None:
        """Claim a chunk; whoever is told to end while claiming gives it back."""
        taking = asyncio.ensure_future(self._take())
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            if (claim := await taking) is not None:
                await self._give_back(claim)
            raise

    async def _take(self) -> Claim | None:
        now_us, lease_us = self._means.clock.now_us(), round(self._lease * 1e6)
        async with self._means.db.read(None) as session:
            waiting = await companies_with_work(session, now_us, self._lane)
        # Round and round: a portfolio of one company does not keep another's building waiting.
        turn = sorted(waiting, key=lambda company: (company <= self._last, company))
        for company in turn:
            async with self._means.db.write(Scope(company)) as session:
                claims = Claims(session, Scope(company))
                claim = await claims.take(self._name, now_us, lease_us, self._lane)
            if claim is not None:
                self._last = company
                return claim
        return None

    async def _do(self, claim: Claim) -> None:
        try:
            result = await self._held(claim)
        except Lost:
            figures.JOB_ENDED.labels("lost").inc()
            log.info("chunk lost", extra=_about(claim))
            return
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(claim))
            raise
        except Exception as error:  # noqa: BLE001 -- one building's trouble is no other's
            await self._failed(claim, error)
            return
        # Entered also by whoever is told to end: done is done.
        entering = asyncio.ensure_future(self._enter(claim, result))
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            await entering
            raise

    async def _enter(self, claim: Claim, result: Result) -> None:
        async with self._means.db.write(claim.scope) as session:
            now_us = self._means.clock.now_us()
            counted = await Claims(session, claim.scope).finish(claim, result, now_us)
        figures.JOB_ENDED.labels("done" if counted else "lost").inc()
        if not counted:
            log.info("chunk done by another", extra=_about(claim))

    async def _held(self, claim: Claim) -> Result:
        """Do the chunk, its lease renewed three times in its length."""
        doing = asyncio.ensure_future(self._steps[claim.stage](self._means, claim))
        try:
            while not doing.done():
                await asyncio.wait({doing}, timeout=self._lease / 3)
                if not doing.done() and not await self._renew(claim):
                    raise Lost
            return doing.result()
        finally:
            await ended(doing)

    async def _renew(self, claim: Claim) -> bool:
        until_us = self._means.clock.now_us() + round(self._lease * 1e6)
        try:
            async with self._means.db.write(claim.scope) as session:
                return await Claims(session, claim.scope).renew(claim, until_us)
        except DBAPIError:
            return True  # nobody else can take it while the database is away

    async def _failed(self, claim: Claim, error: Exception) -> None:
        figures.JOB_ENDED.labels("failed").inc()
        what = f"{type(error).__name__}: {error}"[:500].replace("\0", "")
        log.warning("chunk failed", extra={**_about(claim), "cause": what}, exc_info=error)
        if claim.tries >= MAX_TRIES or isinstance(error, Rejected):
            await self._fail(claim, what)
            return
        wait = doubling(claim.tries, first=_FIRST_WAIT, most=_LONGEST_WAIT, jitter=half)
        await self._give_back(claim, wait, what)

    async def _fail(self, claim: Claim, reason: str) -> None:
        async with self._means.db.write(claim.scope) as session:
            now_us = self._means.clock.now_us()
            await Claims(session, claim.scope).fail(claim, reason, now_us)

    async def _give_back(self, claim: Claim, wait: float = 0.0, reason: str = "") -> None:
        due_us = self._means.clock.now_us() + round(wait * 1e6)
        async with self._means.db.write(claim.scope) as session:
            claims = Claims(session, claim.scope)
            await claims.give_back(claim, due_us, reason, free=not reason)


def _about(claim: Claim) -> dict[str, object]:
    return {
        "job": claim.job,
        "building": claim.building,
        "stage": claim.stage,
        "piece": claim.piece,
        "tries": claim.tries,
    }
