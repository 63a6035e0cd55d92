"""One unit under a scan: does it live, what does it say it is, which profile fits."""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plantroom_edge.drivers import Candidate
from plantroom_edge.drivers.modbus.described import describe_device, describe_point
from plantroom_edge.drivers.modbus.guess import ENOUGH, SURE, Seen, Verdict, judge
from plantroom_edge.drivers.modbus.guess_choice import choose, leading, worth_a_look
from plantroom_edge.drivers.modbus.guess_tells import Tells
from plantroom_edge.drivers.modbus.pdu import Fault
from plantroom_edge.drivers.modbus.planner import Block, Cell, plan
from plantroom_edge.drivers.modbus.scan_line import Asker, TimeIsUp
from plantroom_edge.drivers.modbus.sunspec import BASES, MARKER, Explored, Trouble, explore
from plantroom_edge.drivers.modbus.sunspec_profile import profile_of
from plantroom_edge.drivers.modbus.sunspec_unit import NAME as SUNSPEC
from plantroom_shared.model import Device
from plantroom_shared.profiles import Profile, Register

MAX_READS: Final = 160
"""Requests to one unit at most, to find its profile."""
MORE_READS: Final = 80
"""Requests to one unit beyond those, where a family of profiles is left."""
RULED_OUT: Final = 0.25
"""A profile against which so much speaks is not looked at further."""
_MARK: Final = MARKER.to_bytes(4, "big")


@dataclass(slots=True)
class Place:
    """Where a unit is."""

    bus: Mapping[str, Any]
    unit: int
    address: str
    """The host and port, or the serial port, for a person."""


