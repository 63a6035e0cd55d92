"""The protocol core, alone."""

from __future__ import annotations

import pytest

from plantroom_edge.buffer_db import Frame
from plantroom_edge.session import Session
from plantroom_edge.session_actions import (
    Action,
    Confirm,
    HeardTime,
    Lane,
    Ordered,
    Publish,
    Refused,
    Revive,
    SendDictionary,
    SendSnapshot,
    Want,
)
from plantroom_edge.session_dictionaries import DICTIONARY_RARELY
from plantroom_edge.session_window import LEAST, MAX_BYTES, START, WINDOW
from plantroom_shared.wire import (
    CHANNELS,
    MAX_WIRE,
    Ack,
    Flow,
    Hello,
    Holding,
    Known,
    Nack,
    Resume,
    Stream,
    decode,
    encode,
)

EP, OLD = "a" * 16, "b" * 16
NAME = "1" * 16
MARK = (2, 1000)
"""What the current epoch had accepted when the sessions of these tests began."""
LANES: dict[Stream, Lane] = {"cmd": "cmd", "evt": "evt", "aud": "aud", "tel": "live"}


def plain(_low: float, _high: float) -> float:
    return 1.0


def frame(
    s0: int, n: int = 10, *, stream: Stream = "tel", dv: int = 0, ep: str = EP, size: int = 0
) -> Frame:
    return Frame(ep, 1 + (ep == EP), stream, s0, n, dv, b"blob %d" % s0 + b"." * size)


def hello(held: list[tuple[int, int]] | None = None, accepted: int = 1000) -> Hello:
    held = [(1, 1000)] if held is None else held
    holding = Holding(ep=EP, accepted={"tel": accepted}, held={"tel": held})
    return Hello(session=NAME, agent="t", epochs=[holding])


def resume(
    *known: Known,
    session: str = NAME,
    at: int = 7,
    time: int = 0,
    takes: tuple[str, ...] = CHANNELS,
) -> bytes:
    answer = Resume(session=session, epochs=list(known), time=time, hello_at=at, takes=list(takes))
    return encode(answer)


def ack(*spans: tuple[int, int], ep: str = EP, stream: Stream = "tel") -> bytes:
    return encode(Ack(ep=ep, st=stream, ranges=list(spans)))


def opened(said: Hello | None = None) -> Session:
    session = Session(said or hello(), MARK, now_us=lambda: 7, jitter=plain)
    session.start(0.0)
    return session


def live(*known: Known, said: Hello | None = None, takes: tuple[str, ...] = CHANNELS) -> Session:
    session = opened(said)
    session.receive("resume", resume(*known, takes=takes), 0.0)
    session.dictionary_grew(EP, 0)
    session.tick(0.0)
    return session


def wants(session: Session, now: float = 0.0) -> dict[Lane, Want]:
    """Return the first want of each lane, giving nothing."""
    out: dict[Lane, Want] = {}
    for want in session.wants(now):
        out.setdefault(want.lane, want)
        session.offer(want, [], now)
    return out


def offer(session: Session, frames: list[Frame], now: float = 0.0) -> list[Action]:
    """Give out frames of one stream, samples as live ones, whether they are wanted or not."""
    stream = frames[0].stream
    return session.offer(Want(LANES[stream], stream, (0, 0), None, len(frames)), frames, now)


def test_sends_nothing_before_the_resume_and_repeats_the_hello() -> None:
    """Until the cloud answers, only the hello goes out: soon again, then every five seconds."""
    at = iter([100, 200, 300])
    session = Session(hello(), MARK, now_us=lambda: next(at), jitter=plain)
    (first,) = session.start(0.0)
    assert isinstance(first, Publish)
    assert first.channel == "hello"
    assert decode(Hello, first.payload) == hello().model_copy(update={"at": 100})
    assert not list(session.wants(0.0))
    assert session.tick(0.9) == []
    (again,) = session.tick(1.0)
    assert isinstance(again, Publish)
    assert decode(Hello, again.payload) == hello().model_copy(update={"at": 200})
    assert session.due(1.0) == 3.0
    assert session.tick(3.0)
    assert session.due(3.0) == 8.0


