"""Frames, turns and patience of Modbus: bytes and times of any kind, without a socket."""

from __future__ import annotations

import struct
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge.drivers.modbus import pdu
from plantroom_edge.drivers.modbus.frames import TcpFrames, Unfit, Wrong
from plantroom_edge.drivers.modbus.link import Link
from plantroom_edge.drivers.modbus.patience import (
    CALM,
    DEBT,
    FLAPPING,
    NEWS,
    PROBATION,
    REST,
    SHARE,
    TRUSTED,
    Patience,
)
from plantroom_edge.drivers.modbus.rtu import FLOOD, REMEMBERED, RtuFrames, crc
from support.modbus_rtu import checksum

_ASK = pdu.read("holding", 7, 5)


def _reply(mark: int, count: int = 5) -> bytes:
    return bytes([3, 2 * count]) + bytes([mark]) * (2 * count)


def _mbap(tid: int, body: bytes, unit: int = 1) -> bytes:
    return struct.pack(">HHHB", tid, 0, len(body) + 1, unit) + body


def _rtu(body: bytes, unit: int = 1) -> bytes:
    data = bytes([unit]) + body
    return data + checksum(data)


# ---------------------------------------------------------------- TCP


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_tcp_never_takes_rubbish_and_never_breaks(chunks: list[bytes]) -> None:
    """Any bytes are dropped, or end the connection, or are a reply with the open transaction."""
    frames = TcpFrames()
    sent = frames.ask(1, _ASK)
    heard = b""
    try:
        for chunk in chunks:
            heard += chunk
            reply = frames.take(chunk)
            if reply is not None:
                assert sent[:2] in heard
                assert reply[0] & 0x7F == 3
            assert len(frames._rest) < 270
    except (Unfit, Wrong):
        pass


@given(st.data())
def test_tcp_takes_a_reply_in_any_parts(data: st.DataObject) -> None:
    """However a late reply and the right one are cut, the right one is taken, and only that."""
    frames = TcpFrames()
    first = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
    assert frames.give_up() == ("timeout", False)
    second = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
    stream = _mbap(first, _reply(1)) + _mbap(second, _reply(2))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    replies = [reply for part in parts if (reply := frames.take(part)) is not None]
    assert replies == [_reply(2)]


def test_tcp_connects_anew_where_the_far_end_lags_behind() -> None:
    """Late replies alone, half a reply, and replies to nobody each end the connection."""
    frames = TcpFrames()
    first = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
    frames.give_up()
    second = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
    assert frames.take(_mbap(first, _reply(1))) is None
    assert frames.give_up() == ("timeout", True)
    frames.restart()
    third = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
    assert third not in {first, second}
    frames.take(_mbap(third, _reply(1))[:9])
    assert frames.give_up() == ("timeout", True)
    frames.restart()
    with pytest.raises(Unfit):
        frames.take(_mbap(third, _reply(1)))


def test_tcp_transactions_go_round() -> None:
    """After 65535 comes 1: nobody is asked with transaction 0, which some devices answer with."""
    frames = TcpFrames()
    seen = {frames.ask(1, _ASK)[:2] for _ in range(70_000)}
    assert len(seen) == 65535
    assert b"\0\0" not in seen


@pytest.mark.parametrize(
    ("body", "unit"),
    [(b"\3\4\0\1", 1), (b"\x83", 1), (b"\4\2\0\1", 1), (b"\3\2\0\1", 9), (b"\x84\2", 1)],
)
def test_a_whole_frame_of_rubbish_leaves_the_stream_in_step(body: bytes, unit: int) -> None:
    """It is no reply, but what comes next is told apart as before; with octets behind it, not."""
    frames = TcpFrames()
    bad = body + b"\0" if len(body) == 1 else body
    for behind, error in ((b"", Wrong), (b"\0", Unfit)):
        tid = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
        whole = _mbap(tid, bad if bad[:1] != b"\x83" else b"\x83\2\2", unit)
        assert frames.take(whole[:5]) is None
        with pytest.raises(error):
            frames.take(whole[5:] + behind)
        assert frames.in_step()
    tid = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
    assert frames.take(_mbap(tid, _reply(3))) == _reply(3)


