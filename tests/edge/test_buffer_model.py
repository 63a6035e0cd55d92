"""The buffer against a model: whatever happens, every accepted row is in exactly one place."""

from __future__ import annotations

import random
import shutil
import tempfile
from functools import partial
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_db import PAGE, Frame
from plantroom_edge.buffer_store import Options, Store
from plantroom_shared import ranges
from plantroom_shared.errors import Unavailable
from plantroom_shared.ranges import Range
from plantroom_shared.wire import (
    STREAMS,
    Findings,
    Gap,
    Record,
    Records,
    Samples,
    Stream,
    decode_rows,
)
from support.edge_rows import METER, batch, finding, points
from support.edge_time import VirtualTime

Row = tuple[str, Stream, int]
QUARTER = 900.0


class BufferModel(RuleBasedStateMachine):
    """What was accepted (row → content), what the cloud confirmed, and a store to hold against it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.time = VirtualTime()
        self.accepted: dict[Row, object] = {}
        self.confirmed: set[Row] = set()
        self.gone: set[Row] = set()
        """Rows of which the store has once said that they are lost."""
        self.starts = 0
        self.serial = 0

    @initialize(pages=st.sampled_from([60, 200, 4000]), retain=st.sampled_from([0.0, 7200.0]))
    def first_start(self, pages: int, retain: float) -> None:
        self.limit, self.retain = pages * PAGE, retain
        self.start()

    def start(self) -> None:
        self.starts += 1
        options = Options(self.retain, 64 * 1024)
        self.store = Store(
            self.folder / "b.db", self.limit, f"{self.starts:016x}", self.time, options
        )
        self.store.run(lambda: self.store.add_points(points(3), [METER]))

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------ what happens

    @rule(rows=st.integers(1, 700))
    def accept_samples(self, rows: int) -> None:
        values = [
            float(self.serial + i) + random.Random(self.serial + i).random() for i in range(rows)
        ]
        first = self.store.mark("tel")[1] + 1
        aliases = [(self.serial + i) % 3 for i in range(rows)]
        self.store.run(
            lambda: self.store.append([batch(aliases, list(values), self.time.now_us())], [])
        )
        self.accepted |= {(self.store.ep, "tel", first + i): v for i, v in enumerate(values)}
        self.serial += rows

    @rule(lane=st.sampled_from(["evt", "aud", "cmd"]), rows=st.integers(1, 3))
    def accept_lane(self, lane: Stream, rows: int) -> None:
        first = self.store.mark(lane)[1] + 1
        names = [f"row.{self.serial + i}" for i in range(rows)]
        self.serial += rows
        if lane == "evt":
            self.store.run(lambda: self.store.append([], [finding(name) for name in names]))
        else:
            records = [Record(at=1, kind=name) for name in names]
            self.store.run(lambda: self.store.append([], [], {lane: records}))
        last = self.store.mark(lane)[1]
        for i, name in enumerate(names):  # what the store has to say of itself goes first
            self.accepted[self.store.ep, lane, last - rows + 1 + i] = name
        for seq in range(first, last - rows + 1):
            self.accepted[self.store.ep, lane, seq] = None

    @rule(stream=st.sampled_from(STREAMS), pick=st.integers(0, 9), part=st.floats(0, 1))
    def confirm(self, stream: Stream, pick: int, part: float) -> None:
        frames = self.given(stream)[: pick + 1]
        for frame in frames:
            last = frame.last if frame.kind == "data" else frame.s0 + int((frame.n - 1) * part)
            acked = partial(self.store.confirm, frame.ep, stream, [(frame.s0, last)])
            assert self.store.run(acked) == last - frame.s0 + 1
            self.confirmed |= {(frame.ep, stream, seq) for seq in range(frame.s0, last + 1)}

    @rule(stream=st.sampled_from(STREAMS))
    def revive(self, stream: Stream) -> None:
        """The cloud lost everything: what is still here comes back, and only that."""
        for epoch in range(1, self.starts + 1):
            ep = f"{epoch:016x}"
            before = self.held(ep, stream)
            count = self.store.run(lambda: self.store.revive(ep, stream, [(1, 2**40)]))  # noqa: B023 -- run at once
            back = ranges.subtract(self.held(ep, stream), before)
            assert ranges.count(back) == count
            rows = {(ep, stream, seq) for lo, hi in back for seq in range(lo, hi + 1)}
            assert rows <= self.confirmed
            self.confirmed -= rows

    @rule(seconds=st.sampled_from([1.0, QUARTER, 3 * 3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.time.seconds += seconds

    @rule()
    def crash_and_start(self) -> None:
        self.store._close()
        self.start()

    @rule(seed=st.integers(0, 10_000))
    def corrupt(self, seed: int) -> None:
        """A message in the middle of the file turns to rubbish."""
        dice = random.Random(seed)
        ids = [row[0] for row in self.store.db.execute("SELECT id FROM frame").fetchall()]
        if ids:
            sql = "UPDATE frame SET blob = zeroblob(length(blob)) WHERE id=?"
            self.store.db.execute(sql, (dice.choice(ids),))

    @rule()
    def disk_full(self) -> None:
        """No page more: samples go on by giving up older ones, or are refused as a whole."""
        before = self.store.mark("tel")[1]
        self.store.db.execute("PRAGMA max_page_count = 1").fetchall()
        try:
            self.accept_samples(200)
        except Unavailable:
            assert self.store.mark("tel")[1] == before
        self.store.db.execute("PRAGMA max_page_count = 1000000000").fetchall()
        self.time.seconds += 10.0

    # ------------------------------------------------------------ what must hold

    def given(self, stream: Stream) -> list[Frame]:
        out: list[Frame] = []
        after = (0, 0)
        while frames := self.store.run(lambda: self.store.next(stream, after, 100)):  # noqa: B023 -- run at once
            out += frames
            after = (frames[-1].order, frames[-1].last)
        return out

    def held(self, ep: str, stream: Stream) -> list[Range]:
        for holding in self.store.run(self.store.holdings):
            if holding.ep == ep:
                return list(holding.held.get(stream, []))
        return []

    @invariant()
    def every_row_is_in_one_place(self) -> None:
        if not self.starts:
            return
        for stream in STREAMS:
            there: set[Row] = set()
            for frame in self.given(stream):
                message = decode_rows(frame.blob)
                rows = [(frame.ep, stream, seq) for seq in range(frame.s0, frame.last + 1)]
                assert there.isdisjoint(rows)
                there.update(rows)
                if isinstance(message, Gap):
                    assert (message.s0, message.n, message.gap) == (frame.s0, frame.n, frame.cause)
                    self.gone.update(rows)
                else:
                    assert self.gone.isdisjoint(rows), "a row came back from the dead"
                    for row, content in zip(rows, _contents(message), strict=True):
                        assert self.accepted.get(row) in (None, content)
            known = {row for row in self.accepted if row[1] == stream}
            mine = {row for row in self.confirmed if row[1] == stream}
            assert there.isdisjoint(mine)
            assert known - mine <= there, "a row is in no place"
            assert {row for row in there if row not in known} <= self.own(stream)

    def own(self, stream: Stream) -> set[Row]:
        """Return rows that the store itself accepted: its audit."""
        if stream != "aud":
            return set()
        tops = {h.ep: h.accepted.get("aud", 0) for h in self.store.run(self.store.holdings)}
        return {(ep, "aud", seq) for ep, top in tops.items() for seq in range(1, top + 1)}

    @invariant()
    def the_file_keeps_its_limit(self) -> None:
        if self.starts:
            assert account.used_bytes(self.store.db) <= self.limit + 16 * PAGE


def _contents(message: object) -> list[object]:
    if isinstance(message, Samples):
        return list(message.batch.values)
    if isinstance(message, Findings):
        return [entry.id for entry in message.ev]
    assert isinstance(message, Records)
    return [entry.kind for entry in message.rc]


BufferModel.TestCase.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
TestBufferModel = BufferModel.TestCase