def test_resume_of_another_session_is_ignored() -> None:
    """A resume that answers somebody else's hello opens nothing."""
    session = opened()
    assert session.receive("resume", resume(session="2" * 16), 0.0) == []
    assert not session.live
    assert session.counters["resume_other_session"] == 1


def test_resume_trims_only_what_the_hello_named() -> None:
    """The cloud's claims about rows or epochs that were not announced delete nothing."""
    session = opened(hello([(11, 20), (31, 40)], accepted=40))
    known = Known(ep=EP, ranges={"tel": [(1, 15), (35, 9999)], "evt": [(1, 5)]})
    other = Known(ep=OLD, ranges={"tel": [(1, 5)]})
    actions = session.receive("resume", resume(known, other), 0.0)
    assert actions[0] == HeardTime(0, 0.0)
    assert actions[1:] == [
        Confirm(EP, "tel", ((11, 15), (35, 40))),
        Revive(EP, "tel", ((21, 30),)),  # confirmed once, and the cloud has it no more
    ]
    assert session.receive("resume", resume(known), 0.0) == []
    assert session.counters["resume_again"] == 1


def test_ack_confirms_and_makes_room() -> None:
    """Acked rows are confirmed at once and the next frames are wanted behind the last one sent."""
    session = live()
    offer(session, [frame(1), frame(11)], 0.0)
    assert session.receive("ack", ack((1, 10)), 3.0) == [Confirm(EP, "tel", ((1, 10),))]
    assert wants(session)["live"].after == (2, 20)
    assert session.window == 1
    assert session.last_ack == 3.0


def test_ack_of_rows_never_sent_deletes_nothing() -> None:
    """Acks beyond what went out in this session are counted and otherwise ignored."""
    session = live()
    offer(session, [frame(1)], 0.0)
    assert session.receive("ack", ack((11, 500)), 0.0) == []
    assert session.receive("ack", ack((1, 10), ep=OLD), 0.0) == []
    assert session.receive("ack", ack((1, 10), stream="evt"), 0.0) == []
    assert session.counters["acks_beyond"] == session.counters["acks_repeated"] == 3
    assert session.receive("ack", ack((5, 99)), 0.0) == [Confirm(EP, "tel", ((5, 10),))]
    assert session.window == 1


def test_parts_of_a_message_add_up() -> None:
    """A message acked in two halves is confirmed as a whole, and once."""
    session = live()
    offer(session, [frame(1)], 0.0)
    session.receive("ack", ack((1, 4)), 0.0)
    assert session.receive("ack", ack((5, 10)), 0.0) == [Confirm(EP, "tel", ((1, 10),))]
    assert session.window == 0
    assert session.receive("ack", ack((1, 10)), 0.0) == []


def test_unacked_messages_go_out_again_with_growing_pauses() -> None:
    """After 10 s, then 20 s, then 40 s without an ack a message is sent again."""
    session = live()
    offer(session, [frame(1)], 0.0)
    again = [Publish("tel", b"blob 1")]
    assert session.tick(9.9) == []
    assert session.tick(10.0) == again
    assert session.tick(29.9) == []
    assert session.tick(30.0) == again
    assert session.due(30.0) == 70.0


def test_overtaken_messages_go_out_again_soon() -> None:
    """A message goes out again a second after a later one of its stream was acked, then as ever."""
    session = live()
    findings = frame(1, stream="evt")
    offer(session, [frame(1, ep=OLD), frame(1), frame(11), frame(21)], 0.0)
    offer(session, [findings], 0.0)
    session.receive("ack", ack((11, 20)), 2.0)
    assert session.tick(2.9) == []
    assert session.tick(3.0) == [Publish("tel", b"blob 1"), Publish("tel", b"blob 1")]
    assert session.due(0.0) == 10.0  # the later one and the other stream are not hurried
    session.receive("ack", ack((21, 30)), 4.0)
    assert session.tick(9.0) == []


