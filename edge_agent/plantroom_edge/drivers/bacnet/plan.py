"""References → requests whose answers fit one datagram, re-cut as a device shows its limits.

Pure. BACnet devices differ in how much they answer at once, and many say so only by refusing. A
plan is cut by estimate, and halved or packed smaller whenever a device refuses a request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Final

from plantroom_edge.drivers.bacnet.recall import Recall
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
_PER_PROPERTY = 4

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
    recall: Recall | None = None
    """What the last answer was like, where that helps to read the next one."""
    misses: int = 0
    """How often in a row an answer was not like the last."""


def _batch(refs: tuple[Ref, ...], *, multiple: bool) -> Batch:
    objects = len({ref[0] for ref in refs})
    size = _HEAD + _PER_OBJECT * objects + sum(map(_size, refs))
    if multiple:
        return Batch(refs, READ_PROPERTY_MULTIPLE, encode_multiple(refs), frozenset(refs), size)
    return Batch(refs, READ_PROPERTY, encode_single(refs[0]), frozenset(refs), size)


def pack(refs: Iterable[Ref], budget: int) -> list[Batch]:
    """Return read-property-multiple requests whose answers hold about `budget` octets each.

    What belongs to one object stays together if it can: a value with its status flags.
    """
    out: list[Batch] = []
    run: list[Ref] = []
    size = _HEAD
    for part in _parts(refs, budget):
        cost = _PER_OBJECT + sum(map(_size, part))
        if run and size + cost > budget:
            out.append(_batch(tuple(run), multiple=True))
            run, size = [], _HEAD
        run += part
        size += cost
    if run:
        out.append(_batch(tuple(run), multiple=True))
    return out


def _parts(refs: Iterable[Ref], budget: int) -> Iterator[list[Ref]]:
    """Yield the references of each object, in pieces that fit `budget`."""
    for _, run in groupby(refs, key=itemgetter(0)):
        part: list[Ref] = []
        size = _HEAD + _PER_OBJECT
        for ref in run:
            if part and size + _size(ref) > budget:
                yield part
                part, size = [], _HEAD + _PER_OBJECT
            part.append(ref)
            size += _size(ref)
        yield part


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


_GROW_AFTER: Final = 500
"""Runs without a refusal after which larger requests are tried: devices get updates."""


@dataclass(slots=True)
class Plan:
    """The requests that read a set of references; it learns from every refusal.

    `budget` is in octets of an answer. `batches` holds what is to be sent, in order.
    """

    batches: list[Batch]
    budget: int
    multiple: bool
    most: int
    """The budget that the device promises to answer."""
    floor: int = field(init=False)
    proven: int = 0
    """The budget to go back to if the one on trial is refused; 0 while none is on trial."""
    patience: int = _GROW_AFTER
    clean: int = 0
    """Runs without a refusal, in a row."""

    def __post_init__(self) -> None:
        self.floor = max(_SMALLEST_BUDGET, self.most // 4)

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
        self.clean = 0
        if refused.size <= self.floor:
            todo.extendleft(reversed(halves(refused)))
            return
        smaller = self.proven or refused.size // 2
        if self.proven:
            self.proven = 0
            self.patience *= 2
        self.budget = max(min(self.budget, smaller), self.floor)
        again = [ref for batch in (refused, *todo) for ref in batch.refs]
        todo.clear()
        todo.extend(pack(again, self.budget))

    def went_well(self) -> None:
        """Note a run without refusal; now and then, try larger requests in the next one."""
        self.clean += 1
        if self.clean < self.patience or not self.multiple:
            return
        self.clean, self.proven = 0, 0
        larger = min(self.budget + self.budget // 4, self.most)
        if larger > self.budget:
            self.proven, self.budget = self.budget, larger
            refs = [ref for batch in self.batches for ref in batch.refs]
            self.batches = pack(refs, larger)


def make_plan(
    refs: Sequence[Ref], max_apdu: int, *, multiple: bool, budget: int | None = None
) -> Plan:
    """Return a plan for `refs` on a device that takes APDUs of `max_apdu` octets.

    Args:
        refs: what to read.
        max_apdu: as the device has announced it.
        multiple: whether it has read-property-multiple.
        budget: octets of an answer, where another plan has learned them already.
    """
    most = min(max_apdu, LARGEST_ANSWER)
    budget = min(budget or most, most)
    batches = pack(refs, budget) if multiple else singles(refs)
    return Plan(batches, budget, multiple, most)
