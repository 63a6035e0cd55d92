"""Kills processes at random moments and starts them again; the seed is printed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from demo.processes import Child, ProcessFailedError


@dataclass(slots=True)
class Victim:
    """A process to kill, and how to see that it serves again."""

    child: Child
    serves: Callable[[], bool]
    wanted: int
    """How often to kill it."""
    killed: Callable[[], None] = lambda: None
    """Called after each kill, before it starts again."""
    kills: int = 0
    served: int = 0
    """In how many of its lives it came to serve."""
    restarts: list[float] = field(default_factory=list)
    """Seconds from each start to serving, for the lives that came so far."""
    due: float | None = None
    """When the next kill comes; None while waiting for it to serve."""
    started: float = 0.0
    look: float = 0.0
    """When to look next whether it serves."""

    @property
    def done(self) -> bool:
        """Say whether it was killed often enough and serves again."""
        return self.kills >= self.wanted and self.due is not None


def torment(
    victims: Mapping[str, Victim],
    *,
    seed: int,
    longest: float,
    limit: float,
    say: Callable[[str], None] = print,
) -> None:
    """Kill each victim at random moments, most while it serves, some while it starts.

    Args:
        victims: by name.
        seed: of the moments; printed, so that a failure can be run again.
        longest: the longest life, seconds, after a victim serves.
        limit: seconds within which all must be done.
        say: where progress goes.
    """
    wanted = ", ".join(f"{victim.wanted} of {name}" for name, victim in victims.items())
    say(f"nemesis: seed {seed}, kills: {wanted}")
    dice = random.Random(seed)
    deadline = time.monotonic() + limit
    told = 0
    while not all(victim.done for victim in victims.values()):
        now = time.monotonic()
        if now > deadline:
            done = {name: victim.kills for name, victim in victims.items()}
            msg = f"the kills took more than {limit:.0f} s: {done}"
            raise ProcessFailedError(msg)
        for name, victim in victims.items():
            _step(name, victim, dice, now, longest)
        if (kills := sum(victim.kills for victim in victims.values())) >= told + 50:
            told = kills
            say(f"nemesis: { ({name: victim.kills for name, victim in victims.items()}) }")
        time.sleep(0.01)


def _step(name: str, victim: Victim, dice: random.Random, now: float, longest: float) -> None:
    if not victim.child.running:
        msg = f"{name} ended by itself, code {victim.child.returncode}:\n{victim.child.log_end()}"
        raise ProcessFailedError(msg)
    if victim.due is None:
        if now >= victim.look:
            victim.look = now + 0.05
            if victim.serves():
                victim.served += 1
                victim.restarts += [time.monotonic() - victim.started] if victim.kills else []
                victim.due = now + dice.uniform(0, longest)
        return
    if now < victim.due or victim.kills >= victim.wanted:
        return
    victim.child.kill()
    victim.kills += 1
    victim.killed()
    victim.started = time.monotonic()
    victim.child.start()
    # One start in five is killed before it is over; the others get to serve.
    early = dice.random() < 0.2 and victim.kills < victim.wanted
    victim.due = now + dice.uniform(0, 1) if early else None
