"""The Sparkplug codec: against an independent implementation, and against any bytes at all."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysparkplug import _protobuf as reference

from plantroom_shared import sparkplug
from plantroom_shared.errors import Rejected
from plantroom_shared.model import Quality
from plantroom_shared.sparkplug import DataType, Metric, Payload
from plantroom_shared.sparkplug.payload import MAX_METRICS, MAX_NAME
from support.sparkplug_peer import pysparkplug

VALUES = st.one_of(
    st.tuples(st.just("int"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("long"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("double"), st.floats(allow_nan=False)),
    st.tuples(st.just("boolean"), st.booleans()),
    st.tuples(st.just("string"), st.text(max_size=20)),
    st.tuples(st.just("bytes"), st.binary(max_size=20)),
)
METRICS = st.builds(
    Metric,
    name=st.text(max_size=10),
    alias=st.none() | st.integers(0, 2**64 - 1),
    timestamp=st.none() | st.integers(0, 2**64 - 1),
    datatype=st.integers(0, 34),
    value=st.none() | VALUES,
    is_null=st.booleans(),
    is_historical=st.booleans(),
    is_transient=st.booleans(),
    properties=st.dictionaries(
        st.text(min_size=1, max_size=5),
        VALUES.filter(lambda value: value[0] != "bytes"),
        max_size=3,
    ),
)
PAYLOADS = st.builds(
    Payload,
    timestamp=st.none() | st.integers(0, 2**64 - 1),
    seq=st.none() | st.integers(0, 255),
    metrics=st.lists(METRICS, max_size=5),
)


def bare(payload: Payload) -> Payload:
    """Return the payload without the bytes it was read from."""
    for metric in payload.metrics:
        metric.raw = b""
    return payload


@given(PAYLOADS)
def test_what_is_written_is_read(payload: Payload) -> None:
    """Every field comes back as it was."""
    assert bare(sparkplug.decode(sparkplug.encode(payload))) == payload


@given(PAYLOADS)
def test_google_reads_what_we_write_and_we_read_what_it_writes(payload: Payload) -> None:
    """The protobuf library, with the schema of the specification, sees the same message."""
    theirs = reference.Payload.FromString(sparkplug.encode(payload))
    assert [metric.name for metric in theirs.metrics] == [item.name for item in payload.metrics]
    for metric, ours in zip(theirs.metrics, payload.metrics, strict=True):
        field = metric.WhichOneof("value")
        found = (field.removesuffix("_value"), getattr(metric, field)) if field else None
        assert found == ours.value
        assert metric.is_historical == ours.is_historical
        assert list(metric.properties.keys) == list(ours.properties)
    assert bare(sparkplug.decode(theirs.SerializeToString())) == payload


@given(st.binary(max_size=400))
def test_any_bytes_are_a_payload_or_rejected(data: bytes) -> None:
    """Nothing else ever comes out."""
    try:
        payload = sparkplug.decode(data)
    except Rejected as error:
        assert error.reason in {"malformed", "too_big"}  # noqa: PT017 - both ways are right
        return
    for metric in payload.metrics:
        assert metric.trouble in {"", "malformed", "name"}
        _value(metric)


@given(PAYLOADS, st.data())
def test_damaged_payloads_cost_at_most_themselves(payload: Payload, data: st.DataObject) -> None:
    """One changed byte in a metric leaves the other metrics as they were, or the whole is rejected."""
    packed = bytearray(sparkplug.encode(payload))
    if packed:
        place = data.draw(st.integers(0, len(packed) - 1))
        packed[place] ^= data.draw(st.integers(1, 255))
    try:
        found = sparkplug.decode(bytes(packed))
    except Rejected:
        return
    for metric in found.metrics:
        _value(metric)


def _value(metric: Metric) -> None:
    for datatype in (metric.datatype, *range(35)):
        if metric.value is None:
            return
        try:
            sparkplug.decode_value(metric.value, datatype)
        except Rejected as error:
            assert error.reason in {"datatype", "value", "text_too_long", "not_finite"}  # noqa: PT017


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT8", -5),
        ("INT16", -300),
        ("INT32", -(2**31)),
        ("INT64", -(2**63)),
        ("UINT8", 255),
        ("UINT16", 65535),
        ("UINT32", 2**32 - 1),
        ("UINT64", 2**64 - 1),
        ("FLOAT", 0.5),
        ("DOUBLE", 21.3),
        ("BOOLEAN", True),
        ("STRING", "on"),
        ("TEXT", "größer"),
        ("UUID", "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_values_of_the_other_implementation(datatype: str, value: Any) -> None:
    """Pysparkplug's births are read value by value."""
    kind = pysparkplug.DataType[datatype]
    theirs = pysparkplug.Metric(timestamp=7, name="m", datatype=kind, value=value, alias=3)
    birth = pysparkplug.NBirth(timestamp=9, seq=0, metrics=(theirs,))
    payload = sparkplug.decode(birth.encode())
    assert (payload.timestamp, payload.seq) == (9, 0)
    (metric,) = payload.metrics
    assert (metric.name, metric.alias, metric.timestamp) == ("m", 3, 7)
    assert metric.value is not None
    assert sparkplug.decode_value(metric.value, metric.datatype) == value


