"""The protocol core with its real store, against a cloud on a network that lies.

The network loses, repeats and reorders, across channels too; the cloud is set back to backups; the
gateway crashes, starts in 1970, learns the time; the cloud slows it down. At the end, with a network
that works, every accepted row is in the cloud once, with its value and its time.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from plantroom_edge.buffer_latest import Latest
from plantroom_edge.buffer_store import Store
from plantroom_edge.clock import EdgeClock
from plantroom_edge.session import Session
from plantroom_edge.session_actions import (
    Action,
    Confirm,
    HeardTime,
    Mark,
    Publish,
    Revive,
    SendDictionary,
    SendSnapshot,
)
from plantroom_edge.session_window import MAX_BYTES, WINDOW
from plantroom_edge.sync_messages import snapshots
from plantroom_shared import ranges
from plantroom_shared.model import Batch
from plantroom_shared.wire import (
    Ack,
    Flow,
    Gap,
    Hello,
    Record,
    Samples,
    Stream,
    decode_rows,
    encode,
)
from support.edge_cloud import ModelCloud, Row
from support.edge_rows import METER, finding, points
from support.edge_time import T0, VirtualTime

S = 1_000_000
HEARD_WITHIN = 16 * S
"""Microseconds: an answer that took 30 s tells the time to half of that, and a little more."""


class Gateway(RuleBasedStateMachine):
    """What happens on the gateway: rows are accepted, connections come and go, it crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.time = VirtualTime()
        self.time.wall_offset_us = 0
        self.cloud = ModelCloud()
        self.cloud.now_us = self.true_us
        self.accepted: dict[Row, object] = {}
        self.true: dict[Row, int] = {}
        """When each sample was taken, by a clock that is right."""
        self.set_back: set[Row] = set()
        """Rows that the cloud had and lost."""
        self.up: list[tuple[str, bytes]] = []
        self.down: list[tuple[str, bytes]] = []
        self.session: Session | None = None
        self.serial = 0
        self.row_messages = 0

    def true_us(self) -> int:
        return T0 + round(self.time.seconds * S)

    @initialize(knows_time=st.booleans())
    def start_agent(self, knows_time: bool = True) -> None:
        self.time.wall_offset_us = T0 if knows_time or self.time.wall_offset_us else 0
        self.clock = EdgeClock(self.time, synced=lambda: False)
        path = Path(self.folder.name) / "buffer.db"
        self.store = Store(path, 1 << 30, secrets.token_hex(8), self.clock)
        self.latest = Latest()
        self.store.clock_state = self.clock.state
        self.counts: dict[Stream, int] = dict.fromkeys(("cmd", "evt", "aud", "tel"), 0)
        self.store.run(lambda: self.store.add_points(points(3), [METER]))
        if self.clock.state != "unset":
            self.set_clock(self.clock.since_start_us)

    def set_clock(self, shift: int | None) -> None:
        if shift is not None:
            self.store.run(lambda: self.store.restamp(shift))
            self.latest.shift(shift)
            if self.session:
                self.session.rewind()
        self.store.clock_state = self.clock.state

    def perform(self, actions: list[Action]) -> None:
        assert self.session is not None
        for action in actions:
            self.carry_out(self.session, action)

    def carry_out(self, session: Session, action: Action) -> None:
        match action:
            case Publish(channel, payload):
                self.up.append((channel, payload))
            case SendDictionary(ep, a0):
                blobs, size = self.store.run(lambda: self.store.dictionary(ep, a0))
                session.dictionary_sent(ep, size)
                self.up += [("inv", blob) for blob in blobs]
            case SendSnapshot():
                if self.clock.state != "unset":
                    batch, order = self.latest.snapshot()
                    self.up += [("now", one) for one in snapshots(self.store.ep, batch, order)]
            case Confirm(ep, stream, acked):
                self.store.run(lambda: self.store.confirm(ep, stream, acked))
            case Revive(ep, stream, lost):
                if self.store.run(lambda: self.store.revive(ep, stream, lost)):
                    session.rewind()
            case HeardTime(cloud_us, waited):
                self.set_clock(self.clock.hear(cloud_us, waited))

    def accept(self, stream: Stream, values: list[Any]) -> None:
        for value in values:
            self.counts[stream] += 1
            row = (self.store.ep, stream, self.counts[stream])
            self.accepted[row] = value
            if stream == "tel":
                self.true[row] = self.true_us()

    @rule(rows=st.integers(1, 6))
    def sample(self, rows: int) -> None:
        values = [float(self.serial + i) for i in range(rows)]
        batch = Batch([i % 3 for i in range(rows)], [self.clock.now_us()] * rows, list(values))
        parts = self.store.run(lambda: self.store.append([batch], []))
        for s0, part in parts:
            self.latest.note(s0, part)
        self.accept("tel", values)
        self.serial += rows

    @rule()
    def find(self) -> None:
        self.serial += 1
        event = finding(f"f{self.serial}")
        self.store.run(lambda: self.store.append([], [event]))
        self.accept("evt", [event])

    @rule(stream=st.sampled_from(["aud", "cmd"]))
    def record(self, stream: Stream) -> None:
        self.serial += 1
        row = Record(at=T0 + self.serial, kind="agent.test", doc={"serial": self.serial})
        self.store.run(lambda: self.store.append([], [], {stream: [row]}))
        self.accept(stream, [row])

    def account(self, name: str) -> tuple[Hello, Mark]:
        mark = self.store.mark("tel")
        holdings = self.store.run(self.store.holdings)
        state = self.clock.state
        return Hello(session=name, agent="t", clock=state, epochs=holdings), mark

    @rule()
    def connect(self) -> None:
        self.session = Session(*self.account(secrets.token_hex(8)), now_us=self.clock.now_us)
        self.down.clear()  # clean start: the broker keeps nothing for us; what went up may arrive
        self.perform(self.session.start(self.time.seconds))

    @precondition(lambda self: self.session and self.session.live)
    @rule()
    def audit(self) -> None:
        assert self.session is not None
        account = self.account(self.session.name)
        self.perform(self.session.audit(*account, self.time.seconds))

    @precondition(lambda self: self.session)
    @rule()
    def disconnect(self) -> None:
        self.session = None

    @rule(knows_time=st.booleans())
    def crash(self, knows_time: bool) -> None:
        self.session = None
        self.store.close()
        self.start_agent(knows_time)

    @precondition(lambda self: self.session)
    @rule()
    def pump(self) -> None:
        session, now = self.session, self.time.seconds
        assert session is not None
        self.perform(session.dictionary_grew(self.store.ep, self.store.dictionary_size))
        self.perform(session.tick(now))
        for want in session.wants(now):
            ask = (want.stream, want.after, want.limit, want.until)
            frames = self.store.run(lambda: self.store.next(*ask))  # noqa: B023
            assert len(frames) <= want.limit
            self.perform(session.offer(want, frames, now))
            assert session.window <= max(WINDOW, session.window_size(now))

    @precondition(lambda self: self.session)
    @rule(seconds=st.sampled_from([0.3, 1.0, 6.0, 15.0, 200.0]))
    def wait(self, seconds: float) -> None:
        assert self.session is not None
        self.time.seconds += seconds
        self.perform(self.session.tick(self.time.seconds))

    def held(self) -> set[Row]:
        return {
            (holding.ep, stream, seq)
            for holding in self.store.run(self.store.holdings)
            for stream, spans in holding.held.items()
            for lo, hi in spans
            for seq in range(lo, hi + 1)
        }


