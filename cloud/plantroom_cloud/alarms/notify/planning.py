"""What a receiver is told now, what later and what never: schedule, escalation, floods. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from plantroom_cloud.alarms.notify.letters import Letter, Notice
from plantroom_cloud.alarms.receivers import HookReceiver, MailReceiver
from plantroom_cloud.alarms.rules import PRIORITIES, priority_number
from plantroom_cloud.alarms.states import NEEDS_PERSON

_WAITING: Final = frozenset(standing.value for standing in NEEDS_PERSON)
_NEVER: Final = len(PRIORITIES) + 1


@dataclass(slots=True)
class Sending:
    """What is to be done with the notices that are due."""

    letters: list[Letter] = field(default_factory=list)
    held: list[tuple[Notice, int]] = field(default_factory=list)
    """Not before that moment."""
    dropped: list[tuple[Notice, str]] = field(default_factory=list)
    """Never, and why."""


def plan(
    wish: MailReceiver | HookReceiver,
    due: Sequence[Notice],
    *,
    now: int,
    recent: int,
    last_digest: int | None,
) -> Sending:
    """Say what to do with the notices of one receiver.

    Args:
        wish: what the receiver wants.
        due: its notices whose time has come, the oldest first.
        now: microseconds.
        recent: how many notices came for it within the digest's stretch, the due ones included.
        last_digest: when the last digest went.
    """
    out, open_ones = Sending(), list[Notice]()
    always = _NEVER
    if wish.schedule.always_from != "never":
        always = priority_number(wish.schedule.always_from)
    opens = wish.schedule.opens(now)
    for notice in due:
        if notice.escalated and notice.standing not in _WAITING:
            out.dropped.append((notice, "acknowledged in time"))
        elif opens == now or notice.priority >= always:
            open_ones.append(notice)
        elif wish.schedule.outside == "skip" or opens is None:
            out.dropped.append((notice, "outside of its hours"))
        else:
            out.held.append((notice, opens))
    if recent <= wish.digest.more_than and len(open_ones) <= wish.digest.more_than:
        out.letters = [Letter((notice,)) for notice in open_ones]
        return out
    next_digest = 0 if last_digest is None else last_digest + round(wish.digest.every_s * 1e6)
    if next_digest > now:
        out.held += [(notice, next_digest) for notice in open_ones]
    elif open_ones:
        out.letters = [Letter(tuple(open_ones), digest=True)]
    return out
