"""The ledger: every value proves which point it is and which read of that point.

``value = index * TURN + n % TURN``, where `index` is the point's place in the ledger and n counts
how often the point has been served before. With fewer than `POINTS` points every value is a
whole number below 2^24, so that a float32 (and any wider type) holds it exactly.
"""

from __future__ import annotations

TURN = 16_384
POINTS = 1_024


def ledger_value(index: int, n: int) -> int:
    """Return what point `index` shows at its read number `n` (from 0).

    Raises:
        ValueError: there is no such point or read.
    """
    if not 0 <= index < POINTS or n < 0:
        msg = f"point {index}, read {n}: points are 0 to {POINTS - 1}, reads count from 0"
        raise ValueError(msg)
    return index * TURN + n % TURN


def ledger_parse(value: float) -> tuple[int, int]:
    """Return the point and the read, modulo `TURN`, that a value stands for.

    Raises:
        ValueError: no point at any read shows this value.
    """
    whole = int(value)
    if whole != value or not 0 <= whole < POINTS * TURN:
        msg = f"{value} is no value of the ledger"
        raise ValueError(msg)
    return divmod(whole, TURN)


class Counter:
    """Counts the reads of the points and gives each read its value."""

    def __init__(self, points: int) -> None:
        self._reads = [0] * points

    def serve(self, index: int) -> int:
        """Return the value of the next read of point `index`, and count it."""
        n = self._reads[index]
        self._reads[index] = n + 1
        return ledger_value(index, n)
