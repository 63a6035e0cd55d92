"""Carrying out an order: look, enter the intent, write, read back, enter the outcome.

All writes of an order are done, or those that were done are taken back. Nothing is ever tried
again: what is not known after a crash is looked at, not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

from plantroom_edge.commands import bus
from plantroom_edge.commands.book import Book, told
from plantroom_edge.commands.config import WritesConfig, same
from plantroom_edge.commands.entries import Heard, Hold
from plantroom_edge.commands.moments import Lease, Now
from plantroom_edge.commands.plan import SLOTTED, Find, Step, misfit, places, plan
from plantroom_edge.commands.rates import Rates

DOUBT: Final = 20.0
"""Seconds within which a request that nobody has answered may still reach the device."""


@dataclass(slots=True)
class Executor:
    """Carries out orders, each once.

    Args:
        config: what may be written.
        book: the journal and the holds.
        find: the way to a point.
        gate: says why nothing must be written now: the switch, the safe mode; empty if it may.
        rates: how often.
        unsettled: says of a hold whether a crash has left its command open.
    """

    config: WritesConfig
    book: Book
    find: Find
    gate: Callable[[], str]
    rates: Rates
    unsettled: Callable[[Hold], bool] = lambda _: False

    def refusal(self, heard: Heard) -> str:
        """Return why `heard` must not be carried out now; empty if it may."""
        if heard.order.kind == "release":  # taking back is always allowed
            return "" if heard.window.left_us(self.book.now()) > 0 else "expired"
        return self.gate() or ("" if heard.window.left_us(self.book.now()) > 0 else "expired")

    async def carry_out(self, heard: Heard) -> None:
        """Do what the order says, or enter why not.

        Raises:
            Unavailable: the journal cannot be written; nothing was done.
        """
        if why := self.refusal(heard):
            await self.refuse(heard, why)
        elif heard.order.kind == "release":
            await self._release(heard)
        elif isinstance(steps := plan(heard.order, self.config, self.find), str):
            await self.refuse(heard, steps)
        else:
            async with AsyncExitStack() as turns:
                # In one order for all commands, or two of them might wait for each other.
                reaches = {step.reach.device: step.reach for step in steps}
                for device in sorted(reaches):
                    await turns.enter_async_context(reaches[device].turn.urgently())
                await self._with_devices(heard, steps)

    async def refuse(self, heard: Heard, why: str) -> None:
        """Enter that an order is not carried out."""
        book, now = self.book, self.book.now()
        state = "expired" if why == "expired" else "refused"
        event = told(state, heard, now, reason=why)
        book.counters[state] += 1
        await book.write(lambda: book.journal.decide(heard, state, why, now, event))  # type: ignore[arg-type] # a State

    async def _release(self, heard: Heard) -> None:
        book, wanted = self.book, heard.order.release
        count = sum(hold.command == wanted for hold in book.holds.values())
        if not count:
            await self.refuse(heard, "nothing-held")
            return
        now = book.now()
        event = told("executed", heard, now, release=wanted, holds=count)
        await book.write(lambda: book.journal.decide(heard, "executed", "", now, event))
        await book.end(lambda hold: hold.command == wanted)

    # ------------------------------------------------------------ with the devices' turn

    async def _with_devices(self, heard: Heard, steps: Sequence[Step]) -> None:
        why = await self._look(steps) or self.refusal(heard) or self._too_often(steps)
        if why:
            await self.refuse(heard, why)
        elif heard.order.kind == "dry_run":
            now = self.book.now()
            event = told("checked", heard, now, results=[step.document() for step in steps])
            await self.book.write(
                lambda: self.book.journal.decide(heard, "checked", "", now, event)
            )
        else:
            await self._write(heard, steps)

    async def _look(self, steps: Sequence[Step]) -> str:
        """Find out what is there now; return why the order must not be carried out."""
        for step in steps:
            step.before, why = await bus.held(step.driver, step.write.point, step.slot)
            if why:
                return f"cannot-read {why}: {step.write.point}"
            step.old = self.book.holds.get(step.place)
            if step.old is not None and self.unsettled(step.old):
                return f"unsettled: {step.write.point}"
            present = step.before
            if step.grant.max_change is not None and step.reach.protocol in SLOTTED:
                present = await bus.present(step.reach, step.write.point)
            if why := misfit(step, present):
                return f"{why}: {step.write.point}"
        return ""

    def _too_often(self, steps: Sequence[Step]) -> str:
        least = {step.write.point: round(step.grant.min_interval * 1e6) for step in steps}
        return self.rates.refusal(least, places(steps).values(), self.book.now().mono_us)

    async def _write(self, heard: Heard, steps: Sequence[Step]) -> None:
        book, order, now = self.book, heard.order, self.book.now()
        holds = [step.hold(order.id, now) for step in steps]
        # Until the outcome is entered an earlier lease of the same place counts on.
        careful = [_careful(step, hold, now) for step, hold in zip(steps, holds, strict=True)]
        where = places(steps)
        event = told("accepted", heard, now, writes=[step.document() for step in steps])
        await book.write(lambda: book.journal.begin(heard, careful, where, now, event))
        book.take(careful)
        self.rates.note(where, set(where.values()), now.mono_us)
        book.counters["started"] += 1
        for step in steps:
            if why := self.refusal(heard):  # the commit may have taken long
                step.reason = why
                break
            await self._put(heard, step)
            if not step.ok:
                break
        await self._finish(heard, steps, holds)

    async def _put(self, heard: Heard, step: Step) -> None:
        within = heard.window.left_us(self.book.now()) / 1e6
        written = await bus.write(
            step.driver, step.write.point, step.write.value, step.slot, within=within
        )
        step.ok, step.reached, step.after = written.ok, written.reached, written.shows
        step.reason = "" if written.ok else written.reason or "failed"
        step.answered = written.ok or written.shows is not None
        if written.ok:
            step.traces = (written.shows,) if step.slot is None else ()
        elif written.reached:
            there, why = await bus.held(step.driver, step.write.point, step.slot)
            step.traces = () if why or same(there, step.before) else (there,)

    async def _finish(self, heard: Heard, steps: Sequence[Step], holds: Sequence[Hold]) -> None:
        book, order, now = self.book, heard.order, self.book.now()
        done = all(step.ok for step in steps)
        kept: list[Hold] = []
        gone: list[Hold] = []
        for step, hold in zip(steps, holds, strict=True):
            after = _after(step, hold, now, done=done)
            current = book.holds.get(step.place)
            if after and current and not current.lease.length_us:  # ended by hand meanwhile
                after = replace(after, lease=current.lease)
            (gone if after is None else kept).append(after or hold)
        why = next((step.reason for step in steps if step.reason), "")
        never = not done and not any(step.reached for step in steps)
        state = "executed" if done else "expired" if never and why == "expired" else "failed"
        results = [step.document() for step in steps]
        event = told(state, heard, now, **({} if done else {"reason": why}), results=results)
        book.take(kept, gone)  # taking back does not wait for the disk
        book.counters[state] += 1
        await book.surely(
            lambda: book.journal.finish(order.id, state, why, event, holds=kept, gone=gone)  # type: ignore[arg-type] # a State
        )


def _careful(step: Step, hold: Hold, now: Now) -> Hold:
    if step.old is None:
        return hold
    return replace(hold, lease=hold.lease.sooner(step.old.lease, now))


def _after(step: Step, hold: Hold, now: Now, *, done: bool) -> Hold | None:
    """Return the hold that a step leaves; None where it leaves none."""
    new = tuple(one for one in step.traces if one is not None and not hold.ours(one))
    hold = replace(hold, written=(*new, *hold.written))
    if done:
        return replace(hold, previous="")
    if not step.reached:  # the device has seen nothing of it
        return step.old
    over = Lease.begin(0 if step.answered else min(DOUBT, step.lease_s), now)
    return replace(hold, lease=hold.lease.sooner(over, now), previous="")
