"""The streams beside samples, snapshots, and what later versions may add."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Batch
from plantroom_shared.wire import (
    MAX_ROWS,
    STREAMS,
    Flow,
    Gap,
    Hello,
    Holding,
    Record,
    Records,
    Resume,
    Samples,
    Stream,
    decode,
    decode_rows,
    decode_snapshot,
    encode,
    encode_samples,
    encode_snapshot,
    pack,
    unpack,
)

EP = "0123456789abcdef"
NOW = 1_700_000_000_000_000


def record(kind: str = "agent.start", **doc: Any) -> Record:
    """Return a record of now."""
    return Record(at=NOW, kind=kind, doc=doc)


@pytest.mark.parametrize("stream", ["aud", "cmd"])
def test_records_travel_unchanged(stream: Stream) -> None:
    """What the gateway notes comes out as it went in."""
    sent = Records(ep=EP, st=stream, s0=3, n=2, rc=[record(boot=7), record("buffer.full")])
    assert decode_rows(encode(sent)) == sent


def test_records_must_be_as_many_as_the_head_says() -> None:
    """A message whose numbers do not fit its rows is refused: they would shift."""
    with pytest.raises(Rejected, match="2 rows where the header says 3") as caught:
        decode_rows(encode(Records(ep=EP, st="aud", s0=1, n=3, rc=[record(), record()])))
    assert caught.value.reason == "schema"


@pytest.mark.parametrize("kind", ["", "Agent.start", "a b", "x" * 65, "1st"])
def test_a_record_is_of_a_plain_kind(kind: str) -> None:
    """Kinds are short words, so that people can filter by them."""
    document = {"v": 1, "ep": EP, "st": "aud", "s0": 1, "n": 1, "rc": [{"at": 0, "kind": kind}]}
    with pytest.raises(Rejected) as caught:
        decode_rows(pack(document))
    assert caught.value.reason == "schema"


def test_every_stream_can_have_a_gap() -> None:
    """Whatever is lost is declared in its own stream, with when and why."""
    for stream in STREAMS:
        gap = Gap(ep=EP, st=stream, s0=1, n=5, gap="quota", from_us=NOW, to_us=NOW + 9, sig="c2ln")
        assert decode_rows(encode(gap)) == gap


def test_the_signed_part_tells_any_two_gaps_apart() -> None:
    """Another gateway, epoch, stream, range, cause or time is another text to sign."""
    gap = Gap(ep=EP, st="tel", s0=1, n=5, gap="quota", from_us=1, to_us=2)
    others = [
        gap.model_copy(update=change)
        for change in (
            {"ep": "f" * 16}, {"st": "evt"}, {"s0": 15}, {"n": 6}, {"gap": "corrupt"},
            {"from_us": 2}, {"to_us": 3},
        )
    ]  # fmt: skip
    texts = {one.signed_part("gw-tower-0001") for one in (gap, *others)}
    assert len(texts | {gap.signed_part("gw-tower-0002")}) == len(others) + 2
    assert gap.model_copy(update={"sig": "x"}).signed_part("a") == gap.signed_part("a")


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(allow_nan=False), st.integers(1, 2**53))))
def test_a_snapshot_keeps_rows_and_their_numbers(rows: list[tuple[int, float, int]]) -> None:
    """Each point's value comes with the order number of its row."""
    rows = rows or [(0, 1.0, 1)]
    points, values, order = ([*column] for column in zip(*rows, strict=True))
    batch = Batch(points, [NOW + i for i in range(len(rows))], values)
    found, numbers = decode_snapshot(encode_snapshot(EP, batch, order))
    assert numbers == order
    assert found.batch.points == batch.points
    assert found.batch.times == batch.times
    finite = [abs(value) < float("inf") for value in values]
    assert [value for value, ok in zip(found.batch.values, finite, strict=True) if ok] == [
        value for value, ok in zip(values, finite, strict=True) if ok
    ]


def test_a_bad_number_in_a_snapshot_costs_its_own_row_only() -> None:
    """A row with no usable order number is bad; the others are not."""
    sent = {"v": 1, "ep": EP, "n": 3, "t0": NOW, "p": [0, 1, 2], "dt": [0, 0, 0], "x": [1, 2, 3]}
    found, numbers = decode_snapshot(pack(sent | {"q": {}, "s": [4, "5", 0]}))
    assert found.bad_rows == {1: "seq", 2: "seq"}
    assert numbers[0] == 4
    for numbers_of_it in ({"s": [4]}, {"s": None}, {}):
        with pytest.raises(Rejected, match="column 's'"):
            decode_snapshot(pack(sent | {"q": {}} | numbers_of_it))


def test_a_snapshot_is_bounded() -> None:
    """More rows than a message may hold are refused where they are made."""
    many = MAX_ROWS + 1
    with pytest.raises(Rejected):
        encode_snapshot(EP, Batch([0] * many, [NOW] * many, [1.0] * many), [1] * many)


