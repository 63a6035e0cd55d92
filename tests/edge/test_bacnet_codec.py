"""The codec: octets of any kind in, checked values or `Malformed` out."""

from __future__ import annotations

import itertools
import math
import struct
from typing import Any

import pytest
from bacpypes3.basetypes import EngineeringUnits, ErrorCode, Reliability
from bacpypes3.primitivedata import ObjectType
from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge.drivers.bacnet import bvlc, frames, services, values, vocabulary
from plantroom_edge.drivers.bacnet.frames import IAm, Peer, Reply
from support import bacnet_device as device

HERE = ("127.0.0.1", 47808)

octets = st.binary(max_size=200)
# Octets that look like BACnet, so that decoding gets beyond the first of them.
PIECES = """
    0c00000001 1e 1f 2955 4e 4f 5e 5f 4441ac0000 9102 2107 820400 7503006162 3901 2e 2f 3e 3f 1955
    f9ff 75fe 11 10 c402000001 75ffffffffff 00 ff
"""
likely = st.lists(st.sampled_from([bytes.fromhex(it) for it in PIECES.split()]), max_size=30).map(
    b"".join
)
refs = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(0, 2**22 - 1), st.just(-1) | st.integers(0, 2**20)
)


def _decode(datagram: bytes) -> frames.Message | bvlc.Result:
    """Return what the datagram says, through both layers."""
    said = bvlc.unwrap(datagram, HERE)
    return said if isinstance(said, bvlc.Result) else frames.decode(said.npdu, said.source)


@given(octets | likely)
def test_a_body_of_any_octets_decodes_or_is_malformed(body: bytes) -> None:
    """Decoders of results end, and raise nothing but `Malformed`."""
    for decode in (services.decode_multiple, services.decode_single):
        try:
            results = decode(body)
        except values.Malformed:
            continue
        assert all(len(ref) == 3 for ref, _ in results)


@given(octets | likely, st.sampled_from([0x04, 0x0A, 0x0B, 0x00]))
def test_a_datagram_of_any_octets_decodes_or_is_malformed(rest: bytes, function: int) -> None:
    """The frame decoder ends, and raises nothing but `Malformed`."""
    framed = struct.pack(">BBH", 0x81, function, len(rest) + 4) + rest
    for datagram in (rest, framed, framed[:6] + b"\x01\x00" + framed[6:]):
        try:
            said = _decode(datagram)
        except values.Malformed:
            continue
        assert isinstance(said, frames.Message | bvlc.Result)


def _acknowledged(results: list[tuple[tuple[int, int, int], bytes]]) -> bytes:
    out = b""
    for (oid, prop, index), value in results:
        out += b"\x0c" + oid.to_bytes(4, "big") + b"\x1e" + device._context(2, prop)
        out += b"" if index < 0 else device._context(3, index)
        out += b"\x4e" + value + b"\x4f\x1f"
    return out


singles = st.one_of(
    st.floats(width=32, allow_nan=False).map(lambda v: (v, device.real(v))),
    st.integers(0, 2**64 - 1).map(lambda v: (v, device.unsigned(v))),
    st.integers(0, 2**32 - 1).map(lambda v: (v, device.enumerated(v))),
    st.integers(-(2**31), 2**31 - 1).map(lambda v: (v, b"\x34" + struct.pack(">i", v))),
    st.floats(allow_nan=False).map(lambda v: (v, b"\x55\x08" + struct.pack(">d", v))),
    st.booleans().map(lambda v: (v, bytes((0x10 | v,)))),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300).map(
        lambda v: (v, device.text(v))
    ),
    st.just((None, b"\x00")),
)


@given(st.lists(st.tuples(refs, singles), max_size=20))
def test_results_come_back_as_they_were_sent(
    results: list[tuple[tuple[int, int, int], tuple[Any, bytes]]],
) -> None:
    """What an independent encoder writes, the decoder reads, with its object and property."""
    body = _acknowledged([(ref, encoded) for ref, (_, encoded) in results])
    assert services.decode_multiple(body) == [(ref, value) for ref, (value, _) in results]


@given(st.lists(st.tuples(refs, singles), min_size=1, max_size=5), st.data())
def test_a_cut_answer_is_malformed_or_a_prefix(
    results: list[tuple[tuple[int, int, int], tuple[Any, bytes]]], data: st.DataObject
) -> None:
    """Cutting an answer never changes or shifts a value."""
    body = _acknowledged([(ref, encoded) for ref, (_, encoded) in results])
    cut = data.draw(st.integers(0, len(body) - 1))
    try:
        decoded = services.decode_multiple(body[:cut])
    except values.Malformed:
        return
    assert decoded == [(ref, value) for ref, (value, _) in results][: len(decoded)]


@given(st.lists(refs, min_size=1, max_size=20))
def test_requests_say_what_they_ask_for(asked: list[tuple[int, int, int]]) -> None:
    """An independent parser reads the same references out of both requests."""
    expected = [(oid, prop, None if index < 0 else index) for oid, prop, index in asked]
    assert device._parse(14, services.encode_multiple(asked)) == expected
    assert device._parse(12, services.encode_single(asked[0])) == expected[:1]


