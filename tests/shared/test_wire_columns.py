"""Columns made small: every value comes out bit for bit as it went in."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared.model import Batch, Value
from plantroom_shared.wire import Samples, decode_rows, encode_samples, unpack
from plantroom_shared.wire.columns import restore, shorten

EP, NOW = "0123456789abcdef", 1_700_000_000_000_000

narrow = st.floats(width=32, allow_nan=False, allow_infinity=False)
values = st.lists(
    narrow
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**53), 2**53)
    | st.booleans()
    | st.none()
    | st.text(max_size=5),
    min_size=1,
    max_size=60,
)


def travelled(sent: list[Value]) -> list[Value]:
    """Return the values of a message that went over the wire."""
    batch = Batch([0] * len(sent), [NOW] * len(sent), sent)
    found = decode_rows(encode_samples(EP, 1, batch))
    assert isinstance(found, Samples)
    assert found.bad_rows == {}
    return found.batch.values


def bits(value: Value) -> Any:
    """Return what tells two values apart, the sign of zero and the type among it."""
    return struct.pack("<d", value) if type(value) is float else (type(value), value)


@given(values)
def test_every_value_comes_out_bit_for_bit(sent: list[Value]) -> None:
    """Mixed 32-bit and 64-bit floats, integers, booleans and texts are what they were."""
    assert list(map(bits, travelled(sent))) == list(map(bits, sent))


@given(st.lists(narrow, min_size=1, max_size=40))
def test_32_bit_floats_are_written_shortly(sent: list[float]) -> None:
    """None takes more than nine digits, and the caller's own list is left alone."""
    kept = list(sent)
    short, _ = shorten(sent)
    assert sent == kept
    for value in short:
        digits = f"{value:.9e}".split("e", maxsplit=1)[0]
        assert float(f"{value:.9g}") == value
        assert len(digits) <= 12


def test_a_real_is_sent_as_people_write_it() -> None:
    """21.3 of a BACnet device takes four characters, between doubles that stay whole."""
    reals = list(struct.unpack("<3f", struct.pack("<3f", 21.3, 7.05, 0.1)))
    sent: list[Value] = [0.1, reals[0], 5, reals[1], 1e300, reals[2], "x"]
    message = unpack(encode_samples(EP, 1, Batch([0] * 7, [NOW] * 7, list(sent))))
    assert message["x"] == [0.1, 21.3, 5, 7.05, 1e300, 0.1, "x"]
    assert message["f"] == [[1, 3], [5, 2]]
    assert travelled(sent) == sent


def test_values_that_gain_nothing_are_sent_as_they_are() -> None:
    """Without such floats a message has no column for them."""
    assert shorten([1.5, 2.0, True, None, 81.6]) == ([1.5, 2.0, True, None, 81.6], [])


@pytest.mark.parametrize(
    "column",
    [None, 5, "0", [5], [[0]], [["0", 2]], [[-1, 2]], [[2, 1]], [[0, 0]], [[0, -3]], [[0, 1.5]]],
)
def test_runs_that_are_none_change_nothing(column: object) -> None:
    """Rubbish in place of the runs costs no value."""
    found: list[Any] = [21.3, 1e300]
    restore(found, column)
    assert found == [21.3, 1e300]


def test_runs_beyond_the_rows_are_cut_and_huge_values_stay() -> None:
    """A run may end behind the last row; what 32 bits cannot hold is no such float."""
    found: list[Any] = [21.3, 1e300, "x", 7]
    restore(found, [[0, 10**9]])
    assert found[1:] == [1e300, "x", 7]
    assert math.isclose(found[0], 21.3, rel_tol=1e-7)
    assert found[0] != 21.3
