"""Limits, folding, occurrences, schedules and figures: no database in sight."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from plantroom_cloud.alarms.conditions import Fold, Limit, Reading, Span, Watch, before, thin
from plantroom_cloud.alarms.flood import HOUR, MINUTE, PERIOD, Call, Standing, figures
from plantroom_cloud.alarms.occurrences import Entered, compare, moves
from plantroom_cloud.alarms.rules import AlarmRuleIn, Suppression
from plantroom_cloud.alarms.schedules import Schedule
from plantroom_cloud.alarms.states import Act

SECOND = 1_000_000
VALUES = st.sampled_from([5.0, 6.9, 7.0, 7.5, 8.0, 8.1, 9.0, None])
READINGS = st.lists(st.tuples(st.integers(1, 60), VALUES), max_size=40)


@pytest.mark.parametrize(
    ("limit", "said", "on", "verdict"),
    [
        (Limit("above", high=8), 8.0, False, False),
        (Limit("above", high=8), 8.1, False, True),
        (Limit("above", high=8, dead_band=1), 7.5, True, True),
        (Limit("above", high=8, dead_band=1), 7.0, True, False),
        (Limit("below", low=2, dead_band=1), 2.5, True, True),
        (Limit("below", low=2), 1.9, False, True),
        (Limit("outside", low=2, high=8), 5.0, False, False),
        (Limit("outside", low=2, high=8), 1.0, False, True),
        (Limit("outside", low=2, high=8), 9.0, False, True),
        (Limit("above", high=8), float("inf"), False, None),
        (Limit("above", high=8), float("nan"), False, None),
        (Limit("above", high=8), "hot", False, None),
        (Limit("equals", value=1.0), 1.0, False, True),
        (Limit("equals", value="Fault"), "Fault", False, True),
        (Limit("differs", value="Auto"), "Hand", False, True),
        (Limit("differs", value=0.0), 0.0, True, False),
        (Limit("equals", value=1.0), None, False, None),
    ],
)
def test_limits(limit: Limit, said: float | str | None, on: bool, verdict: bool | None) -> None:
    """A limit judges numbers and texts; what it cannot compare it does not judge."""
    value, text = (None, said) if isinstance(said, str) else (said, None)
    assert limit.judge(value, text, on=on) is verdict


def _watch(on: int, off: int) -> Watch:
    return Watch(Limit("above", high=8, dead_band=1), on, off)


def _readings(rows: list[tuple[int, float | None]]) -> list[Reading]:
    return sorted((Reading(ts, value) for ts, value in rows), key=lambda one: one.ts)


@given(READINGS, st.integers(0, 9), st.integers(0, 9), st.data())
def test_portions_do_not_matter(
    rows: list[tuple[int, float | None]], on: int, off: int, data: st.DataObject
) -> None:
    """Readings in portions give what they give at once, with any checkpoint in between."""
    watch, readings = _watch(on, off), _readings(rows)
    last, whole = watch.take(Fold(0), readings)
    times = sorted({reading.ts for reading in readings})
    cuts = data.draw(st.sets(st.sampled_from(times))) if times else set()
    fold, parts, begin = Fold(0), list[Span](), 0
    for cut in [*sorted(cuts), 1000]:
        portion = [reading for reading in readings if begin < reading.ts <= cut]
        fold, ended = watch.take(fold, portion)
        parts += ended
        begin = cut
    assert (fold, parts) == (last, whole)
    assert watch.until(fold, 100) == watch.until(last, 100)


@given(READINGS, st.integers(0, 9), st.integers(0, 9))
def test_spans_are_apart_and_forward(
    rows: list[tuple[int, float | None]], on: int, off: int
) -> None:
    """What comes out are stretches with a length, in order, of which only the last may be open."""
    watch = _watch(on, off)
    fold, spans = watch.take(Fold(0), _readings(rows))
    spans += watch.until(fold, 100)
    for span in spans:
        assert span.end is None or span.start < span.end
    for one, other in pairwise(spans):
        assert one.end is not None
        assert one.end <= other.start


@given(
    st.lists(st.integers(1, 10**12), min_size=1, max_size=300, unique=True), st.integers(0, 10**12)
)
def test_checkpoints(times: list[int], keep: int) -> None:
    """Thinned checkpoints are few, in order, hold the newest, and one from before what may come."""
    folds = [Fold(ts) for ts in sorted(times)]
    kept = thin(folds, keep)
    assert len(kept) <= 45
    assert kept == sorted(kept, key=lambda fold: fold.ts)
    assert kept[-1] == folds[-1]
    older = [fold for fold in folds if fold.ts <= keep]
    assert kept[0] == (older[-1] if older else folds[0])
    assert before(kept, kept[0].ts) is None
    assert before(kept, kept[0].ts + 1) is not None


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=8)


def _spans(rows: list[tuple[int, int]], *, open_end: bool) -> list[Span]:
    out, at = list[Span](), 0
    for gap, length in rows:
        start = at + gap
        out.append(Span(start, start + length))
        at = start + length
    if out and open_end:
        out[-1] = Span(out[-1].start, None)
    return out


@given(SPANS, SPANS, st.booleans(), st.booleans())
def test_the_table_becomes_what_was_found(
    old: list[tuple[int, int]], new: list[tuple[int, int]], was_open: bool, is_open: bool
) -> None:
    """The plan makes exactly what was found of what was entered, and the condition ends right."""
    entered = [
        Entered(index, span.start, span.end)
        for index, span in enumerate(_spans(old, open_end=was_open))
    ]
    found = _spans(new, open_end=is_open)
    plan = compare(entered, found)
    table = {item.id: (item.start, item.end) for item in entered}
    for item in plan.gone:
        del table[item.id]
    for item, span in plan.changed:
        table[item.id] = (span.start, span.end)
    rows = sorted([*table.values(), *((s.start, s.end) for s in plan.new)], key=lambda r: r[0])
    assert rows == [(span.start, span.end) for span in found]
    assert compare([Entered(n, *row) for n, row in enumerate(rows)], found).empty
    active = any(item.end is None for item in entered)
    told, history = moves(plan, active=active, now=10_000, over_before=0)
    for move in told:
        assert (move.act is Act.ON) is not active
        active = not active
    assert active is any(span.end is None for span in found)
    assert len(history) + sum(m.act is Act.ON for m in told) >= len(plan.new)


# ---------------------------------------------------------------- schedules

WORK = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "17:00"}
BERLIN = Schedule.model_validate(
    {"timezone": "Europe/Berlin", "hours": [WORK], "holidays": ["2026-12-25"]}
)


def _us(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    return round(moment.timestamp()) * SECOND


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-12-23T08:00", "2026-12-23T08:00"),
        ("2026-12-23T17:00", "2026-12-24T08:00"),
        ("2026-12-24T18:00", "2026-12-28T08:00"),
        ("2026-03-28T12:00", "2026-03-30T08:00"),
    ],
)
def test_hours_and_holidays(now: str, opens: str) -> None:
    """Outside of the hours the next opening counts, by local time, past weekends and holidays."""
    assert BERLIN.opens(_us(now)) == _us(opens)
    assert BERLIN.is_open(_us(now)) is (now == opens)


def test_always_and_never() -> None:
    """Without hours it is always open; where all days are holidays, never."""
    assert Schedule().opens(5) == 5
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(60)]
    shut = Schedule.model_validate({"hours": [WORK], "holidays": days})
    assert shut.opens(round(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND) is None


@given(st.integers(1_774_000_000, 1_806_000_000))
@settings(max_examples=30)
def test_an_opening_is_the_first(second: int) -> None:
    """Between now and the opening it is shut, also where clocks are changed."""
    now = second * SECOND
    opens = BERLIN.opens(now)
    assert opens is not None
    assert BERLIN.is_open(opens)
    step = max((opens - now) // 40, 1)
    assert not any(BERLIN.is_open(at) for at in range(now, opens, step) if opens > now)


@pytest.mark.parametrize(
    "says",
    [
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"hours": [WORK | {"to": "07:00"}]},
        {"hours": [WORK | {"from": "08:01"}]},
        {"hours": [WORK | {"days": ["someday"]}]},
    ],
)
def test_schedules_that_are_none(says: dict[str, object]) -> None:
    """What is no schedule is refused."""
    with pytest.raises(ValidationError):
        Schedule.model_validate(says)


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    "when",
    [
        {"compare": "above"},
        {"compare": "above", "high": 8, "low": 1},
        {"compare": "outside", "high": 1, "low": 8},
        {"compare": "equals"},
        {"compare": "above", "high": float("inf")},
        {"compare": "above", "high": 8, "points": []},
        {"compare": "above", "high": 8, "on_delay_s": 90_000},
        {"compare": "above", "high": 8, "suppress": {"compare": "equals", "value": 0}},
    ],
)
def test_rules_that_are_none(when: dict[str, object]) -> None:
    """A rule says exactly what its comparison needs."""
    with pytest.raises(ValidationError):
        AlarmRuleIn.model_validate(
            {"name": "x", "when": {"kind": "threshold", "points": [1]} | when}
        )


def test_a_state_is_a_number_or_a_text() -> None:
    """A boolean is compared as the number that it is stored as."""
    off = Suppression.model_validate({"point": 1, "compare": "equals", "value": False})
    assert off.limit.judge(0.0, None, on=False) is True
    hand = Suppression.model_validate({"point": 1, "compare": "equals", "value": "Hand"})
    assert hand.limit.judge(None, "Hand", on=False) is True


# ---------------------------------------------------------------- figures


def test_a_flood() -> None:
    """More than ten calls per operator in ten minutes begin a flood, fewer than five end it."""
    counts = [2, 11, 30, 5, 4, 0]
    calls = [
        Call(period * PERIOD + n * SECOND, 1 if n else 2, 3)
        for period, count in enumerate(counts)
        for n in range(count)
    ]
    found = figures(calls, [Standing(7, 0), Standing(8, 59 * MINUTE)], start=0, end=6 * PERIOD)
    assert found.calls == 52
    assert found.average == pytest.approx(52 / 6)
    assert (found.peak, found.peak_at) == (30, 2 * PERIOD)
    assert found.floods == ((PERIOD, 4 * PERIOD, 46),)
    assert found.flood_share == pytest.approx(0.5)
    assert found.top == ((1, 47), (2, 5))
    assert found.top_share == 1
    assert found.by_priority == {3: 52}
    assert (found.standing, found.stale) == (2, ())
    three = figures(calls, [], start=0, end=6 * PERIOD, operators=3)
    assert three.floods == ()
    assert three.average == pytest.approx(52 / 18)


def test_chatter_and_stale() -> None:
    """Three calls of one alarm within a minute are chatter; what stands for a day is stale."""
    times = [0, 30 * SECOND, 61 * SECOND, 90 * SECOND, 119 * SECOND]
    calls = [Call(at, 5, 2) for at in times] + [Call(at * 2, 6, 2) for at in times]
    found = figures(calls, [Standing(9, 0), Standing(8, HOUR)], start=0, end=25 * HOUR - 1)
    assert found.chattering == ((5, 3),)
    assert found.stale == ((9, 24),)


def test_nothing_happened() -> None:
    """A quiet time has figures, too."""
    found = figures([], [], start=0, end=PERIOD // 2)
    assert (found.calls, found.peak_at, found.top_share, found.floods) == (0, None, 0.0, ())


@given(st.lists(st.tuples(st.integers(0, 6 * PERIOD - 1), st.integers(1, 5)), max_size=120))
def test_figures_add_up(rows: list[tuple[int, int]]) -> None:
    """Floods are apart, their calls are among all, and the share lies between nothing and all."""
    calls = [Call(at, alarm, 1) for at, alarm in rows]
    found = figures(calls, [], start=0, end=6 * PERIOD)
    assert sum(count for _, count in found.top) == found.calls
    assert sum(flood[2] for flood in found.floods) <= found.calls
    assert 0 <= found.flood_share <= 1
    assert found.peak * 6 >= found.calls
    for one, other in pairwise(found.floods):
        assert one[1] <= other[0]
