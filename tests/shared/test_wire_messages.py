"""sync v1 on the wire: what is sent is what is read, and hostile input is refused, not obeyed."""

from __future__ import annotations

import gzip
import math
import random
import zlib

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plantroom_shared import wire
from plantroom_shared.errors import Rejected
from plantroom_shared.model import Batch, Finding, Point, Quality, Value
from plantroom_shared.wire import (
    MAX_PLAIN,
    MAX_ROWS,
    MAX_TEXT,
    MAX_WIRE,
    Ack,
    Dictionary,
    Findings,
    Gap,
    Hello,
    Holding,
    Known,
    Nack,
    Records,
    Resume,
    Samples,
    State,
    decode,
    decode_reply,
    decode_rows,
    encode,
    encode_samples,
    expand_points,
    pack,
    spans,
    unpack,
)

EP = "0123456789abcdef"
T0 = 1_763_680_000_000_000

values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)
rows = st.tuples(st.integers(0, 2**31), st.integers(0, 10**12), values)
qualities = st.tuples(st.sampled_from([1, 2]), st.text(st.characters(codec="ascii"), max_size=20))


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    drawn = draw(st.lists(rows, min_size=1, max_size=30))
    quality = draw(st.dictionaries(st.integers(0, len(drawn) - 1), qualities, max_size=5))
    points, times, column = (list(part) for part in zip(*drawn, strict=True))
    return Batch(points, [T0 + ts for ts in times], column, quality)


def samples(**changes: object) -> bytes:
    """Return a message of three good rows with some keys replaced."""
    batch = Batch([0, 1, 2], [T0, T0 + 5, T0 + 3], [1.5, True, "on"], {2: (2, "timeout")})
    return pack(unpack(encode_samples(EP, 7, batch)) | changes)


def same(left: Value, right: Value) -> bool:
    return type(left) is type(right) and left == right


# ---------------------------------------------------------------- there and back


@given(batches(), st.integers(1, 2**62), st.sampled_from(["sync", "holdover", "unset"]))
def test_samples_survive_the_journey(batch: Batch, s0: int, clock: str) -> None:
    """Every row comes out as it went in: alias, time, value with its type, quality, order."""
    got = decode_rows(encode_samples(EP, s0, batch, clock=clock))
    assert isinstance(got, Samples)
    assert (got.ep, got.s0, got.n, got.clock) == (EP, s0, len(batch), clock)
    assert got.dv == max(batch.points) + 1
    assert got.bad_rows == {}
    assert got.batch.points == batch.points
    assert got.batch.times == batch.times
    assert got.batch.quality == batch.quality
    assert all(map(same, got.batch.values, batch.values))


@given(batches(), batches())
def test_the_digest_tells_rows_apart(one: Batch, other: Batch) -> None:
    """Equal rows have equal digests, other rows have others; reader and writer agree on it."""
    first, second = (decode_rows(encode_samples(EP, 1, batch)) for batch in (one, other))
    assert isinstance(first, Samples)
    assert isinstance(second, Samples)
    assert (first.digest == second.digest) == (
        encode_samples(EP, 1, one) == encode_samples(EP, 1, other)
    )
    assert first.digest == unpack(encode_samples(EP, 1, one))["h"]


def test_a_batch_grows_by_rows() -> None:
    """Rows appended one by one stand in all columns; only those that are not good have an entry."""
    batch = Batch()
    batch.append(3, T0, 1.5)
    batch.append(4, T0 + 1, None, Quality.BAD, "timeout")
    assert batch == Batch([3, 4], [T0, T0 + 1], [1.5, None], {1: (2, "timeout")})


