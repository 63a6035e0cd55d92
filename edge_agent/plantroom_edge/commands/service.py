"""Commands as a part of the agent: where they come in, what becomes of them, what is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from plantroom_edge.buffer import Buffer
from plantroom_edge.clock import EdgeClock
from plantroom_edge.commands.book import Book
from plantroom_edge.commands.config import WritesConfig
from plantroom_edge.commands.entries import Event, Heard
from plantroom_edge.commands.executor import Executor
from plantroom_edge.commands.journal import Journal
from plantroom_edge.commands.keys import Keyring
from plantroom_edge.commands.moments import Now, boot_id, open_window
from plantroom_edge.commands.plan import Find
from plantroom_edge.commands.rates import Rates
from plantroom_edge.commands.releaser import Open, Releaser
from plantroom_edge.commands.spool import Spool
from plantroom_edge.commands.switch import Position, Switch
from plantroom_shared.errors import Rejected, Unavailable
from plantroom_shared.wire import Command, Order, Record, decode

log = logging.getLogger(__name__)

FLYING: Final = 64
"""Commands that are under way at a time; others are refused."""

WAITING: Final = 256
"""Messages that may wait to be looked at; others are dropped: they expire."""

WATCH_EVERY: Final = 0.25
"""Seconds between two looks at the switch and the spool."""

_REMEMBERED: Final = 10_000
_TELL_AGAIN: Final = 60.0
_EVENTS: Final = 200
_PRUNE_EVERY: Final = 60.0


class Commands:
    """Carries out what the cloud and people on site want written.

    Args:
        gateway: id of this gateway.
        config: what may be written.
        folder: for the journal, the switch and the spool.
        clock: the gateway's.
        buffer: takes results and audit.
        find: the way to a point.
        safe_mode: nothing is written then, only taken back.
    """

    def __init__(
        self,
        gateway: str,
        config: WritesConfig,
        folder: Path,
        *,
        clock: EdgeClock,
        buffer: Buffer,
        find: Find,
        safe_mode: bool = False,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        self._config, self._folder, self._clock, self._buffer = config, folder, clock, buffer
        self._find, self._safe_mode, self._boot = find, safe_mode, boot()
        self._keys = Keyring(gateway, config.keys)
        self.switch, self._spool = Switch(folder / "switch.json"), Spool(folder / "spool")
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._flying: set[str] = set()
        self._useless: OrderedDict[str, None] = OrderedDict()
        self._untrusted_at: float | None = None
        self._book: Book | None = None
        self._executor: Executor | None = None
        self._passing = asyncio.Lock()
        self._prune_at = 0.0
        self._stopping = False

    @property
    def takes(self) -> list[str]:
        """Which down-channels this heeds: none while writes are off."""
        return ["cmd"] if self._config.enabled and self._config.keys else []

    def now(self) -> Now:
        """Return this moment on both clocks."""
        clock = self._clock
        return Now(clock.now_us(), round(clock.monotonic() * 1e6), clock.state, self._boot)

    def offer(self, payload: bytes) -> None:
        """A message came down on ``cmd``; it is looked at soon, or dropped."""
        try:
            self._inbox.put_nowait(payload)
        except asyncio.QueueFull:
            self._count("dropped")

    def status(self) -> dict[str, Any]:
        """Return how writes are doing, for a person."""
        book = self._book
        now = self.now()
        holds = [
            {
                "point": hold.point,
                "priority": hold.priority,
                "value": hold.written[-1],
                "restore": hold.restore,
                "command": hold.command,
                "left_s": round(hold.lease.left_us(now) / 1e6, 1),
            }
            for hold in (book.holds.values() if book else ())
        ]
        return {
            "enabled": self._config.enabled,
            "off": self.switch.read().off,
            "journal_failing": book is not None and book.failing,
            "holds": holds,
            "counters": dict(book.counters) if book else {},
        }

    # ------------------------------------------------------------ running

    async def run(self) -> None:
        """Take back what is due, carry out what comes, tell what happened; for ever."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="commands")
        loop = asyncio.get_running_loop()

        async def clerk(operation: Callable[[], Any]) -> Any:
            return await loop.run_in_executor(thread, operation)

        self._make_folder()
        journal: Journal = await clerk(lambda: Journal(self._folder / "commands.db", self.now()))
        try:
            book = Book(journal, clerk, self.now)
            if self._book is not None:
                book.counters = self._book.counters
            self._book = book
            releaser = Releaser(book, self._find, self._clock.monotonic)
            await self._pick_up(book, releaser)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(releaser.run(), name="releases")
                tasks.create_task(self._watch(book, tasks), name="switch and spool")
                tasks.create_task(self._tell(book), name="results")
                tasks.create_task(self._read(book, tasks), name="commands")
        finally:
            self._flying.clear()
            await asyncio.shield(clerk(journal.close))
            thread.shutdown()

    async def stop(self, grace: float) -> None:
        """Take everything back, as nobody would when the agent is gone; for up to `grace` seconds."""
        self._stopping = True
        book = self._book
        if book is None:
            return
        deadline = self._clock.monotonic() + grace
        while (book.holds or self._flying) and self._clock.monotonic() < deadline:
            await book.end(lambda hold: hold.lease.length_us > 0)
            await asyncio.sleep(0.05)
        with contextlib.suppress(Unavailable):
            await self._pass_on(book)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            msg = f"the folder of the journal of commands {self._folder}: {error.strerror or error}"
            raise Unavailable(msg) from error

    async def _pick_up(self, book: Book, releaser: Releaser) -> None:
        """Go on where the last process has ended, however it did."""
        journal, now = book.journal, self.now()
        config = self._config
        rates = Rates(config.per_minute, round(config.device_interval * 1e6))
        for mono, places in await book.ask(lambda: journal.carried_out(now)):
            rates.note(places, set(places.values()), mono)
        self._executor = Executor(
            config, book, self._find, self._gate, rates, lambda hold: hold.command in releaser.open
        )
        since = self._clock.monotonic()
        for ident, actor, source in await book.ask(journal.intents):
            releaser.open[ident] = Open(ident, actor, source, since)
        holds = [
            replace(hold, lease=hold.lease.anchored(now)) if hold.lease.boot != now.boot else hold
            for hold in await book.ask(journal.holds)
        ]
        book.take(holds)
        await book.surely(lambda: journal.update(holds))
        if journal.lost:
            event = Event("command.journal_lost", {}, now.wall_us)
            await book.write(lambda: journal.tell(event))

    def _gate(self) -> str:
        """Return why nothing must be written now; empty if it may."""
        if self._safe_mode:
            return "safe-mode"
        if self._stopping:
            return "stopping"
        if not self._config.enabled:
            return "writes-not-enabled"
        if self._book is None or self._book.failing:
            return "journal-failing"
        return "switched-off" if self.switch.read().off else ""

    # ------------------------------------------------------------ what comes in

    async def _read(self, book: Book, tasks: asyncio.TaskGroup) -> None:
        while True:
            payload = await self._inbox.get()
            try:
                command = decode(Command, payload)
                await self._hear(book, tasks, self._keys.open(command), command.body)
            except Rejected as error:
                self._distrust(book, error.reason)
            except Unavailable:  # not without the journal: who wants it will see it expire
                book.counters["journal_unavailable"] += 1

    async def _hear(self, book: Book, tasks: asyncio.TaskGroup, order: Order, body: str) -> None:
        longest = round(self._config.max_validity * 1e6)
        floor = await book.ask(lambda: book.journal.floor_us)
        window = open_window(
            order.issued, order.expires, self.now(), longest_us=longest, floor_us=floor
        )
        if isinstance(window, str):
            await self._too_late(book, order.id, order.actor, window)
        else:
            await self._begin(book, tasks, Heard(order, body, "cloud", window))

    async def _begin(self, book: Book, tasks: asyncio.TaskGroup, heard: Heard) -> None:
        ident, nonce = heard.order.id, heard.order.nonce
        if ident in self._flying:
            book.counters["again"] += 1
            return
        known = await book.ask(lambda: book.journal.seen(ident, nonce))
        if known or nonce in self._flying:
            book.counters[known or "replay"] += 1
            return
        if len(self._flying) >= 2 * FLYING or await book.ask(book.journal.full):
            book.counters["busy"] += 1
            return
        self._flying |= {ident, nonce}
        tasks.create_task(self._carry_out(book, heard), name=f"command {ident}")

    async def _carry_out(self, book: Book, heard: Heard) -> None:
        executor = self._executor
        try:
            if executor:
                await executor.carry_out(heard)
        except Unavailable as error:  # nothing was written: who wants it will see it expire
            book.counters["journal_unavailable"] += 1
            log.warning("a command was not carried out", extra={"error": str(error)})
        finally:
            self._flying -= {heard.order.id, heard.order.nonce}

    async def _too_late(self, book: Book, ident: str, actor: str, why: str) -> None:
        """Tell once of an order outside of its time. It is not remembered: copies stay outside."""
        book.counters[why] += 1
        if ident in self._useless or ident in self._flying:
            return
        if await book.ask(lambda: book.journal.seen(ident, "")):
            return
        self._useless[ident] = None
        while len(self._useless) > _REMEMBERED:
            self._useless.popitem(last=False)
        kind = "command.expired" if why == "expired" else "command.refused"
        doc = {"id": ident, "actor": actor, "source": "cloud", "reason": why}
        event = Event(kind, doc, self.now().wall_us)
        await book.write(lambda: book.journal.tell(event))

    def _distrust(self, book: Book, why: str) -> None:
        """Count what is not ours to heed; the audit says so at most once a minute."""
        book.counters[why] += 1
        moment = self._clock.monotonic()
        if self._untrusted_at is not None and moment - self._untrusted_at < _TELL_AGAIN:
            return
        self._untrusted_at = moment
        log.warning("a command is not to be trusted", extra={"reason": why})
        self._buffer.audit("command.distrusted", reason=why, so_far=book.counters[why])

    def _count(self, name: str) -> None:
        if self._book:
            self._book.counters[name] += 1

    # ------------------------------------------------------------ the switch and the spool

    async def _watch(self, book: Book, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                await self._heed(book, self.switch.read())
                for file, heard in self._spool.take():
                    with contextlib.suppress(OSError):
                        file.unlink()
                    if isinstance(heard, Heard):
                        await self._begin(book, tasks, heard)
                    else:
                        self._distrust(book, "local")
            except Unavailable:
                book.counters["journal_unavailable"] += 1
            await asyncio.sleep(WATCH_EVERY)

    async def _heed(self, book: Book, position: Position) -> None:
        """Do what the switch says, and enter it where that is new."""
        if position.off:
            await book.end(lambda hold: hold.lease.length_us > 0)
        journal = book.journal
        said = f"{int(position.off)} {position.release}"
        before = await book.ask(lambda: journal.note("switch")) or "0 0"
        if said != before:
            what = {"off": position.off, "by": position.by}
            asked = {"release_all": True} if said.split()[1] != before.split()[1] else {}
            event = Event("command.switch", what | asked, self.now().wall_us)
            if asked:
                await book.end(lambda _: True)
            await book.write(lambda: journal.set_note("switch", said, event))

    # ------------------------------------------------------------ telling

    async def _tell(self, book: Book) -> None:
        while True:
            book.telling.clear()
            try:
                await self._pass_on(book)
                if self._clock.monotonic() >= self._prune_at:
                    self._prune_at = self._clock.monotonic() + _PRUNE_EVERY
                    await book.ask(book.journal.prune)
            except Unavailable:  # the buffer says so itself; events wait in the journal
                await asyncio.sleep(1.0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await book.telling.wait()

    async def _pass_on(self, book: Book) -> None:
        """Hand events to the buffer, each at least once, and forget them."""
        async with self._passing:
            await book.pay()
            await self._hand_over(book)

    async def _hand_over(self, book: Book) -> None:
        while events := await book.ask(lambda: book.journal.events(_EVENTS)):
            records = [
                Record(
                    at=max(0, one.at_us),
                    kind=one.kind,
                    doc={**one.doc, "journal": book.journal.name, "n": one.n},
                )
                for one in events
            ]
            await self._buffer.append_records("cmd", records)
            await self._buffer.append_records("aud", records)
            await book.ask(partial(book.journal.told, events[-1].n))
