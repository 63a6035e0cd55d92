"""The instruments of the field's faults: what counts as a slot that was kept."""

from __future__ import annotations

import random
from collections import Counter

from simulators.modbus_scripted import Request, Reset
from support.fault_lone import Row, on_time
from support.fault_rubbish import HONEST_UNITS, HOSTILE_UNIT, REGISTERS, Modbus, flip, image

T0 = 1_700_000_000


def reads(*seconds: float, quality: int = 0) -> list[Row]:
    return [(int((T0 + at) * 1e6), 1.0, quality) for at in seconds]


def test_every_slot_counts_once() -> None:
    """A read that jitters is in its slot, two in one slot are one, and what comes before is not counted."""
    jittered = reads(*(at + 0.3 * (-1) ** at for at in range(1, 11)))
    assert on_time(reads(0, *range(1, 11)), T0, T0 + 10, 1.0) == (9, 9)
    assert on_time(reads(0) + jittered, T0, T0 + 10, 1.0) == (9, 9)
    assert on_time(reads(0, 1, 1.1, 1.2, 2, 2.1), T0 + 0.5, T0 + 10, 1.0) == (2, 8)


def test_a_missed_a_late_and_a_bad_read_are_lost_slots() -> None:
    """Each costs its slot, and a point that was never read has none."""
    assert on_time(reads(0, 1, 2, 5, 6, 7, 8, 9), T0, T0 + 12, 1.0) == (8, 11)
    assert on_time(reads(0, 1, 2.6, 3), T0, T0 + 5, 1.0) == (3, 4)
    assert on_time(reads(0, 1) + reads(2, 3, quality=2), T0, T0 + 5, 1.0) == (2, 4)
    assert on_time([], T0, T0 + 5, 1.0) == (0, 4)


def test_hostile_replies_are_hostile_and_honest_ones_right() -> None:
    """The units beside the hostile one answer right, always; of the hostile ones' most is counted."""
    sent: Counter[str] = Counter()
    modbus = Modbus(random.Random(5), sent)
    for tid in range(300):
        for unit in HONEST_UNITS:
            request = Request(tid, unit, 3, 0, REGISTERS)
            assert modbus.unit(request) == request.answer(image(unit))
    assert not sent
    request = Request(7, HOSTILE_UNIT, 3, 0, REGISTERS)
    right = request.answer(image(HOSTILE_UNIT))
    on_a_line = [modbus.line(request) for _ in range(500)]
    behind = [_said(modbus, request) for _ in range(500)]
    assert sum(reply != right for reply in on_a_line) >= 300
    assert sum(reply != right for reply in behind) >= 450
    assert len(set(on_a_line)) > 200
    assert sent["modbus"] >= 850


def _said(modbus: Modbus, request: Request) -> bytes:
    try:
        return modbus.unit(request)
    except Reset:
        return b"reset"


def test_what_a_hostile_unit_says_late_stands_before_an_honest_reply() -> None:
    """It comes in the turn of an honest unit, once, and the honest reply stands whole behind it."""
    modbus = Modbus(random.Random(6), Counter())
    honest = Request(8, HONEST_UNITS[0], 3, 0, REGISTERS)
    right, late = honest.answer(image(HONEST_UNITS[0])), 0
    for tid in range(2000):
        _said(modbus, Request(tid, HOSTILE_UNIT, 3, 0, REGISTERS))
        reply = modbus.unit(honest)
        assert reply.endswith(right)
        assert modbus.unit(honest) == right
        late += reply != right
    assert late > 5


def test_flips_change_octets_and_keep_their_number() -> None:
    """A flip is a bit, not an octet more or less."""
    octets = bytearray(50)
    flip(random.Random(1), octets, 1)
    assert (len(octets), sum(octets.count(1 << bit) for bit in range(8))) == (50, 1)