def test_a_message_lost_twice_is_hurried_again_but_not_for_ever() -> None:
    """Whatever was sent after its last copy and is acked hurries a message, three times at most."""
    session = live()
    offer(session, [frame(1)], 0.0)
    again = []
    for turn in range(1, 6):
        now = 2.0 * turn
        offer(session, [frame(10 * turn + 1)], now)
        session.receive("ack", ack((10 * turn + 1, 10 * turn + 10)), now)
        again.append(session.tick(now + 1.0) == [Publish("tel", b"blob 1")])
    assert again == [True, True, True, False, False]


def test_dictionary_goes_before_the_rows_that_need_it() -> None:
    """What the cloud lacks of a dictionary is sent before the first row that names it, once."""
    session = live(Known(ep=EP, dictionary=3))
    actions = offer(session, [frame(1, dv=3), frame(11, dv=7), frame(21, dv=7)], 0.0)
    assert actions[1] == SendDictionary(EP, 3)
    assert [type(action) for action in actions].count(SendDictionary) == 1
    session.dictionary_sent(EP, 9)
    assert offer(session, [frame(31, dv=9)], 0.0) == [Publish("tel", b"blob 31")]


def test_new_aliases_are_sent_as_soon_as_there_are_some() -> None:
    """A dictionary that grew is sent without waiting for rows; before the resume it is not."""
    assert opened().dictionary_grew(EP, 5) == []
    session = live(Known(ep=EP, dictionary=2))
    assert session.dictionary_grew(EP, 5) == [SendDictionary(EP, 2)]
    assert session.dictionary_grew(EP, 5) == []


def test_need_dict_sends_the_dictionary_once_and_the_message_again() -> None:
    """Eight messages that miss one dictionary cause one dictionary and eight repeats."""
    session = live(Known(ep=EP, dictionary=5))
    offer(session, [frame(1 + 10 * i, dv=5) for i in range(3)], 0.0)
    out: list[Action] = []
    for s0 in (1, 11, 21):
        nack = Nack(ep=EP, st="tel", nack="need_dict", s0=s0, have=2)
        out += session.receive("ack", encode(nack), 1.0)
    assert out == [
        SendDictionary(EP, 2),
        Publish("tel", b"blob 1"),
        Publish("tel", b"blob 11"),
        Publish("tel", b"blob 21"),
    ]


def test_need_dict_without_end_does_not_spin() -> None:
    """A cloud that asks for the dictionary for ever gets it ever more rarely."""
    session = live()
    offer(session, [frame(1, dv=5)], 0.0)
    nack = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=1, have=0))
    answered = [at for at in range(600) if session.receive("ack", nack, float(at))]
    assert 10 < len(answered) < 600 / 30 + 10
    assert session.receive("ack", nack, 599.0) == []
    absurd = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=1, have=10**9))
    assert session.receive("ack", absurd, 99.0) == []


def test_a_dictionary_that_was_lost_is_sent_again_however_often() -> None:
    """Processes of the cloud may be killed before they have it, again and again."""
    session = live()
    offer(session, [frame(1, dv=5), frame(11, dv=5)], 0.0)
    now = 0.0
    for _ in range(8):  # nobody answers
        now = session.due(now)
        assert Publish("tel", b"blob 1") in session.tick(now)
    first = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=1, have=0))
    other = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=11, have=0))
    assert session.receive("ack", first, now) == [SendDictionary(EP, 0), Publish("tel", b"blob 1")]
    assert session.receive("ack", other, now) == []  # it was asked before the dictionary came
    assert session.due(now) <= now + DICTIONARY_RARELY
    assert session.tick(session.due(now)) == [Publish("tel", b"blob 11")]


@pytest.mark.parametrize("reason", ["schema", "fork"])
def test_refused_messages_are_kept_and_not_repeated(reason: str) -> None:
    """What the cloud will not take is neither deleted nor sent again in this session."""
    session = live()
    offer(session, [frame(1)], 0.0)
    nack = encode(Nack.model_validate({"ep": EP, "st": "tel", "nack": reason, "s0": 1}))
    assert session.receive("ack", nack, 0.0) == [Refused(EP, "tel", 1, reason)]
    assert session.receive("ack", nack, 0.0) == []
    assert session.tick(1000.0) == []
    assert session.window == 0