def test_samples_tell_the_clock_they_were_read_by() -> None:
    """Clock state, boot and monotonic time travel with the rows; nonsense there is ignored."""
    batch = Batch([0], [NOW], [1.0])
    found = decode_rows(encode_samples(EP, 1, batch, clock="unset", boot=4, mono_us=77))
    assert isinstance(found, Samples)
    assert (found.clock, found.boot, found.mono_us) == ("unset", 4, 77)
    document = {"v": 1, "ep": EP, "st": "tel", "s0": 1, "n": 1, "t0": NOW, "p": [0], "dt": [0]}
    odd = decode_rows(pack(document | {"x": [1], "q": {}, "bt": "4", "mo": -1}))
    assert isinstance(odd, Samples)
    assert (odd.boot, odd.mono_us) == (0, 0)


def test_streams_of_a_later_version_are_left_out() -> None:
    """A newer gateway's account is read as far as it is understood."""
    hello = Hello(
        session="1" * 16,
        agent="9.9",
        epochs=[Holding(ep=EP, accepted={"tel": 5}, held={"tel": [(1, 5)]})],
    ).model_dump(mode="json")
    hello["epochs"][0]["accepted"]["zzz"] = 7
    hello["epochs"][0]["held"]["zzz"] = [[1, 7]]
    assert decode(Hello, pack(hello | {"colour": "blue"})).epochs[0].accepted == {"tel": 5}
    hello["epochs"][0]["held"] = [1]
    with pytest.raises(Rejected):
        decode(Hello, pack(hello))


def test_flow_and_resume_have_their_bounds() -> None:
    """No message can stop a gateway for more than ten minutes, or open its window without end."""
    assert decode(Flow, encode(Flow(pause_ms=1000, window=2))).window == 2
    for wrong in ({"pause_ms": 600_001}, {"pause_ms": -1}, {"window": 0}, {"window": 65}):
        with pytest.raises(Rejected):
            decode(Flow, pack({"v": 1} | wrong))
    assert decode(Resume, encode(Resume(session=EP, epochs=[], time=NOW, hello_at=5))).hello_at == 5


@given(st.lists(st.integers(0, 30) | st.integers(0, 2**53), min_size=1, max_size=200))
def test_aliases_travel_as_runs_and_come_out_one_by_one(aliases: list[int]) -> None:
    """Whatever the order of the points, every row keeps its own, and counting up costs nothing."""
    batch = Batch(aliases, [NOW] * len(aliases), [1.0] * len(aliases))
    payload = encode_samples(EP, 1, batch)
    found = decode_rows(payload)
    assert isinstance(found, Samples)
    assert found.batch.points == aliases
    assert unpack(payload)["h"] == found.digest
    flat = unpack(payload) | {"p": aliases}
    again = decode_rows(pack(flat))
    assert isinstance(again, Samples)
    assert (again.batch.points, again.digest) == (aliases, found.digest)


def test_a_poll_in_order_is_one_run() -> None:
    """500 points in the order of the dictionary take one entry."""
    batch = Batch([*range(7, 507)], [NOW] * 500, [1.0] * 500)
    assert unpack(encode_samples(EP, 1, batch))["p"] == [[7, 500]]


@pytest.mark.parametrize(
    "column",
    [
        [[0, 4]],
        [[0, 2]],
        [[0, 2**40]],
        [[0, 0], [0, 3]],
        [[2**60, 3]],
        [[0, 3, 1]],
        [[0, True]],
        [],
    ],
)
def test_runs_that_do_not_hold_the_rows_are_refused_or_bad(column: list[Any]) -> None:
    """No run can make rows that are not there, or move a value to another point."""
    document = {"v": 1, "ep": EP, "st": "tel", "s0": 1, "n": 3, "t0": NOW, "dt": [0] * 3}
    with pytest.raises(Rejected, match="column 'p'"):
        decode_rows(pack(document | {"x": [1, 2, 3], "q": {}, "p": column}))


@pytest.mark.parametrize("number", [b"1e400", b"1" + b"0" * 400, b"-1e999"])
def test_a_number_that_no_double_holds_is_one_bad_row(number: bytes) -> None:
    """What one row cannot mean costs neither its neighbours nor the order numbers."""
    plain = gzip.decompress(encode_samples(EP, 1, Batch([0, 1, 2], [NOW] * 3, [1.0, 2.5, 3.0])))
    found = decode_rows(gzip.compress(plain.replace(b"2.5", number)))
    assert isinstance(found, Samples)
    assert found.bad_rows == {1: "value"}
    assert found.batch.values == [1.0, None, 3.0]


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"v": NaN}', b'{"v": 1', b'{"v": -Infinity}'])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """Nesting without end and constants that JSON does not have are refused, not crashed on."""
    with pytest.raises(Rejected) as caught:
        unpack(gzip.compress(text))
    assert caught.value.reason == "malformed"
