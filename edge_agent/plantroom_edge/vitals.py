"""The running agent's figures, gathered from its parts."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_account import Stats
from plantroom_edge.config import AgentConfig
from plantroom_edge.detectors import Detector
from plantroom_edge.sampler import Sampler
from plantroom_edge.supervise import Supervisor
from plantroom_edge.sync import Sync
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

_WINDOW: Final = 60
"""Seconds over which rates are taken."""


@dataclass(slots=True)
class Vitals:
    """Knows the agent's parts and can say how they are."""

    config: AgentConfig
    buffer: Buffer
    clock: Clock
    supervisor: Supervisor
    samplers: Sequence[Sampler] = ()
    detectors: Mapping[str, Detector] = field(default_factory=dict)
    sync: Sync | None = None
    _rates: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    """(monotonic seconds, samples so far, bytes in the buffer)."""

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
        for sampler in self.samplers:
            for name, count in sampler.counters.items():
                out[name] = out.get(name, 0) + count
        return out

    async def document(self, *, stopped: bool = False) -> dict[str, Any]:
        """Return everything, for the status file."""
        try:
            stats: Stats | None = await self.buffer.stats()
        except Unavailable as error:
            stats, problem = None, str(error)
        else:
            problem = ""
        counters = self.counters()
        self._rates.append(
            (
                self.clock.monotonic(),
                int(counters.get("samples", 0)),
                stats.used_bytes if stats else 0,
            )
        )
        sync = self.sync.status() if self.sync else {"connected": False}
        return {
            "pid": os.getpid(),
            "at_us": self.clock.now_us(),
            "stopped": stopped,
            "gateway": self.config.gateway,
            "epoch": self.buffer.epoch,
            "boot": self.buffer.boot,
            "samples_per_second": self._samples_per_second(),
            "connected": sync["connected"],
            "sync": sync,
            "buffer": stats.document() if stats else {"problem": problem},
            "autonomy_hours": self._autonomy(stats) if stats else None,
            "buses": {sampler.name: _bus(sampler) for sampler in self.samplers},
            "detectors": {name: detector.status() for name, detector in self.detectors.items()},
            "tasks": {
                name: {"failing": task.failing, "restarts": task.restarts, "error": task.error}
                for name, task in self.supervisor.tasks.items()
                if task.restarts
            },
            "counters": counters,
        }

    def _samples_per_second(self) -> float:
        (t0, n0, _), (t1, n1, _) = self._rates[max(0, len(self._rates) - 6)], self._rates[-1]
        return round((n1 - n0) / (t1 - t0), 1) if t1 > t0 else 0.0

    def _autonomy(self, stats: Stats) -> float | None:
        """Return for how many hours without the cloud the buffer has room; None if unknown.

        While the cloud drains the buffer its growth says nothing: then the cost of a row does.
        """
        (t0, n0, b0), (t1, n1, b1) = self._rates[0], self._rates[-1]
        if t1 - t0 < 5 or n1 == n0:
            return None
        rows = max(1, stats.held["tel"])
        growth = max((b1 - b0) / (t1 - t0), 0.0)
        a_row = max(stats.used_bytes / rows if rows > 5000 else 0.0, 12.0)
        a_second = max(growth, (n1 - n0) / (t1 - t0) * a_row)
        return round(max(0, stats.limit_bytes - stats.used_bytes) / a_second / 3600, 1)


def _bus(sampler: Sampler) -> dict[str, Any]:
    return {
        "missing": list(sampler.missing),
        "counters": dict(sampler.counters),
        "devices": {
            key: {
                "alive": not device.breaker.is_open,
                "failures": device.breaker.failures,
                "polls": device.polls,
                "last_good_us": device.last_good_us,
                "points": sum(len(group.aliases) for group in device.groups),
            }
            for key, device in sampler.devices.items()
        },
    }