@pytest.mark.parametrize(
    ("channel", "payload", "counter"),
    [
        ("ack", b"rubbish", "down_malformed"),
        ("ack", b"x" * 200_000, "down_too_big"),
        ("ack", ack((9, 1)), "down_schema"),
        ("resume", ack((1, 2)), "down_schema"),
        ("desired", b"", "down_channel"),
    ],
)
def test_rubbish_from_above_is_counted(channel: str, payload: bytes, counter: str) -> None:
    """A message that cannot be understood changes nothing but a counter."""
    session = live()
    assert session.receive(channel, payload, 0.0) == []
    assert session.counters[counter] == 1


def test_inventory_replies_need_nothing_done() -> None:
    """Acks and nacks of the dictionary are counted."""
    session = live()
    assert session.receive("ack", encode(Ack(ep=EP, st="inv", ranges=[(1, 2)])), 0.0) == []
    nack = Nack(ep=EP, st="inv", nack="schema")
    assert session.receive("ack", encode(nack), 0.0) == []
    assert session.counters["dictionary_acks"] == 1
    assert session.counters["nack_schema"] == 1


def test_window_is_bounded_and_leaves_room_for_what_is_urgent() -> None:
    """Samples fill all places but one; a finding always finds one."""
    session = live()
    assert wants(session)["live"].limit == (START - 1 + 1) // 2  # half: there may be a backlog
    offer(session, [frame(1 + 10 * i) for i in range(START - 1)])
    left = wants(session)
    assert "live" not in left
    assert "fill" not in left
    assert {lane: want.limit for lane, want in left.items()} == {"cmd": 1, "evt": 1, "aud": 1}
    offer(session, [frame(1, stream="evt")])
    assert not wants(session)
    assert session.window == START


def test_bytes_on_the_way_are_bounded() -> None:
    """However many messages the cloud allows, no more than a mebibyte is unacked."""
    session = live()
    session.receive("flow", encode(Flow(window=64)), 0.0)
    for i in range(200):  # the window of the gateway itself grows by acks
        offer(session, [frame(1 + 10 * i)])
        session.receive("ack", ack((1 + 10 * i, 10 + 10 * i)), 0.0)
    assert session.window_size(0.0) > 16
    s0 = 10_000
    while want := wants(session).get("live"):
        offer(session, [frame(s0 + 10 * i, size=MAX_WIRE - 100) for i in range(want.limit)])
        s0 += 10 * want.limit
    assert MAX_BYTES - 2 * MAX_WIRE < session.window * MAX_WIRE <= MAX_BYTES


def test_old_and_new_samples_take_turns() -> None:
    """Samples accepted before the session go on fill up to the mark, newer ones on tel, one by one."""
    session = live()
    first = wants(session)
    assert (first["fill"].after, first["fill"].until) == ((0, 0), MARK)
    assert (first["live"].after, first["live"].until) == (MARK, None)
    session = live()
    session.receive("flow", encode(Flow(window=START)), 0.0)  # so that it stays the same
    went, old, new = [], 1, 1001
    for _ in range(40):
        for want in session.wants(0.0):
            if want.lane not in ("live", "fill"):
                session.offer(want, [], 0.0)
                continue
            fresh = want.lane == "live"
            s0 = new if fresh else old
            new, old = (s0 + want.limit, old) if fresh else (new, s0 + want.limit)
            frames = [frame(s0 + i, 1) for i in range(want.limit)]
            went += [a.channel for a in session.offer(want, frames, 0.0) if type(a) is Publish]
        done = session.receive("ack", ack((old - 1, old - 1), (new - 1, new - 1)), 0.0)
        assert done
    assert went.count("tel") == went.count("fill") + len(went) % 2
    assert all(pair.count("tel") == 1 for pair in zip(went[8::2], went[9::2], strict=False))


def test_live_samples_take_all_the_room_once_the_backlog_is_sent() -> None:
    """When the buffer has no more for fill, fill is not asked again until rows come back."""
    session = live()
    assert "fill" in wants(session)
    later = wants(session)
    assert "fill" not in later
    session.rewind()
    assert wants(session)["fill"].after == (0, 0)