def test_late_rubbish_is_dropped_by_its_transaction() -> None:
    """What a unit says to a request that was given up may be anything: only its frame counts."""
    frames = TcpFrames()
    late = int.from_bytes(frames.ask(9, _ASK)[:2], "big")
    frames.give_up()
    tid = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
    rubbish = _mbap(late, b"\x2b\xff\xff\xff", 77)
    assert frames.take(rubbish + _mbap(tid, _reply(4))) == _reply(4)


@pytest.mark.parametrize("behind", range(1, 8))
def test_octets_behind_a_reply_put_the_stream_out_of_step(behind: int) -> None:
    """Fewer than make a header wait for more, which would be those of the next reply."""
    frames = TcpFrames()
    tid = int.from_bytes(frames.ask(1, _ASK)[:2], "big")
    assert frames.in_step()
    assert frames.take(_mbap(tid, _reply(1)) + bytes(behind)) == _reply(1)
    assert not frames.in_step()
    frames.restart()
    assert frames.in_step()


# ---------------------------------------------------------------- RTU


@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_the_specification(data: bytes) -> None:
    """The table gives what the shift register of the specification gives."""
    assert crc(data) == checksum(data)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_rtu_never_takes_rubbish_and_never_breaks(chunks: list[bytes]) -> None:
    """Any bytes are dropped, or are a reply with unit, function, size and checksum as asked."""
    frames = RtuFrames()
    frames.ask(1, _ASK)
    try:
        for chunk in chunks:
            reply = frames.take(chunk)
            if reply is not None:
                assert _rtu(reply) in b"".join(chunks)
                assert len(reply) in {2, _ASK.size}
            assert len(frames._heard) <= FLOOD
    except Unfit:
        assert len(b"".join(chunks)) > FLOOD


@given(st.binary(max_size=40), st.binary(max_size=10), st.data())
def test_rtu_finds_a_reply_in_noise(before: bytes, behind: bytes, data: st.DataObject) -> None:
    """Whatever stands around it, and however it is cut, a reply is found."""
    frames = RtuFrames()
    frames.ask(1, _ASK)
    stream = before + _rtu(_reply(9)) + behind
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    replies = [reply for part in parts if (reply := frames.take(part)) is not None]
    assert replies[:1] == [_reply(9)]


class _Slave:
    """A device that answers in order, but when it likes; every answer has its number."""

    def __init__(self) -> None:
        self.queue: deque[bytes] = deque()
        self.number = 0

    def hear(self, sent: bytes, *, refuses: bool) -> int:
        """Take a request; return the number of its answer."""
        self.number = self.number % 250 + 1
        count = int.from_bytes(sent[4:6], "big")
        body = b"\x83\2" if refuses else bytes([3, 2 * count]) + bytes([self.number]) * (2 * count)
        self.queue.append(_rtu(body))
        return self.number


_TURNS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 3), st.booleans()), min_size=1, max_size=40
)


@given(_TURNS)
def test_no_late_reply_is_ever_a_value(turns: list[tuple[int, int, bool]]) -> None:
    """A device that answers in order, as late as it likes, never gives the value of an old request.

    Each turn asks for some registers while the device lets go of some of its answers.
    """
    frames, slave = RtuFrames(), _Slave()

    def round_trip(ask: pdu.Ask, let_go: int, *, refuses: bool) -> bytes | None:
        number, reply = slave.hear(frames.ask(1, ask), refuses=refuses), None
        for _ in range(min(let_go, len(slave.queue))):
            reply = frames.take(slave.queue.popleft()) or reply
        if reply is None:
            frames.give_up()
        elif reply[0] == 3:
            assert set(reply[2:]) == {number}
        return reply

    for count, let_go, refuses in turns:
        while len(slave.queue) >= REMEMBERED:  # more than that no device remembers
            slave.queue.popleft()
        ask = pdu.read("holding", 0, count)
        for _ in range(REMEMBERED + 1):
            marker = frames.marker(1, ask)
            reply = round_trip(marker or ask, let_go, refuses=refuses)
            if marker is None or reply is None:
                break
        else:
            pytest.fail("markers without end")


