"""Ids by which a message is followed from the gateway to the platform it is published to.

They follow from what a message is anyway, so nothing of them travels: whoever holds a message, or
rows of it, knows them.
"""

from __future__ import annotations

import hashlib


def trace_of(gateway: str, epoch: str, stream: str, s0: int) -> str:
    """Return the W3C trace id, 32 hex digits, of the message that begins with row `s0`."""
    return _hash(f"plantroom/{gateway}/{epoch}/{stream}/{s0}")[:32]


def root_of(trace_id: str) -> str:
    """Return the id, 16 hex digits, of the span at the beginning of a trace: on the gateway."""
    return _hash(f"root/{trace_id}")[:16]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
