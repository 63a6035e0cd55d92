"""The numbers of a Sparkplug node: births, deaths, lost messages, requests for a rebirth. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

ASK_AGAIN_US: Final = 10_000_000
"""Microseconds between two requests for a rebirth, at least; doubled by each that did not help."""
ASK_LEAST_US: Final = 300_000_000
"""What doubling ends at; a node that was not asked for twice as long begins anew."""
_ROUND: Final = 256
_HALF: Final = 128


@dataclass(slots=True)
class Session:
    """What the host must remember of a node between messages; it is kept in the database."""

    online: bool = False
    bd_seq: int | None = None
    """Of the last birth: only a death with the same number ends it."""
    expected: int | None = None
    """The next sequence number; None before the first birth."""
    missing: dict[str, int] = field(default_factory=dict)
    """Sequence number → when it was missed, microseconds."""
    asked_us: int = 0
    """When a rebirth was last asked for."""
    asks: int = 0
    """How many requests there were in a row."""
    lost: int = 0
    """Messages that never came, ever."""

    @classmethod
    def load(cls, document: dict[str, Any]) -> Session:
        """Return the session that `dump` made a document of."""
        return cls(**document)

    def dump(self) -> dict[str, Any]:
        """Return this as JSON."""
        return asdict(self)

    def born(self, seq: int | None, bd_seq: int | None) -> None:
        """Begin anew with a node's birth."""
        self.lost += len(self.missing)
        self.online, self.bd_seq, self.missing = True, bd_seq, {}
        self.expected = ((seq or 0) + 1) % _ROUND

    def died(self, bd_seq: int | None) -> bool:
        """Note a death; False if it is not that of the present birth."""
        if self.bd_seq is not None and bd_seq != self.bd_seq:
            return False
        self.lost += len(self.missing)
        self.online, self.expected, self.missing = False, None, {}
        return True

    def number(self, seq: int | None, now_us: int) -> None:
        """Note the sequence number of a message between two births."""
        if self.expected is None or seq is None:
            return
        seq %= _ROUND
        ahead = (seq - self.expected) % _ROUND
        if ahead == 0:
            self.expected = (seq + 1) % _ROUND
        elif str(seq) in self.missing:
            del self.missing[str(seq)]
        elif ahead < _HALF:
            for step in range(ahead):
                self.missing[str((self.expected + step) % _ROUND)] = now_us
            self.expected = (seq + 1) % _ROUND

    def needs_rebirth(self, now_us: int, patience_us: int, *, unknown: bool) -> bool:
        """Say whether to ask for a rebirth now, and remember that it was asked.

        Args:
            now_us: our clock.
            patience_us: how long a message may be overtaken by others before it counts as lost.
            unknown: a message could not be understood without a birth.
        """
        lost = any(now_us - since >= patience_us for since in self.missing.values())
        if not (lost or unknown):
            return False
        ago = abs(now_us - self.asked_us)  # a clock that was set back must not silence us for long
        if ago < min(ASK_AGAIN_US << self.asks, ASK_LEAST_US):
            return False
        self.asks = 0 if ago > 2 * ASK_LEAST_US else min(self.asks + 1, 8)
        self.asked_us = now_us
        return True