def test_resends_go_on_the_channel_of_the_first_time() -> None:
    """A backlog message that is not acked goes out again on fill, the same bytes."""
    session = live()
    session.offer(Want("fill", "tel", (0, 0), MARK, 1), [frame(1)], 0.0)
    assert session.tick(10.0) == [Publish("fill", b"blob 1")]


def test_rows_a_cloud_does_not_read_stay() -> None:
    """A cloud of 1.0 gets no cmd, no aud, no snapshot, and the backlog on tel."""
    session = live(takes=())
    assert session.tick(99.0) == []
    lanes = wants(session)
    assert lanes.keys() == {"evt", "live", "fill"}
    assert session.offer(lanes["fill"], [frame(1)], 0.0) == [Publish("tel", b"blob 1")]


def test_a_pause_holds_rows_and_nothing_else() -> None:
    """While the cloud asks for a pause no row goes out, first or again; then all goes on."""
    session = live()
    offer(session, [frame(1)])
    assert session.receive("flow", encode(Flow(pause_ms=20_000)), 1.0) == []
    assert not wants(session, 5.0)
    assert session.tick(12.0) == []
    assert session.due(12.0) == 21.0
    nack = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=1, have=0))
    session.dictionary_sent(EP, 3)
    assert session.receive("ack", nack, 13.0) == []  # the frame needs no aliases at all
    assert session.tick(21.0) == [Publish("tel", b"blob 1")]
    assert "live" in wants(session, 21.0)


def test_a_pause_holds_the_answer_to_need_dict() -> None:
    """The dictionary is sent at once, the message when the pause is over."""
    session = live(Known(ep=EP, dictionary=5))
    offer(session, [frame(1, dv=5)])
    session.receive("flow", encode(Flow(pause_ms=5000)), 0.0)
    nack = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=1, have=2))
    assert session.receive("ack", nack, 1.0) == [SendDictionary(EP, 2)]
    assert session.tick(4.9) == []
    assert session.tick(5.0) == [Publish("tel", b"blob 1")]


def test_the_cloud_can_make_the_window_one() -> None:
    """A window of one message is kept to; half a minute after the last word it is forgotten."""
    session = live()
    session.receive("flow", encode(Flow(window=1)), 0.0)
    assert session.window_size(0.0) == 1
    assert wants(session)["live"].limit == 1
    offer(session, [frame(1)])
    assert not wants(session)
    assert session.window_size(29.9) == 1
    assert session.window_size(30.0) == START
    session.receive("flow", encode(Flow(window=1)), 31.0)
    session.receive("flow", encode(Flow()), 32.0)
    assert session.window_size(32.0) == START


def test_silence_and_late_acks_halve_the_window_and_acks_in_time_widen_it() -> None:
    """Additive increase, multiplicative decrease; one bad moment counts once."""
    session = live()
    offer(session, [frame(1 + 10 * i) for i in range(7)])
    session.tick(10.0)
    assert session.window_size(10.0) == START // 2
    session.tick(30.0)
    assert session.window_size(30.0) == LEAST
    session.tick(70.0)
    assert session.window_size(70.0) == LEAST
    for _ in range(200):
        offer(session, [frame(1001)], 71.0)
        session.receive("ack", ack((1001, 1010)), 71.0)
    assert session.window_size(71.0) == WINDOW
    offer(session, [frame(2001), frame(2011)], 80.0)
    session.receive("ack", ack((2001, 2010)), 88.0)  # eight seconds late
    session.receive("ack", ack((2011, 2020)), 88.0)
    assert session.window_size(88.0) == WINDOW // 2


def test_a_message_that_was_overtaken_says_nothing_of_the_link() -> None:
    """What is sent again early because a later one was acked does not narrow the window."""
    session = live()
    offer(session, [frame(1), frame(11)])
    session.receive("ack", ack((11, 20)), 1.0)
    assert session.tick(2.0) == [Publish("tel", b"blob 1")]
    assert session.window_size(2.0) == START


def test_patience_grows_with_the_latency_of_the_link() -> None:
    """Over a link whose acks take long nothing is sent again while it is still on its way."""
    session = live()
    for i in range(60):
        offer(session, [frame(1 + 10 * i)], 100.0 * i)
        session.receive("ack", ack((1 + 10 * i, 10 + 10 * i)), 100.0 * i + 8)
    offer(session, [frame(5001)], 10_000.0)
    assert session.tick(10_031.0) == []
    assert session.tick(10_032.0) == [Publish("tel", b"blob 5001")]


