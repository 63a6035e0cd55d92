"""Recalled answers: never anything else than what the general parser says."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_edge.drivers.bacnet.recall import learn
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref, decode_multiple
from plantroom_edge.drivers.bacnet.values import Malformed
from plantroom_shared.model import Value
from support import bacnet_device as device

PV, FLAGS = device.PV, device.FLAGS
numbers = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(device.real),
    st.floats(allow_nan=False, allow_infinity=False).map(
        lambda value: b"\x55\x08" + struct.pack(">d", value)
    ),
    st.integers(0, 2**40).map(device.unsigned),
    st.integers(0, 300).map(device.enumerated),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: b"\x34" + struct.pack(">i", value)),
    st.integers(-128, 127).map(lambda value: b"\x31" + struct.pack(">b", value)),
    st.text("ab", max_size=3).map(device.text),
    st.booleans().map(lambda value: bytes((0x10 | value,))),
    st.just(device.real(1) + device.real(2)),
)


def _body(encoded: list[bytes], octet: int = 0) -> bytes:
    out = b""
    for instance, value in enumerate(encoded):
        out += b"\x0c" + device.oid(2, instance).to_bytes(4, "big") + b"\x1e"
        out += b"\x29\x55\x4e" + value + b"\x4f\x29\x6f\x4e" + device.flags(octet) + b"\x4f\x1f"
    return out


def _rows(body: bytes) -> tuple[dict[Ref, int], dict[Ref, Any]]:
    said = dict(decode_multiple(body))
    good = {
        ref: ref[0] & 0x3FFFFF
        for ref, value in said.items()
        if ref[1] == PV and isinstance(value, bool | int | float | str)
    }
    return good, said


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=12), st.data())
def test_a_recalled_answer_is_what_the_parser_says(first: list[bytes], data: st.DataObject) -> None:
    """If the next answer is taken as known, its values are those of the general parser."""
    recall = learn(_body(first), *_rows(_body(first)))
    second = [data.draw(st.just(one) | numbers) for one in first]
    body = _body(second)
    if recall is None:
        return
    found = recall.values(body)
    if found is None:
        return
    values: list[Value] = [None] * len(first)
    others: dict[Ref, Any] = {}
    recall.put(found, values, others)
    good, said = _rows(body)
    shown = {ref: values[row] for ref, row in good.items() if values[row] is not None}
    assert shown | others == {ref: said[ref] for ref in shown | others}
    assert set(shown) | set(others) == {ref for ref in said if ref[1] == PV} | {
        ref for ref in said if ref[1] == FLAGS
    }


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=20))
def test_the_same_shape_with_other_numbers_is_recalled(numbers: list[float]) -> None:
    """Values alone may differ; that is what it is for."""
    body = _body([device.real(0.5)] * len(numbers))
    recall = learn(body, *_rows(body))
    assert recall is not None
    found = recall.values(_body([device.real(value) for value in numbers]))
    if all(abs(value) < 1e300 for value in numbers):
        assert found == tuple(numbers)
    assert recall.covered() == len(numbers)


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_other_octet_goes_to_the_parser(position: int, octet: int) -> None:
    """One octet that is no value's, and nothing is recalled."""
    body = _body([device.real(index) for index in range(6)])
    recall = learn(body, *_rows(body))
    assert recall is not None
    changed = bytearray(body)
    changed[position % len(body)] = octet
    inside = (recall.mask >> 8 * (len(body) - 1 - position % len(body))) & 0xFF == 0
    found = recall.values(bytes(changed))
    if bytes(changed) == body or inside:
        if found is not None:
            assert len(found) == 6
    else:
        assert found is None
    assert recall.values(body + b"\0") is None


def test_what_is_not_finite_goes_to_the_parser() -> None:
    """NaN and infinity are no values: the slow way says why."""
    body = _body([device.real(1), device.real(2)])
    recall = learn(body, *_rows(body))
    assert recall is not None
    for wrong in (float("nan"), float("inf")):
        assert recall.values(_body([device.real(wrong), device.real(2)])) is None


def test_rows_that_were_not_good_are_looked_at_one_by_one() -> None:
    """The value of a row with a flag comes beside the rows, with the flag."""
    body = _body([device.real(1), device.real(2), device.unsigned(70_000)])
    good, said = _rows(body)
    lost: Ref = (device.oid(2, 1), PV, WHOLE)
    del good[lost]
    recall = learn(body, good, said)
    assert recall is not None
    again = _body([device.real(5), device.real(6), device.unsigned(70_001)])
    found = recall.values(again)
    assert found is not None
    values: list[Value] = [None] * 3
    others: dict[Ref, Any] = {}
    recall.put(found, values, others)
    assert values == [5.0, None, 70_001]
    assert others[lost] == 6.0
    assert recall.covered() == 2


def test_an_answer_about_something_else_is_not_learned() -> None:
    """What was not asked for, and what holds no number, is no use."""
    body = _body([device.real(1)])
    assert learn(body, {}, {}) is None
    text = _body([device.text("x")])
    assert learn(text, *_rows(text)) is None


@given(st.binary(max_size=120))
def test_any_octets_are_compared_without_harm(body: bytes) -> None:
    """What is no answer is not recalled."""
    known = _body([device.real(1)])
    recall = learn(known, *_rows(known))
    assert recall is not None
    found = recall.values(body)
    if found is not None:
        try:
            assert len(decode_multiple(body)) == 2
        except Malformed:
            raise AssertionError from None
