"""Report by exception: what is suppressed, what never is, and what it can cost in accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.sampling.gate import Band, RowGate
from plantroom_shared.model import Quality, Value

BAD, UNCERTAIN = int(Quality.BAD), int(Quality.UNCERTAIN)
Flaws = dict[int, tuple[int, str]]


@dataclass
class Hand:
    """A clock that moves when told."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Naive:
    """What a gate does, written as a sentence for each row."""

    bands: list[Band | None]
    last: dict[int, tuple[Value, tuple[int, str] | None]] = field(default_factory=dict)

    def changed(self, raws: list[Value], bad: Flaws) -> list[int]:
        rows = []
        for row, raw in enumerate(raws):
            if row not in self.last or self._tells(self.bands[row], row, raw, bad.get(row)):
                rows.append(row)
                self.last[row] = (raw, bad.get(row))
        return rows

    def _tells(self, band: Band | None, row: int, raw: Value, flaw: tuple[int, str] | None) -> bool:
        before, was = self.last[row]
        if band is None or flaw != was:
            return True
        if flaw is not None and flaw[0] == BAD:
            return False
        if isinstance(raw, str) or isinstance(before, str) or raw is None or before is None:
            return type(raw) is not type(before) or raw != before
        if math.isnan(raw) or math.isnan(before):
            return not (math.isnan(raw) and math.isnan(before))
        if isinstance(before, bool):
            return raw != before
        width = max(band.absolute, band.share * abs(before))
        return abs(raw - before) > width


_BANDS = st.one_of(
    st.none(),
    st.builds(
        Band,
        absolute=st.sampled_from([0.0, 1.0, 2.5]),
        share=st.sampled_from([0.0, 0.125]),
        heartbeat=st.just(1e9),
    ),
)
# Quarters and eighths are exact in binary: the model needs no tolerance.
_NUMBERS = st.integers(-40, 40).map(lambda n: n / 4)
_RAWS = st.one_of(_NUMBERS, st.integers(-10, 10), st.booleans(), st.none(), st.just(math.nan))
_FLAW = st.sampled_from([(BAD, "timeout"), (BAD, "exception-2"), (UNCERTAIN, "out-of-range")])


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[Band | None], list[tuple[list[Value], Flaws]]]:
    count = draw(st.integers(1, 6))
    bands = draw(st.lists(_BANDS, min_size=count, max_size=count))
    kinds = [
        draw(st.sampled_from([_NUMBERS, _RAWS, st.sampled_from(["on", "off"])])) for _ in bands
    ]
    polls = []
    for _ in range(draw(st.integers(1, 12))):
        raws: list[Value] = [draw(kind) for kind in kinds]
        bad = draw(st.dictionaries(st.integers(0, count - 1), _FLAW, max_size=count))
        polls.append((raws, bad))
    return bands, polls


@settings(max_examples=300, deadline=None)
@given(_histories())
def test_the_gate_does_what_the_plain_sentence_says(
    history: tuple[list[Band | None], list[tuple[list[Value], Flaws]]],
) -> None:
    """On any history of values and qualities it reports what the naive model reports."""
    bands, polls = history
    gate, naive = RowGate(bands, Hand()), Naive(bands)
    for raws, bad in polls:
        assert list(gate.changed(raws, bad)) == naive.changed(raws, bad)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.floats(0.01, 100),
)
def test_what_is_stored_is_never_further_off_than_the_deadband(
    values: list[float], band: float
) -> None:
    """However a value creeps, the last report lies within the deadband of it."""
    gate, stored = RowGate([Band(band)], Hand()), math.inf
    for value in values:
        if gate.changed([value], {}):
            stored = value
        assert abs(value - stored) <= band * (1 + 1e-6)