def test_the_snapshot_comes_before_the_backlog() -> None:
    """With a backlog the present values go first, as soon as the cloud can read them."""
    session = opened()
    session.receive("resume", resume(Known(ep=EP, dictionary=3)), 0.0)
    assert session.tick(0.0) == []  # nobody has said yet how long the dictionary is
    assert session.dictionary_grew(EP, 5) == [SendDictionary(EP, 3)]
    assert session.tick(0.0) == []
    assert "fill" not in wants(session)
    assert "live" in wants(session)
    assert session.due(0.0) == 2.0
    assert session.receive("ack", encode(Ack(ep=EP, st="inv", ranges=[(4, 5)])), 1.0) == [
        SendSnapshot()
    ]
    assert session.tick(2.0) == []
    assert "fill" in wants(session)


def test_the_snapshot_does_not_wait_for_ever() -> None:
    """After two seconds it goes out whether or not the dictionary was acked."""
    session = opened()
    session.receive("resume", resume(), 0.0)
    session.dictionary_grew(EP, 5)
    assert session.tick(1.9) == []
    assert session.tick(2.0) == [SendSnapshot()]


@pytest.mark.parametrize("held", [[], [(1, 10)]])
def test_without_a_backlog_or_points_there_is_no_snapshot(held: list[tuple[int, int]]) -> None:
    """Nothing is sent on now where the rows themselves come at once, or there are no points."""
    session = live(said=hello(held, accepted=10))
    session.dictionary_grew(EP, 0)
    assert session.tick(99.0) == []


def test_where_new_rows_wait_there_is_a_snapshot_now_and_then() -> None:
    """A line too slow for all that is new still carries what the points say now."""
    session = live(said=hello([], accepted=10))
    session.dictionary_grew(EP, 5)
    offer(session, [frame(1 + i, 1) for i in range(START)], 0.0)
    shown = []
    for second in range(40):
        now = float(second)
        if SendSnapshot() in session.tick(now):
            shown.append(second)
        session.receive("ack", ack((second + 1, second + 1)), now)
        offer(session, [frame(1 + START + second, 1)], now)  # there are always more
    assert shown == [10, 20, 30]
    later = [SendSnapshot() in session.tick(at) for at in (50.0, 70.0, 90.0)]
    assert later == [True, False, False]  # nobody has answered since


def test_where_new_rows_go_at_once_there_is_no_snapshot() -> None:
    """Nor while the cloud asks for a pause."""
    session = live(said=hello([], accepted=10))
    session.dictionary_grew(EP, 5)
    for second in range(40):
        now, s0 = float(second), 1001 + 10 * second
        session.offer(wants(session, now)["live"], [frame(s0)], now)  # more were wanted
        session.receive("ack", ack((s0, s0 + 9)), now)
        assert SendSnapshot() not in session.tick(now)
    session.receive("flow", encode(Flow(pause_ms=20_000)), 40.0)
    assert SendSnapshot() not in session.tick(59.0)


def test_the_time_is_taken_from_the_hello_that_was_answered() -> None:
    """The round trip is counted from the very hello that the resume echoes."""
    at = iter([100, 200])
    session = Session(hello([]), MARK, now_us=lambda: next(at), jitter=plain)
    session.start(0.0)
    session.tick(5.0)
    (heard, *_) = session.receive("resume", resume(at=200, time=777), 6.0)
    assert heard == HeardTime(777, 1.0)
    for _ in range(20):
        other = Session(hello([]), MARK, now_us=iter(range(1, 99)).__next__, jitter=plain)
        for i in range(20):
            other.start(float(i))
        answer = other.receive("resume", resume(at=1, time=777), 30.0)  # long forgotten
        assert not any(isinstance(action, HeardTime) for action in answer)


def test_a_cloud_without_the_echo_tells_no_time() -> None:
    """A resume that does not say which hello it answers is none to set a clock by."""
    session = Session(hello([]), MARK, now_us=lambda: 0, jitter=plain)
    session.start(0.0)
    answer = session.receive("resume", resume(at=0, time=777), 1.0)
    assert not any(isinstance(action, HeardTime) for action in answer)
    assert session.live


