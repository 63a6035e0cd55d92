"""Figures of how well people are served by their alarms, after ISA-18.2 and EEMUA 191. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

MINUTE: Final = 60_000_000
HOUR: Final = 60 * MINUTE
PERIOD: Final = 10 * MINUTE
FLOOD: Final = 10
"""More alarms than that in ten minutes for one operator are a flood ..."""
CALM: Final = 5
"""... which is over with fewer than this many."""
CHATTER: Final = 3
"""So many calls of one alarm within a minute are chatter."""
STALE: Final = 24 * HOUR
"""An alarm that stands for so long is stale."""
TOP: Final = 10


class Call(NamedTuple):
    """An operator was called."""

    at: int
    alarm: int
    priority: int


class Standing(NamedTuple):
    """An alarm that stands now."""

    alarm: int
    since: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of a stretch of time."""

    calls: int
    average: float
    """Calls per operator in ten minutes."""
    peak: float
    """The same of the worst ten minutes."""
    peak_at: int | None
    flood_share: float
    """Share of the ten-minute periods that belong to a flood."""
    floods: tuple[tuple[int, int, int], ...]
    """Start, end and number of calls of each flood."""
    by_priority: Mapping[int, int]
    top: tuple[tuple[int, int], ...]
    """Alarm and its number of calls: the ten that call most."""
    top_share: float
    chattering: tuple[tuple[int, int], ...]
    """Alarm and the most calls that it had within a minute."""
    standing: int
    stale: tuple[tuple[int, int], ...]
    """Alarm and the hours for which it has stood."""


def figures(
    calls: Sequence[Call],
    standing: Sequence[Standing],
    *,
    start: int,
    end: int,
    operators: int = 1,
) -> Figures:
    """Return the figures of ``start <= t < end``.

    Args:
        calls: of that time, in any order.
        standing: the alarms that stand at the end of it.
        start: microseconds; periods of ten minutes are counted from here.
        end: after `start`.
        operators: who share the alarms.
    """
    periods = -(-(end - start) // PERIOD)
    per = Counter((call.at - start) // PERIOD for call in calls)
    counts = [per[index] for index in range(periods)]
    peak = max(range(periods), key=counts.__getitem__)
    floods = _floods(counts, start, operators)
    in_flood = sum((until - since) // PERIOD for since, until, _ in floods)
    by_alarm = Counter(call.alarm for call in calls)
    top = sorted(by_alarm.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    total = len(calls)
    return Figures(
        calls=total,
        average=total * PERIOD / (end - start) / operators,
        peak=counts[peak] / operators,
        peak_at=start + peak * PERIOD if total else None,
        flood_share=in_flood / periods,
        floods=floods,
        by_priority=dict(Counter(call.priority for call in calls)),
        top=tuple(top),
        top_share=sum(count for _, count in top) / total if total else 0.0,
        chattering=_chattering(calls),
        standing=len(standing),
        stale=tuple(
            sorted(
                (item.alarm, (end - item.since) // HOUR)
                for item in standing
                if end - item.since >= STALE
            )
        ),
    )


def _floods(counts: Sequence[int], start: int, operators: int) -> tuple[tuple[int, int, int], ...]:
    out: list[tuple[int, int, int]] = []
    since: int | None = None
    for index, count in enumerate([*counts, 0]):
        if since is None and count > FLOOD * operators:
            since = index
        elif since is not None and (count < CALM * operators or index == len(counts)):
            calls = sum(counts[since:index])
            out.append((start + since * PERIOD, start + index * PERIOD, calls))
            since = None
    return tuple(out)


def _chattering(calls: Sequence[Call]) -> tuple[tuple[int, int], ...]:
    times: defaultdict[int, list[int]] = defaultdict(list)
    for call in sorted(calls):
        times[call.alarm].append(call.at)
    most = {alarm: _most_in_a_minute(at) for alarm, at in times.items()}
    found = [(alarm, count) for alarm, count in most.items() if count >= CHATTER]
    return tuple(sorted(found, key=lambda item: (-item[1], item[0])))


def _most_in_a_minute(times: Sequence[int]) -> int:
    most = first = 0
    for index, at in enumerate(times):
        while at - times[first] >= MINUTE:
            first += 1
        most = max(most, index - first + 1)
    return most