def test_unchanged_points_report_with_every_heartbeat() -> None:
    """Silence is never longer than the heartbeat, for each band its own."""
    hand = Hand()
    gate = RowGate([Band(1.0, heartbeat=900), Band(1.0, heartbeat=60)], hand, interval=1.0)
    at: dict[int, list[float]] = {0: [], 1: []}
    for second in range(3600):
        hand.now = float(second)
        for row in gate.changed([5.0, 5.0], {}):
            at[row].append(hand.now)
    for row, beat in ((0, 900), (1, 60)):
        gaps = [b - a for a, b in zip(at[row], at[row][1:], strict=False)]
        assert max(gaps) <= beat
        assert len(gaps) <= 3600 / (beat * 0.9)
    assert gate.suppressed == 2 * 3600 - len(at[0]) - len(at[1])


def test_a_heartbeat_comes_in_time_where_polls_are_rare() -> None:
    """With ten minutes between polls and a quarter of an hour of silence allowed, every poll counts."""
    hand = Hand()
    gate = RowGate([Band(1.0, heartbeat=900)], hand, interval=600.0)
    for poll in range(5):
        hand.now = 600.0 * poll
        assert list(gate.changed([5.0], {})) == [0]


def test_a_lasting_fault_is_told_again_with_the_heartbeat_only() -> None:
    """Bad rows are reported when they go bad, when the reason changes, and by the heartbeat."""
    hand = Hand()
    gate = RowGate([Band(heartbeat=900)], hand)
    assert list(gate.changed([None], {0: (BAD, "timeout")})) == [0]
    assert list(gate.changed([None], {0: (BAD, "timeout")})) == []
    assert list(gate.changed([None], {0: (BAD, "exception-2")})) == [0]
    hand.now = 900
    assert list(gate.changed([None], {0: (BAD, "exception-2")})) == [0]
    assert list(gate.changed([1.0], {})) == [0]
    assert list(gate.changed([1.0], {})) == []


@pytest.mark.parametrize("nothing", [math.nan, None])
def test_what_is_no_number_is_told_once_and_by_the_heartbeat(nothing: Value) -> None:
    """NaN and null do not report with every poll, and never stop the heartbeat."""
    hand = Hand()
    gate = RowGate([Band(1.0, heartbeat=100)], hand)
    assert list(gate.changed([nothing], {})) == [0]
    assert list(gate.changed([nothing], {})) == []
    hand.now = 100
    assert list(gate.changed([nothing], {})) == [0]
    assert list(gate.changed([1.0], {})) == [0]


def test_a_deadband_of_whole_steps_is_not_split_by_rounding() -> None:
    """0.3 over a step of 0.1 are three steps, though the division says a little less."""
    assert 0.3 / 0.1 < 3
    gate = RowGate([Band(0.3 / 0.1)], Hand())
    gate.changed([100], {})
    assert list(gate.changed([103], {})) == []
    assert list(gate.changed([104], {})) == [0]


def test_after_a_refusal_all_is_reported_again() -> None:
    """What the buffer has not taken counts as not reported, quality as well."""
    gate = RowGate([Band(1.0), Band(1.0)], Hand())
    gate.changed([1.0, None], {1: (BAD, "timeout")})
    gate.forget()
    assert list(gate.changed([1.0, None], {1: (BAD, "timeout")})) == [0, 1]


def test_large_counters_are_compared_exactly() -> None:
    """Without a deadband every change of a 64-bit number is seen, beyond what a float can tell."""
    gate = RowGate([Band()], Hand())
    gate.changed([2**63], {})
    assert list(gate.changed([2**63 + 1], {})) == [0]
    assert list(gate.changed([2**63 + 1], {})) == []


def test_the_gate_keeps_little_for_each_point() -> None:
    """Ten thousand points cost less than 3 MB, and no more after a thousand polls of a few changes."""
    import tracemalloc

    tracemalloc.start()
    try:
        hand = Hand()
        gate = RowGate([Band(2.0)] * 10_000, hand)
        raws = [float(row) for row in range(10_000)]
        gate.changed(raws, {})
        first = tracemalloc.get_traced_memory()[0]
        for poll in range(200):
            hand.now = float(poll)
            raws[poll] += 10
            gate.changed(raws, {poll: (BAD, "timeout")})
        last = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert first < 3_000_000
    assert last - first < 100_000