@pytest.mark.parametrize("space", ["coil", "holding"])
def test_a_marker_differs_from_all_that_may_come(space: str) -> None:
    """The request before one whose reply could be confused has a reply of another size."""
    frames = RtuFrames()
    counts = (1, 9, 17, 25) if space == "coil" else (1, 2, 3, 4)
    asks = [pdu.read(space, 65535, count) for count in counts]  # type: ignore[arg-type] # a space
    assert frames.marker(1, asks[0]) is None
    for ask in asks:
        frames.ask(1, ask)
        frames.give_up()
    marker = frames.marker(1, asks[0])
    assert marker is not None
    assert marker.size not in {ask.size for ask in asks}
    assert frames.marker(2, asks[0]) is None
    frames.restart()
    assert frames.marker(1, asks[0]) is not None


def test_coils_that_look_like_their_request() -> None:
    """A read whose echo would be a right reply is not answered by its echo."""
    frames = RtuFrames()
    ask = pdu.read("coil", 0x0300, 20)
    sent = frames.ask(1, ask)
    assert frames.take(sent) is None
    assert frames.take(_rtu(b"\x01\x03\xaa\xbb\x0c")) == b"\x01\x03\xaa\xbb\x0c"


async def test_a_closed_link_sends_and_hears_nothing() -> None:
    """Bytes that arrive after the end are nobody's, and a request finds out that nothing was sent."""
    link = Link(TcpFrames())
    link.data_received(b"\0" * 20)
    fault = await link.round(1, _ASK, 20.0)
    assert fault == pdu.Fault("disconnected", sent=False)
    assert link.received == 0


# ---------------------------------------------------------------- patience


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 8), st.floats(0.0, 2.0)), min_size=1, max_size=300),
)
def test_dead_units_have_their_share_of_the_line(dead: int, polls: list[tuple[int, float]]) -> None:
    """However often dead units are polled, waiting for them takes little beyond their share."""
    patience, now, spent = Patience(1.0), 0.0, 0.0
    patience.limit(99, now)
    patience.answer(99, 0.01, now)
    first = now
    for unit, pause in polls:
        now += pause
        limit = patience.limit(unit % dead, now)
        if limit is not None:
            spent += limit
            now += limit
            patience.failure(unit % dead, limit, "timeout", now)
        patience.limit(99, now)
        patience.answer(99, 0.01, now)
    once_each = dead * 1.0
    assert spent <= once_each + SHARE * (now - first) + (2 + DEBT) * 1.0


def test_a_unit_that_answered_has_a_second_chance() -> None:
    """After one lost reply a unit is asked again soon, whatever others have cost."""
    patience = Patience(1.0)
    for unit in (1, 2):
        patience.answer(unit, 0.02, 0.0)
    for _ in range(5):
        patience.failure(3, 1.0, "timeout", 1.0)
    patience.failure(1, 1.0, "timeout", 2.0)
    assert patience.limit(1, 3.0) is None
    assert patience.limit(1, 4.0) == 0.25
    patience.answer(1, 0.1, 3.0)
    assert patience.record(1).failures == 0


def test_a_dead_neighbour_does_not_hurry_those_that_are_well() -> None:
    """A unit that answers has the whole time-out again soon after another has failed."""
    patience = Patience(1.0)
    for unit in (1, 2):
        patience.answer(unit, 0.02, 0.0)
    for _ in range(3):
        patience.failure(3, 1.0, "timeout", 10.0)
    assert patience.limit(1, 10.5) == 0.25
    assert patience.limit(1, 12.0) == 1.0


