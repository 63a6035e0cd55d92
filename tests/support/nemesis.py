"""Kills processes at random moments and starts them again; the seed is printed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from demo.processes import Child, ProcessFailedError


@dataclass(slots=True)
class Victim:
    """A process to kill, and how to see that it serves again."""

    child: Child
    serves: Callable[[], bool]
    kills: int = 0
    served: int = 0
    """In how many of its lives it came to serve."""
    due: float | None = None
    """When the next kill comes; None while waiting for it to serve."""
    started: float = 0.0


def torment(
    victims: Mapping[str, Victim], *, kills: int, seed: int, longest: float, limit: float
) -> None:
    """Kill each victim `kills` times at random moments, most while it serves, some while it starts.

    Args:
        victims: by name.
        kills: per victim.
        seed: of the moments; printed, so that a failure can be run again.
        longest: the longest life, seconds, after a victim serves.
        limit: seconds within which all must be done.
    """
    print(f"nemesis: seed {seed}, {kills} kills each of {', '.join(victims)}")
    dice = random.Random(seed)
    deadline = time.monotonic() + limit
    while any(victim.kills < kills for victim in victims.values()):
        now = time.monotonic()
        if now > deadline:
            done = {name: victim.kills for name, victim in victims.items()}
            msg = f"the kills took more than {limit:.0f} s: {done}"
            raise ProcessFailedError(msg)
        for name, victim in victims.items():
            if victim.kills < kills:
                _step(name, victim, dice, now, longest)
        time.sleep(0.01)


def _step(name: str, victim: Victim, dice: random.Random, now: float, longest: float) -> None:
    if not victim.child.running:
        msg = f"{name} ended by itself, code {victim.child.returncode}:\n{victim.child.log_end()}"
        raise ProcessFailedError(msg)
    if victim.due is None:
        if victim.serves():
            victim.served += 1
            victim.due = now + dice.uniform(0, longest)
        return
    if now < victim.due:
        return
    victim.child.kill()
    victim.kills += 1
    victim.child.start()
    # One start in five is killed before it is over; the others get to serve.
    victim.due = now + dice.uniform(0, 1) if dice.random() < 0.2 else None
