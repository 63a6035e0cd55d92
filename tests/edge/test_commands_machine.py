"""Commands against a model: copies, other orders, clock steps, the switch, and a crash at every step."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from plantroom_edge.commands import config as writes
from plantroom_edge.commands.book import Book
from plantroom_edge.commands.journal import Journal
from plantroom_edge.commands.releaser import Releaser
from plantroom_edge.commands.service import Commands
from plantroom_edge.commands.switch import Position
from plantroom_shared import wire
from support.command_site import GATEWAY, Bus, Records, Time, body, config, signed

BASE = 5.0
POINTS = ("scripted:0:p0", "scripted:0:p1", "scripted:1:p0")


class Crash(BaseException):
    """The process is killed, here and now."""


class Tasks:
    """In the place of a task group: what was begun is run when asked."""

    def __init__(self) -> None:
        self.waiting: list[Coroutine[Any, Any, None]] = []

    def create_task(self, coroutine: Coroutine[Any, Any, None], **_: Any) -> None:
        self.waiting.append(coroutine)


class Machine(RuleBasedStateMachine):
    """One gateway whose process dies and starts again, its devices, and a model of both."""

    payloads = Bundle("payloads")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.time, self.records = Time(), Records()
        self.bus = Bus(now=self.time.monotonic)
        grant = {"point": "*", "min": 0, "max": 1e6, "min_interval": 0}
        self.settings: writes.WritesConfig = config(self.folder, allow=[grant])
        self.fuse: int | None = None
        self.slow = 0.0
        self.orders: dict[float, dict[str, Any]] = {}
        self.delivering, self.until, self.floor = "", 0, 0
        """The command that comes now, until when it counts, and when the last one taken was issued."""
        self.number, self.healed = 100, 0.0
        self.bus.judge = self._judge_write
        self.bus.before_write = self._step
        self.bus.after_write = self._step
        self.bus.on_held = self._take_time
        self.process: tuple[Commands, Book, Releaser] | None = None
        self._live(self._start())

    def teardown(self) -> None:
        """Let it come to rest, and compare the whole story."""
        try:
            self._come_to_rest()
        finally:
            if self.process:
                self.process[1].journal.close()
            shutil.rmtree(self.folder)

    # ------------------------------------------------------------ the process

    def _step(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Crash

    def _take_time(self) -> None:
        self.time.go(self.slow)

    async def _start(self) -> None:
        folder = self.folder / "writes"
        folder.mkdir(exist_ok=True)
        commands = Commands(
            GATEWAY,
            self.settings,
            folder,
            clock=self.time,  # type: ignore[arg-type] # as much of a clock as is needed
            buffer=self.records,  # type: ignore[arg-type] # the same of a buffer
            find=self.bus.find,
            boot=lambda: self.time.boot,
        )

        async def clerk(operation: Callable[[], Any]) -> Any:
            self._step()
            result = operation()
            self._step()
            return result

        book = Book(Journal(folder / "commands.db", self.time.now()), clerk, self.time.now)
        commands._book = book
        releaser = Releaser(book, self.bus.find, self.time.monotonic)
        self.process = commands, book, releaser
        self.bus.turns.clear()
        await commands._pick_up(book, releaser)

    def _live(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do something; if the process dies of it, start another."""
        while True:
            try:
                asyncio.run(doing)
            except Crash:
                self.fuse = None
                if self.process:
                    self.process[1].journal.close()
                doing = self._start()
            else:
                return

    async def _deliver(self, payload: bytes) -> None:
        assert self.process
        commands, book, _ = self.process
        command = wire.decode(wire.Command, payload)
        order, tasks = commands._keys.open(command), Tasks()
        await commands._hear(book, tasks, order, command.body)  # type: ignore[arg-type] # see Tasks
        for each in tasks.waiting:
            await each

    async def _tick(self) -> None:
        assert self.process
        commands, book, releaser = self.process
        await commands._heed(book, commands.switch.read())
        for device, holds in releaser.due().items():
            releaser._busy.add(device)
            await releaser._attend(device, holds)
        for each in list(releaser.open.values()):
            await releaser._settle(each)
        await commands._pass_on(book)

    # ------------------------------------------------------------ rules

    @rule(
        target=payloads,
        points=st.lists(st.sampled_from(POINTS), min_size=1, max_size=3, unique=True),
        valid=st.sampled_from((1, 5, 30)),
        lease=st.sampled_from((1, 10, 100)),
        kind=st.sampled_from(("write", "write", "write", "write", "dry_run")),
        at_once=st.sampled_from((True, True, True, False)),
        fuse=st.none() | st.none() | st.integers(0, 14),
        slow=st.sampled_from((0, 0, 0, 0.7)),
    )
    def give(  # noqa: PLR0917 -- hypothesis gives each by its name
        self,
        points: list[str],
        valid: int,
        lease: int,
        kind: str,
        at_once: bool,
        fuse: int | None,
        slow: float,
    ) -> bytes:
        """Somebody wants something written; mostly it comes at once."""
        now = self.time.wall_us
        writing = []
        for point in points:
            self.number += 1
            writing.append({"point": point, "value": float(self.number)})
        order = body(
            issued=now, expires=now + valid * 1_000_000, lease_s=lease, kind=kind, writes=writing
        )
        for each in writing:
            self.orders[float(each["value"])] = order  # type: ignore[arg-type] # a number
        payload = signed(order)
        if at_once:
            self._come(payload, fuse, slow)
        return payload

    @rule(payload=payloads, fuse=st.none() | st.integers(0, 14), slow=st.sampled_from((0, 0, 0.7)))
    def deliver(self, payload: bytes, fuse: int | None, slow: float) -> None:
        """It comes, perhaps once more; the process may die at any step of it."""
        self._come(payload, fuse, slow)

    def _come(self, payload: bytes, fuse: int | None, slow: float) -> None:
        order = wire.read_order(wire.decode(wire.Command, payload).body)
        self.delivering = order.id
        self.until = self.time.mono_us + order.expires - self.time.wall_us
        before = len(self.bus.writes)
        self.fuse, self.slow = fuse, slow
        self._live(self._deliver(payload))
        self.fuse, self.slow, self.delivering = None, 0.0, ""
        if len(self.bus.writes) > before:
            self.floor = max(self.floor, order.issued)

    @rule(former=payloads)
    def release(self, former: bytes) -> None:
        now = self.time.wall_us
        ident = wire.read_order(wire.decode(wire.Command, former).body).id
        order = body(issued=now, expires=now + 30_000_000, kind="release", release=ident, writes=[])
        del order["lease_s"]
        self._live(self._deliver(signed(order)))

    @rule(seconds=st.sampled_from((0.5, 2, 8, 40)), fuse=st.none() | st.integers(0, 8))
    def go_on(self, seconds: float, fuse: int | None) -> None:
        self.time.go(seconds)
        self.fuse = fuse
        self._live(self._tick())
        self.fuse = None
        self._live(self._tick())
        self._check_leases()

    @rule(seconds=st.sampled_from((-4e8, -3600.0, -3.0, 3.0, 3600.0, 4e8)))
    def step_clock(self, seconds: float) -> None:
        self.time.wall_us = max(1, self.time.wall_us + round(seconds * 1e6))

    @rule(state=st.sampled_from(("sync", "sync", "sync", "holdover", "unset")))
    def doubt_clock(self, state: str) -> None:
        self.time.state = state

    @rule()
    def die(self) -> None:
        assert self.process
        self.process[1].journal.close()
        self._live(self._start())

    @rule()
    def reboot(self) -> None:
        """The machine starts again: its monotonic clock begins anew."""
        self.time.boot += "1"
        self.time.mono_us = 1_000_000_000
        self.healed = self.time.monotonic()
        self.bus.writes = [(-1.0, *rest) for _, *rest in self.bus.writes]  # type: ignore[misc] # as above
        self.die()

    @rule(off=st.sampled_from((False, False, False, True)), asked=st.booleans())
    def switch(self, off: bool, asked: bool) -> None:
        assert self.process
        switch = self.process[0].switch
        switch.set(Position(off=off, release=switch.read().release + asked))
        for _ in range(3):
            self.time.go(6)  # a device that was silent is tried again
            self._live(self._tick())
        if (off or asked) and not self._spoilt:
            assert self._standing() == {}

    @rule(point=st.sampled_from(POINTS), how=st.sampled_from(("dead", "refuses", "stuck", "deaf")))
    def spoil(self, point: str, how: str) -> None:
        """One point is spoilt at a time."""
        self.heal()
        getattr(self.bus, how).add(point)

    @property
    def _spoilt(self) -> set[str]:
        return self.bus.dead | self.bus.refuses | self.bus.stuck | self.bus.deaf

    @precondition(lambda self: self._spoilt)
    @rule()
    def heal(self) -> None:
        self.healed = self.time.monotonic()
        for spoilt in (self.bus.dead, self.bus.refuses, self.bus.stuck, self.bus.deaf):
            spoilt.clear()

    # ------------------------------------------------------------ what must hold

    @invariant()
    def nothing_is_written_twice(self) -> None:
        ours = [value for _, _, value, _ in self.bus.writes if value in self.orders]
        assert len(ours) == len(set(ours))

    def _judge_write(self, value: Any) -> None:
        order = self.orders.get(value)
        if order is None:
            return
        assert self.process
        assert order["kind"] == "write"
        assert self.delivering == order["id"], "written without having come"
        assert self.process[1].journal.seen(order["id"], "") == "again", (
            "the bus before the journal"
        )
        assert self.time.state != "unset"
        assert self.time.wall_us < order["expires"]
        assert self.time.mono_us < self.until
        assert order["expires"] > self.floor
        assert not self.process[0].switch.read().off

    def _standing(self) -> dict[str, Any]:
        values = self.bus.values.items()
        return {point: value for (point, _), value in values if value in self.orders}

    def _check_leases(self) -> None:
        if self._spoilt or self.time.monotonic() < self.healed + 6:
            return
        for point, value in self._standing().items():
            since = next(at for at, _, one, _ in self.bus.writes if one == value)
            lease = self.orders[value]["lease_s"]
            assert since < 0 or self.time.monotonic() <= since + lease, point

    def _come_to_rest(self) -> None:
        self.heal()
        self.time.state = "sync"
        for _ in range(6):
            self.time.go(120)
            self._live(self._tick())
        assert self.process
        journal = self.process[1].journal
        assert journal.holds() == []
        assert journal.intents() == []
        assert self._standing() == {}
        assert all(value == BASE for value in self.bus.values.values())
        self._check_story()

    def _check_story(self) -> None:
        written = {value for _, _, value, _ in self.bus.writes}
        for order in {id(one): one for one in self.orders.values()}.values():
            story = self.records.of(order["id"])
            ends = [one for one in story if one in {"executed", "failed", "expired", "refused"}]
            wanted = [float(one["value"]) for one in order["writes"]]
            if any(value in written for value in wanted):
                assert "accepted" in story, "written and not audited"
                assert set(ends) & {"executed", "failed"}, story
            if "executed" in ends:
                assert all(value in written for value in wanted), "told and not done"
            assert len({*ends} - {"refused", "expired"}) <= 1, story


Machine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestCommands = Machine.TestCase
