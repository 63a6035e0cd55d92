"""Desired configurations as a part of the agent: taken, checked, tried, kept or taken back, told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from plantroom_edge.commands.keys import Keyring
from plantroom_edge.commands.moments import LONGEST_US, Now, boot_id, open_window
from plantroom_edge.config import (
    AgentConfig,
    ConfigErrors,
    content_with,
    in_force,
    load,
    load_with,
)
from plantroom_edge.config_yaml import read
from plantroom_edge.crew import Crew
from plantroom_edge.desired import trial as trials
from plantroom_edge.desired.merging import digest, offered
from plantroom_edge.desired.state import Entry, State, Trial
from plantroom_edge.reconfigure import Plan, devices_of, removed_devices
from plantroom_edge.starts import config_hash
from plantroom_edge.vitals import Vitals
from plantroom_shared.errors import ConfigError, PlantroomError, Rejected, Unavailable
from plantroom_shared.wire import Assignment, Configuration, Record, decode

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at what was changed."""

_AGAIN: Final = 5.0
"""Seconds after which what could not be done is tried again."""

_TELL_AGAIN: Final = 60.0
_LARGEST_TOLD: Final = 48_000
"""Bytes of a configuration that is told whole; of a larger one only its hash is."""
_MOST_ERRORS: Final = 20
_WAITING: Final = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why nothing came of an assignment."""

    reason: str
    errors: tuple[str, ...] = ()


class Desired:
    """Applies what the cloud wants, as far as the site lets it.

    Args:
        file: the site's configuration.
        crew: what runs.
        vitals: the agent's parts.
    """

    def __init__(self, file: Path, crew: Crew, vitals: Vitals) -> None:
        self._file, self._crew, self._vitals = file, crew, vitals
        self._state_file = vitals.config.desired_file
        self._settings = vitals.config.desired
        self._keys = Keyring(vitals.config.gateway, self._settings.keys)
        self._boot = boot_id()
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._state, self._damaged = State.open(self._state_file)
        self._untrusted_at: float | None = None
        self._ours: AgentConfig | None = vitals.config
        self.counters: Counter[str] = Counter()

    @property
    def takes(self) -> list[str]:
        """Which down-channels this heeds: none where the site names nobody's key."""
        return ["cfg"] if self._settings.keys else []

    def offer(self, payload: bytes) -> None:
        """A message came down on ``cfg``; it is looked at soon, or dropped: the cloud sends it again."""
        try:
            self._inbox.put_nowait(payload)
        except asyncio.QueueFull:
            self.counters["dropped"] += 1

    def status(self) -> dict[str, Any]:
        """Return what is in force, for a person."""
        state = self._state
        return {
            "takes": bool(self.takes),
            "version": state.in_force.version if state.in_force else 0,
            "trial": state.trial is not None,
            "serial": state.serial,
            "last": state.last.kind.removeprefix("desired.") if state.last else "",
            "counters": dict(self.counters),
        }

    # ------------------------------------------------------------ running

    async def run(self) -> None:
        """Go on where the last process has ended, then heed what comes; for ever.

        Raises:
            Unavailable: the state cannot be written, or the buffer takes nothing, now.
        """
        if self._damaged:
            self._vitals.buffer.audit("desired.state_lost", file=self._state_file.name)
            self._damaged = False
        await self._look_at_site()
        if self._state.trial is not None and self._state.in_force is not None:
            await self._judge_trial(self._state.in_force, self._state.trial)
        while True:
            await self._look_at_site()
            await self._tell()
            payload = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    payload = await self._inbox.get()
            if payload is not None:
                await self._hear(payload)

    def _now(self) -> int:
        return self._vitals.clock.now_us()

    async def _save(self) -> None:
        await asyncio.to_thread(self._state.write, self._state_file)

    # ------------------------------------------------------------ what comes in

    async def _hear(self, payload: bytes) -> None:
        try:
            wanted = self._keys.configuration(decode(Configuration, payload))
            self._timely(wanted)
        except Rejected as error:
            self._distrust(error.reason)
            return
        state = self._state
        if wanted.serial <= state.serial:
            self.counters["again"] += 1
            if state.last and state.last.doc.get("id") == wanted.id:  # it has not heard of the end
                self._state.untold.append(state.last)
                await self._save()
            return
        state.serial, state.issued_us = wanted.serial, max(state.issued_us, wanted.issued)
        await self._take(wanted)

    def _timely(self, wanted: Assignment) -> None:
        clock = self._vitals.clock
        now = Now(
            clock.now_us(),
            round(clock.monotonic() * 1e6),
            self._vitals.buffer.clock_state,
            self._boot,
        )
        window = open_window(
            wanted.issued, wanted.expires, now,
            longest_us=LONGEST_US, floor_us=self._state.issued_us,
        )  # fmt: skip
        if isinstance(window, str):
            raise Rejected(window, reason=window)

    def _distrust(self, why: str) -> None:
        """Count what is not ours to heed; the audit says so at most once a minute."""
        self.counters[why] += 1
        moment = self._vitals.clock.monotonic()
        if self._untrusted_at is not None and moment - self._untrusted_at < _TELL_AGAIN:
            return
        self._untrusted_at = moment
        log.warning("a desired configuration is not to be trusted", extra={"reason": why})
        self._vitals.buffer.audit("desired.distrusted", reason=why, so_far=self.counters[why])

    async def _take(self, wanted: Assignment) -> None:
        """Check one whole, and try it; whatever is wrong with it changes nothing."""
        content = await asyncio.to_thread(self._content)
        entry = Entry(
            id=wanted.id,
            version=wanted.version,
            serial=wanted.serial,
            document=wanted.document,
            based=digest(content),
            force=wanted.force,
            at_us=self._now(),
        )
        checked = await self._check(entry)
        if isinstance(checked, Outcome):
            await self._refuse(entry, checked)
            return
        new, plan = checked
        words = [str(change)[:200] for change in plan.changes[:20]]
        if plan.unchanged:
            self._state.in_force, self._state.former = entry, self._state.in_force
            self._state.end("applied", self._now(), entry, config=plan.after, unchanged=True)
            await self._save()
            return
        trial = trials.make_trial(plan, self._look())
        self._state.try_out(entry, trial, self._now(), changes=words, buses=[*plan.start][:100])
        await self._save()
        await self._tell_soon()
        try:
            await self._crew.apply(new, force=True)
        except PlantroomError as error:
            self._state.go_back(self._now(), "refused", reason="open", errors=_lines(error))
            await self._save()
            return
        self._ours = self._crew.config
        await self._judge_trial(entry, trial)

    def _content(self) -> dict[str, Any]:
        try:
            return read(self._file).content
        except ConfigError:
            return {}

    async def _refuse(self, entry: Entry, why: Outcome) -> None:
        log.warning("a desired configuration is refused", extra={"reason": why.reason})
        errors = [one[:300] for one in why.errors[:_MOST_ERRORS]]
        self._state.end("refused", self._now(), entry, reason=why.reason, errors=errors)
        await self._save()

    async def _check(self, entry: Entry) -> tuple[AgentConfig, Plan] | Outcome:
        """Return what is to run and how to get there, or why it is not to be."""
        try:
            now = await asyncio.to_thread(load, self._file)
            if config_hash(now) != config_hash(self._crew.config):
                what = "the file on site has changes that are not applied; apply them there first"
                return Outcome("site-file-changed", (what,))
            new = await asyncio.to_thread(load_with, self._file, entry)
            plan, dropped, of = self._crew.plan(new)
        except ConfigError as error:
            return Outcome("configuration", tuple(_lines(error)))
        if plan.refused:
            return Outcome("restart", tuple(f"{key}: {instead}" for key, instead in plan.refused))
        loss = self._loss(plan, new, dropped, of)
        if loss.reason and not entry.force:
            return Outcome(loss.reason, (f"{loss.words()}; stage it with force if that is meant",))
        return new, plan

    def _loss(self, plan: Plan, new: AgentConfig, dropped: int, of: int) -> trials.Loss:
        lost, look = removed_devices(plan), self._look()
        grants = self._crew.config.writes
        writable = going = 0
        for bus, devices in look.items():
            for key, seen in devices.items():
                count = (
                    sum(1 for point in seen.points if grants.grant(point)) if grants.enabled else 0
                )
                writable += count
                going += count if trials.is_lost(lost, bus, key) else 0
        # Who has not looked yet cannot count points: the devices that the file names must do.
        blind = [bus for bus in self._crew.config.buses if not look.get(bus.name)]
        names = {bus.name: set(devices_of(bus)) for bus in blind}
        after = {bus.name: set(devices_of(bus)) for bus in new.buses}
        gone = sum(len(there - after.get(bus, set())) for bus, there in names.items())
        return trials.Loss(dropped, of, going, writable, gone, sum(map(len, names.values())))

    # ------------------------------------------------------------ the trial

    def _look(self) -> dict[str, dict[str, trials.Seen]]:
        """Return what is there now."""
        return {
            sampler.name: {
                key: trials.Seen(
                    gives=device.last_good_us > 0 and not device.breaker.is_open,
                    points=tuple(point for group in device.groups for point in group.group.points),
                    interval=max((group.group.interval for group in device.groups), default=0.0),
                )
                for key, device in sampler.devices.items()
            }
            for sampler in self._vitals.samplers
        }

    async def _judge_trial(self, entry: Entry, trial: Trial) -> None:
        """Wait until what was changed gives values again, or its time is over."""
        monotonic = self._vitals.clock.monotonic
        since, fits = monotonic(), False
        while not fits and monotonic() - since < self._patience(trial):
            if self._crew.config is not self._ours and await self._look_at_site():
                return
            fits = trials.settled(trial, self._look(), force=entry.force)
            if not fits:
                await asyncio.sleep(LOOK_EVERY)
        reason, gone = trials.verdict(trial, self._look(), force=entry.force)
        if reason:
            await self._go_back(reason, gone)
            return
        took = round(monotonic() - since, 1)
        words = {"missing": gone[:20]} if gone else {}
        self._state.keep(self._now(), config=config_hash(self._crew.config), took_s=took, **words)
        await self._save()
        log.info("a desired configuration is applied", extra={"version": entry.version})

    def _patience(self, trial: Trial) -> float:
        interval = trials.longest(self._look(), [*trial.expect])
        return self._settings.grace + self._settings.settle * interval

    async def _go_back(self, reason: str, gone: list[str]) -> None:
        log.warning("a desired configuration is taken back", extra={"reason": reason})
        names = [one[:200] for one in gone[:20]]
        self._state.go_back(self._now(), "rolled_back", reason=reason, errors=names)
        await self._save()  # whatever happens from here on, a new start runs what was before
        while True:
            try:
                former = await asyncio.to_thread(load, self._file)
                await self._crew.apply(former, force=True)
            except ConfigError as error:  # somebody works on the file: what he applies will run
                self._vitals.buffer.audit("desired.rollback_failed", error=str(error)[:300])
                return
            except (Unavailable, Rejected) as error:
                log.warning("going back has to wait", extra={"error": str(error)})
                await asyncio.sleep(_AGAIN)
            else:
                self._ours = self._crew.config
                return

    # ------------------------------------------------------------ the site has the last word

    async def _look_at_site(self) -> bool:
        """Take note where somebody on site has applied another file; say whether that ended anything."""
        config, state = self._crew.config, self._state
        changed = config is not self._ours or not state.running
        if not changed and state.running == config_hash(config):
            return False
        self._ours, ended = config, False
        overruled = state.in_force is not None and await asyncio.to_thread(self._overruled)
        if overruled:
            state.go_back(self._now(), "set_aside", reason="site-file-changed")
            ended = True
        document = await asyncio.to_thread(self._offer, state.in_force)
        state.running = config_hash(config)
        version = state.in_force.version if state.in_force else 0
        small = document and len(orjson.dumps(document)) <= _LARGEST_TOLD
        told: dict[str, Any] = {"version": version, "config": state.running}
        if small:
            told["document"] = document
        state.tell("running", self._now(), **told)
        await self._save()
        return ended

    def _overruled(self) -> bool:
        try:
            return in_force(read(self._file)) is None
        except ConfigError:
            return False

    def _offer(self, entry: Entry | None) -> dict[str, Any]:
        try:
            document = offered(content_with(self._file, entry))
            return dict(
                orjson.loads(orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS))
            )
        except (ConfigError, TypeError, ValueError):
            return {}

    # ------------------------------------------------------------ telling

    async def _tell_soon(self) -> None:
        with contextlib.suppress(Unavailable):  # it stands in the state, and is told when it can be
            await self._tell()

    async def _tell(self) -> None:
        """Hand what is to be told to the buffer, each at least once."""
        state = self._state
        if not state.untold:
            return
        told = list(state.untold)
        records = [Record(at=one.at_us, kind=one.kind, doc=one.doc) for one in told]
        await self._vitals.buffer.append_records("aud", records)
        state.untold = state.untold[len(told) :]
        await self._save()


def _lines(error: PlantroomError) -> list[str]:
    found: list[Any] = list(error.errors) if isinstance(error, ConfigErrors) else [error]
    return [str(one)[:300] for one in found[:_MOST_ERRORS]]
