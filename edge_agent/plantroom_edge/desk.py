"""What the running agent answers on its control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from plantroom_edge.config import AgentConfig, load
from plantroom_edge.control import Handler
from plantroom_edge.crew import Crew, Register
from plantroom_edge.reconfigure import Plan
from plantroom_edge.starts import config_hash
from plantroom_edge.values import rows
from plantroom_edge.vitals import Vitals
from plantroom_shared.errors import ConfigError, Rejected


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    v: int
    op: str


class _PlanRequest(_Request):
    text: str | None = None
    """What is to stand in the file; None: as it is."""


class _ApplyRequest(_Request):
    expect: str | None = None
    """Hash of what was shown to the person: if the file is another by now, nothing is done."""
    force: bool = False


class Desk:
    """Answers for the agent.

    Args:
        file: the agent's configuration; None where it was started without one.
        crew: what runs.
        vitals: how it does.
        register: what points and devices there are.
    """

    def __init__(self, file: Path | None, crew: Crew, vitals: Vitals, register: Register) -> None:
        self._file, self._crew = file, crew
        self._vitals, self._register = vitals, register

    def handlers(self) -> dict[str, Handler]:
        """Return what there is to ask, by operation."""
        return {
            "status": self._status,
            "values": self._values,
            "plan": self._plan,
            "apply": self._apply,
        }

    async def _status(self, request: Mapping[str, Any]) -> dict[str, Any]:
        _Request.model_validate(request)
        status = await self._vitals.document()
        return {
            "status": status,
            "config": config_hash(self._crew.config),
            "clock": self._vitals.buffer.clock_state,
            "traffic": self._traffic(),
        }

    def _traffic(self) -> dict[str, Any]:
        now = self._vitals.clock.monotonic()
        since = {one.name: round(now - one.opened, 1) for one in self._vitals.samplers}
        return {
            bus: {"since_s": since[bus], "devices": figures}
            for bus, figures in self._vitals.traffic().items()
        }

    async def _values(self, request: Mapping[str, Any]) -> dict[str, Any]:
        _Request.model_validate(request)
        now = self._vitals.clock.now_us()
        latest = self._vitals.buffer.latest()
        return {"now_us": now, "rows": rows(self._vitals.samplers, self._register, latest)}

    async def _plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        wanted = _PlanRequest.model_validate(request)
        plan, dropped, of = self._crew.plan(await self._load(wanted.text))
        return {"plan": plan.document(), "points_dropped": dropped, "points": of}

    async def _apply(self, request: Mapping[str, Any]) -> dict[str, Any]:
        wanted = _ApplyRequest.model_validate(request)
        new = await self._load(None)
        if wanted.expect not in (None, config_hash(new)):
            msg = "the file has changed since it was shown; look at it again"
            raise Rejected(msg, reason="changed")
        plan: Plan = await self._crew.apply(new, force=wanted.force)
        return {"plan": plan.document()}

    async def _load(self, text: str | None) -> AgentConfig:
        if self._file is None:
            what = "the agent was started without a file"
            raise ConfigError(what, fix="start it with: plantroom-edge run CONFIG")
        return await asyncio.to_thread(load, self._file, text)