def test_alone_on_the_line_a_unit_has_all_the_time() -> None:
    """Where nobody else answers, a dead unit is asked as often and as long as anyone likes."""
    patience = Patience(1.0)
    for _ in range(20):
        assert (patience.limit(1, 0.0) or 0) >= 1.0
        patience.failure(1, 1.0, "timeout", 0.0)


def test_slow_units_are_waited_for() -> None:
    """How long to wait for a unit that failed goes by how slow it was before."""
    patience = Patience(2.0)
    patience.answer(1, 0.01, 0.0)
    patience.answer(2, 0.4, 0.0)
    patience.failure(2, 2.0, "timeout", 10.0)
    patience.failure(1, 2.0, "timeout", 10.0)
    patience.answer(3, 0.01, 10.0)
    assert patience.limit(2, 20.0) == pytest.approx(1.6)
    assert patience.limit(1, 20.0) == pytest.approx(0.5)


def test_what_the_far_end_may_still_be_waiting_for_is_added() -> None:
    """After a unit was given up early, the next one may take so much longer; an answer ends that."""
    patience = Patience(1.0)
    patience.answer(1, 0.01, 0.0)
    patience.failure(2, 0.25, "timeout", 5.0)
    assert patience.backlog(5.0) == pytest.approx(0.75)
    assert patience.limit(1, 5.5) == pytest.approx(1.25)
    patience.answer(1, 0.3, 5.6)
    assert patience.record(1).slowest < 0.1
    assert patience.backlog(5.6) == 0


# ---------------------------------------------------------------- patience with the hostile


def _well(*units: int) -> Patience:
    patience = Patience(1.0)
    for unit in units:
        patience.answer(unit, 0.02, 0.0)
    return patience


@given(
    st.lists(st.tuples(st.floats(0.0, 0.5), st.sampled_from("arb")), min_size=1, max_size=200),
    st.booleans(),
)
def test_whoever_fails_an_honest_unit_has_its_second_chance(
    hostile: list[tuple[float, str]], rich: bool
) -> None:
    """Whatever another unit does, one that failed once is asked again within two time-outs."""
    patience, now = _well(1, 2, 9), 0.0
    for pause, what in [*hostile[:3], *[(0.1, "r")] * 4]:
        now = _turn(patience, 9, now + pause, what)
    if not rich:
        now += 40.0
    patience.failure(1, 1.0, "timeout", now)
    failed = now
    for pause, what in hostile:
        now = _turn(patience, 9, now + pause, what)
        patience.answer(2, 0.02, now)
        if now - failed >= 2.0:
            assert patience.limit(1, now) is not None
    assert patience.limit(1, max(failed + 2.5, now)) is not None


def _turn(patience: Patience, unit: int, now: float, what: str) -> float:
    """Let a unit answer, say rubbish or nothing, if it is its turn; return when that is over."""
    limit = patience.limit(unit, now)
    if limit is None:
        return now
    if what == "a":
        patience.answer(unit, 0.01, now + 0.01)
        return now + 0.01
    took, reason = (limit, "timeout") if what == "r" else (0.003, "bad-reply")
    patience.failure(unit, took, reason, now + took)
    return now + took


@given(st.lists(st.sampled_from("aaarb"), min_size=1, max_size=400))
def test_a_unit_that_flaps_has_its_share_of_the_line(whats: list[str]) -> None:
    """Who answers now and then, in any pattern, costs no more in vain than its share."""
    patience, now, spent = _well(1, 9), 0.0, 0.0
    for what in whats:
        before = patience.record(9).lost
        after = _turn(patience, 9, now, what)
        spent += after - now if patience.record(9).lost > before else 0.0
        now = after + 0.1
        patience.answer(1, 0.02, now)
    assert spent <= FLAPPING * now + SHARE * now + 4.0


