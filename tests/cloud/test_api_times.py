"""Times and intervals at the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.kit.problems import InvalidRequest
from plantroom_cloud.kit.times import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    duration,
    parse_interval,
    parse_time,
    rfc3339,
    rfc3339_or_none,
)

_LAST = 253_402_300_799_999_999


@given(st.integers(0, _LAST))
def test_what_is_written_reads_back(us: int) -> None:
    """Every moment to the microsecond survives being written and read."""
    assert parse_time(rfc3339(us), "from") == us


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001 - zones follow
    st.integers(-23 * 60, 23 * 60),
)
def test_offsets_are_reckoned_in(naive: datetime, minutes: int) -> None:
    """A time with an offset is the same moment in UTC; a plus sign that came as a blank as well."""
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text = moment.isoformat()
    assert parse_time(text, "from") == expected
    assert parse_time(text.replace("+", " "), "from") == expected


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_named_refusal(text: str) -> None:
    """Whatever comes, it is understood within the range, or refused with the parameter's name."""
    try:
        us, refused = parse_time(text, "to"), None
    except InvalidRequest as error:
        us, refused = 0, error.errors[0]["name"]
    assert 0 <= us <= _LAST
    assert refused in {None, "to"}


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-01-31T12:00:00Z", 1_769_860_800_000_000),
        ("2026-01-31t12:00:00.5z", 1_769_860_800_500_000),
        ("2026-01-31 13:00:00+01:00", 1_769_860_800_000_000),
        ("2026-01-31T12:00:00.1234567Z", 1_769_860_800_123_456),
        ("1769860800", 1_769_860_800_000_000),
        ("1769860800.25", 1_769_860_800_250_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ("0", 0),
    ],
)
def test_the_two_ways_to_write_a_time(text: str, us: int) -> None:
    """RFC 3339 with any offset, fraction and leap second, or seconds since 1970."""
    assert parse_time(text, "from") == us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:00:00+25:00",
        "2026-01-31T12:00:00+01:60",
        "1969-12-31T23:59:59Z",
        "-1",
        "1e9",
        "999999999999",
        "٢٠٢٦-01-31T12:00:00Z",
        "nan",
    ],
)
def test_a_bad_time_is_refused_by_name(text: str) -> None:
    """What is no moment between 1970 and 9999 is refused, naming the parameter and the form."""
    with pytest.raises(InvalidRequest, match=r"^from: write it as 2026-01-31T12:00:00Z"):
        parse_time(text, "from")


def test_moments_beyond_the_calendar_are_shown_at_its_edge() -> None:
    """A time from the field that no calendar holds does not break the answer."""
    assert rfc3339(2**63) == "9999-12-31T23:59:59.999999Z"
    assert rfc3339(-(2**63)) == "0001-01-01T00:00:00.000000Z"
    assert rfc3339_or_none(None) is None


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("15m", 15 * MINUTE),
        ("1h", HOUR),
        ("1d", DAY),
        ("2w", 14 * DAY),
        ("500ms", SECOND // 2),
        ("90s", 90 * SECOND),
        ("PT15M", 15 * MINUTE),
        ("PT1H30M", 90 * MINUTE),
        ("P1D", DAY),
        ("P1DT12H", 36 * HOUR),
        ("P1W", 7 * DAY),
        ("PT86400S", DAY),
    ],
)
def test_intervals(text: str, us: int) -> None:
    """Short forms and ISO 8601 durations of fixed length."""
    assert parse_interval(text, "interval") == us


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "P1M", "P1Y", "1", "15min", "0s", "PT0S", "367d", "-1h", "1.5h"]
)
def test_bad_intervals_are_refused_by_name(text: str) -> None:
    """Nothing, zero, months, years and more than 366 days are no interval."""
    with pytest.raises(InvalidRequest, match=r"^interval: write it as 15m"):
        parse_interval(text, "interval")


@given(st.integers(1000, 366 * DAY))
def test_a_duration_says_how_long_it_is(us: int) -> None:
    """The duration in an answer holds exactly the microseconds that were asked for."""
    text = duration(us)
    whole, _, fraction = text.removeprefix("PT").removesuffix("S").partition(".")
    assert int(whole) * SECOND + int((fraction or "0").ljust(6, "0")) == us


@given(st.text(alphabet="PTYMWDHS0123456789.ms", max_size=12))
def test_any_text_is_an_interval_or_refused(text: str) -> None:
    """Whatever comes, it is an interval within the bounds or refused."""
    try:
        us, refused = parse_interval(text, "interval"), None
    except InvalidRequest as error:
        us, refused = DAY, error.errors[0]["name"]
    assert 1000 <= us <= 366 * DAY
    assert refused in {None, "interval"}