def test_numbers_that_are_none_travel_as_nothing() -> None:
    """NaN and infinities become null: the sender says why by quality."""
    batch = Batch([0, 0], [T0, T0], [math.nan, -math.inf], {0: (2, "nan"), 1: (2, "nan")})
    got = decode_rows(encode_samples(EP, 1, batch))
    assert isinstance(got, Samples)
    assert got.batch.values == [None, None]
    assert got.batch.quality == batch.quality


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
ranges_ = st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), max_size=10)
control = st.one_of(
    st.builds(
        Hello,
        session=st.just(EP),
        agent=st.text(max_size=10),
        boot=st.integers(0, 9),
        epochs=st.lists(
            st.builds(
                Holding,
                ep=st.just(EP),
                accepted=st.dictionaries(st.sampled_from(["tel", "evt"]), st.integers(0, 2**62)),
                held=st.dictionaries(st.sampled_from(["tel", "evt"]), ranges_),
            ),
            max_size=3,
        ),
    ),
    st.builds(
        Resume,
        session=st.just(EP),
        time=st.integers(0, 2**62),
        epochs=st.lists(
            st.builds(Known, ep=st.just(EP), dictionary=st.integers(0, 99)), max_size=3
        ),
    ),
    st.builds(
        Dictionary,
        ep=st.just(EP),
        a0=st.integers(0, 99),
        points=st.lists(st.builds(Point, key=names, device=names, name=names), max_size=3),
    ),
    st.builds(Ack, ep=st.just(EP), st=st.sampled_from(["tel", "evt", "inv"]), ranges=ranges_),
    st.builds(
        Nack,
        ep=st.just(EP),
        st=st.sampled_from(["tel", "evt", "inv"]),
        nack=st.sampled_from(["need_dict", "fork", "schema"]),
        s0=st.integers(0, 2**62),
    ),
    st.builds(State, online=st.booleans(), counters=st.dictionaries(names, st.floats(0, 1e9))),
)


@given(control)
def test_control_messages_survive_the_journey(message: Hello | Resume | Dictionary | State) -> None:
    """Every message of the protocol decodes to what was encoded."""
    assert decode(type(message), encode(message)) == message


@given(control)
def test_receivers_ignore_what_they_do_not_know(message: Hello | State) -> None:
    """A later version may add keys: today's reader does not mind."""
    document = unpack(encode(message)) | {"later": {"x": [1]}}
    assert decode(type(message), pack(document)) == message


def test_findings_and_gaps_survive_the_journey() -> None:
    """Rows of findings, and gaps in place of rows, decode to what was encoded."""
    found = Finding(
        id="a", detector="pca", subject="d", started=T0, score=1.5, text="t", ended=T0 + 1
    )
    message = Findings(ep=EP, st="evt", s0=3, n=1, ev=[found])
    assert decode_rows(encode(message)) == message
    gap = Gap(ep=EP, st="tel", s0=10, n=2**31, gap="quota")
    assert decode_rows(encode(gap)) == gap


def test_replies_are_told_apart() -> None:
    """One channel carries acks and nacks; the reader knows which is which."""
    ack = Ack(ep=EP, st="tel", ranges=[(1, 5)])
    nack = Nack(ep=EP, st="tel", nack="need_dict", s0=4, have=2)
    assert decode_reply(encode(ack)) == ack
    assert decode_reply(encode(nack)) == nack


# ---------------------------------------------------------------- limits


def test_a_message_has_one_to_two_thousand_rows() -> None:
    """An empty batch and one too long are refused where they are made."""
    for count in (0, MAX_ROWS + 1):
        with pytest.raises(Rejected) as caught:
            encode_samples(EP, 1, Batch([0] * count, [T0] * count, [1.0] * count))
        assert caught.value.reason == "too_big"
    assert encode_samples(EP, 1, Batch([0] * MAX_ROWS, [T0] * MAX_ROWS, [1.0] * MAX_ROWS))


def test_what_does_not_fit_on_the_wire_is_refused() -> None:
    """More than the limit, squeezed or plain, is an error at the sender."""
    noise = random.Random(1).randbytes(MAX_WIRE).hex()
    for text in (noise, "x" * (MAX_PLAIN + 1)):
        with pytest.raises(Rejected) as caught:
            pack({"v": 1, "x": text})
        assert caught.value.reason == "too_big"


