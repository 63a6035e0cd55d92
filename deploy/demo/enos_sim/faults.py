"""Faults on demand, and a look inside: ``/__sim__/...``, for tests and the demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.enos_sim.security import Tokens
from demo.enos_sim.world import World

Mode = Literal["401", "403", "429", "500", "503", "garbage", "unclear", "silent", "lost"]


class Fault(BaseModel):
    """What becomes of the next requests."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode
    """``silent`` never answers and does nothing; ``lost`` does it and never answers."""
    count: int = Field(default=1, ge=1)
    path: str = ""
    """Only requests whose path holds this text."""
    retry_after: str = ""


@dataclass
class Faults:
    """The faults still to come."""

    waiting: list[Fault] = field(default_factory=list)
    done: int = 0

    def take(self, path: str) -> Fault | None:
        """Return the fault that hits a request to `path`, and use it up."""
        for fault in self.waiting:
            if fault.path in path:
                fault.count -= 1
                self.done += 1
                if not fault.count:
                    self.waiting.remove(fault)
                return fault
        return None


class FaultyASGI:
    """ASGI middleware that plays the faults."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app, self.faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or spoil it."""
        path = scope.get("path", "")
        fault = None if path.startswith("/__sim__") else self.faults.take(path)
        if scope["type"] != "http" or fault is None:
            await self.app(scope, receive, send)
        elif fault.mode == "lost":
            await self.app(scope, receive, _swallow)
            await _until_gone(receive)
        elif fault.mode == "silent":
            await _until_gone(receive)
        else:
            await _spoil(fault, send)


async def _swallow(_message: Message) -> None:
    """Keep an answer from leaving."""


async def _until_gone(receive: Receive) -> None:
    """Wait until the client has given up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _spoil(fault: Fault, send: Send) -> None:
    status, body = 200, b"\x00<html>no JSON at all"
    if fault.mode == "unclear":
        body = b'{"code": 31337, "msg": "unexplained"}'
    elif fault.mode != "garbage":
        status, body = int(fault.mode), b'{"msg": "fault injected"}'
    headers = [(b"content-type", b"application/json")]
    if fault.retry_after:
        headers.append((b"retry-after", fault.retry_after.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def admin(world: World, tokens: Tokens, faults: Faults) -> APIRouter:
    """Return the routes for tests and the demo."""
    router = APIRouter(prefix="/__sim__")

    @router.get("/stats")
    async def stats() -> dict[str, Any]:
        return {
            "received": len(world.values),
            "repeated": world.repeated.total(),
            "requests": world.counts["requests"],
            "posts": world.counts["posts"],
            "refused": world.counts["refused"],
            "mqtt_posts": world.counts["mqtt_posts"],
            "faults": faults.done,
            "products": len(world.products),
            "devices": len(world.devices),
        }

    @router.get("/values")
    async def values() -> list[list[Any]]:
        return [[*key, value] for key, value in sorted(world.values.items())]

    @router.get("/repeated")
    async def repeated() -> list[list[Any]]:
        return [[*key, count] for key, count in sorted(world.repeated.items())]

    @router.post("/faults")
    async def inject(fault: Fault) -> dict[str, Any]:
        faults.waiting.append(fault)
        return {"waiting": len(faults.waiting)}

    @router.post("/expire-token")
    async def expire() -> dict[str, Any]:
        tokens.expire()
        return {}

    return router
