"""What an answer looked like the last time: a poll of the same points mostly differs in values only.

Once an answer has been parsed whole, its octets are known: which are values of present-values, and
which say all the rest (objects, properties, status flags, errors). The next answer to the same
request is compared with that in one step and its values are taken out in another, with no object
for any of them. Whatever differs from what is known goes to the general parser: nothing here
decides what is right, only what is the same.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.values import number_at, skip
from plantroom_edge.drivers.bacnet.vocabulary import PRESENT_VALUE
from plantroom_shared.model import Value

# The first octet of an application-tagged value → how `struct` reads what follows.
_FORMATS: Final = {
    0x44: "f", 0x21: "B", 0x22: "H", 0x23: "3s", 0x24: "I", 0x31: "b", 0x32: "h", 0x34: "i",
    0x91: "B", 0x92: "H",
}  # fmt: skip
_DOUBLE: Final = b"\x55\x08"


@dataclass(slots=True)
class Recall:
    """One request's answer, as it was."""

    size: int
    mask: int
    """All ones, but zeros where values stand."""
    rest: int
    """The octets under `mask`."""
    unpack: Callable[[bytes], tuple[Any, ...]]
    rows: Sequence[int]
    """The row of each value; -1 for one that is `loose`."""
    block: slice | None
    """The rows as a slice, where they are a run."""
    wide: tuple[int, ...]
    """Which values are still three octets."""
    loose: tuple[tuple[int, Ref], ...]
    """Values to be looked at one by one, as they or their flags were not good."""
    known: Mapping[Ref, Any]
    """What the rest of the answer says, of rows that are looked at one by one."""
    fixed: tuple[tuple[int, Value], ...]
    """Row and value of what is compared rather than read: texts, booleans."""

    def values(self, body: bytes) -> Sequence[Any] | None:
        """Return the values in `body`, or None if it says anything else than the last time."""
        if len(body) != self.size or int.from_bytes(body, "big") & self.mask != self.rest:
            return None
        found: Sequence[Any] = self.unpack(body)
        if self.wide:
            found = list(found)
            for index in self.wide:
                found[index] = int.from_bytes(found[index], "big")
        # One NaN or infinity makes the sum one; a sum that overflows is only looked at longer.
        return found if math.isfinite(sum(found)) else None

    def put(self, found: Sequence[Any], values: list[Value], others: dict[Ref, Any]) -> None:
        """Put what `values` has returned into its rows, and what is to be looked at in `others`."""
        if self.block is not None:
            values[self.block] = found
        else:
            for row, value in zip(self.rows, found, strict=True):
                if row >= 0:
                    values[row] = value
        for row, value in self.fixed:
            values[row] = value
        others.update(self.known)
        for index, ref in self.loose:
            others[ref] = found[index]

    def covered(self) -> int:
        """Return how many rows need no further look."""
        return len(self.rows) - len(self.loose) + len(self.fixed)


class _Draft:
    """A `Recall` while it is being made."""

    def __init__(self, size: int) -> None:
        self.mask = bytearray(b"\xff" * size)
        self.layout, self.end = ">", 0
        self.rows: list[int] = []
        self.loose: list[tuple[int, Ref]] = []
        self.wide: list[int] = []

    def add(self, ref: Ref, start: int, code: str, row: int) -> None:
        """Add a value whose octets start at `start`; `row` is -1 if it was not good."""
        size = struct.calcsize(f">{code}")
        self.mask[start : start + size] = bytes(size)
        self.layout += f"{start - self.end}x{code}"
        self.end = start + size
        if code == "3s":
            self.wide.append(len(self.rows))
        if row < 0:
            self.loose.append((len(self.rows), ref))
        self.rows.append(row)

    def finish(
        self, body: bytes, fixed: Sequence[tuple[int, Value]], known: Mapping[Ref, Any]
    ) -> Recall:
        """Return what has been learned of `body`."""
        rows, size = self.rows, len(body)
        block = slice(rows[0], rows[0] + len(rows))
        run = not self.loose and rows == list(range(block.start, block.stop))
        mask = int.from_bytes(self.mask, "big")
        return Recall(
            size=size,
            mask=mask,
            rest=int.from_bytes(body, "big") & mask,
            unpack=struct.Struct(f"{self.layout}{size - self.end}x").unpack,
            rows=rows,
            block=block if run else None,
            wide=tuple(self.wide),
            loose=tuple(self.loose),
            known=known,
            fixed=tuple(fixed),
        )


def learn(body: bytes, good: Mapping[Ref, int], said: Mapping[Ref, Any]) -> Recall | None:
    """Return how to read another answer like `body`, which has been parsed; None if that is no use.

    Args:
        body: of a read-property-multiple acknowledgement.
        good: present-values whose rows were good → the row.
        said: everything in `body`.
    """
    draft = _Draft(len(body))
    fixed: list[tuple[int, Value]] = []
    known = {ref: value for ref, value in said.items() if ref not in good}
    for ref, start, code in _present_values(body):
        if ref not in said:
            return None  # about something that was not asked for
        if code:
            draft.add(ref, start, code, good.get(ref, -1))
            known.pop(ref, None)
        elif ref in good:
            fixed.append((good[ref], said[ref]))
    return draft.finish(body, fixed, known) if draft.rows else None


def _present_values(body: bytes) -> list[tuple[Ref, int, str]]:
    """Return each present-value of a sound answer, where its octets start and how they are read.

    The format is empty for what cannot be read in place.
    """
    out: list[tuple[Ref, int, str]] = []
    pos, end = 0, len(body)
    while pos < end:
        oid = int.from_bytes(body[pos + 1 : pos + 5], "big")
        pos += 6
        while body[pos] != 0x1F:
            prop, pos = number_at(body, pos, 2)
            index = WHOLE
            if body[pos] & 0xF8 == 0x38:
                index, pos = number_at(body, pos, 3)
            stop = skip(body, pos) - 1  # the closing tag
            if prop == PRESENT_VALUE and index == WHOLE and body[pos] == 0x4E:
                start, code = _format(body, pos + 1, stop)
                out.append(((oid, prop, index), start, code))
            pos = stop + 1
        pos += 1
    return out


def _format(body: bytes, pos: int, stop: int) -> tuple[int, str]:
    """Return where the one value between `pos` and `stop` has its octets, and their format."""
    if body[pos : pos + 2] == _DOUBLE and stop == pos + 10:
        return pos + 2, "d"
    code = _FORMATS.get(body[pos], "")
    if code and stop != pos + 1 + struct.calcsize(f">{code}"):
        code = ""  # more than one value
    return pos + 1, code