def test_an_audit_finds_what_a_restored_cloud_has_lost() -> None:
    """Hello again on a live session: what the cloud lacks by now is taken back and sent again."""
    at = iter([100, 200])
    session = Session(hello([]), MARK, now_us=lambda: next(at), jitter=plain)
    session.start(0.0)
    session.receive("resume", resume(Known(ep=EP, ranges={"tel": [(1, 1000)]}), at=100), 0.0)
    session.tick(2.0)
    want = wants(session, 2.0)["live"]
    session.offer(want, [frame(1001), frame(1011)], 2.0)
    session.receive("ack", ack((1001, 1010)), 2.0)
    account = hello([(1011, 1020)], accepted=1020)
    (said,) = session.audit(account, (2, 1020), 3.0)
    assert isinstance(said, Publish)
    assert decode(Hello, said.payload).at == 200
    stale = resume(Known(ep=EP, ranges={"tel": [(1, 1000)]}), at=100)
    assert session.receive("resume", stale, 3.5) == []
    known = resume(Known(ep=EP, ranges={"tel": [(1, 900)]}), at=200, time=5)
    assert session.receive("resume", known, 4.0) == [
        HeardTime(5, 1.0),
        Revive(EP, "tel", ((901, 1010),)),
    ]
    assert session.receive("resume", known, 4.0) == []
    assert session.counters["rows_cloud_lost"] == 110
    assert not session.doubtful
    assert session.tick(4.9) == []
    # The cloud has answered a later hello without having it: no need to wait for its turn.
    assert session.tick(5.0) == [Publish("tel", b"blob 1011")]
    assert session.doubtful  # had to be sent again: who knows what happened up there
    session.rewind()
    again = wants(session, 4.0)
    assert (again["fill"].after, again["fill"].until) == ((0, 0), (2, 1020))
    assert again["live"].after == (2, 1020)
    sent = session.offer(again["fill"], [frame(901, 100), frame(1001), frame(1011)], 4.0)
    assert sent == [
        Publish("fill", b"blob 901"),
        Publish("fill", b"blob 1001"),
    ]  # 1011 is on its way


def test_refused_messages_are_passed_over_after_a_rewind() -> None:
    """What the cloud refused is not sent again on this connection, whatever happens."""
    session = live()
    offer(session, [frame(1)])
    session.receive("ack", encode(Nack(ep=EP, st="tel", nack="fork", s0=1)), 0.0)
    session.rewind()
    assert offer(session, [frame(1), frame(11)]) == [Publish("tel", b"blob 11")]


def test_rows_of_streams_the_cloud_does_not_read_are_not_missed() -> None:
    """A 1.0 cloud names no audit rows; that is no reason to send them again."""
    holding = Holding(ep=EP, accepted={"aud": 5, "evt": 5, "tel": 0}, held={})
    session = opened(Hello(session=NAME, agent="t", epochs=[holding]))
    answer = session.receive("resume", resume(Known(ep=EP), takes=()), 0.0)
    assert [a for a in answer if isinstance(a, Revive)] == [Revive(EP, "evt", ((1, 5),))]


def test_a_snapshot_nobody_could_read_brings_the_dictionary() -> None:
    """need_dict with s0 = 0 is about the snapshot: the dictionary goes out from there, once."""
    session = live(Known(ep=EP, dictionary=2))
    session.dictionary_grew(EP, 5)
    nack = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=0, have=2))
    assert session.receive("ack", nack, 1.0) == [SendDictionary(EP, 2)]
    assert session.receive("ack", nack, 1.5) == []
    other = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=77, have=2))
    assert session.receive("ack", other, 9.0) == []  # acked meanwhile


def test_commands_come_through_once_the_time_is_told() -> None:
    """A command is handed on while the session is live, and not before the resume."""
    session = opened()
    assert session.receive("cmd", b"early", 0.0) == []
    assert session.counters["down_channel"] == 1
    session = live()
    assert session.receive("cmd", b"payload", 0.0) == [Ordered(b"payload")]
