"""Time at the API: RFC 3339 in UTC outside, microseconds since 1970-01-01 UTC inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from plantroom_cloud.kit.problems import invalid

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_FIRST: Final = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z

# A "+" that was not percent-encoded arrives as a blank: read it as what was meant.
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,12}))?"
    r"(?:([Zz])|([+ -])(\d{2}):(\d{2}))",
    re.ASCII,
)
_SECONDS: Final = re.compile(r"(\d{1,12})(?:\.(\d{1,12}))?", re.ASCII)
_SHORT: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d|w)", re.ASCII)
_ISO: Final = re.compile(
    r"P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})S)?)?",
    re.ASCII,
)
_UNITS: Final = {"ms": 1000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}

LONGEST_INTERVAL: Final = 366 * DAY


def rfc3339(us: int) -> str:
    """Return microseconds since 1970 as ``2026-01-31T12:00:00.000000Z``.

    Years run from 1 to 9999; what lies beyond is shown as the nearest moment that can be written.
    """
    if not _FIRST <= us <= _LAST:
        us = min(max(us, _FIRST), _LAST)
    minutes, rest = divmod(us, MINUTE)
    seconds, us = divmod(rest, SECOND)
    return f"{_minute(minutes)}:{seconds:02}.{us:06}Z"


@lru_cache(maxsize=16_384)
def _minute(minutes: int) -> str:
    """Return a minute since 1970; histories of many points ask for the same ones."""
    days, rest = divmod(minutes, 24 * 60)
    return f"{_date(days)}T{rest // 60:02}:{rest % 60:02}"


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    """Return a day since 1970."""
    return (_EPOCH + timedelta(days=days)).strftime("%Y-%m-%d").rjust(10, "0")


def rfc3339_or_none(us: int | None) -> str | None:
    """Return `us` as `rfc3339` does; None where there is no time."""
    return None if us is None else rfc3339(us)


def parse_time(text: str, name: str) -> int:
    """Return the moment in `text` in microseconds since 1970-01-01 UTC.

    Args:
        text: RFC 3339 with an offset, or seconds since 1970; digits beyond µs are cut.
        name: the parameter it came in, for the error.

    Raises:
        InvalidRequest: it is neither, or lies before 1970 or after 9999.
    """
    us = _from_seconds(text) if (found := _RFC3339.fullmatch(text)) is None else _from_match(found)
    if us is None or not 0 <= us <= _LAST:
        detail = "write it as 2026-01-31T12:00:00Z or as seconds since 1970-01-01 UTC"
        raise invalid(detail, parameter=name)
    return us


def _from_seconds(text: str) -> int | None:
    found = _SECONDS.fullmatch(text)
    return None if found is None else int(found[1]) * SECOND + _micros(found[2])


def _micros(digits: str | None) -> int:
    return int((digits or "").ljust(6, "0")[:6])


def _from_match(found: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second = (int(found[index]) for index in range(1, 7))
    leap = second == 60  # RFC 3339 allows it; it is the moment after :59
    try:
        offset = timedelta()
        if not found[8]:
            offset = timedelta(hours=int(found[10]), minutes=int(found[11]))
            if int(found[11]) > 59:
                return None
            offset = -offset if found[9] == "-" else offset
        zone = timezone(offset)
        moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=zone)
    except ValueError:
        return None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return (seconds + leap) * SECOND + _micros(found[7])


def parse_interval(text: str, name: str) -> int:
    """Return the length of an interval in microseconds: ``15m``, ``1h``, ``PT15M``, ``P1D``.

    Raises:
        InvalidRequest: it is none, has no fixed length (months, years), or lies outside of
            1 ms to 366 days.
    """
    us = 0
    if short := _SHORT.fullmatch(text):
        us = int(short[1]) * _UNITS[short[2]]
    elif iso := _ISO.fullmatch(text):
        units = (7 * DAY, DAY, HOUR, MINUTE, SECOND)
        us = sum(int(part or 0) * unit for part, unit in zip(iso.groups(), units, strict=True))
    if not 1000 <= us <= LONGEST_INTERVAL:
        detail = "write it as 15m, 1h, 1d or as an ISO 8601 duration such as PT15M, up to 366 days"
        raise invalid(detail, parameter=name)
    return us


def duration(us: int) -> str:
    """Return microseconds as an ISO 8601 duration in seconds: ``PT900S``."""
    whole, rest = divmod(us, SECOND)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"PT{whole}{fraction}S"
