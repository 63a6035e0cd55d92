"""The judge of a gateway: what it must never do, whatever it is being put through. Pure.

`Watch` sees every message in both directions and keeps its own account of what the gateway was
told. What a gateway must do in answer to something is for the scenarios to wait for.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from plantroom_cloud.conformance import shapes
from plantroom_cloud.conformance.checks import Check
from plantroom_cloud.conformance.signature import signature_trouble
from plantroom_cloud.conformance.told import (
    CHANNELS,
    GRACE,
    LATE,
    NOBODY,
    ROW_CHANNELS,
    SETTLE,
    WINDOW,
    Lane,
    Sent,
    Told,
    Up,
    hashes,
    holdings,
)
from plantroom_cloud.conformance.verdicts import Verdicts
from plantroom_shared import ranges
from plantroom_shared.ranges import Range


class Watch:
    """Holds everything that is seen against the assertions.

    Args:
        verdicts: where the findings go.
        gateway: the id of the gateway, which is part of what gap records sign.
    """

    def __init__(self, verdicts: Verdicts, gateway: str) -> None:
        self._verdicts, self._gateway = verdicts, gateway
        self.told = Told("", NOBODY, opening=NOBODY)
        self.sessions: list[str] = []
        self.seen: dict[Lane, list[Range]] = {}
        """Rows that came, in any session."""
        self.confirmed: dict[Lane, list[Range]] = {}
        """Rows that were acked or named in a resume, in any session."""
        self.kept: dict[Lane, list[Range]] = {}
        """Rows that were refused and so must stay."""
        self.rows: dict[Lane, dict[int, int]] = {}
        """Order number → a hash of the row."""
        self._shown: dict[Lane, dict[int, int]] = {}
        """The same of rows in snapshots."""
        self.points: dict[str, dict[int, str]] = {}
        self._devices: set[str] = set()
        self._known: dict[str, int] = {}
        """Epoch → aliases that the gateway may take for known."""
        self.start: dict[Lane, int] = {}
        """The lowest order number that must come."""
        self.forgiven: dict[Lane, list[Range]] = {}
        """Rows whose loss has been reported by another assertion."""
        self.refusals = 0
        self.states: list[tuple[float, bool]] = []
        self._greeting = True
        """A connection has ended: the next word must be hello."""
        self._late = False
        self._back = False
        """A connection has ended since the last hello."""
        self.most_unacked = 0
        self.messages = 0
        self.offline = 0
        self.hellos = 0

    # ------------------------------------------------------------ up

    def up(self, message: Up) -> dict[str, Any] | None:
        """Judge a message; return its document if the cloud can make something of it."""
        self.messages += 1
        where = f"message {self.messages} on {message.channel}"
        self._verdicts.judge("SV1-T-01", message.channel in CHANNELS, where)
        if (qos := message.qos) is not None:
            self._verdicts.judge("SV1-T-02", qos == 1, where, f"{where}: QoS {qos}")
        self._verdicts.judge("SV1-T-03", not message.retain, where)
        try:
            document = shapes.unpack(message.payload)
        except shapes.Unreadable as error:
            name = "SV1-P-02" if error.limit else "SV1-P-01"
            self._verdicts.fails(name, f"{where}: {error}")
            return None
        good = type(document.get("v")) is int and document["v"] == 1
        if not self._verdicts.judge("SV1-P-01", good, where, f"{where}: v is not 1"):
            return None
        self._verdicts.holds("SV1-P-02", f"{where}: {len(message.payload)} bytes")
        return document if self._dispatch(message, document, where) else None

    def _dispatch(self, message: Up, document: dict[str, Any], where: str) -> bool:
        channel = message.channel
        checks: dict[str, tuple[str, Check]] = {
            "hello": ("SV1-M-01", shapes.HELLO),
            "inv": ("SV1-M-02", shapes.DICTIONARY),
            "now": ("SV1-M-07", shapes.snapshot_of),
            "state": ("SV1-M-08", shapes.STATE),
        }
        if channel in checks:
            name, check = checks[channel]
            trouble = check(document)
        elif channel in ROW_CHANNELS:
            name, trouble = shapes.rows_of(document)
            stream = "tel" if channel == "fill" else channel
            if not trouble and document["st"] != stream:
                trouble = f"stream {document['st']} on channel {channel}"
        else:
            return False
        if not self._verdicts.judge(name, not trouble, where, f"{where}: {trouble}"):
            return False
        self._manners(message, document, where)
        match channel:
            case "hello":
                self._hello(document, where, message.at)
            case "state":
                self._state(message, document)
            case "inv":
                self._dictionary(document, where)
            case "now":
                self._snapshot(document, where)
            case _:
                self._rows(message, document, where)
        return True

    def _manners(self, message: Up, document: dict[str, Any], where: str) -> None:
        """Judge whether this kind of message was due now at all."""
        channel, told = message.channel, self.told
        if channel == "state" and document["online"] is False:
            return
        if self._greeting:
            self._greeting = False
            self._verdicts.judge("SV1-H-01", channel == "hello", where, f"{where} came first")
        if channel in ("hello", "state"):
            return
        if not told.live:
            # Whoever sends only after a false resume has believed it.
            name = "SV1-H-05" if told.misled and not told.early else "SV1-H-02"
            told.early = told.early or not told.misled
            self._verdicts.fails(name, f"{where} before the resume of its session")
        elif channel in LATE:
            self._late = True
            name = "SV1-H-10"
            self._verdicts.judge(name, channel in told.takes, where, f"{where} is not taken")

    # ------------------------------------------------------------ hello and state

    def _hello(self, hello: dict[str, Any], where: str, at: float) -> None:
        self.hellos += 1
        if self.told.session == hello["session"] and not self._back:
            self.told.hello = hello
            return
        again = hello["session"] in self.sessions
        self._verdicts.judge("SV1-H-03", not again, where, f"{where}: session came before")
        self._judge_held(hello, where)
        self.states.append((at, True))
        self.sessions.append(hello["session"])
        self.told = Told(hello["session"], hello, opening=hello)
        self._back = False
        for lane, (accepted, held) in holdings(hello).items():
            lowest = min([lo for lo, _ in held], default=accepted + 1)
            self.start.setdefault(lane, lowest)

    def _judge_held(self, hello: dict[str, Any], where: str) -> None:
        said = holdings(hello)
        for lane, seen in self.seen.items():
            held = said.get(lane, (0, []))[1]
            kept = self.kept.get(lane, [])
            owed = ranges.subtract(ranges.subtract(seen, self.confirmed.get(lane, [])), kept)
            if owed:
                missing = ranges.subtract(owed, held)
                words = f"{where}: {lane[1]} {missing[:3]} are not held"
                self._verdicts.judge("SV1-H-06", not missing, where, words)
            if kept:
                missing = ranges.subtract(kept, held)
                words = f"{where}: {lane[1]} {missing[:3]} are gone"
                self._verdicts.judge("SV1-N-02", not missing, where, words)

    def _state(self, message: Up, state: dict[str, Any]) -> None:
        self.states.append((message.at, state["online"]))
        if not state["online"]:
            self.offline += 1
            self._greeting = self._back = True

    # ------------------------------------------------------------ dictionary and snapshot

    def _dictionary(self, chunk: dict[str, Any], where: str) -> None:
        epoch, start = chunk["ep"], chunk["a0"]
        known = self.points.setdefault(epoch, {})
        self._devices |= {device["key"] for device in chunk.get("devices", [])}
        sent = self._known.get(epoch, 0)
        trouble = "" if start <= sent else f"aliases {sent}..{start - 1} were left out"
        for alias, point in enumerate(chunk["points"], start):
            if known.setdefault(alias, point["key"]) != point["key"]:
                trouble = f"alias {alias} was {known[alias]} and is {point['key']}"
            good = point["device"] in self._devices
            self._verdicts.judge("SV1-D-04", good, where, f"{where}: {point['device']} unknown")
        self._verdicts.judge("SV1-D-02", not trouble, where, f"{where}: {trouble}")
        self._known[epoch] = max(sent, start + len(chunk["points"]))

    def _snapshot(self, now: dict[str, Any], where: str) -> None:
        lane, trouble = (now["ep"], "tel"), ""
        seen, told = self.rows.get(lane, {}), self._shown.setdefault(lane, {})
        for number, row in zip(now["s"], hashes(now), strict=True):
            told[number] = row
            if seen.get(number, row) != row:
                trouble = f"row {number} came with other contents"
        self._verdicts.judge("SV1-S-01", not trouble, where, f"{where}: {trouble}")

    # ------------------------------------------------------------ rows

    def _rows(self, message: Up, document: dict[str, Any], where: str) -> None:
        epoch, stream, first = document["ep"], document["st"], document["s0"]
        lane, whole = (epoch, stream), (first, first + document["n"] - 1)
        self._same(lane, document, where)
        if "gap" in document:
            trouble = signature_trouble(document, self._gateway, self.told.hello)
            self._verdicts.judge("SV1-G-01", not trouble, where, f"{where}: {trouble}")
        elif stream == "tel":
            need, known = max(shapes.aliases(document["p"])) + 1, self._known.get(epoch, 0)
            words = f"{where} needs {need} aliases, {known} were sent"
            self._verdicts.judge("SV1-D-01", need <= known, where, words)
        if (told := self.told).live:
            self._not_again(message, told, (epoch, stream, first), whole, where)
            if not told.early:
                self._in_order(message.channel, told, lane, whole, where)
            self._in_window(message, told, (epoch, stream, first), whole, where)
        self.seen[lane] = ranges.merge([*self.seen.get(lane, []), whole])
        self.told.sent[lane] = ranges.merge([*self.told.sent.get(lane, []), whole])

    def _same(self, lane: Lane, document: dict[str, Any], where: str) -> None:
        rows = self.rows.setdefault(lane, {})
        if "gap" in document:
            return  # rows may be lost after they were sent
        again, shown = False, self._shown.get(lane, {})
        for number, row in enumerate(hashes(document), document["s0"]):
            old = rows.get(number)
            rows[number] = row
            if old is not None and old != row:
                self._verdicts.fails("SV1-R-02", f"{where}: row {number} has changed")
                return
            if old is not None:
                again = True
            if shown.get(number, row) != row:
                self._verdicts.fails("SV1-S-01", f"{where}: row {number} was another in `now`")
        if again:
            self._verdicts.holds("SV1-R-02", f"{where} came again")

    def _not_again(self, message: Up, told: Told, sent: Sent, whole: Range, where: str) -> None:
        lane = sent[:2]
        if ranges.covers(told.named.get(lane, []), *whole) and not told.early:
            self._verdicts.fails("SV1-H-07", f"{where}: rows {whole} were in the resume")
        old = [span for at, span in told.acked.get(lane, []) if message.at - at > GRACE]
        if old and ranges.covers(ranges.merge(old), *whole):
            self._verdicts.fails("SV1-A-02", f"{where}: rows {whole} were acked")
        for (*refused, _), (at, span) in told.refused.items():
            overlaps = tuple(refused) == lane and ranges.intersect([span], [whole])
            if overlaps and message.at - at > SETTLE:
                self._verdicts.fails("SV1-N-01", f"{where}: rows {whole} were refused")

    def _in_order(self, channel: str, told: Told, lane: Lane, whole: Range, where: str) -> None:
        if lane[1] != "tel":
            return
        accepted = holdings(told.opening).get(lane, (0, []))[0]
        if "fill" in told.takes and any(part["ep"] == lane[0] for part in told.opening["epochs"]):
            wrong = whole[0] > accepted if channel == "fill" else whole[1] <= accepted
            words = f"{where}: rows {whole}, accepted was {accepted}"
            self._verdicts.judge("SV1-L-02", not wrong, where, words)
        top = told.first.get((channel, lane[0]), 0)
        if (lane[0], "tel", whole[0]) not in told.ever:
            words = f"{where}: rows {whole} after {top}"
            self._verdicts.judge("SV1-L-03", whole[0] > top, where, words)
        told.ever.add((lane[0], "tel", whole[0]))
        told.first[channel, lane[0]] = max(top, whole[1])

    def _in_window(self, message: Up, told: Told, sent: Sent, whole: Range, where: str) -> None:
        begin, end = told.paused
        if begin + SETTLE < message.at < end:
            left = f"{end - message.at:.1f} s before the pause is over"
            self._verdicts.fails("SV1-F-01", f"{where}: {left}")
        spans = ranges.merge(span for _, span in told.acked.get(sent[:2], []))
        if sent not in told.refused and not ranges.covers(spans, *whole):
            told.unacked[sent] = whole  # else it had not heard of our answer when it sent this
        under_way = len(told.unacked)
        self.most_unacked = max(self.most_unacked, under_way)
        if told.window == WINDOW and not told.flow:
            words = f"{under_way} messages are unacked"
            self._verdicts.judge("SV1-L-01", under_way <= WINDOW, words, f"{where}: {words}")
        elif told.drained:
            words = f"{under_way} unacked, window {told.window}"
            self._verdicts.judge("SV1-F-03", under_way <= told.window, words, f"{where}: {words}")

    # ------------------------------------------------------------ looking back

    def holes(self, lane: Lane) -> list[Range]:
        """Return order numbers of `lane` that should have come by now and have not."""
        seen = self.seen.get(lane, [])
        if not seen:
            return []
        whole = (min(self.start.get(lane, 1), seen[0][0]), seen[-1][1])
        there = [*seen, *self.confirmed.get(lane, []), *self.forgiven.get(lane, [])]
        return ranges.subtract([whole], there)

    def by_late(self) -> bool:
        """Say whether anything came on a channel of a later version in the present session."""
        return self._late

    def longest_without_state(self, now: float) -> float:
        """Return the longest time that a connected gateway sent no state, in seconds."""
        moments = [*self.states, (now, True)]
        return max(
            (end - begin for (begin, online), (end, _) in pairwise(moments) if online),
            default=0.0,
        )

    # ------------------------------------------------------------ down

    def resumed(self, resume: dict[str, Any]) -> None:
        """The resume of the present session was sent."""
        self.told.live = True
        self.told.takes = tuple(resume.get("takes", ()))
        held = holdings(self.told.hello)
        for known in resume["epochs"]:
            self._known[known["ep"]] = known.get("dictionary", 0)
            for stream, spans in known.get("ranges", {}).items():
                lane = (known["ep"], stream)
                ours = ranges.intersect(held.get(lane, (0, []))[1], map(tuple, spans))
                self.told.named[lane] = ours
                self._confirm(lane, ours)

    def misled(self) -> None:
        """A resume of another session was sent."""
        self.told.misled = True

    def acked(self, lane: Lane, spans: Iterable[Range], at: float) -> None:
        """An ack of `lane` was sent; only what was sent in this session counts as confirmed."""
        told = self.told
        good = ranges.intersect(spans, told.sent.get(lane, []))
        for span in good:
            told.acked.setdefault(lane, []).append((at, span))
        everything = ranges.merge(span for _, span in told.acked.get(lane, []))
        self._confirm(lane, good)
        for sent, whole in list(told.unacked.items()):
            if sent[:2] == lane and ranges.covers(everything, *whole):
                del told.unacked[sent]
        told.drained = told.drained or (not told.unacked and at > told.flow_at + SETTLE)

    def refused(self, sent: Sent, whole: Range, at: float) -> None:
        """The message `sent` was refused for good."""
        lane = sent[:2]
        self.refusals += 1
        self.kept[lane] = ranges.merge([*self.kept.get(lane, []), whole])
        self.told.refused[sent] = (at, whole)
        self.told.unacked.pop(sent, None)

    def flow(self, pause: float, window: int | None, at: float) -> None:
        """A valid flow was sent: seconds of pause, and a window."""
        told = self.told
        told.paused = (at, at + pause)
        told.window, told.flow = window or WINDOW, window is not None
        told.drained, told.flow_at = False, at

    def _confirm(self, lane: Lane, spans: Iterable[Range]) -> None:
        self.confirmed[lane] = ranges.merge([*self.confirmed.get(lane, []), *spans])
        self.kept[lane] = ranges.subtract(self.kept.get(lane, []), self.confirmed[lane])
