"""References → requests whose answers fit one datagram, re-cut as a device shows its limits.

Pure. BACnet devices differ in how much they answer at once, and many say so only by refusing. A
plan is cut by estimate, and halved or packed smaller whenever a device refuses a request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_edge.drivers.bacnet.services import WHOLE, Ref, encode_multiple, encode_single
from plantroom_edge.drivers.bacnet.vocabulary import (
    ACTIVE_TEXT,
    APPLICATION_SOFTWARE,
    DESCRIPTION,
    FIRMWARE,
    INACTIVE_TEXT,
    MODEL_NAME,
    OBJECT_NAME,
    PRESENT_VALUE,
    PRIORITY_ARRAY,
    READ_PROPERTY,
    READ_PROPERTY_MULTIPLE,
    STATE_TEXT,
    STATUS_FLAGS,
    VENDOR_NAME,
)

LARGEST_ANSWER: Final = 1400
"""Octets: what 1476 leave after headers and tunnels, so that IP need not cut datagrams."""
_SMALLEST_BUDGET: Final = 128
_HEAD = 3  # of the acknowledgement
_PER_OBJECT = 7
_PER_PROPERTY = 5

# Octets of a value as they mostly are; a device that needs more refuses, and the plan adapts.
_SIZES: Final = {
    PRESENT_VALUE: 5,
    STATUS_FLAGS: 3,
    OBJECT_NAME: 40,
    DESCRIPTION: 40,
    VENDOR_NAME: 40,
    MODEL_NAME: 40,
    ACTIVE_TEXT: 16,
    INACTIVE_TEXT: 16,
    STATE_TEXT: 100,
    FIRMWARE: 16,
    APPLICATION_SOFTWARE: 16,
    PRIORITY_ARRAY: 32,
}
_OTHER_SIZE = 5


def _size(ref: Ref) -> int:
    indexed = 0 if ref[2] == WHOLE else 3
    return _PER_PROPERTY + indexed + _SIZES.get(ref[1], _OTHER_SIZE)


@dataclass(slots=True)
class Batch:
    """One request."""

    refs: tuple[Ref, ...]
    service: int
    body: bytes
    wanted: frozenset[Ref]
    size: int
    """Octets of the answer, by estimate."""
    silent: int = 0
    """How often in a row it alone got no answer."""


def _batch(refs: tuple[Ref, ...], *, multiple: bool) -> Batch:
    objects = len({ref[0] for ref in refs})
    size = _HEAD + _PER_OBJECT * objects + sum(map(_size, refs))
    if multiple:
        return Batch(refs, READ_PROPERTY_MULTIPLE, encode_multiple(refs), frozenset(refs), size)
    return Batch(refs, READ_PROPERTY, encode_single(refs[0]), frozenset(refs), size)


def pack(refs: Iterable[Ref], budget: int) -> list[Batch]:
    """Return read-property-multiple requests whose answers hold about `budget` octets each."""
    out: list[Batch] = []
    run: list[Ref] = []
    size = _HEAD
    last = -1
    for ref in refs:
        cost = _size(ref) + (_PER_OBJECT if ref[0] != last else 0)
        if run and size + cost > budget:
            out.append(_batch(tuple(run), multiple=True))
            run, size = [], _HEAD
            cost = _size(ref) + _PER_OBJECT
        run.append(ref)
        size += cost
        last = ref[0]
    if run:
        out.append(_batch(tuple(run), multiple=True))
    return out


def singles(refs: Iterable[Ref]) -> list[Batch]:
    """Return a read-property request for each of `refs`, but none for status flags.

    A device that lacks read-property-multiple is slow; its flags are not worth twice the requests.
    """
    return [_batch((ref,), multiple=False) for ref in refs if ref[1] != STATUS_FLAGS]


def halves(batch: Batch) -> list[Batch]:
    """Return two requests for what `batch` asks, which is more than one reference."""
    middle = len(batch.refs) // 2
    parts = batch.refs[:middle], batch.refs[middle:]
    return [_batch(part, multiple=True) for part in parts]


@dataclass(slots=True)
class Plan:
    """The requests that read a set of references; it learns from every refusal.

    `budget` is in octets of an answer. `batches` holds what is to be sent, in order.
    """

    batches: list[Batch]
    budget: int
    multiple: bool
    floor: int = field(init=False)

    def __post_init__(self) -> None:
        self.floor = max(_SMALLEST_BUDGET, self.budget // 4)

    def single(self, todo: deque[Batch], done: list[Batch]) -> None:
        """Turn to read-property: the device has no read-property-multiple."""
        self.multiple = False
        for batches in (todo, done):
            refs = [ref for batch in batches for ref in batch.refs]
            batches.clear()
            batches.extend(singles(refs))

    def shrink(self, refused: Batch, todo: deque[Batch]) -> None:
        """Cut `refused` and all of `todo` smaller; below a floor, `refused` only.

        The floor keeps one huge text from cutting the requests for everything else to pieces.
        """
        if refused.size <= self.floor:
            todo.extendleft(reversed(halves(refused)))
            return
        self.budget = max(min(self.budget, refused.size // 2), self.floor)
        again = [ref for batch in (refused, *todo) for ref in batch.refs]
        todo.clear()
        todo.extend(pack(again, self.budget))


def make_plan(refs: Sequence[Ref], max_apdu: int, *, multiple: bool) -> Plan:
    """Return a plan for `refs` on a device that takes APDUs of `max_apdu` octets."""
    budget = min(max_apdu, LARGEST_ANSWER)
    batches = pack(refs, budget) if multiple else singles(refs)
    return Plan(batches, budget, multiple)
