"""The protocol core, alone and against a model of the cloud on a network that lies."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from plantroom_edge.buffer_db import Frame
from plantroom_edge.buffer_store import Store
from plantroom_edge.session import (
    TEL_WINDOW,
    WINDOW,
    Action,
    Confirm,
    Publish,
    Refused,
    SendDictionary,
    Session,
)
from plantroom_shared.wire import Ack, Hello, Holding, Known, Nack, Resume, Stream, encode
from support.edge_cloud import ModelCloud, Row
from support.edge_rows import METER, counting, finding, points
from support.edge_time import VirtualTime

EP, OLD = "a" * 16, "b" * 16


def plain(_low: float, _high: float) -> float:
    return 1.0


def frame(s0: int, n: int = 10, *, stream: Stream = "tel", dv: int = 0, ep: str = EP) -> Frame:
    return Frame(ep, 1 + (ep == EP), stream, s0, n, dv, b"blob %d" % s0)


def hello(held: list[tuple[int, int]] | None = None) -> Hello:
    held = held or [(1, 1000)]
    holding = Holding(ep=EP, accepted={"tel": held[-1][1]}, held={"tel": held})
    return Hello(session="1" * 16, agent="t", epochs=[holding])


def resume(*known: Known, session: str = "1" * 16) -> bytes:
    return encode(Resume(session=session, epochs=list(known), time=0))


def ack(*spans: tuple[int, int], ep: str = EP, stream: Stream = "tel") -> bytes:
    return encode(Ack(ep=ep, st=stream, ranges=list(spans)))


def live(*known: Known) -> Session:
    session = Session(hello(), jitter=plain)
    session.start(0.0)
    session.receive("resume", resume(*known), 0.0)
    return session


def test_sends_nothing_before_the_resume_and_repeats_the_hello() -> None:
    """Until the cloud answers, only the hello goes out, every five seconds."""
    session = Session(hello(), jitter=plain)
    (first,) = session.start(0.0)
    assert isinstance(first, Publish)
    assert first.channel == "hello"
    assert session.want("tel") is None
    assert session.tick(4.9) == []
    assert session.tick(5.0) == [first]
    assert session.due() == 10.0


def test_resume_of_another_session_is_ignored() -> None:
    """A resume that answers somebody else's hello opens nothing."""
    session = Session(hello(), jitter=plain)
    session.start(0.0)
    assert session.receive("resume", resume(session="2" * 16), 0.0) == []
    assert not session.live
    assert session.counters["resume_other_session"] == 1


def test_resume_trims_only_what_the_hello_named() -> None:
    """The cloud's claims about rows or epochs that were not announced delete nothing."""
    session = Session(hello([(11, 20), (31, 40)]), jitter=plain)
    session.start(0.0)
    known = Known(ep=EP, ranges={"tel": [(1, 15), (35, 9999)], "evt": [(1, 5)]})
    other = Known(ep=OLD, ranges={"tel": [(1, 5)]})
    actions = session.receive("resume", resume(known, other), 0.0)
    assert actions == [Confirm(EP, "tel", ((11, 15), (35, 40)))]
    assert session.receive("resume", resume(known), 0.0) == []


def test_window_is_bounded_and_leaves_room_for_findings() -> None:
    """Samples fill all places but one; a finding always finds one."""
    session = live()
    want = session.want("tel")
    assert want is not None
    assert want.limit == TEL_WINDOW
    session.offer([frame(1 + 10 * i) for i in range(TEL_WINDOW)], 0.0)
    assert session.want("tel") is None
    found = session.want("evt")
    assert found is not None
    assert found.limit == WINDOW - TEL_WINDOW
    session.offer([frame(1, stream="evt")], 0.0)
    assert session.want("evt") is None
    assert session.window == WINDOW


def test_ack_confirms_and_makes_room() -> None:
    """Acked rows are confirmed at once and the next frames are wanted behind the last one sent."""
    session = live()
    session.offer([frame(1), frame(11)], 0.0)
    assert session.receive("ack", ack((1, 10)), 3.0) == [Confirm(EP, "tel", ((1, 10),))]
    want = session.want("tel")
    assert want is not None
    assert want.after == (2, 20)
    assert session.window == 1
    assert session.last_ack == 3.0


def test_ack_of_rows_never_sent_deletes_nothing() -> None:
    """Acks beyond what went out in this session are counted and otherwise ignored."""
    session = live()
    session.offer([frame(1)], 0.0)
    assert session.receive("ack", ack((11, 500)), 0.0) == []
    assert session.receive("ack", ack((1, 10), ep=OLD), 0.0) == []
    assert session.receive("ack", ack((1, 10), stream="evt"), 0.0) == []
    assert session.counters["acks_beyond"] == session.counters["acks_repeated"] == 3
    assert session.receive("ack", ack((5, 99)), 0.0) == [Confirm(EP, "tel", ((5, 10),))]
    assert session.window == 1