class Examination:
    """What is asked of one unit, and what comes of it.

    Args:
        line: to its host; nobody else uses it meanwhile.
        place: where it is.
        tells: of every profile there is.
    """

    def __init__(self, line: Asker, place: Place, tells: Sequence[Tells]) -> None:
        self._line, self._place, self._tells = line, place, tells
        self._seen = Seen()
        self._reads, self._most = 0, MAX_READS
        self._silent = False

    async def alive(self, *, patient: bool) -> bytes | Fault | None:
        """Return what the unit answers, None if nothing.

        The question is whether it is a SunSpec device, so one request does for two.

        Args:
            patient: ask twice more, for units that say nothing where they have no register.
        """
        unit = self._place.unit
        reply = await self._line.ask(unit, "holding", BASES[0], 2)
        if not _silent(reply):
            self._note("holding", BASES[0], 2, reply)
            return reply
        if patient and isinstance(reply, Fault) and reply.reason == "timeout":
            for space in ("holding", "input"):
                reply = await self._line.ask(unit, space, 0, 2)
                if not _silent(reply):
                    self._note(space, 0, 2, reply)
                    return reply
        return None

    async def candidate(self) -> Candidate:
        """Return what the unit is, as far as that shows."""
        try:
            return await self._sunspec() or await self._guess()
        except TimeIsUp:
            return self._unknown(("the time was up before it was recognised",))

    # ------------------------------------------------------------ SunSpec

    async def _sunspec(self) -> Candidate | None:
        marked = False
        for base in BASES:
            reply = await self._read("holding", base, 2)
            if reply == _MARK:
                marked = True
                break
        if not marked:
            return None
        try:
            found = await explore(lambda start, count: self._read("holding", start, count))
            profile, notes = profile_of(found)
        except (Trouble, ValueError) as trouble:
            return self._unknown((f"it is marked as a SunSpec device, but: {trouble}",))
        return self._known(SUNSPEC, profile, 1.0, (*_evidence(found), *notes))

    # ------------------------------------------------------------ profiles

    async def _guess(self) -> Candidate:
        self._seen.identity = await self._line.identify(self._place.unit)
        verdicts: list[Verdict] = []
        for tells in self._order():
            if self._silent or self._reads >= self._most:
                break
            verdicts.append(await self._try(tells))
            if verdicts[-1].confidence >= SURE:
                break
        leaders = leading(verdicts)
        if worth_a_look(leaders):
            await self._look_closer([one.tells for one in leaders])
        best, evidence = choose(verdicts, self._seen)
        said = tuple(f"{key} is {text!r}" for key, text in self._seen.identity.items())
        if self._silent:
            evidence = (*evidence, "it stopped answering while it was asked")
        if best is None:
            return self._unknown((*said, *evidence))
        tells = best.tells
        return self._known(tells.name, tells.profile, best.confidence, (*evidence, *said))

    async def _look_closer(self, family: Sequence[Tells]) -> None:
        """Read every point of profiles that the tells do not tell apart."""
        self._most = self._reads + MORE_READS
        for tells in family:
            await self._fetch(tells, tells.profile.points, thorough=True)

    def _order(self) -> list[Tells]:
        """Return the profiles, the likeliest first: what the unit calls itself decides.

        Then those that one read settles, as their devices carry a nameplate or a mark.
        """
        order = [
            (-judge(tells, self._seen).confidence, not tells.named, tells.name, tells)
            for tells in self._tells
        ]
        return [tells for *_, tells in sorted(order, key=lambda one: one[:3])]

    async def _try(self, tells: Tells) -> Verdict:
        refused = await self._fetch(tells, tells.first, thorough=False)
        verdict = judge(tells, self._seen)
        if refused is not None and verdict.confidence < ENOUGH:
            verdict.oppose(RULED_OUT, f"{refused.space} {refused.start} is refused")
        if verdict.against > RULED_OUT and not self._silent:
            await self._fetch(tells, tells.rest, thorough=True)
            verdict = judge(tells, self._seen)
        return verdict

    async def _fetch(
        self, tells: Tells, registers: Sequence[Register], *, thorough: bool
    ) -> Block | None:
        """Read registers with their scale factors, but for what is known already.

        Args:
            tells: of the profile.
            registers: what to read.
            thorough: find what in a refused block is refused; else one refusal is enough.

        Returns:
            What was refused, where one refusal is enough.
        """
        wanted = [*registers, *tells.factors(registers)]
        unknown = [one for one in wanted if not self._settled(one)]
        blocks = deque(plan([Cell(one, 0) for one in unknown], tells.profile.limits))
        while blocks and not self._silent and self._reads < self._most:
            block = blocks.popleft()
            reply = await self._read(block.space, block.start, block.count)
            if isinstance(reply, Fault) and not reply.silent:
                if not thorough:
                    return block
                blocks.extendleft(reversed(block.split() or ()))
        return None

    def _settled(self, register: Register) -> bool:
        place = register.space, register.address, register.words
        return self._seen.knows(*place) or self._seen.refuses(*place)

    # ------------------------------------------------------------ reads

    async def _read(self, space: Any, start: int, count: int) -> bytes | Fault:
        if self._seen.knows(space, start, count) and space in {"holding", "input"}:
            table = self._seen.words[space]
            return struct.pack(f">{count}H", *(table[start + place] for place in range(count)))
        if self._seen.refuses(space, start, count):
            return Fault("exception-2", 2)
        if self._silent:
            return Fault("timeout")
        self._reads += 1
        reply = await self._line.ask(self._place.unit, space, start, count)
        self._silent = _silent(reply)
        self._note(space, start, count, reply)
        return reply

    def _note(self, space: Any, start: int, count: int, reply: bytes | Fault) -> None:
        if isinstance(reply, Fault):
            if not reply.silent:
                self._seen.refused.append((space, start, start + count))
            return
        table = self._seen.words.setdefault(space, {})
        if space in {"coil", "discrete"}:
            number = int.from_bytes(reply, "little")
            table.update({start + place: number >> place & 1 for place in range(count)})
        elif len(reply) == 2 * count:
            words = struct.unpack(f">{count}H", reply)
            table.update({start + place: word for place, word in enumerate(words)})

    # ------------------------------------------------------------ candidates

    def _known(
        self, name: str, profile: Profile, confidence: float, evidence: tuple[str, ...]
    ) -> Candidate:
        called = self._called(profile.model)
        key = f"modbus:{called}"
        return Candidate(
            bus=self._place.bus,
            entry={"name": called, "unit": self._place.unit, "profile": name},
            device=describe_device(key, called, self._where(), profile),
            points=tuple(describe_point(key, profile, one) for one in profile.points),
            profile=name,
            confidence=confidence,
            evidence=evidence,
        )

    def _unknown(self, evidence: tuple[str, ...]) -> Candidate:
        identity = self._seen.identity
        model = identity.get("model") or identity.get("product", "")
        called = self._called(model or "unit")
        device = Device(
            key=f"modbus:{called}",
            name=called,
            protocol="modbus",
            address=self._where(),
            vendor=identity.get("vendor", ""),
            model=model,
        )
        # Without a profile the entry does not load: a person has to name one.
        entry = {"name": called, "unit": self._place.unit}
        return Candidate(self._place.bus, entry, device, confidence=0.0, evidence=evidence)

    def _called(self, model: str) -> str:
        """Return a name that no other candidate of the scan has, and that is legible."""
        plain = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:24].strip("-") or "unit"
        address = re.sub(r"[^A-Za-z0-9.]+", "-", self._place.address).strip("-.")[-34:].strip("-.")
        return f"{plain}-{address}-{self._place.unit}"

    def _where(self) -> str:
        return f"{self._place.address}, unit {self._place.unit}"


def _silent(reply: bytes | Fault) -> bool:
    return isinstance(reply, Fault) and reply.silent


def _evidence(found: Explored) -> tuple[str, ...]:
    common = found.common
    plate = ", ".join(
        text for text in (common.manufacturer, common.model, common.version, common.serial) if text
    )
    lines = [f"'SunS' at holding {found.base}"]
    lines += [f"it calls itself {plate}"] if plate else []
    return (*lines, *(f"model {block.number} at {block.start}" for block in found.blocks))