class Net(Gateway):
    """And what happens between it and the cloud."""

    @precondition(lambda self: self.up)
    @rule(data=st.data(), copies=st.sampled_from([0, 1, 1, 1, 2]))
    def carry_up(self, data: st.DataObject, copies: int) -> None:
        message = self.up.pop(data.draw(st.integers(0, len(self.up) - 1)))
        for _ in range(copies):
            self.arrive(*message)

    def arrive(self, channel: str, payload: bytes) -> None:
        self.down += self.cloud.receive(channel, payload)
        self.set_back -= self.cloud.rows.keys()

    @precondition(lambda self: self.down and self.session)
    @rule(data=st.data(), copies=st.sampled_from([0, 1, 1, 1, 2]))
    def carry_down(self, data: st.DataObject, copies: int) -> None:
        assert self.session is not None
        message = self.down.pop(data.draw(st.integers(0, len(self.down) - 1)))
        for _ in range(copies):
            self.perform(self.session.receive(*message, self.time.seconds))

    @precondition(lambda self: self.session)
    @rule(rounds=st.integers(1, 3))
    def work_for_once(self, rounds: int) -> None:
        """The network carries everything, in order, for a while."""
        assert self.session is not None
        for _ in range(rounds):
            self.pump()
            while self.up or self.down:
                if self.up:
                    self.arrive(*self.up.pop(0))
                if self.down:
                    self.perform(self.session.receive(*self.down.pop(0), self.time.seconds))

    @precondition(lambda self: self.session)
    @rule(more=st.integers(0, 50), stream=st.sampled_from(["tel", "aud"]))
    def forge_ack(self, more: int, stream: Stream) -> None:
        """An ack for rows that have not been sent, whether they exist or not."""
        assert self.session is not None
        rows = self.session._flight._rows.get((self.store.ep, stream))
        lo = 1 + (rows.top if rows else 0)
        forged = encode(Ack(ep=self.store.ep, st=stream, ranges=[(lo, lo + more)]))
        self.perform(self.session.receive("ack", forged, self.time.seconds))

    @precondition(lambda self: self.session)
    @rule(pause=st.sampled_from([0, 0, 3000]), window=st.sampled_from([None, 1, 2, 64]))
    def slow_down(self, pause: int, window: int | None) -> None:
        assert self.session is not None
        flow = encode(Flow(pause_ms=pause, window=window))
        self.perform(self.session.receive("flow", flow, self.time.seconds))
        if pause:
            assert not list(self.session.wants(self.time.seconds))
        if window == 1:
            assert self.session.window_size(self.time.seconds) == 1

    @rule()
    def make_backup(self) -> None:
        self.backup = self.cloud.backup()

    @precondition(lambda self: hasattr(self, "backup"))
    @rule()
    def restore_backup(self) -> None:
        before = set(self.cloud.rows)
        self.cloud.restore(self.backup)
        self.set_back |= before - self.cloud.rows.keys()

    @invariant()
    def nothing_is_confirmed_before_the_cloud_has_it(self) -> None:
        if hasattr(self, "store"):
            held = self.held()
            assert held <= self.accepted.keys()
            assert self.accepted.keys() <= held | self.cloud.rows.keys() | self.set_back

    @invariant()
    def snapshots_tell_accepted_rows(self) -> None:
        for rows, order in self.cloud.snapshots:
            for value, seq in zip(rows.batch.values, order, strict=True):
                assert self.accepted[rows.ep, "tel", seq] == value

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.settle()
            self.store.close()
        self.folder.cleanup()

    def settle(self) -> None:
        """With a network that works, all that was accepted arrives, once and unchanged."""
        self.up.clear()
        self.connect()
        for _ in range(1000):
            self.pump()
            while self.up or self.down:
                if self.up:
                    self.arrive(*self.up.pop(0))
                if self.down:
                    assert self.session is not None
                    self.perform(self.session.receive(*self.down.pop(0), self.time.seconds))
            if not self.held():
                break
            self.time.seconds += 300.0
        assert not self.held()
        assert self.cloud.rows == self.accepted
        assert not self.cloud.gaps
        for row, taken in self.cloud.times.items():
            assert abs(taken - self.true[row]) <= HEARD_WITHIN


