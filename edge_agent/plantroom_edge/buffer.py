"""Store and forward: what the agent has read is on the disk before anything else happens to it.

`Buffer` is the asynchronous front of `Store`, which runs on one thread of its own. Rows that
arrive within a few hundred milliseconds share one transaction: the disk syncs once for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from plantroom_edge.buffer_account import Stats
from plantroom_edge.buffer_db import Frame
from plantroom_edge.buffer_latest import Latest
from plantroom_edge.buffer_quota import SHARES
from plantroom_edge.buffer_store import Options, Store
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Device, Finding, Point
from plantroom_shared.ranges import Range
from plantroom_shared.wire import MAX_ROWS, ClockState, Holding, Record, Stream

log = logging.getLogger(__name__)

T = TypeVar("T")

COMMIT_ROWS: Final = MAX_ROWS
"""Rows from which on a commit does not wait for more: a message of samples is full."""

MAX_WAITING: Final = 200_000
"""Rows that may wait for a disk that is slower than the site; beyond that they are refused."""


@dataclass(slots=True)
class _Waiting:
    """Rows that wait for the next commit, and who waits for them."""

    batches: list[Batch] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    records: dict[Stream, list[Record]] = field(default_factory=dict)
    promises: list[tuple[bool, int, asyncio.Future[None]]] = field(default_factory=list)
    """(Whether for samples, rows, promise)."""
    rows: int = 0

    def without_samples(self) -> _Waiting:
        """Return the rest: it may fit where samples do not."""
        return _Waiting([], self.findings, self.records)


@dataclass(slots=True)
class _Outage:
    """Rows that were read and not accepted, from when to when and why."""

    from_us: int
    to_us: int
    why: str
    rows: int = 0


class Buffer:
    """Everything the agent accepted and the cloud has not yet confirmed.

    Made by `open`. Each start is an epoch of its own; its rows are numbered from 1 within the
    streams ``tel`` (samples), ``evt`` (findings), ``cmd`` (results of commands) and ``aud`` (audit).
    """

    def __init__(self, store: Store, commit_s: float) -> None:
        self._store, self._commit_s = store, commit_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="buffer")
        self._waiting = _Waiting()
        self._latest = Latest()
        self._timer: asyncio.TimerHandle | None = None
        self._commits: set[asyncio.Task[None]] = set()
        self._outage: _Outage | None = None
        self._noted = 0
        self.changed = asyncio.Event()
        """Set whenever there is something new to send; whoever waits for it clears it."""
        self.accepted = 0
        """Rows accepted since the start."""
        self.refused = 0
        """Rows that could not be accepted since the start."""
        self.problem = ""
        """Why the last commit failed; empty if it did not."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        limit_bytes: int = 512 * 1024 * 1024,
        commit_s: float = 0.25,
        clock: Clock | None = None,
        retain_s: float = 48 * 3600.0,
        shares: Mapping[Stream, float] | None = None,
    ) -> Buffer:
        """Open or create the buffer at `path` and begin a new epoch.

        A damaged file is moved aside and saved from; a full or failing disk does not keep the
        agent from starting, appends are refused until it recovers.

        Args:
            path: the file; its folder must exist.
            limit_bytes: what the buffer may take on the disk, a reserve of a twentieth included;
                beyond it rows are given up, each declared.
            commit_s: seconds that rows may wait for others to share their transaction.
            clock: the machine's own if none is given.
            retain_s: seconds for which confirmed rows stay, as far as there is room.
            shares: part of the limit that belongs to each stream but ``tel``.
        """
        reserve = limit_bytes // 20
        options = Options(retain_s, reserve, dict(SHARES if shares is None else shares))
        clock = clock or SystemClock()
        store = Store(path, limit_bytes - reserve, secrets.token_hex(8), clock, options)
        buffer = cls(store, commit_s)
        try:
            await buffer._run(lambda: None)
        except Unavailable as error:
            log.error("the buffer cannot be used yet", extra={"error": str(error)})  # noqa: TRY400 -- said, not traced
        return buffer

    @property
    def epoch(self) -> str:
        """The epoch of this start: 16 hex digits."""
        return self._store.ep

    @property
    def boot(self) -> int:
        """How often the agent has started on this file."""
        return self._store.boot

    @property
    def dictionary_size(self) -> int:
        """How many aliases the current epoch has."""
        return self._store.dictionary_size

    @property
    def clock_state(self) -> ClockState:
        """How the gateway's clock is; while ``unset``, all but results of commands is kept back until `restamp`."""
        return self._store.clock_state

    @clock_state.setter
    def clock_state(self, state: ClockState) -> None:
        self._store.clock_state = state

    def mark(self, stream: Stream) -> tuple[int, int]:
        """Return the place of the last row accepted so far, as `next` takes it for `until`."""
        return self._store.mark(stream)

    async def _run(self, operation: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._thread, self._store.run, operation)
        self._schedule(loop)
        return result

    # ------------------------------------------------------------ accepting

    async def add_points(self, points: Sequence[Point], devices: Sequence[Device]) -> list[int]:
        """Return the aliases of `points` in the current epoch; new ones are entered durably."""
        aliases = await self._run(lambda: self._store.add_points(points, devices))
        self.changed.set()
        return aliases

    def offer(self, batch: Batch) -> asyncio.Future[None]:
        """Hand in samples without waiting; the future ends when they are accepted.

        Returns:
            A future that fails with Unavailable if they are not accepted.
        """
        return self._enqueue(
            len(batch), lambda waiting: waiting.batches.append(batch), samples=True
        )

    async def append(self, batch: Batch) -> None:
        """Return when every row of `batch` is on the disk; Unavailable if that cannot be."""
        await self.offer(batch)

    async def append_findings(self, findings: Sequence[Finding]) -> None:
        """Return when every finding is on the disk; Unavailable if that cannot be."""
        await self._enqueue(len(findings), lambda waiting: waiting.findings.extend(findings))

    async def append_records(self, stream: Stream, records: Sequence[Record]) -> None:
        """Return when every record of ``aud`` or ``cmd`` is on the disk; Unavailable if that cannot be."""
        await self._enqueue(
            len(records), lambda waiting: waiting.records.setdefault(stream, []).extend(records)
        )

    def audit(self, kind: str, **details: object) -> None:
        """Enter something that happened into ``aud`` with the next commit that succeeds.

        Args:
            kind: ``agent.start``, ``clock.step`` ...
            details: small values that JSON can hold.
        """
        self._store.note(kind, **details)
        with contextlib.suppress(RuntimeError):  # without a loop it goes with what comes next
            self._schedule(asyncio.get_running_loop())

    def snapshot(self) -> tuple[Batch, list[int]]:
        """Return what each point of the current epoch said last, and the order numbers of that.

        Empty while the clock is unset: nobody could say how old the values are.
        """
        return (Batch(), []) if self.clock_state == "unset" else self._latest.snapshot()

    def latest(self) -> Batch:
        """Return what each point of the current epoch said last, for a person; by any clock."""
        return self._latest.snapshot()[0]

    async def restamp(self, offset_us: int) -> int:
        """Shift the times of all rows that wait for the clock, and give them out.

        Args:
            offset_us: what to add to their times, microseconds.

        Returns:
            How many rows were shifted.
        """
        shifted = await self._run(lambda: self._store.restamp(offset_us))
        self._latest.shift(offset_us)
        self.changed.set()
        return shifted

    def _enqueue(
        self, rows: int, add: Callable[[_Waiting], None], *, samples: bool = False
    ) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        promise: asyncio.Future[None] = loop.create_future()
        if rows == 0:
            promise.set_result(None)
        elif self._waiting.rows + rows > MAX_WAITING and self._waiting.rows:
            problem = Unavailable("the disk is slower than the site")
            self._refuse(rows, problem)
            promise.set_exception(problem)
        else:
            add(self._waiting)
            self._waiting.promises.append((samples, rows, promise))
            self._waiting.rows += rows
            self._schedule(loop)
        return promise

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._commits:  # what waits now goes with the next commit
            return
        if self._waiting.rows >= COMMIT_ROWS:
            self._start_commit()
        elif (self._waiting.rows or self._store.notes) and self._timer is None:
            self._timer = loop.call_later(self._commit_s, self._start_commit)

    def _start_commit(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._commits or not (self._waiting.rows or self._store.notes):
            return
        task = asyncio.get_running_loop().create_task(self._commit(), name="buffer commit")
        self._commits.add(task)

    async def _commit(self) -> None:
        waiting, self._waiting = self._waiting, _Waiting()
        failure = await self._append(waiting)
        spared: Exception | None = failure
        if failure and waiting.batches and (waiting.findings or waiting.records):
            # Where there is no room for samples there may still be some for the rest.
            spared = await self._append(waiting.without_samples())
        for samples, rows, promise in waiting.promises:
            problem = failure if samples else spared
            if problem:
                self._refuse(rows, problem)
            else:
                self.accepted += rows
            if not promise.done() and problem:
                promise.set_exception(problem)
            elif not promise.done():
                promise.set_result(None)
        if not failure:
            self._settle()
        self._commits.clear()
        self.changed.set()
        if not failure or self._waiting.rows:
            self._schedule(asyncio.get_running_loop())

    async def _append(self, waiting: _Waiting) -> Exception | None:
        """Write what waits; return what went wrong."""
        store = self._store

        def append() -> list[tuple[int, Batch]]:
            return store.append(waiting.batches, waiting.findings, waiting.records)

        loop = asyncio.get_running_loop()
        try:
            parts = await loop.run_in_executor(self._thread, store.run, append)
        except Exception as error:  # noqa: BLE001 -- a defect must not leave its appenders waiting
            self.problem = str(error) or type(error).__name__
            return error
        for s0, batch in parts:
            self._latest.note(s0, batch)
        self.accepted += store.noted - self._noted
        self._noted = store.noted
        return None

    def _refuse(self, rows: int, why: Exception) -> None:
        """Count rows that were read and not accepted; the audit tells of them when it can."""
        self.refused += rows
        now = self._store.clock.now_us()
        if self._outage is None:
            self._outage = _Outage(now, now, str(why)[:200])
        self._outage.to_us = now
        self._outage.rows += rows

    def _settle(self) -> None:
        """Rows are accepted again: tell what was refused meanwhile."""
        self.problem = ""
        if outage := self._outage:
            self._outage = None
            self._store.note("buffer.refused", **asdict(outage))

    async def flush(self) -> None:
        """Return when nothing waits to be accepted any more, or can be."""
        while True:
            if self._commits:  # begun before what waits now
                await asyncio.gather(*self._commits)
            notes = len(self._store.notes)
            self._start_commit()
            if not self._commits:
                return
            await asyncio.gather(*self._commits)
            if not self._waiting.rows and len(self._store.notes) >= notes > 0:
                return

    # ------------------------------------------------------------ giving out

    async def next(
        self,
        stream: Stream,
        after: tuple[int, int],
        limit: int,
        until: tuple[int, int] | None = None,
    ) -> list[Frame]:
        """Return up to `limit` of the oldest frames of `stream` behind `after`.

        Args:
            stream: one of `STREAMS`.
            after: (`Frame.order`, `Frame.last`) of the last frame taken; (0, 0) to begin.
            limit: at least 1.
            until: where to stop, (`Frame.order`, `Frame.last`) of the last frame wanted at most.
        """
        store = self._store
        if stream not in store.holding or after >= store.mark(stream):
            return []  # known without a turn of the buffer's thread, which costs more than looking
        return await self._run(lambda: store.next(stream, after, limit, until))

    async def confirm(self, ep: str, stream: Stream, acked: Sequence[Range]) -> int:
        """Enter what the cloud has committed; return how many rows that were."""
        return await self._run(lambda: self._store.confirm(ep, stream, acked))

    async def revive(self, ep: str, stream: Stream, wanted: Sequence[Range]) -> int:
        """Hold confirmed rows again: the cloud was restored from a backup and has lost them.

        Returns:
            How many rows were still here and are given out again; whole messages, so it can be
            more than were wanted.
        """
        revived = await self._run(lambda: self._store.revive(ep, stream, wanted))
        self.changed.set()
        return revived

    async def dictionary(self, ep: str, a0: int) -> tuple[list[bytes], int]:
        """Return the messages that bring an epoch's dictionary from `a0` on, and its size."""
        return await self._run(lambda: self._store.dictionary(ep, a0))

    async def holdings(self) -> list[Holding]:
        """Return what each epoch accepted and still holds, for hello and state."""
        return await self._run(self._store.holdings)

    async def stats(self) -> Stats:
        """Return the buffer's figures."""
        return await self._run(self._store.stats)

    async def close(self) -> None:
        """Commit what waits, then close the file."""
        await self.flush()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._store.close)
        self._thread.shutdown()