def test_one_broken_metric_leaves_the_others() -> None:
    """It comes out with its bytes; what stands beside it is whole."""
    good = sparkplug.encode(
        Payload(metrics=[Metric(name="good", datatype=10, value=("double", 1.0))])
    )
    for broken in (
        b"\x0a\x05ab",  # a name that ends early
        b"\x0a\x01\xff",  # a name that is no UTF-8
        b"\x60\x01",  # a float that is an integer
        b"\x7a\x01\xff",  # a text that is no UTF-8
        b"\x5b\x01",  # a group, which nobody uses any more
        b"\x4a\x02\x0a\x05",  # properties that end early
        b"\x08" + b"\xff" * 10,  # a number without an end
        b"\x02\x00",  # field 0
    ):
        packed = good + b"\x12" + bytes([len(broken)]) + broken + good
        metrics = sparkplug.decode(packed).metrics
        assert [metric.name for metric in metrics] == ["good", "", "good"]
        assert (metrics[1].trouble, metrics[1].raw) == ("malformed", broken)


def test_bounds() -> None:
    """A payload has so many bytes, so many metrics, a name so many characters."""
    with pytest.raises(Rejected, match="bytes") as found:
        sparkplug.decode(bytes(sparkplug.MAX_PAYLOAD + 1))
    assert found.value.reason == "too_big"
    with pytest.raises(Rejected, match="metrics"):
        sparkplug.decode(b"\x12\x00" * (MAX_METRICS + 1))
    (metric,) = sparkplug.decode(
        sparkplug.encode(Payload(metrics=[Metric(name="x" * (MAX_NAME + 1))]))
    ).metrics
    assert metric.trouble == "name"


def test_a_float_of_four_bytes() -> None:
    """Field 12 is a single, as most nodes send it."""
    packed = b"\x12\x05\x65" + struct.pack("<f", 1.5)
    (metric,) = sparkplug.decode(packed).metrics
    assert metric.value == ("float", 1.5)
    assert sparkplug.decode_value(("float", 1.5), DataType.FLOAT) == 1.5


def test_nested_properties_are_left_out() -> None:
    """A property without a plain value is no property."""
    sets = b"\x0a\x01k\x12\x02\x4a\x00"
    body = b"\x4a" + bytes([len(sets)]) + sets
    (metric,) = sparkplug.decode(b"\x12" + bytes([len(body)]) + body).metrics
    assert (metric.trouble, metric.properties) == ("", {})


@pytest.mark.parametrize(
    ("code", "quality"),
    [
        (192, Quality.GOOD),
        (255, Quality.GOOD),
        (500, Quality.UNCERTAIN),
        (64, Quality.UNCERTAIN),
        (0, Quality.BAD),
    ],
)
def test_qualities(code: int, quality: Quality) -> None:
    """As OPC has them."""
    assert sparkplug.quality_of(code) is quality


def test_values_of_ours() -> None:
    """A number is a double, whatever it is in Python."""
    assert sparkplug.encode_value(True) == ("boolean", True)
    assert sparkplug.encode_value("a") == ("string", "a")
    assert sparkplug.encode_value(3) == ("double", 3.0)
    assert sparkplug.encode_value(None) is None
    assert [int(sparkplug.datatype_of(value)) for value in (True, "a", 3, 3.5)] == [11, 12, 10, 10]


def test_topics() -> None:
    """A topic of a node has its parts; a name becomes one level."""
    topic = sparkplug.build("g", "DDATA", "n", "d")
    assert sparkplug.parse(topic) == ("g", "DDATA", "n", "d")
    assert sparkplug.parse("spBv1.0/g/NDATA/n") == ("g", "NDATA", "n", "")
    for other in ("spAv1.0/g/NDATA/n", "spBv1.0/g/NDATA", "spBv1.0/g/NDATA/", "spBv1.0/g/NCMD/n"):
        assert sparkplug.parse(other) is None
    assert sparkplug.level("a/b+c#d\x00e") == "a_b_c_d_e"
    assert sparkplug.level("") == "_"
    assert len(sparkplug.level("x" * 500)) == sparkplug.MAX_LEVEL
