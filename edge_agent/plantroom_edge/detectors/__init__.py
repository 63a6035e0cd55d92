"""Detectors: what watches points on the gateway, with or without a line, and the registry of them.

A detector is one module in this folder that registers a `DetectorSpec` under the name that stands
behind ``detector:`` in the configuration. It is fed every poll and reports findings; the agent
makes them durable and sends them the same way as samples.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from plantroom_edge.drivers import Poll
from plantroom_shared.clock import Clock
from plantroom_shared.model import Finding
from plantroom_shared.registry import Registry

Emit = Callable[[Finding], Awaitable[None]]
"""Returns when the finding is durable."""


class DetectorConfig(BaseModel):
    """What every detector has in the configuration; a kind adds its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    """Names the detector in findings, messages and its model's file."""
    detector: str


class Detector(Protocol):
    """One running detector."""

    def feed(self, device: str, points: tuple[str, ...], poll: Poll) -> None:
        """Take note of one poll; must return at once."""
        ...

    async def run(self, emit: Emit) -> None:
        """Watch until cancelled, reporting through `emit`."""
        ...

    def status(self) -> dict[str, Any]:
        """Return ``state`` (learning, fitting, watching, alarm) and figures for a person."""
        ...


@runtime_checkable
class Choosy(Protocol):
    """A detector that does not look at every point: the values of others need not be decoded."""

    def wants(self, point: str) -> bool:
        """Say whether the value of the point with this key matters in every poll."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """How to configure and open a detector."""

    config: type[DetectorConfig]
    open: Callable[[Any, Clock, Path], Detector]
    """Takes its own `config` object, the clock and a folder for its models."""


detectors: Registry[DetectorSpec] = Registry("detector", "plantroom_edge.detectors")
