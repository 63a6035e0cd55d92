"""Store and forward: what the agent has read is on the disk before anything else happens to it.

`Buffer` is the asynchronous front of `Store`, which runs on one thread of its own. Rows that
arrive within a few hundred milliseconds share one transaction: the disk syncs once for all.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from plantroom_edge.buffer_account import Stats
from plantroom_edge.buffer_db import Frame
from plantroom_edge.buffer_store import Store
from plantroom_shared.clock import Clock, SystemClock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch, Device, Finding, Point
from plantroom_shared.ranges import Range
from plantroom_shared.wire import Holding, Stream

log = logging.getLogger(__name__)

T = TypeVar("T")

COMMIT_ROWS: Final = 200
"""Rows from which on a commit does not wait for more."""

MAX_WAITING: Final = 200_000
"""Rows that may wait for a disk that is slower than the site; beyond that they are refused."""


class Buffer:
    """Everything the agent accepted and the cloud has not yet confirmed.

    Made by `open`. Each start is an epoch of its own; its rows are numbered from 1 within the
    streams ``tel`` (samples) and ``evt`` (findings).
    """

    def __init__(self, store: Store, commit_s: float) -> None:
        self._store, self._commit_s = store, commit_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="buffer")
        self._batches: list[Batch] = []
        self._findings: list[Finding] = []
        self._promises: list[asyncio.Future[None]] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._commits: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()
        """Set whenever there is something new to send; whoever waits for it clears it."""
        self.accepted = 0
        """Rows accepted since the start."""
        self.refused = 0
        """Rows that could not be accepted since the start."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        limit_bytes: int = 512 * 1024 * 1024,
        commit_s: float = 0.25,
        clock: Clock | None = None,
    ) -> Buffer:
        """Open or create the buffer at `path` and begin a new epoch.

        A damaged file is moved aside and saved from; a full or failing disk does not keep the
        agent from starting, appends are refused until it recovers.

        Args:
            path: the file; its folder must exist.
            limit_bytes: what the file's content may take; beyond it the oldest samples become a
                declared gap.
            commit_s: seconds that rows may wait for others to share their transaction.
            clock: the machine's own if none is given.
        """
        store = Store(path, limit_bytes, secrets.token_hex(8), clock or SystemClock())
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

    async def _run(self, operation: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._store.run, operation)

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
        return self._enqueue(len(batch), lambda: self._batches.append(batch))

    async def append(self, batch: Batch) -> None:
        """Return when every row of `batch` is on the disk; Unavailable if that cannot be."""
        await self.offer(batch)

    async def append_findings(self, findings: Sequence[Finding]) -> None:
        """Return when every finding is on the disk; Unavailable if that cannot be."""
        await self._enqueue(len(findings), lambda: self._findings.extend(findings))

    def _enqueue(self, rows: int, add: Callable[[], None]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        promise: asyncio.Future[None] = loop.create_future()
        if rows == 0:
            promise.set_result(None)
        elif self._rows + rows > MAX_WAITING and self._rows:
            self.refused += rows
            promise.set_exception(Unavailable("the disk is slower than the site"))
        else:
            add()
            self._promises.append(promise)
            self._rows += rows
            self._schedule(loop)
        return promise

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._commits:  # what waits now goes with the next commit
            return
        if self._rows >= COMMIT_ROWS:
            self._start_commit()
        elif self._rows and self._timer is None:
            self._timer = loop.call_later(self._commit_s, self._start_commit)

    def _start_commit(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._commits or not self._rows:
            return
        task = asyncio.get_running_loop().create_task(self._commit(), name="buffer commit")
        self._commits.add(task)

    async def _commit(self) -> None:
        batches, findings, promises = self._batches, self._findings, self._promises
        rows, self._rows = self._rows, 0
        self._batches, self._findings, self._promises = [], [], []
        failure: Exception | None = None
        try:
            await self._run(lambda: self._store.append(batches, findings))
            self.accepted += rows
        except Exception as error:  # noqa: BLE001 -- a defect must not leave its appenders waiting
            self.refused += rows
            failure = error
        for promise in promises:
            if not promise.done() and failure:
                promise.set_exception(failure)
            elif not promise.done():
                promise.set_result(None)
        self._commits.clear()
        self.changed.set()
        self._schedule(asyncio.get_running_loop())

    async def flush(self) -> None:
        """Return when nothing waits to be accepted any more."""
        while self._rows or self._commits:
            self._start_commit()
            await asyncio.gather(*self._commits)

    # ------------------------------------------------------------ giving out

    async def next(self, stream: Stream, after: tuple[int, int], limit: int) -> list[Frame]:
        """Return up to `limit` of the oldest frames of `stream` behind `after`.

        Args:
            stream: ``tel`` or ``evt``.
            after: (`Frame.order`, `Frame.last`) of the last frame taken; (0, 0) to begin.
            limit: at least 1.
        """
        return await self._run(lambda: self._store.next(stream, after, limit))

    async def confirm(self, ep: str, stream: Stream, acked: Sequence[Range]) -> int:
        """Delete what the cloud has committed; return how many rows that were."""
        return await self._run(lambda: self._store.confirm(ep, stream, acked))

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