def test_parts_of_a_message_add_up() -> None:
    """A message acked in two halves is confirmed as a whole, and once."""
    session = live()
    session.offer([frame(1)], 0.0)
    session.receive("ack", ack((1, 4)), 0.0)
    assert session.receive("ack", ack((5, 10)), 0.0) == [Confirm(EP, "tel", ((1, 10),))]
    assert session.window == 0
    assert session.receive("ack", ack((1, 10)), 0.0) == []


def test_unacked_messages_go_out_again_with_growing_pauses() -> None:
    """After 10 s, then 20 s, then 40 s without an ack a message is sent again."""
    session = live()
    session.offer([frame(1)], 0.0)
    again = [Publish("tel", b"blob 1")]
    assert session.tick(9.9) == []
    assert session.tick(10.0) == again
    assert session.tick(29.9) == []
    assert session.tick(30.0) == again
    assert session.due() == 70.0


def test_overtaken_messages_go_out_again_soon() -> None:
    """A message goes out again a second after a later one of its stream was acked, then as ever."""
    session = live()
    findings = frame(1, stream="evt")
    session.offer([frame(1, ep=OLD), frame(1), frame(11), frame(21), findings], 0.0)
    session.receive("ack", ack((11, 20)), 2.0)
    assert session.tick(2.9) == []
    assert session.tick(3.0) == [Publish("tel", b"blob 1"), Publish("tel", b"blob 1")]
    assert session.due() == 10.0  # the later one and the other stream are not hurried
    session.receive("ack", ack((21, 30)), 4.0)
    assert session.tick(9.0) == []


def test_dictionary_goes_before_the_rows_that_need_it() -> None:
    """What the cloud lacks of a dictionary is sent before the first row that names it, once."""
    session = live(Known(ep=EP, dictionary=3))
    actions = session.offer([frame(1, dv=3), frame(11, dv=7), frame(21, dv=7)], 0.0)
    assert actions[1] == SendDictionary(EP, 3)
    assert [type(action) for action in actions].count(SendDictionary) == 1
    session.dictionary_sent(EP, 9)
    assert session.offer([frame(31, dv=9)], 0.0) == [Publish("tel", b"blob 31")]


def test_new_aliases_are_sent_as_soon_as_there_are_some() -> None:
    """A dictionary that grew is sent without waiting for rows; before the resume it is not."""
    assert Session(hello()).dictionary_grew(EP, 5) == []
    session = live(Known(ep=EP, dictionary=2))
    assert session.dictionary_grew(EP, 5) == [SendDictionary(EP, 2)]
    assert session.dictionary_grew(EP, 5) == []


def test_need_dict_sends_the_dictionary_once_and_the_message_again() -> None:
    """Eight messages that miss one dictionary cause one dictionary and eight repeats."""
    session = live(Known(ep=EP, dictionary=5))
    session.offer([frame(1 + 10 * i, dv=5) for i in range(3)], 0.0)
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
    """A cloud that asks for the dictionary for ever is answered by the slow resend alone."""
    session = live()
    session.offer([frame(1, dv=5)], 0.0)
    nack = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=1, have=0))
    answers = [session.receive("ack", nack, float(i)) for i in range(10)]
    assert sum(bool(answer) for answer in answers) == 3
    absurd = encode(Nack(ep=EP, st="tel", nack="need_dict", s0=1, have=10**9))
    assert session.receive("ack", absurd, 99.0) == []


@pytest.mark.parametrize("reason", ["schema", "fork"])
def test_refused_messages_are_kept_and_not_repeated(reason: str) -> None:
    """What the cloud will not take is neither deleted nor sent again in this session."""
    session = live()
    session.offer([frame(1)], 0.0)
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
        ("cmd", b"", "down_channel"),
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


