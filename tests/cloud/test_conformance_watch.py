"""The judge of a gateway, message by message."""

from __future__ import annotations

from typing import Any

from plantroom_cloud.conformance import shapes
from plantroom_cloud.conformance.assertions import GATEWAY
from plantroom_cloud.conformance.played import PlayedCloud
from plantroom_cloud.conformance.told import NOBODY, WINDOW, Told, Up
from plantroom_cloud.conformance.verdicts import Verdicts
from plantroom_cloud.conformance.watch import Watch
from plantroom_shared import wire
from plantroom_shared.model import Batch
from support import golden
from support.golden import EP, T0


class Judge:
    """A watch in a session that has begun, and what it finds."""

    def __init__(self) -> None:
        self.verdicts = Verdicts(GATEWAY)
        self.watch = Watch(self.verdicts, golden.GATEWAY)
        self.now = 0.0
        hello = wire.Hello(
            session="1" * 16,
            agent="x",
            epochs=[wire.Holding(ep=EP, accepted={"tel": 10}, held={"tel": [(5, 10)]})],
            certificate=golden.certificate(),
        )
        self.send("hello", wire.encode(hello))
        takes = ["now", "cmd", "aud", "fill"]
        self.watch.resumed({"epochs": [{"ep": EP, "dictionary": 9}], "takes": takes})

    def send(self, channel: str, payload: bytes) -> dict[str, Any] | None:
        self.now += 0.1
        return self.watch.up(Up(channel, payload, 1, retain=False, at=self.now))

    def rows(self, s0: int, *values: float, channel: str = "fill") -> None:
        n = len(values)
        batch = Batch([0] * n, [T0 + s0 + row for row in range(n)], [*values])
        assert self.send(channel, wire.encode_samples(EP, s0, batch)) is not None

    @property
    def failed(self) -> set[str]:
        return set(self.verdicts.named("fails"))


def test_what_is_no_message_is_told_apart() -> None:
    """Form, size, version, channel and stream each have their assertion."""
    judge = Judge()
    assert judge.send("state", b"rubbish") is None
    assert judge.failed == {"SV1-P-01"}
    assert judge.send("state", bytes(shapes.MAX_WIRE + 1)) is None
    assert judge.failed == {"SV1-P-01", "SV1-P-02"}
    other = Judge()
    assert other.send("state", shapes.pack({"v": 2, "online": True})) is None
    assert other.failed == {"SV1-P-01"}
    strange = Judge()
    assert strange.send("later", shapes.pack({"v": 1})) is None
    assert strange.failed == {"SV1-T-01"}
    mixed = Judge()
    assert mixed.send("evt", golden.CASES["records-audit"][1]()) is None
    assert mixed.failed == {"SV1-M-05"}


def test_an_alias_keeps_its_meaning() -> None:
    """An alias that changes, and one that is left out, break the same assertion."""
    judge = Judge()

    def describe(a0: int, key: str, device: str = "d") -> None:
        point = {"key": key, "device": device, "name": key}
        devices = [{"key": "d", "name": "d", "protocol": "x"}]
        chunk = {"v": 1, "ep": EP, "a0": a0, "points": [point], "devices": devices}
        judge.send("inv", shapes.pack(chunk))

    describe(0, "one")
    assert judge.failed == set()
    describe(0, "two")
    assert judge.failed == {"SV1-D-02"}
    describe(99, "far", "unknown")
    assert judge.failed == {"SV1-D-02", "SV1-D-04"}


def test_a_snapshot_tells_the_rows_that_come() -> None:
    """A row of the snapshot with other contents than under its number is found, before and after."""
    for late in (False, True):
        judge = Judge()
        snapshot = wire.encode_snapshot(EP, Batch([0], [T0 + 5], [1.5]), [5])
        if not late:
            judge.send("now", snapshot)
        judge.rows(5, 1.5)
        if late:
            judge.send("now", snapshot)
        assert "SV1-S-01" not in judge.failed
        judge.send("now", wire.encode_snapshot(EP, Batch([0], [T0 + 5], [9.5]), [5]))
        assert judge.failed == {"SV1-S-01"}
    first = Judge()
    first.send("now", wire.encode_snapshot(EP, Batch([0], [T0 + 5], [9.5]), [5]))
    first.rows(5, 1.5)
    assert first.failed == {"SV1-S-01"}


def test_gap_records_are_checked() -> None:
    """A signed gap holds; one that is not signed does not. Rows sent before may become a gap."""
    judge = Judge()
    judge.rows(5, 1.5)
    gap = golden._gap(signed=True, ep=EP, s0=5, n=1)
    assert judge.send("fill", gap) is not None
    assert judge.failed == set()
    assert judge.verdicts.named("holds").count("SV1-G-01") == 1
    judge.send("evt", golden._gap(signed=False, st="evt"))
    assert judge.failed == {"SV1-G-01"}


def test_acked_rows_may_come_only_while_the_ack_is_under_way() -> None:
    """Right after the ack a repetition is excused, two seconds later it is not."""
    judge = Judge()
    judge.rows(5, 1.5)
    judge.watch.acked((EP, "tel"), [(5, 5)], judge.now)
    judge.rows(5, 1.5)
    assert judge.failed == set()
    assert judge.watch.told.unacked == {}
    judge.now += 3
    judge.rows(5, 1.5)
    assert judge.failed == {"SV1-A-02"}


def test_holes_are_counted_from_what_was_held() -> None:
    """What an earlier cloud has confirmed is no hole; what was forgiven is none either."""
    judge = Judge()
    lane = (EP, "tel")
    assert judge.watch.holes(lane) == []
    judge.rows(5, 1.5)
    judge.rows(8, 1.5)
    assert judge.watch.holes(lane) == [(6, 7)]
    judge.watch.forgiven[lane] = [(6, 6)]
    assert judge.watch.holes(lane) == [(7, 7)]


def test_the_played_cloud_asks_for_what_was_left_out() -> None:
    """It answers a dictionary with a hole as a cloud must."""
    answer = PlayedCloud().learn({"v": 1, "ep": EP, "a0": 3, "points": []})
    assert (answer["nack"], answer["have"]) == ("need_dict", 0)
    assert shapes.NACK(answer) == ""
    assert Told("", NOBODY).window == WINDOW
