"""What a request for history may ask: the window, the interval, the aggregates, their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from plantroom_cloud.kit.problems import invalid
from plantroom_cloud.kit.times import DAY, parse_interval, parse_time

RAW_LIMIT: Final = 31 * DAY
MAX_BUCKETS: Final = 10_000
AGGREGATES: Final = ("min", "max", "mean", "last", "count", "sum", "first")


@dataclass(frozen=True, slots=True)
class Window:
    """Microseconds since 1970-01-01 UTC: ``start <= ts < end``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Microseconds from start to end."""
        return self.end - self.start


def read_window(start: str | None, end: str | None, now_us: int, default: int = DAY) -> Window:
    """Return the window asked for; without `end` up to now, without `start` the `default` before.

    Raises:
        InvalidRequest: one of them is no time, or the start is not before the end.
    """
    end_us = now_us if end is None else parse_time(end, "to")
    start_us = max(0, end_us - default) if start is None else parse_time(start, "from")
    if start_us >= end_us:
        detail = "it must lie before 'to'; exchange them or widen"
        raise invalid(detail, parameter="from")
    return Window(start_us, end_us)


def check_raw(window: Window) -> None:
    """Raise InvalidRequest if single samples of so long a window are too many to ask for."""
    if window.length > RAW_LIMIT:
        detail = "single samples cover at most 31 days: narrow from..to, or give an interval"
        raise invalid(detail, parameter="from")


def read_interval(text: str, window: Window) -> int:
    """Return the interval in microseconds; InvalidRequest if it cuts `window` too finely."""
    interval = parse_interval(text, "interval")
    buckets = -(-window.end // interval) - window.start // interval
    if buckets > MAX_BUCKETS:
        detail = (
            f"{buckets} intervals are more than {MAX_BUCKETS}: "
            f"take at least {-(-window.length // (MAX_BUCKETS - 1) // 1_000_000) + 1}s, "
            "or narrow from..to"
        )
        raise invalid(detail, parameter="interval")
    return interval


def read_aggregates(text: str) -> tuple[str, ...]:
    """Return the aggregates in a list with commas; InvalidRequest names the ones there are."""
    asked = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if unknown := [part for part in asked if part not in AGGREGATES]:
        detail = f"{unknown[0][:40]!r} is none; choose of {','.join(AGGREGATES)}"
        raise invalid(detail, parameter="agg")
    return asked
