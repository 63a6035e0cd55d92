"""Whether the agent does its work: what would bring a person to the gateway, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

STUCK: Final = 15.0
"""Seconds without a new status after which the agent counts as stuck; it writes one a second."""


def reasons(document: dict[str, Any], now_us: int) -> Iterator[str]:
    """Yield why the agent does not do its work, a line each; nothing where it does.

    A device that does not answer is the device's trouble, and a cloud that is away is what the buffer
    is for: neither is here, both are metrics.

    Args:
        document: what the agent last said of itself; empty before its first words.
        now_us: the same clock's time, microseconds.
    """
    if not document:
        yield "the agent has not said anything of itself yet"
        return
    age = abs(now_us - document["at_us"]) / 1e6
    if age > STUCK:
        yield f"the agent has said nothing of itself for {age:.0f} s"
    if document["safe_mode"]:
        yield "safe mode: the agent crashed several times in a row and runs with its core alone"
    if document["buffer_problem"]:
        yield f"the buffer takes no samples: {document['buffer_problem']}"
    buffer = document["buffer"]
    if buffer.get("full_since_us") is not None:
        yield "the disk is full: free some of it"
    if buffer.get("giving_up"):
        yield "samples are given up: the buffer is full; raise `buffer.limit_mb`, or see to the line"
    for name, task in document["tasks"].items():
        if task["failing"]:
            yield f"{name} fails and is started again: {task['error']}"
