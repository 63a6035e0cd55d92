"""Figures with their baselines, and the kernel's account of a process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value beside the baseline of the same run."""

    value: float
    unit: str
    baseline: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return value, unit, baseline and ratio = value / baseline."""
        ratio = self.value / self.baseline if self.baseline else None
        return {**asdict(self), "ratio": ratio}


def table(figures: Mapping[str, Figure]) -> str:
    """Return the figures as text columns."""
    lines = [f"{'figure':<66} {'value':>10} {'baseline':>10} {'ratio':>6}  unit"]
    for name, figure in figures.items():
        row = figure.as_dict()
        baseline = "" if row["baseline"] is None else f"{row['baseline']:.4g}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        lines.append(f"{name:<66} {figure.value:>10.4g} {baseline:>10} {ratio:>6}  {figure.unit}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process used over a stretch of time."""

    cpu_seconds: float
    seconds: float
    rss_mb: float
    done: float
    """How far `progress` moved."""

    @property
    def cpu_per_1000(self) -> float:
        """CPU seconds per 1,000 units of progress."""
        return 1000 * self.cpu_seconds / self.done

    @property
    def rate(self) -> float:
        """Units of progress per second."""
        return self.done / self.seconds


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def observe(pid: int, seconds: float, progress: Callable[[], float]) -> Usage:
    """Watch a process for `seconds`."""
    cpu, done, started = cpu_seconds(pid), progress(), time.monotonic()
    time.sleep(seconds)
    lasted = time.monotonic() - started
    return Usage(cpu_seconds(pid) - cpu, lasted, rss_mb(pid), progress() - done)