def test_a_run_of_one_object_shares_its_header() -> None:
    """Two properties of one object cost its identifier once."""
    body = services.encode_multiple([(5, 85, -1), (5, 111, -1)])
    assert body == bytes.fromhex("0c00000005 1e 0955 096f 1f")


@pytest.mark.parametrize(
    ("charset", "raw", "expected"),
    [
        (0, "°C".encode(), "°C"),
        (0, b"\xb0C", "°C"),
        (2, "温度".encode("shift_jis"), "温度"),
        (3, "Zulüft".encode("utf-32-be"), "Zulüft"),
        (4, "Zulüft".encode("utf-16-be"), "Zulüft"),
        (4, b"\xd8\x00", "�"),
        (5, b"Zul\xfcft", "Zulüft"),
        (1, b"AHU", "AHU"),
        (0, b"AHU\0\0", "AHU"),
    ],
)
def test_text_is_read_in_every_charset(charset: int, raw: bytes, expected: str) -> None:
    """Every charset, and the usual lies about it, gives text."""
    value, _ = values.value_at(bytes((0x75, len(raw) + 1, charset)) + raw, 0)
    assert value == expected


WRONG_SHAPES = """
    0100 20 2509010101010101010101 30 3509010101010101010101 43000000 5400000000 70 80 8108
    c3000000 12 d100 75feffff 75ffffffffff 0c00000000 f110
"""


@pytest.mark.parametrize("encoded", [bytes.fromhex(it) for it in WRONG_SHAPES.split()])
def test_a_value_of_the_wrong_shape_is_malformed(encoded: bytes) -> None:
    """Lengths that no type has, reserved tags and huge lengths are refused."""
    with pytest.raises(values.Malformed):
        values.value_at(encoded, 0)


@pytest.mark.parametrize(
    "body",
    [
        "1c00000001",
        "0c00000001 2e",
        "0c00000001 1e 2955 5e 9102 9120 4f 1f",
        "0c00000001 1e 2955 5e 44000000003f",
        "0c00000001 1e 2955 6e 6f 1f",
        "0c00000001 1e 2a55",
        "0c00000001 1e 2d 0000000000 4e 00 4f 1f",
        "0c00000001 1e 2955 4e 3f 4f 1f",
        "0c00000001 1e 2955 4e 1e 00 4f 1f",
    ],
)
def test_an_answer_with_wrong_tags_is_malformed(body: str) -> None:
    """Each tag must be where the standard puts it."""
    with pytest.raises(values.Malformed):
        services.decode_multiple(bytes.fromhex(body))


@pytest.mark.parametrize(
    "body",
    ["1c00000001", "0c00000001 1955 44", "0c00000001 1955 2e", "0c00000001 1955 3e 00 3f 00"],
)
def test_a_single_answer_with_wrong_tags_is_malformed(body: str) -> None:
    """A read-property answer holds one value and nothing behind it."""
    with pytest.raises(values.Malformed):
        services.decode_single(bytes.fromhex(body))


def test_constructed_and_exotic_values_are_known_as_unsupported() -> None:
    """Octet strings and structures stand in a list without disturbing their neighbours."""
    # A structure with a number, a nested one under a two-octet tag, and a boolean inside.
    inner = "2e 0c00000001 fe40 10 ff40 2f"
    body = bytes.fromhex(f"0c00000001 1e 2955 4e {inner} a401020304 6101 4441ac0000 4f 1f")
    [(_, value)] = services.decode_multiple(body)
    assert value == [values.UNSUPPORTED, "1901-02-03", values.UNSUPPORTED, 21.5]


def test_dates_and_times_are_texts() -> None:
    """What a date or a time leaves open is a star; one of another length is malformed."""
    assert values.value_at(bytes.fromhex("a47e0b15ff"), 0) == ("2026-11-21", 5)
    assert values.value_at(bytes.fromhex("a4ffff01ff"), 0) == ("*-*-01", 5)
    assert values.value_at(bytes.fromhex("b40e0509ff"), 0) == ("14:05:09", 5)
    for wrong in ("a3010203", "b3010203"):
        with pytest.raises(values.Malformed):
            values.value_at(bytes.fromhex(wrong), 0)


def test_a_choice_keeps_its_tag_and_octets() -> None:
    """A short value under a context tag is for its property to understand."""
    body = bytes.fromhex("0c05c00001 19bb 3e 0c3a83126f 3f")
    assert services.decode_single(body)[0][1] == values.Choice(0, bytes.fromhex("3a83126f"))


def test_infinities_and_nan_are_decoded_as_such() -> None:
    """The codec tells what was sent; whether it is a value is the driver's business."""
    assert math.isnan(values.value_at(b"\x44\x7f\xc0\x00\x00", 0)[0])
    assert values.value_at(b"\x44\xff\x80\x00\x00", 0)[0] == -math.inf


def _framed(npdu: str, function: int = 0x0A) -> bytes:
    """Return `npdu`, given in hexadecimal, as a datagram of the right length."""
    body = bytes.fromhex(npdu)
    return struct.pack(">BBH", 0x81, function, len(body) + 4) + body