Net.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestNet = Net.TestCase


def bytes_of(frames: list[Any]) -> int:
    return sum(len(frame.blob) for frame in frames)


def test_every_row_is_carried_by_exactly_one_lane() -> None:
    """Old and new samples together are all samples: none is on both lanes, none on neither."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "buffer.db", 1 << 30, "a" * 16, VirtualTime())
        store.run(lambda: store.add_points(points(1), [METER]))
        for i in range(20):
            store.run(lambda: store.append([Batch([0], [T0], [float(i)])], []))  # noqa: B023
        mark = store.mark("tel")
        hello = Hello(session="1" * 16, agent="t", epochs=store.run(store.holdings))
        for i in range(20, 40):
            store.run(lambda: store.append([Batch([0], [T0], [float(i)])], []))  # noqa: B023
        cloud, session = ModelCloud(), Session(hello, mark, now_us=lambda: T0)
        session.start(0.0)
        for channel, payload in cloud.receive("hello", encode(hello)):
            session.receive(channel, payload, 0.0)
        session.dictionary_grew(store.ep, 0)
        session.tick(0.0)
        sent: dict[str, list[int]] = {"tel": [], "fill": []}
        for _ in range(40):
            for want in session.wants(0.0):
                ask = (want.stream, want.after, want.limit, want.until)
                frames = store.run(lambda: store.next(*ask))  # noqa: B023
                assert bytes_of(frames) <= MAX_BYTES
                for action in session.offer(want, frames, 0.0):
                    if isinstance(action, Publish):
                        rows = decode_rows(action.payload)
                        assert isinstance(rows, Samples | Gap)
                        sent[action.channel] += range(rows.s0, rows.s0 + rows.n)
                        reply = encode(Ack(ep=rows.ep, st="tel", ranges=[(rows.s0, rows.s0)]))
                        session.receive("ack", reply, 0.0)
        store.close()
    assert sorted(sent["fill"]) == list(range(1, 21))
    assert sorted(sent["tel"]) == list(range(21, 41))
    assert ranges.merge((s, s) for lane in sent.values() for s in lane) == [(1, 40)]