def test_the_failures_of_a_unit_that_is_not_trusted_hurry_nobody() -> None:
    """Once it is known that a unit fails all the time, others have the whole time-out throughout."""
    patience, now = _well(1, 9), 0.0
    for _ in range(3):
        now = _turn(patience, 9, now + 5.0, "r")
    for _ in range(50):
        for what in "bar":
            now = _turn(patience, 9, now + 0.2, what)
            limit = patience.limit(1, now)
            assert limit is not None
            assert limit >= 1.0
            patience.answer(1, 0.02, now)
    assert not patience.record(9).trusted


def test_answers_in_a_row_bring_back_trust() -> None:
    """After as many answers as that takes, a failure is one of a unit that is well."""
    patience = _well(1, 9)
    for at in (1.0, 2.0):
        patience.failure(9, 1.0, "timeout", at)
    for _ in range(TRUSTED):
        assert not patience.record(9).trusted
        patience.answer(9, 0.01, 3.0)
    assert not patience.record(9).trusted
    patience.answer(9, 0.01, 2.0 + PROBATION)
    assert patience.record(9).trusted
    assert patience.limit(9, 2.0 + PROBATION) == 1.0


def test_each_dead_unit_pays_for_itself() -> None:
    """One dead unit that takes all it can get does not keep another from being asked."""
    patience = _well(1, 2)
    for unit in (2, 9):
        for at in (1.0, 2.0):
            patience.failure(unit, 1.0, "timeout", at)
    asked, now = 0, 2.0
    while now < 2.0 + REST:
        now = _turn(patience, 9, now + 0.05, "r")
        patience.answer(1, 0.02, now)
        if patience.limit(2, now) is not None:
            asked += 1
            now = _turn(patience, 2, now, "r")
    assert asked >= 2


def test_the_return_of_one_lets_the_others_be_asked() -> None:
    """What kept one dead unit away may be over for all; once in a while, and one after the other."""
    patience = _well(1, 2, 3, 4)
    for unit in (2, 3, 4):
        for at in (10.0, 20.0):
            patience.failure(unit, 1.0, "timeout", at)
    assert [patience.limit(unit, 30.0) for unit in (2, 3, 4)] == [None] * 3
    patience.answer(2, 0.01, 30.0)
    assert [patience.limit(unit, 30.0) is not None for unit in (3, 4)] == [True, False]
    assert patience.limit(4, 30.0 + CALM) is not None
    for unit in (2, 3):
        patience.failure(unit, 1.0, "timeout", 31.0)
    patience.failure(2, 1.0, "timeout", 32.0)
    before = patience.record(3).again_at
    patience.answer(2, 0.01, 31.0 + NEWS / 2)
    assert patience.record(3).again_at == before


def test_an_outage_of_all_is_soon_forgotten() -> None:
    """Units that were silent with all others are asked soon after the first of them is back."""
    patience = _well(1, 2, 3)
    for now in range(1, 600):
        for unit in (1, 2, 3):
            assert now < 5 or patience.limit(unit, float(now)) is not None
            patience.failure(unit, 1.0, "timeout", float(now))
    for at in (600.0, 601.0):  # only the first of them is news
        patience.answer(1, 0.01, at)
        assert patience.limit(2, at + DEBT / SHARE) is not None
        patience.failure(1, 1.0, "timeout", at)
        patience.failure(1, 1.0, "timeout", at)


def test_rubbish_that_takes_no_time_does_not_keep_a_unit_waiting() -> None:
    """A gateway that says at once that a unit is away may be asked again soon."""
    patience = _well(1)
    for _ in range(5):
        assert patience.limit(9, 5.0) is not None
        patience.failure(9, 0.002, "exception-11", 5.0)
    for _ in range(100):
        patience.failure(9, 0.1, "exception-11", 5.0)
    assert patience.limit(9, 5.1) is None