def test_bombs_do_not_go_off() -> None:
    """A small message that would inflate to gigabytes is refused after the first megabytes."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(100)) + squeezer.flush()
    assert len(bomb) < MAX_WIRE
    with pytest.raises(Rejected, match="inflates") as caught:
        unpack(bomb)
    assert caught.value.reason == "too_big"
    with pytest.raises(Rejected, match="over the limit"):
        unpack(bytes(MAX_WIRE + 1))


@pytest.mark.parametrize(
    "plain",
    [
        b"[" * 10_000 + b"]" * 10_000,
        b'{"v":' * 5_000 + b"1" + b"}" * 5_000,
        b"\xff\xfe{}",
        b"[1,2]",
        b"5",
        b"",
        b'{"v":1',
        b'{"v":NaN}',
    ],
)
def test_malformed_documents_are_refused(plain: bytes) -> None:
    """Nesting, broken text and things that are no object end in one kind of error."""
    with pytest.raises(Rejected) as caught:
        unpack(gzip.compress(plain))
    assert caught.value.reason == "malformed"


def test_a_payload_cut_short_is_malformed() -> None:
    """Half a message is no message; what follows a whole one is ignored."""
    whole = samples()
    for end in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        with pytest.raises(Rejected) as caught:
            unpack(whole[:end])
        assert caught.value.reason == "malformed"
    assert unpack(whole + b"tail") == unpack(whole)


@given(st.binary(max_size=300))
@example(b"\x1f\x8b\x08\x00\x00\x00\x00\x00")
def test_random_bytes_are_refused(payload: bytes) -> None:
    """No bytes make a decoder raise anything but Rejected."""
    for read in (decode_rows, decode_reply, lambda data: decode(Hello, data)):
        with pytest.raises(Rejected):
            read(payload)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)
keys = st.sampled_from(
    ["v", "ep", "st", "s0", "n", "dv", "cs", "h", "t0", "p", "dt", "x", "q", "gap", "ev"]
)


@given(st.dictionaries(keys, json, max_size=4))
def test_no_key_of_a_wrong_type_gets_through_as_rows(changes: dict[str, object]) -> None:
    """Whatever stands in whichever key, the reader returns checked rows or refuses the message."""
    try:
        payload = samples(**changes)
    except (Rejected, TypeError, orjson.JSONEncodeError):
        return
    outcome: Samples | Findings | Records | Gap | None = None
    try:
        outcome = decode_rows(payload)
    except Rejected as error:
        assert error.reason in {"malformed", "too_big", "version", "schema"}  # noqa: PT017 -- either is fine
    if isinstance(outcome, Samples):
        batch = outcome.batch
        assert len(batch) == len(batch.times) == len(batch.values) == outcome.n
        for row in range(outcome.n):
            if row not in outcome.bad_rows:
                assert 0 <= batch.points[row] < outcome.dv
                assert type(batch.points[row]) is type(batch.times[row]) is int
                assert isinstance(batch.values[row], float | int | bool | str | None)
        assert all(code in (Quality.UNCERTAIN, Quality.BAD) for code, _ in batch.quality.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 2},
        {"n": MAX_ROWS + 1},
        {"n": 0},
        {"s0": 0},
        {"s0": -1},
        {"s0": 2**63},
        {"ep": "short"},
        {"ep": "0123456789ABCDEF"},
        {"ep": EP + "\n"},
        {"st": "cmd"},
        {"p": None},
        {"p": "abc"},
        {"dt": [0]},
        {"x": None},
        {"q": []},
        {"t0": 1.5},
        {"t0": None},
        {"t0": True},
        {"st": "evt", "ev": []},
        {"gap": "", "st": "tel"},
        {"gap": 5},
    ],
)
def test_headers_that_make_no_sense_refuse_the_message(changes: dict[str, object]) -> None:
    """A message whose frame is wrong cannot be stored by rows: all of it is refused."""
    with pytest.raises(Rejected) as caught:
        decode_rows(samples(**changes))
    assert caught.value.reason in {"schema", "version"}


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_other_versions_are_named(version: object) -> None:
    """Only 1 is version 1; anything else is refused by that reason."""
    for payload in (
        samples(v=version),
        pack({"v": version, "ep": EP, "st": "tel", "s0": 1, "n": 1, "gap": "x"}),
    ):
        with pytest.raises(Rejected) as caught:
            decode_rows(payload)
        assert caught.value.reason == "version"


@pytest.mark.parametrize(
    ("column", "bad", "reason"),
    [
        ("p", -1, "alias"),
        ("p", 1.0, "alias"),
        ("p", "0", "alias"),
        ("p", None, "alias"),
        ("p", True, "alias"),
        ("p", 2**60, "alias"),
        ("x", {}, "value"),
        ("x", [1], "value"),
        ("x", "x" * (MAX_TEXT + 1), "text_too_long"),
        ("q", {"1": 5}, "quality"),
        ("q", {"1": [7, "x"]}, "quality"),
        ("q", {"1": [2, 3]}, "quality"),
        ("q", {"1": [2]}, "quality"),
    ],
)
def test_one_bad_row_costs_no_other(column: str, bad: object, reason: str) -> None:
    """A row that cannot be stored is named with its reason; its neighbours come out whole."""
    document = unpack(
        encode_samples(EP, 7, Batch([0, 1, 2], [T0, T0 + 5, T0 + 9], [1.5, 2.5, 3.5]))
    )
    document["p"] = expand_points(document["p"], 3)
    if column == "q":
        document["q"] = bad
    else:
        document[column][1] = bad
    got = decode_rows(pack(document))
    assert isinstance(got, Samples)
    assert got.bad_rows == {1: reason}
    assert [got.batch.points[row] for row in (0, 2)] == [0, 2]
    assert [got.batch.times[row] for row in (0, 2)] == [T0, T0 + 9]
    assert [got.batch.values[row] for row in (0, 2)] == [1.5, 3.5]
    assert got.batch.quality == {}


def test_a_lost_delta_costs_the_rows_behind_it() -> None:
    """Times are sums: behind a broken delta no row knows its time, before it all do."""
    document = unpack(
        encode_samples(EP, 7, Batch([0] * 4, [T0, T0 + 5, T0 + 9, T0 + 12], [1.0] * 4))
    )
    document["dt"][2] = "x"
    got = decode_rows(pack(document))
    assert isinstance(got, Samples)
    assert got.bad_rows == {2: "time", 3: "time"}
    assert got.batch.times[:2] == [T0, T0 + 5]


def test_times_nobody_believes_are_bad_rows() -> None:
    """A sample from 1970 or from 2200 cannot be stored; one of today in the same message can."""
    far = 7_258_118_400_000_000
    got = decode_rows(encode_samples(EP, 1, Batch([0] * 3, [0, T0, far], [1.0] * 3)))
    assert isinstance(got, Samples)
    assert got.bad_rows == {0: "time", 2: "time"}


def test_quality_of_rows_that_are_not_there_is_ignored() -> None:
    """Keys of the quality object that name no row change nothing."""
    got = decode_rows(
        samples(q={"3": [2, "x"], "-1": [2, "x"], "": [2, "x"], "²": [2, "x"], "9" * 50: [2, "x"]})
    )
    assert isinstance(got, Samples)
    assert (got.batch.quality, got.bad_rows) == ({}, {})


def test_one_bad_row_of_a_thousand() -> None:
    """In a full message every good row is kept beside any number of bad ones."""
    n = 1000
    document = unpack(encode_samples(EP, 1, Batch([0] * n, [T0] * n, [float(i) for i in range(n)])))
    for row in range(0, n, 100):
        document["x"][row] = {"deep": [[[]]]}
    got = decode_rows(pack(document))
    assert isinstance(got, Samples)
    assert set(got.bad_rows) == set(range(0, n, 100))
    assert [v for i, v in enumerate(got.batch.values) if i % 100] == [
        float(i) for i in range(n) if i % 100
    ]


def test_findings_must_be_as_many_as_they_say() -> None:
    """A count that does not fit the rows refuses the message: order numbers would shift."""
    found = Finding(id="a", detector="pca", subject="d", started=T0, score=1.5, text="t")
    with pytest.raises(Rejected, match="1 rows where the header says 2"):
        decode_rows(encode(Findings(ep=EP, st="evt", s0=3, n=2, ev=[found])))


def test_ranges_that_run_backwards_are_refused() -> None:
    """From 5 to 3 is nothing a reader may guess about."""
    assert spans([(1, 3), (5, 5)]) == [(1, 3), (5, 5)]
    with pytest.raises(Rejected, match="backwards"):
        spans([(5, 3)])


def test_acks_are_bounded() -> None:
    """An ack names 64 ranges at most."""
    many = {"v": 1, "ep": EP, "st": "tel", "ranges": [[i, i] for i in range(65)]}
    with pytest.raises(Rejected, match="ranges"):
        decode_reply(pack(many))


def test_the_message_of_a_refusal_names_the_place() -> None:
    """A refused message says which field is wrong."""
    with pytest.raises(Rejected, match=r"hello: epochs\.0\.ep"):
        decode(Hello, pack({"v": 1, "session": EP, "agent": "x", "epochs": [{"ep": "no"}]}))


def test_everything_public_is_there() -> None:
    """The module's public names exist."""
    assert all(hasattr(wire, name) for name in wire.__all__)
