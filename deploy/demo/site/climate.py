"""Weather, people, and the slow swings that make a building restless; pure functions of time.

Time is site time in seconds since midnight of the first day.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

HOUR = 3600.0
DAY = 24 * HOUR
_PERIODS = (62 * 60.0, 101 * 60.0, 173 * 60.0)
"""Seconds: slow against a poll at the demo's speed, short against its first half minute."""


@dataclass(frozen=True, slots=True)
class Climate:
    """What the sky does and how many people are in."""

    hour: float
    """Hour of the day, 0 to 24."""
    occupancy: float
    """0 empty to 1 full."""
    running: bool
    """Whether the time programme has plant and air handling on."""
    t_oa: float
    """Outdoor air, °C."""
    rh: float
    """Outdoor relative humidity, %."""
    t_wb: float
    """Outdoor wet bulb, °C."""
    irradiance: float
    """Global, W/m²."""


def swing(seed: int, name: str, t: float, pace: float = 1.0) -> float:
    """Return a smooth value in -1 to 1, of its own for every `seed` and `name`.

    A `pace` above 1 is quicker than the usual swing of one to three hours.
    """
    return sum(
        weight * math.sin(math.tau * pace * t / period + phase)
        for weight, period, phase in _waves(seed, name)
    )


@lru_cache(maxsize=4096)
def _waves(seed: int, name: str) -> tuple[tuple[float, float, float], ...]:
    rng = random.Random(f"{name}-{seed}")
    return tuple(
        (weight, period * rng.uniform(0.9, 1.1), rng.uniform(0, math.tau))
        for weight, period in zip((0.3, 0.4, 0.3), _PERIODS, strict=True)
    )


def climate(seed: int, t: float) -> Climate:
    """Return the climate of a warm day at `t`."""
    hour = t % DAY / HOUR
    t_oa = 27 + 3.5 * math.cos(math.tau * (hour - 15) / 24) + 0.9 * swing(seed, "t_oa", t)
    rh = min(95.0, max(25.0, 58 - 2.2 * (t_oa - 27) + 5 * swing(seed, "rh", t)))
    sun = max(0.0, math.sin(math.pi * (hour - 6) / 13)) if 6 < hour < 19 else 0.0
    return Climate(
        hour=hour,
        occupancy=occupancy(hour),
        running=5.5 < hour < 22.5,
        t_oa=t_oa,
        rh=rh,
        t_wb=wet_bulb(t_oa, rh),
        irradiance=900 * sun * (0.85 + 0.13 * swing(seed, "clouds", t)),
    )


def occupancy(hour: float) -> float:
    """Return the share of people in at `hour`: in by eight, out by ten."""
    arrive = 1 / (1 + math.exp(-(hour - 7.5) * 6))
    leave = 1 / (1 + math.exp((hour - 21.5) * 6))
    return arrive * leave


def wet_bulb(t: float, rh: float) -> float:
    """Return the wet bulb temperature, °C, by Stull's formula (0.3 K good near sea level)."""
    return (
        t * math.atan(0.151977 * math.sqrt(rh + 8.313659))
        + math.atan(t + rh)
        - math.atan(rh - 1.676331)
        + 0.00391838 * rh * math.sqrt(rh) * math.atan(0.023101 * rh)
        - 4.686035
    )
