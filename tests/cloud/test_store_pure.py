"""What is pure in the store: notes of what is due, the pieces of an answer, the bytes of a COPY."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.store import arrays, due
from plantroom_cloud.store.cover import cover
from plantroom_cloud.store.partitions import Month, months
from plantroom_cloud.store.summing import LEVELS, SECOND
from plantroom_shared.ranges import merge
from support.store_site import DAY, MINUTE, Said, column_of

HOUR = 60 * MINUTE


@given(st.sets(st.integers(0, 5000), min_size=1), st.integers(1, 20))
def test_stretches_hold_every_minute_and_are_few(minutes: set[int], most: int) -> None:
    """Every minute lies in one of the stretches; they are disjoint, in order, at most so many."""
    found = due.stretches(sorted(minutes), most)
    assert len(found) <= most
    assert all(any(lo <= minute < hi for lo, hi in found) for minute in minutes)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    if len(due.stretches(sorted(minutes), 10_000)) <= most:
        assert sum(hi - lo for lo, hi in found) == len(minutes)


def test_a_note_is_read_as_it_was_written() -> None:
    """Points and stretches survive the row; late rows far away make a stretch of their own."""
    work = due.due_of([7, 7, 2**40], [5 * MINUTE + 1, 3 * MINUTE, 4 * MINUTE, 900 * DAY])
    assert work.stretches == ((3, 6), (900 * 1440, 900 * 1440 + 1))
    assert due.unpack(due.pack_points(work), due.pack_minutes(work)) == work


stale = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 300)), max_size=6)


@given(
    st.integers(0, 4 * DAY),
    st.integers(1, 3 * DAY),
    st.sampled_from([1000, MINUTE, 15 * MINUTE, HOUR, DAY, 90 * SECOND, 2 * HOUR, 7 * DAY]),
    stale,
    st.integers(0, 4),
)
def test_every_moment_is_answered_once(
    start: int, length: int, interval: int, behind: list[tuple[int, int]], kept: int
) -> None:
    """Up-to-date roll-ups or samples, one of them for each moment; both where samples are gone."""
    end, raw_from = start + length, kept * DAY
    ranges = [(lo, hi + 1) for lo, hi in merge((lo, lo + n - 1) for lo, n in behind)]
    pieces = cover(start, end, interval, ranges, raw_from)
    dirty = [(lo * MINUTE, hi * MINUTE) for lo, hi in ranges]
    for piece in pieces:
        micros = piece.length_s * SECOND
        assert piece.start < piece.end
        if micros:
            assert piece.start % micros == piece.end % micros == 0
            assert interval % micros == 0 or piece.end <= raw_from
            if piece.start >= raw_from:
                assert all(piece.end <= lo or hi <= piece.start for lo, hi in dirty)
    rolled = [(p.start, p.end) for p in pieces if p.length_s]
    raw = [(p.start, p.end) for p in pieces if not p.length_s]
    edges = {start, end, raw_from, *(edge for span in (*rolled, *raw, *dirty) for edge in span)}
    for moment in edges | {edge - 1 for edge in edges}:
        if not start <= moment < end:
            continue
        by_rollup = sum(lo <= moment < hi for lo, hi in rolled)
        by_sample = sum(lo <= moment < hi for lo, hi in raw)
        if moment >= raw_from:
            assert by_rollup + by_sample == 1
        else:
            behind_now = any(lo <= moment < hi for lo, hi in dirty)
            assert (by_rollup, by_sample) == (1, behind_now)


def test_coarse_roll_ups_answer_long_questions() -> None:
    """A year by days takes the roll-ups of days, but for what is due and the edges."""
    pieces = cover(DAY // 2, 365 * DAY, DAY, [(2 * 1440 + 61, 2 * 1440 + 62)], 0)
    read = sorted((piece.length_s, piece.end - piece.start) for piece in pieces)
    assert read[0] == (0, MINUTE)
    assert read[-1] == (LEVELS[-1], 362 * DAY)
    assert len(pieces) < 12


def test_two_late_minutes_of_one_day_cost_one_day() -> None:
    """What two notes ask for within one interval is read once, and finer only there."""
    due_twice = [(2 * 1440 + 61, 2 * 1440 + 62), (2 * 1440 + 900, 2 * 1440 + 901)]
    pieces = cover(0, 9 * DAY, DAY, due_twice, 0)
    assert sum(piece.end - piece.start for piece in pieces) == 9 * DAY
    assert sum(piece.end - piece.start for piece in pieces if not piece.length_s) == 2 * MINUTE
    assert sum(piece.end - piece.start for piece in pieces if piece.length_s == 86_400) == 8 * DAY


def test_months_follow_each_other() -> None:
    """December is followed by January, and each month by the next, without a gap."""
    found = months(Month(2025, 11).start_us, Month(2026, 2).end_us - 1)
    assert [month.table for month in found] == [
        "sample_2025_11",
        "sample_2025_12",
        "sample_2026_01",
        "sample_2026_02",
    ]
    assert all(month.end_us == month.next.start_us for month in found)
    assert found[3].end_us - found[3].start_us == 28 * DAY


def _parse(data: bytes) -> list[bytes | None]:
    """Return the elements of a binary array, as PostgreSQL's sources describe it."""
    dimensions, nulls, _, count, lower = struct.unpack_from(">iiiii", data)
    assert (dimensions, lower) == (1, 1)
    at, found = 20, list[bytes | None]()
    for _ in range(count):
        (length,) = struct.unpack_from(">i", data, at)
        at += 4
        found.append(None if length == -1 else data[at : at + length])
        at += max(length, 0)
    assert at == len(data)
    assert nulls == (None in found)
    return found


floats = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.none())
samples = st.builds(
    Said,
    st.integers(1, 2**62),
    st.integers(0, 2**62),
    st.integers(-(2**62), 2**62),
    floats,
    st.one_of(st.none(), st.text(max_size=20)),
    st.integers(0, 2),
    st.one_of(st.just(""), st.text(max_size=10)),
)


@given(st.lists(samples, min_size=1, max_size=30))
def test_arrays_hold_every_field(said: list[Said]) -> None:
    """Each column is packed to the bit, in the order of the rows; what all rows share is said once."""
    columns: list[list[bytes | None]] = [
        [struct.pack(">q", one.point) for one in said],
        [struct.pack(">q", one.ts) for one in said],
        [struct.pack(">q", one.tie) for one in said],
        [None if one.value is None else struct.pack(">d", one.value) for one in said],
    ]
    if any(one.text is not None or one.quality or one.reason for one in said):
        columns.append([None if one.text is None else one.text.encode() for one in said])
        columns.append([struct.pack(">h", one.quality) for one in said])
        columns.append([one.reason.encode() for one in said])
    statement, (company, *packed) = arrays.pack(7, column_of(said))
    assert company == 7
    assert [_parse(bytes(one)) for one in packed] == columns
    assert statement.count("unnest") == len(columns)


def test_arrays_refuse_what_no_column_holds() -> None:
    """A number beyond 64 bits is the row's fault, and told as such."""
    assert math.isfinite(2.0**63)
    for said in (Said(1, 2**63, 0, 1.0), Said(1, 2**63, 0, None), Said(1, 1, 1, 1.0, None, 2**15)):
        with pytest.raises(OverflowError):
            arrays.pack(1, column_of([said]))
