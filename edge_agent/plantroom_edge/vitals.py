"""The running agent's figures, gathered from its parts."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_account import Stats
from plantroom_edge.config import AgentConfig
from plantroom_edge.detectors import Detector
from plantroom_edge.drivers import DeviceFigures, Telling
from plantroom_edge.machine import Machine, written_bytes
from plantroom_edge.sampler import Sampler
from plantroom_edge.sampling.engine import Sampling
from plantroom_edge.sinks import Sink
from plantroom_edge.supervise import Supervisor
from plantroom_edge.sync import Sync
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

if TYPE_CHECKING:  # a gateway does not carry what it does not use
    from plantroom_edge.claiming.renewer import Renewer
    from plantroom_edge.commands.service import Commands
    from plantroom_edge.desired.service import Desired

_WINDOW: Final = 60
"""Seconds over which rates are taken."""

_PAGES: Final = 1.1
"""Bytes of the file for each byte of messages: pages are not filled to the last byte."""

_FLASH_AFTER: Final = 60.0
"""Seconds over which writing must have been watched before a day's can be told."""


class Flash:
    """How much this process makes the disk write: a card lasts for so many bytes.

    Args:
        source: the kernel's account of the process.
    """

    def __init__(self, source: Path = Path("/proc/self/io")) -> None:
        self._source = source
        self._first: tuple[float, int] | None = None

    def bytes_per_day(self, now: float) -> float | None:
        """Return the bytes that a day like the time since the first call writes; None if unknown."""
        written = written_bytes(self._source)
        if written is None:
            return None
        if self._first is None:
            self._first = (now, written)
        since, before = self._first
        if now - since < _FLASH_AFTER:
            return None
        return round((written - before) / (now - since) * 86400)


