"""COV: devices tell changes by themselves, and polling watches that they do.

One `Watch` per device keeps its subscriptions. It has no task of its own: subscriptions are made
and renewed with the device's polls, so a device that is left alone is left alone wholly. Points
whose subscription lives are not polled but now and then; if such a poll shows a change that was
not told, the subscription is taken for dead and the point polled as before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_edge.drivers import Poll, PollGroup
from plantroom_edge.drivers.bacnet.notices import (
    PROCESS,
    Notice,
    encode_cancel,
    encode_subscribe,
)
from plantroom_edge.drivers.bacnet.plan import Plan
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.session import Reading, Session
from plantroom_edge.drivers.bacnet.values import Bits, Failure
from plantroom_edge.drivers.bacnet.vocabulary import (
    BINARY_TYPES,
    COV_INCREMENT,
    DEVICE,
    MULTI_STATE_TYPES,
    PRESENT_VALUE,
    SERVICES_SUPPORTED,
    STATUS_FLAGS,
    SUBSCRIBE_COV,
    object_id,
    split,
)
from plantroom_shared.backoff import doubling

LIFETIME: Final = 1800
"""Seconds of a subscription; more where polls are rarer."""
_POLLS_PER_LIFETIME: Final = 6
_WATCH: Final = 60.0
"""Seconds between two polls of everything, at least."""
_WATCH_POLLS: Final = 4
_MOST: Final = 500
"""Subscriptions at one device: its table is also that of the building's own station."""
_AT_ONCE: Final = 20
"""Requests about subscriptions with one poll."""
_SOON, _LATER = 60.0, 3600.0
"""Seconds for which a silent subscription is not tried again, at first and at last."""
_SLOW: Final = 10.0
"""Seconds: where polls are at least as far apart, changes come sooner by COV."""
_UNKNOWN_INCREMENT: Final = 0.05  # of the value
_SERVICE_BIT: Final = 5  # of protocol-services-supported: subscribe-cov
_FULL: Final = ("resources", "no-space", "out-of-memory")
_FULL_AFTER: Final = 8
"""Refusals in a row: many devices have no better word for a full table."""
_DISCRETE: Final = BINARY_TYPES | MULTI_STATE_TYPES
_NOTHING: Final = Failure("nothing")


@dataclass(slots=True)
class _Subscription:
    """One object; times are on the loop's clock."""

    row: int
    value_ref: Ref
    flags_ref: Ref
    confirmed: bool
    ends: float = 0.0
    """When the device forgets it; 0 while there is none."""
    held: Any = _NOTHING
    flags: Any = None
    heard: float = 0.0
    notices: int = 0
    """Since the last poll of everything."""
    not_before: float = 0.0
    silent: int = 0
    """How often it was found dead."""
    doubt: bool = False
    """Whether a poll has shown a change that was not told."""
    increment: float | None = None

    @property
    def oid(self) -> int:
        return self.value_ref[0]

    def lives(self, now: float) -> bool:
        return now < self.ends and self.held is not _NOTHING

    def differs(self, value: Any) -> bool:
        """Say whether `value` is so far from what was told that it should have been told."""
        if type(value) is float and type(self.held) is float:
            step = self.increment
            if step is None:
                step = _UNKNOWN_INCREMENT * max(abs(self.held), 1.0)
            return abs(value - self.held) > max(step, 1e-6 * abs(self.held))
        return bool(value != self.held)


