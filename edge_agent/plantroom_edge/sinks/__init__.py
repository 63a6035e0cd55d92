"""Sinks: who else is told what the agent accepts, beside the cloud, and the registry of them.

A sink is one module in this folder that registers a `SinkSpec` under the name that stands behind
``sink:`` in the configuration. It is shown samples after the buffer has them on the disk; what it
does with them never slows, stops or changes the way to the cloud, and it may lose them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from plantroom_shared.clock import Clock
from plantroom_shared.model import Batch, Device, Point
from plantroom_shared.registry import Registry


class SinkConfig(BaseModel):
    """What every sink has in the configuration; a kind adds its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    """Names the sink in messages and metrics."""
    sink: str


class Sink(Protocol):
    """One other place that samples go to."""

    def describe(
        self, points: Sequence[Point], aliases: Sequence[int], devices: Sequence[Device]
    ) -> None:
        """Take note of points, and by which aliases batches name them; must return at once."""
        ...

    def feed(self, batch: Batch) -> None:
        """Take accepted samples; must return at once and never raise."""
        ...

    async def run(self) -> None:
        """Deliver until cancelled."""
        ...

    def status(self) -> dict[str, Any]:
        """Return ``connected`` and figures for a person."""
        ...


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """How to configure and open a sink."""

    config: type[SinkConfig]
    open: Callable[[Any, Clock], Sink]
    """Takes its own `config` object and the clock; connections open in `run`."""


sinks: Registry[SinkSpec] = Registry("sink", "plantroom_edge.sinks")
