"""An OpenAI-compatible endpoint of our own, which answers as a test tells it to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

Answer = Callable[[dict[str, Any]], Any]
"""What to say to the user message's data: a content string, a dict, or a whole `Response`."""


@dataclass(slots=True)
class LlmStub:
    """The endpoint: what it was asked, and what it says."""

    answer: Answer
    requests: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str = "stop"
    refusal: str | None = None
    delay: float = 0.0
    """Seconds before it says anything."""
    base_url: str = ""

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Every point it was ever asked about, in order."""
        return [point for request in self.requests for point in data_of(request)["points"]]


def data_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON data block of a chat request."""
    data: dict[str, Any] = json.loads(request["messages"][1]["content"])
    return data


def choose(pick: Callable[[dict[str, Any]], str]) -> Answer:
    """Return an answer that picks one class for every point."""
    return lambda data: json.dumps({point["id"]: pick(point) for point in data["points"]})


def make_app(stub: LlmStub) -> FastAPI:
    """Return the endpoint's application."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Any:
        body = await request.json()
        stub.requests.append(body)
        if stub.delay:
            await asyncio.sleep(stub.delay)
        said = stub.answer(data_of(body))
        if isinstance(said, Response):
            return said
        message = {"role": "assistant", "content": said, "refusal": stub.refusal}
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": stub.finish_reason}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
        }

    return app


@asynccontextmanager
async def running(stub: LlmStub) -> AsyncIterator[LlmStub]:
    """Serve the endpoint on a free port of loopback while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    stub.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    config = uvicorn.Config(make_app(stub), log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        yield stub
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
        listener.close()