@dataclass(slots=True)
class Watch:
    """The subscriptions at one device.

    Args:
        session: the device.
        rows: present-value and status flags of each point.
        who: asked with every poll, and so the one request of a poll that reads nothing else.
        interval: seconds between two polls.
        whole: reads everything.
        flags: whether status flags are read.
    """

    session: Session
    rows: Sequence[tuple[Ref, Ref]]
    who: Ref
    interval: float
    whole: Plan
    flags: bool = True
    group: PollGroup | None = None
    """As it was read the last time: with the gate that the sampler has set."""
    last: Poll | None = None
    """What that brought, and what was told since."""
    off: str = "not tried yet"
    """Why there are no subscriptions here, for a person; empty where there may be."""
    refused: int = 0
    died: int = 0
    noisy: int = 0
    _subscriptions: dict[int, _Subscription] = field(default_factory=dict)
    _asked: bool = False
    _whole_due: float = 0.0
    _full_until: float = 0.0
    _in_a_row: int = 0
    """Refusals."""
    _rest: Plan | None = None
    _covered: frozenset[int] = frozenset()

    @property
    def live(self) -> int:
        """How many points are not polled now."""
        return len(self._covered)

    # ------------------------------------------------------------ a poll

    def plan(self, now: float) -> Plan:
        """Return what to read now: everything, or what nobody tells."""
        self._judge(now)
        covered = frozenset(s.row for s in self._subscriptions.values() if s.lives(now))
        if not covered or now >= self._whole_due:
            self._covered = covered
            self._rest = None
            return self.whole
        if covered != self._covered or self._rest is None:
            refs = [self.who]
            for row, pair in enumerate(self.rows):
                if row not in covered:
                    refs += pair if self.flags else pair[:1]
            self._covered, self._rest = covered, self.session.plan(refs)
        return self._rest

    def fill(self, reading: Reading) -> None:
        """Add what was told to what was read."""
        if self._rest is None:
            return
        for one in self._subscriptions.values():
            if one.row in self._covered:
                reading.values[one.value_ref] = one.held
                if one.flags is not None:
                    reading.values[one.flags_ref] = one.flags

    def heed(self, group: PollGroup, poll: Poll, reading: Reading, began: float) -> None:
        """Keep a poll; if it was one of everything, compare it with what was told.

        Args:
            group: as the sampler has it.
            poll: what `reading` became.
            reading: of the plan that was returned last.
            began: when that was, on the loop's clock.
        """
        self.group, self.last = group, poll
        if self._rest is not None:
            return
        now = self._now()
        for one in self._subscriptions.values():
            if one.lives(now) and one.heard < began:
                value, flags = poll.values[one.row], reading.values.get(one.flags_ref)
                if value is not None and one.differs(value):
                    one.doubt, one.held = True, value
                if one.flags is not None and type(flags) is Bits and flags != one.flags:
                    one.doubt, one.flags = True, flags
            self._mute_noisy(one, now)
        if not reading.late and not reading.silences:
            self._whole_due = now + max(_WATCH, _WATCH_POLLS * self.interval)

    def lost(self) -> None:
        """The device did not answer: whatever it knew of us may be gone."""
        for one in self._subscriptions.values():
            one.ends, one.held, one.doubt = 0.0, _NOTHING, False
        self._whole_due, self._covered, self._rest = 0.0, frozenset(), None
        self.last = None

    def _judge(self, now: float) -> None:
        """Give up subscriptions that said nothing though polls had shown changes."""
        for one in self._subscriptions.values():
            if one.doubt and one.ends:
                one.ends, one.held, one.doubt = 0.0, _NOTHING, False
                one.silent += 1
                one.not_before = now + doubling(one.silent, first=_SOON, most=_LATER)
                self.died += 1

    def _mute_noisy(self, one: _Subscription, now: float) -> None:
        """Poll what changes more often than it was polled: notices cost more than rows."""
        if one.notices * self.interval > max(_WATCH, _WATCH_POLLS * self.interval) and one.ends:
            one.ends, one.held = -1.0, _NOTHING  # to be cancelled
            one.not_before = now + _LATER
            self.noisy += 1
        one.notices = 0

    # ------------------------------------------------------------ what is told

    def hear(self, notice: Notice, now: float) -> int | None:
        """Take a notification; return the row that has news, or None if nobody asked for it."""
        one = self._subscriptions.get(notice.oid)
        if one is None or notice.process != PROCESS or one.ends <= now:
            return None
        if notice.device != self.who[0] or PRESENT_VALUE not in notice.values:
            return None
        one.held = notice.values[PRESENT_VALUE]
        flags = notice.values.get(STATUS_FLAGS)
        one.flags = flags if type(flags) is Bits else None
        one.heard, one.doubt = now, False
        one.notices += 1
        return one.row

    def told(self, row: int) -> tuple[Any, Any]:
        """Return the value and the flags of a row as they were told."""
        one = self._subscriptions[self.rows[row][0][0]]
        return one.held, one.flags

    # ------------------------------------------------------------ subscriptions

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def tend(self, deadline: float) -> None:
        """Make and renew subscriptions, some with each poll."""
        if not self._asked:
            await self._ask(deadline)
        if self.off:
            return
        lifetime = max(LIFETIME, int(_POLLS_PER_LIFETIME * self.interval))
        for one in self._due(self._now(), lifetime):
            if self._now() >= deadline or not await self._subscribe(one, lifetime):
                return

    def _due(self, now: float, lifetime: float) -> Iterable[_Subscription]:
        alive = sum(one.ends > now for one in self._subscriptions.values())
        room = _MOST - alive if now >= self._full_until else 0
        picked: list[_Subscription] = []
        for one in self._subscriptions.values():
            fresh = one.ends <= now
            if one.ends < 0 or (not fresh and one.ends - now < lifetime / 2):
                picked.append(one)
            elif fresh and now >= one.not_before and room > 0:
                room -= 1
                picked.append(one)
            if len(picked) >= _AT_ONCE:
                break
        return picked

    async def _ask(self, deadline: float) -> None:
        """Find out whether subscribing is possible and worth it."""
        if len(self.whole.batches) < 2 and self.interval < _SLOW:
            self.off, self._asked = "one request reads all points, polling is cheaper", True
            return
        services = (object_id(DEVICE, self.session.instance), SERVICES_SUPPORTED, WHOLE)
        increments = [
            (pair[0][0], COV_INCREMENT, WHOLE)
            for pair in self.rows
            if split(pair[0][0])[0] not in _DISCRETE
        ]
        plan = self.session.plan([services, *increments])
        reading = await self.session.read(plan, deadline=deadline, alive=True)
        supported = reading.values.get(services)
        if supported is None or reading.silences or reading.late:
            return
        self._asked = True
        if not _bit(supported, _SERVICE_BIT):
            self.off = "the device has no COV"
            return
        self.off = ""
        # What has states first: there every change counts, and has to be acknowledged.
        for row, pair in sorted(enumerate(self.rows), key=lambda it: not _discrete(it[1])):
            step = reading.values.get((pair[0][0], COV_INCREMENT, WHOLE))
            one = _Subscription(row, *pair, confirmed=_discrete(pair))
            one.increment = float(step) if isinstance(step, float | int) and step >= 0 else None
            self._subscriptions[one.oid] = one

    async def _subscribe(self, one: _Subscription, lifetime: int) -> bool:
        """Subscribe, renew or cancel; False if the device is better not asked on now."""
        cancel = one.ends < 0
        if cancel:
            body = encode_cancel(one.oid)
        else:
            body = encode_subscribe(one.oid, confirmed=one.confirmed, lifetime=lifetime)
            # Its first notification may come before the acknowledgement does.
            before, one.ends = one.ends, self._now() + lifetime
        reply = await self.session.ask(SUBSCRIBE_COV, body)
        if cancel:
            one.ends = 0.0
            return reply is not None
        if reply is not None and not reply.refusal:
            self._in_a_row = 0
            return True
        if reply is None:
            one.ends = before
            return False
        self._refuse(one, reply.refusal, self._now())
        return not self.off and self._now() >= self._full_until

    def _refuse(self, one: _Subscription, refusal: str, now: float) -> None:
        one.ends, one.held = 0.0, _NOTHING
        self.refused += 1
        self._in_a_row += 1
        if refusal == "reject-unrecognized-service":
            self.off = "the device refuses COV subscriptions"
        elif self._in_a_row >= _FULL_AFTER or any(word in refusal for word in _FULL):
            self._full_until = now + _LATER
        elif one.confirmed:
            one.confirmed = False  # the next try is for unconfirmed ones
        else:
            one.not_before = now + _LATER

    def advice(self) -> list[str]:
        """Return what a person should know of it."""
        if self.off:
            return [] if not self._asked else [f"COV: {self.off}; all points are polled"]
        all_points = len(self._subscriptions)
        out = [f"COV: {self.live} of {all_points} points are told by the device"]
        if self.refused:
            out.append(f"COV: {self.refused} subscriptions refused; those points are polled")
        if self.died:
            out.append(f"COV: {self.died} subscriptions were silent and are polled meanwhile")
        if self.noisy:
            out.append(f"COV: {self.noisy} points change so often that polling is cheaper")
        return out


def _discrete(pair: tuple[Ref, Ref]) -> bool:
    return split(pair[0][0])[0] in _DISCRETE


def _bit(bits: Any, number: int) -> bool:
    """Return bit `number` of a bit string; False if there is none."""
    octet = 1 + number // 8
    return type(bits) is Bits and len(bits) > octet and bool(bits[octet] & 0x80 >> number % 8)