class Net(RuleBasedStateMachine):
    """A gateway with its real store, a cloud, and everything between them that can go wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.time = VirtualTime()
        self.cloud = ModelCloud()
        self.accepted: dict[Row, object] = {}
        self.up: list[tuple[str, bytes]] = []
        self.down: list[tuple[str, bytes]] = []
        self.session: Session | None = None
        self.serial = 0

    @initialize()
    def start_agent(self) -> None:
        path = Path(self.folder.name) / "buffer.db"
        self.store = Store(path, 1 << 30, secrets.token_hex(8), self.time)
        self.counts: dict[Stream, int] = {"tel": 0, "evt": 0}
        self.store.run(lambda: self.store.add_points(points(3), [METER]))

    def perform(self, actions: list[Action]) -> None:
        assert self.session is not None
        for action in actions:
            match action:
                case Publish(channel, payload):
                    self.up.append((channel, payload))
                case SendDictionary(ep, a0):
                    blobs, size = self.store.run(lambda: self.store.dictionary(ep, a0))
                    self.session.dictionary_sent(ep, size)
                    self.up += [("inv", blob) for blob in blobs]
                case Confirm(ep, stream, acked):
                    self.store.run(lambda: self.store.confirm(ep, stream, acked))

    @rule(rows=st.integers(1, 6))
    def sample(self, rows: int) -> None:
        batch = counting(self.serial, rows)
        self.store.run(lambda: self.store.append([batch], []))
        for value in batch.values:
            self.counts["tel"] += 1
            self.accepted[self.store.ep, "tel", self.counts["tel"]] = value
        self.serial += rows

    @rule()
    def find(self) -> None:
        self.serial += 1
        event = finding(f"f{self.serial}")
        self.store.run(lambda: self.store.append([], [event]))
        self.counts["evt"] += 1
        self.accepted[self.store.ep, "evt", self.counts["evt"]] = event

    @rule()
    def connect(self) -> None:
        holdings = self.store.run(self.store.holdings)
        self.session = Session(Hello(session=secrets.token_hex(8), agent="t", epochs=holdings))
        self.down.clear()  # clean start: the broker keeps nothing for us; what went up may arrive
        self.perform(self.session.start(self.time.seconds))

    @precondition(lambda self: self.session)
    @rule()
    def disconnect(self) -> None:
        self.session = None

    @rule()
    def crash(self) -> None:
        self.session = None
        self.store.close()
        self.start_agent()

    @precondition(lambda self: self.session)
    @rule()
    def pump(self) -> None:
        assert self.session is not None
        streams: tuple[Stream, Stream] = ("evt", "tel")
        for stream in streams:
            want = self.session.want(stream)
            if want:
                ask = (want.stream, want.after, want.limit)
                frames = self.store.run(lambda: self.store.next(*ask))  # noqa: B023
                self.perform(self.session.offer(frames, self.time.seconds))

    @precondition(lambda self: self.up)
    @rule(data=st.data(), copies=st.sampled_from([0, 1, 1, 1, 2]))
    def carry_up(self, data: st.DataObject, copies: int) -> None:
        message = self.up.pop(data.draw(st.integers(0, len(self.up) - 1)))
        for _ in range(copies):
            self.down += self.cloud.receive(*message)

    @precondition(lambda self: self.down and self.session)
    @rule(data=st.data(), copies=st.sampled_from([0, 1, 1, 1, 2]))
    def carry_down(self, data: st.DataObject, copies: int) -> None:
        assert self.session is not None
        message = self.down.pop(data.draw(st.integers(0, len(self.down) - 1)))
        for _ in range(copies):
            self.perform(self.session.receive(*message, self.time.seconds))

    @precondition(lambda self: self.session)
    @rule(lo=st.integers(1, 50), more=st.integers(0, 50))
    def forge_ack(self, lo: int, more: int) -> None:
        """An ack for rows that were never accepted."""
        assert self.session is not None
        lo += self.counts["tel"]
        forged = ack((lo, lo + more), ep=self.store.ep)
        self.perform(self.session.receive("ack", forged, self.time.seconds))

    @precondition(lambda self: self.session)
    @rule(seconds=st.sampled_from([1.0, 6.0, 15.0, 200.0]))
    def wait(self, seconds: float) -> None:
        assert self.session is not None
        self.time.seconds += seconds
        self.perform(self.session.tick(self.time.seconds))

    def held(self) -> set[Row]:
        return {
            (holding.ep, stream, seq)
            for holding in self.store.run(self.store.holdings)
            for stream, spans in holding.held.items()
            for lo, hi in spans
            for seq in range(lo, hi + 1)
        }

    @invariant()
    def nothing_is_deleted_before_the_cloud_has_it(self) -> None:
        if hasattr(self, "store"):
            held = self.held()
            assert held <= self.accepted.keys()
            assert self.accepted.keys() <= held | self.cloud.rows.keys()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.settle()
            self.store.close()
        self.folder.cleanup()

    def settle(self) -> None:
        """With a network that works, all that was accepted arrives, once and unchanged."""
        self.connect()
        assert self.session is not None
        for _ in range(1000):
            self.pump()
            while self.up or self.down:
                if self.up:
                    self.down += self.cloud.receive(*self.up.pop(0))
                if self.down:
                    self.perform(self.session.receive(*self.down.pop(0), self.time.seconds))
            if not self.held():
                break
            self.time.seconds += 300.0
            self.perform(self.session.tick(self.time.seconds))
        assert not self.held()
        assert self.cloud.rows == self.accepted
        assert not self.cloud.gaps


Net.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestNet = Net.TestCase
