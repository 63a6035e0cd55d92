"""Reading properties of one device, whatever it can and cannot do.

The one place that knows what a refusal means: it re-cuts the plan, and goes on. What comes back is
looked up by object and property; an answer about anything else is counted and dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_edge.drivers.bacnet.client import Client
from plantroom_edge.drivers.bacnet.frames import IAm, Peer, Reply
from plantroom_edge.drivers.bacnet.plan import Batch, Plan, halves, make_plan, singles
from plantroom_edge.drivers.bacnet.recall import Recall, learn
from plantroom_edge.drivers.bacnet.services import Ref, decode_multiple, decode_single
from plantroom_edge.drivers.bacnet.traffic import Traffic
from plantroom_edge.drivers.bacnet.values import Failure, Malformed
from plantroom_edge.drivers.bacnet.vocabulary import (
    READ_PROPERTY_MULTIPLE,
    UNRECOGNIZED_SERVICE,
    refusal_reason,
)
from plantroom_shared.model import Value

MALFORMED: Final = Failure("malformed")
NO_VALUE: Final = Failure("no-value")
"""The device answered, but not about this."""

_NO_MULTIPLE: Final = refusal_reason("reject", UNRECOGNIZED_SERVICE)
_LEARN_OFTEN: Final = 4  # times in a row
_LEARN_RARELY: Final = 32  # of how many
MOST_SILENCES: Final = 2  # end a read of a device that answered before
_SPLIT_AFTER: Final = 3  # silences in a row of one request that others do not share


@dataclass(slots=True)
class Reading:
    """What one run of a plan brought."""

    values: dict[Ref, Any] = field(default_factory=dict)
    """What the device said, or a `Failure`; a reference that got no answer is not here."""
    alive: bool = False
    """Whether there was any answer."""
    silences: int = 0
    dropped: list[Ref] = field(default_factory=list)
    """What was asked for without an answer, of a device that answered otherwise."""
    late: bool = False
    """Whether time ran out before everything was asked."""
    recalled: list[tuple[Recall, Sequence[Any]]] = field(default_factory=list)
    """Answers that were like the last ones: their values are not in `values`."""
    news: list[tuple[Batch, bytes]] = field(default_factory=list)
    """Answers that were not, for `remember`."""

    @property
    def ended(self) -> bool:
        """Whether asking on is pointless: the device is dead, or as good as."""
        return self.silences >= (MOST_SILENCES if self.alive else 1)

    def put(self, values: list[Value]) -> int:
        """Put what was recalled into the rows of `values`; return how many rows that were."""
        for recall, found in self.recalled:
            recall.put(found, values, self.values)
        return sum(recall.covered() for recall, _ in self.recalled)

    def remember(self, good: Mapping[Ref, int]) -> None:
        """Learn what the answers were like; `good` says which present-value is which good row."""
        for batch, body in self.news:
            batch.misses += 1
            if batch.misses > _LEARN_OFTEN and batch.misses % _LEARN_RARELY:
                continue  # it is never the same: texts that run, counters that grow
            rows = {ref: good[ref] for ref in batch.refs if ref in good}
            said = {ref: self.values[ref] for ref in batch.refs}
            batch.recall = learn(body, rows, said)


class Session:
    """One device: its address, and what it has shown to be able to do."""

    def __init__(self, client: Client, said: IAm) -> None:
        self.instance = said.instance
        self.peer: Peer = said.peer
        """May change: devices get new addresses."""
        self.max_apdu = said.max_apdu
        self.segments = said.segments
        """Whether it can send answers in segments."""
        self.multiple = True
        """Until the device says that it has no read-property-multiple."""
        self.budget: int | None = None
        """Octets of an answer, if the device turned out to take less than it has announced."""
        self._client = client

    @property
    def key(self) -> str:
        """The device key."""
        return f"bacnet:{self.instance}"

    def plan(self, refs: list[Ref], *, alone: bool = False) -> Plan:
        """Return a plan for reading `refs`: many in a request, or each in one of its own."""
        if alone:
            return make_plan(refs, 1, multiple=self.multiple)
        return make_plan(refs, self.max_apdu, multiple=self.multiple, budget=self.budget)

    async def ask(self, service: int, body: bytes) -> Reply | None:
        """Return the device's answer to one request; None if there was none in time."""
        return await self._client.ask(self.peer, service, body, segments=self.segments)

    def tell(self, service: int, body: bytes) -> None:
        """Send an unconfirmed request."""
        self._client.tell(self.peer, service, body)

    @property
    def traffic(self) -> Traffic:
        """What was sent to the device and heard of it."""
        return self._client.traffic(self.peer)

    async def read(self, plan: Plan, *, deadline: float, alive: bool = False) -> Reading:
        """Run `plan` once, and leave in it what was learned.

        Args:
            plan: what to read. Requests that went without an answer, and those that were not
                reached, change places: the next run begins with the latter.
            deadline: on the loop's clock; no request starts after it.
            alive: whether the device is known to answer just now.
        """
        out = Reading(alive=alive)
        todo, done = deque(plan.batches), list[Batch]()
        refused = False
        if plan.multiple and not self.multiple:
            plan.single(todo, done)
        clock = asyncio.get_running_loop().time
        while todo and not out.ended:
            if clock() >= deadline:
                out.late = True
                break
            batch = todo.popleft()
            reply = await self.ask(batch.service, batch.body)
            if reply is None:
                done.extend(self._silent(batch, out))
                continue
            out.alive = True
            batch.silent = 0
            if not reply.refusal:
                self._accept(batch, reply, out)
            elif self._recut(plan, batch, reply, todo, done):
                refused = True
                continue
            else:
                out.values.update(dict.fromkeys(batch.refs, Failure(reply.refusal)))
            done.append(batch)
        plan.batches = [*todo, *done]
        if not (refused or out.silences or out.late):
            plan.went_well()
        return out

    @staticmethod
    def _silent(batch: Batch, out: Reading) -> list[Batch]:
        """Return `batch` for the next run; in halves if only it keeps being dropped."""
        out.silences += 1
        if out.alive:
            batch.silent += 1
            out.dropped += batch.refs
        if batch.silent < _SPLIT_AFTER or len(batch.refs) == 1:
            return [batch]
        return halves(batch)

    def _accept(self, batch: Batch, reply: Reply, out: Reading) -> None:
        if batch.recall is not None:
            found = batch.recall.values(reply.body)
            if found is not None:
                batch.misses = 0
                out.recalled.append((batch.recall, found))
                return
            batch.recall = None
        decode = decode_multiple if batch.service == READ_PROPERTY_MULTIPLE else decode_single
        values, wanted = out.values, batch.wanted
        try:
            results = decode(reply.body)
        except Malformed:
            # Even what could be read of it is not to be trusted.
            values.update(dict.fromkeys(batch.refs, MALFORMED))
            return
        strangers = 0
        fresh: dict[Ref, Any] = {}
        for ref, value in results:
            if ref in wanted and ref not in fresh:
                fresh[ref] = value
            else:
                strangers += 1
        if strangers:
            self._client.ignored["strange-result"] += strangers
        if len(fresh) < len(wanted):
            fresh = dict.fromkeys(batch.refs, NO_VALUE) | fresh
        elif batch.service == READ_PROPERTY_MULTIPLE and not strangers:
            out.news.append((batch, reply.body))
        values.update(fresh)

    def _recut(
        self, plan: Plan, batch: Batch, reply: Reply, todo: deque[Batch], done: list[Batch]
    ) -> bool:
        """Ask otherwise after a refusal; False if there is no other way."""
        if batch.service != READ_PROPERTY_MULTIPLE:
            return False
        if reply.refusal == _NO_MULTIPLE:
            self.multiple = False
            todo.appendleft(batch)
            plan.single(todo, done)
        elif len(batch.refs) == 1:
            if not reply.refusal.startswith("reject"):
                return False
            todo.extendleft(singles(batch.refs))
        elif reply.refusal.startswith("error"):
            todo.extendleft(reversed(halves(batch)))  # one of the objects spoils the whole
        else:
            plan.shrink(batch, todo)
            self.budget = plan.budget
        return True