def test_a_request_to_a_routed_device_carries_its_network() -> None:
    """Network, station and hop count stand in the NPDU, and the answer's are read back."""
    peer = Peer("10.0.0.1", 47808, 7, b"\x0a")
    datagram = bvlc.unicast(frames.encode_request(peer, 3, 12, b""))
    assert datagram == _framed("0124 0007 01 0a ff 0005030c")
    answer = _framed("0128 ffff 00 0007 01 0a ff 30030c aa")
    assert frames.decode(answer[4:], ("10.0.0.1", 47808)) == Reply(peer, 3, 12, b"\xaa")
    assert str(peer) == "10.0.0.1:47808 network 7 station 0a"


I_AM = "0100 1000 c402000007 2205c4 9103 2203e7"


def test_a_forwarded_i_am_comes_from_its_first_sender() -> None:
    """A BBMD puts the sender's address in front; that is where the device is."""
    forwarded = _framed("0a000005bac0" + I_AM, 0x04)
    assert _decode(forwarded) == IAm(Peer("10.0.0.5", 47808), 7, 1476)


@pytest.mark.parametrize(
    "datagram",
    [
        b"\x82" + _framed(I_AM)[1:],  # another protocol
        _framed(I_AM) + b"\0",  # longer than it says
        _framed(I_AM, 0x01),  # a table of a BBMD
        _framed("01", 0x00),  # half a result
        _framed("02" + I_AM[2:]),  # another version
        _framed("0180 000007"),  # a question for routers
        _framed("0108 0000 01 01 600109"),  # from network 0
        _framed("0108 ffff 01 01 600109"),  # from everywhere
        _framed("0108 0007 00 600109"),  # from a network, but no station
        _framed("0180 0500"),  # of a router that is available
        _framed("0180 01"),  # of a router that leads nowhere
        _framed("0180 01 000700"),  # to one and a half networks
        _framed("0100 30"),
        _framed("0100"),
        _framed("0100 1000 2101 2101"),  # an I-Am without an object
        _framed("0100 1000 c400000007 2101"),  # of an analog input
        _framed("0100 1000 c4023fffff 2101"),  # of the instance that means none
        _framed("0100 1000 c402000007 11"),  # without a size
        _framed("0100 50010c 1011"),  # an error without a code
    ],
)
def test_what_is_not_for_a_client_is_malformed(datagram: bytes) -> None:
    """Other protocols, network messages, impossible senders and false devices are refused."""
    assert isinstance(_decode(_framed(I_AM)), IAm)
    with pytest.raises(values.Malformed):
        _decode(datagram)


@pytest.mark.parametrize(
    ("apdu", "refusal"),
    [
        ("50010c 9102 9120", "error-unknown-property"),
        ("50010c 9102 91c8", "error-200"),
        ("600109", "reject-unrecognized-service"),
        ("710104", "abort-segmentation-not-supported"),
        ("7101c8", "abort-200"),
    ],
)
def test_refusals_have_stable_names(apdu: str, refusal: str) -> None:
    """Errors, rejects and aborts become reasons."""
    said = _decode(_framed("0100" + apdu))
    assert isinstance(said, Reply)
    assert (said.invoke, said.refusal) == (1, refusal)


def test_the_sizes_in_an_i_am_are_bounded() -> None:
    """A device that says it takes 1 octet, or a million, is believed within reason."""
    for claimed, taken in ((1, frames.MIN_APDU), (480, 480), (10**6, frames.MAX_APDU)):
        body = (
            b"\x01\x00\x10\x00" + device.object_value(device.oid(8, 7)) + device.unsigned(claimed)
        )
        said = frames.decode(body, HERE)
        assert isinstance(said, IAm)
        assert said.max_apdu == taken


def _folded(name: str) -> str:
    return name.replace("-", "").casefold()


def test_our_names_are_those_of_bacpypes3() -> None:
    """Units, error codes and object types have the numbers that another stack knows."""
    theirs: dict[int, str] = EngineeringUnits._asn1_map
    for number, name in theirs.items():
        ours = vocabulary.unit_name(number) or "no-units"
        assert _folded(ours) == _folded(name)
    errors: dict[int, str] = ErrorCode._asn1_map
    for number in itertools.chain(vocabulary._ERRORS, [199]):
        assert vocabulary.error_reason(number).removeprefix("error-") in {errors[number], "199"}
    types: dict[int, str] = ObjectType._asn1_map
    for number, name in vocabulary.POINT_TYPES.items():
        assert name == types[number]
    reliability: dict[int, str] = Reliability._asn1_map
    for number, name in reliability.items():
        assert vocabulary.reliability_reason(number) == (name if number else "")
    assert vocabulary.reliability_reason(999) == "reliability-999"


def test_units_of_a_vendor_are_no_units() -> None:
    """A number that only a vendor knows says nothing; later ones of the standard have names."""
    assert vocabulary.unit_name(300) == vocabulary.unit_name(255) == vocabulary.unit_name(-1) == ""
    assert vocabulary.unit_name(47808) == "standard-cubic-feet-per-day"