@dataclass(slots=True)
class Vitals:
    """Knows the agent's parts and can say how they are."""

    config: AgentConfig
    buffer: Buffer
    clock: Clock
    supervisor: Supervisor
    samplers: Sequence[Sampler] = ()
    detectors: Mapping[str, Detector] = field(default_factory=dict)
    sinks: Mapping[str, Sink] = field(default_factory=dict)
    sync: Sync | None = None
    sampling: Sampling | None = None
    commands: Commands | None = None
    renewer: Renewer | None = None
    desired: Desired | None = None
    safe_mode: bool = False
    watching: list[Detector] = field(default_factory=list)
    """What every sampler shows its polls: one list for all, so that it can change as they run."""
    gone: Counter[str] = field(default_factory=Counter)
    """Figures of the buses that were removed since the start: sums must not fall."""
    machine: Machine = field(default_factory=Machine)
    latest: dict[str, Any] = field(default_factory=dict)
    """The last document, for those who may not have one made: a web server's callers."""
    _rates: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    """(monotonic seconds, samples so far, bytes of messages written)."""
    _figures: dict[str, float] = field(default_factory=dict)
    """Of the last look at the buffer."""
    _flash: Flash = field(default_factory=Flash)

    def counters(self) -> dict[str, float]:
        """Return the figures that go to the cloud with every state message."""
        out: dict[str, float] = {
            "accepted": self.buffer.accepted,
            "refused": self.buffer.refused,
            "restarts": sum(task.restarts for task in self.supervisor.tasks.values()),
            "devices_dead": sum(
                device.breaker.is_open
                for sampler in self.samplers
                for device in sampler.devices.values()
            ),
        }
        for counters in (self.gone, *(sampler.counters for sampler in self.samplers)):
            for name, count in counters.items():
                out[name] = out.get(name, 0) + count
        return out | self._figures

    async def document(self, *, stopped: bool = False) -> dict[str, Any]:
        """Return everything, for the status file."""
        try:
            stats: Stats | None = await self.buffer.stats()
        except Unavailable as error:
            stats, problem = None, str(error)
        else:
            problem = ""
        self._look(stats)
        counters = self.counters()
        sync = self.sync.status() if self.sync else {"connected": False}
        self.latest = {
            "pid": os.getpid(),
            "at_us": self.clock.now_us(),
            "stopped": stopped,
            "gateway": self.config.gateway,
            "epoch": self.buffer.epoch,
            "boot": self.buffer.boot,
            "samples_per_second": self._samples_per_second(),
            "connected": sync["connected"],
            "certificate": self.renewer.status() if self.renewer else None,
            "sync": sync,
            "safe_mode": self.safe_mode,
            "buffer": stats.document() if stats else {"problem": problem},
            "buffer_problem": problem or self.buffer.problem,
            "autonomy_hours": self._autonomy(stats) if stats else None,
            "flash_bytes_per_day": self._figures.get("flash_bytes_per_day"),
            "buses": {sampler.name: _bus(sampler) for sampler in self.samplers},
            "sampling": self.sampling.figures() if self.sampling else {},
            "detectors": {name: detector.status() for name, detector in self.detectors.items()},
            "sinks": {name: sink.status() for name, sink in self.sinks.items()},
            "tasks": {
                name: {"failing": task.failing, "restarts": task.restarts, "error": task.error}
                for name, task in self.supervisor.tasks.items()
                if task.restarts
            },
            "writes": self.commands.status() if self.commands else {"enabled": False},
            "desired": self.desired.status() if self.desired else {"takes": False},
            "counters": counters,
            "machine": self.machine.look(self.clock.monotonic()),
        }
        return self.latest

    def traffic(self) -> dict[str, Sequence[DeviceFigures]]:
        """Return by bus what the traffic with its devices was like, where the driver tells."""
        told: dict[str, Sequence[DeviceFigures]] = {}
        for sampler in self.samplers:
            if isinstance(sampler.driver, Telling):
                told[sampler.name] = sampler.driver.figures()
        return told

    def _look(self, stats: Stats | None) -> None:
        """Take the figures of this moment."""
        counted = (self.gone, *(sampler.counters for sampler in self.samplers))
        samples = sum(int(counters.get("samples", 0)) for counters in counted)
        now = self.clock.monotonic()
        if stats is None:
            self._figures["buffer_failing"] = 1
            return
        self._rates.append((now, samples, stats.written_bytes))
        a_day = self._flash.bytes_per_day(now)
        budget = self.config.buffer.flash_mb_per_day * 1_000_000
        autonomy = self._autonomy(stats)
        self._figures = {
            "safe_mode": self.safe_mode,
            "buffer_failing": bool(self.buffer.problem),
            "buffer_full": stats.full_since_us is not None,
            "buffer_disk_bytes": stats.disk_bytes,
            "buffer_limit_bytes": stats.limit_bytes,
            **{f"lost_{what}": count for what, count in stats.lost.items()},
            **({} if autonomy is None else {"autonomy_hours": autonomy}),
            **({} if a_day is None else {"flash_bytes_per_day": a_day}),
            **({} if a_day is None else {"flash_over_budget": a_day > budget}),
        }

    def _samples_per_second(self) -> float:
        if not self._rates:
            return 0.0
        (t0, n0, _), (t1, n1, _) = self._rates[max(0, len(self._rates) - 6)], self._rates[-1]
        return round((n1 - n0) / (t1 - t0), 1) if t1 > t0 else 0.0

    def _autonomy(self, stats: Stats) -> float | None:
        """Return for how many hours without the cloud no sample need be given up; None if unknown.

        What is confirmed and only retained counts as free.
        """
        if not self._rates:
            return None
        (t0, _, b0), (t1, _, b1) = self._rates[0], self._rates[-1]
        if t1 - t0 < 5 or b1 <= b0:
            return None
        a_second = (b1 - b0) / (t1 - t0) * _PAGES
        return round(stats.room_bytes / a_second / 3600, 1)


def _bus(sampler: Sampler) -> dict[str, Any]:
    suppressed = sampler.counters.get("suppressed", 0)
    seen = suppressed + sampler.counters.get("samples", 0)
    return {
        "missing": list(sampler.missing),
        "counters": dict(sampler.counters),
        "suppressed_percent": round(100 * suppressed / seen, 1) if seen else 0.0,
        "poll_ms": _percentiles(sampler.durations),
        "devices": {
            key: {
                "alive": not device.breaker.is_open,
                "failures": device.breaker.failures,
                "polls": device.polls,
                "overruns": device.overruns,
                "last_good_us": device.last_good_us,
                "points": sum(len(group.aliases) for group in device.groups),
            }
            for key, device in sampler.devices.items()
        },
    }


def _percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """Return the median and the 95th percentile in milliseconds; nothing of nothing."""
    ordered = sorted(seconds)
    return {
        name: round(1000 * ordered[int(share * (len(ordered) - 1))], 3)
        for name, share in (("p50", 0.5), ("p95", 0.95))
        if ordered
    }
