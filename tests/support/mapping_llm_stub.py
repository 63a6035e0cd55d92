"""An OpenAI-compatible endpoint of our own, which answers and misbehaves as a test tells it to."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

from support.waiting import eventually

Answer = Callable[[dict[str, Any]], Any]
"""What to say to the user message's data: a content string, a dict, or a whole `Response`."""
Trouble = Callable[[int], Response | None]
"""What to say to the n-th request, from 1, in place of an answer; None: an answer."""


@dataclass(slots=True)
class LlmStub:
    """The endpoint: what it was asked, and what it says."""

    answer: Answer
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    """Method and path of every request of whatever kind."""
    trouble: Trouble = lambda _: None
    finish_reason: str = "stop"
    refusal: str | None = None
    delay: float = 0.0
    """Seconds before it says anything."""
    together: int = 0
    """It says nothing until so many calls have been under way at a time."""
    usage: Any = None
    """What it says that a call took; None: a quarter of what was sent and said, by characters."""
    under_way: int = 0
    most_under_way: int = 0
    base_url: str = ""
    models: int = 200
    """Status of the answer to a question for its models."""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    batch_ends: str | None = "completed"
    """State that a batch is in when it is asked for; None: it is still in progress."""

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Every point it was ever asked about, in order."""
        return [point for request in self.requests for point in data_of(request)["points"]]

    def completion(self, body: dict[str, Any]) -> Any:
        """Return what it says to the body of a chat request."""
        said = self.answer(data_of(body))
        if isinstance(said, Response):
            return said
        message = {"role": "assistant", "content": said, "refusal": self.refusal}
        sent = len(json.dumps([body["messages"], body.get("response_format")], ensure_ascii=False))
        usage = self.usage or {
            "prompt_tokens": sent // 4,
            "completion_tokens": len(str(said)) // 4,
            "total_tokens": (sent + len(str(said))) // 4,
        }
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
            "usage": usage,
        }


def data_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON data block of a chat request."""
    data: dict[str, Any] = json.loads(request["messages"][1]["content"])
    return data


def choose(pick: Callable[[dict[str, Any]], str]) -> Answer:
    """Return an answer that picks one class for every point."""
    return lambda data: json.dumps({point["id"]: pick(point) for point in data["points"]})


def every(n: int, status: int = 503) -> Trouble:
    """Return a trouble of every n-th request."""
    return lambda number: Response(status_code=status) if number % n == 0 else None


def make_app(stub: LlmStub) -> FastAPI:
    """Return the endpoint's application."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Any:
        body = await request.json()
        stub.requests.append(body)
        number = len(stub.requests)
        stub.under_way += 1
        stub.most_under_way = max(stub.most_under_way, stub.under_way)
        try:
            if stub.delay:
                await asyncio.sleep(stub.delay)
            await eventually(lambda: stub.most_under_way >= stub.together)
            return stub.trouble(number) or stub.completion(body)
        finally:
            stub.under_way -= 1

    @app.get("/v1/models")
    async def models() -> Any:
        return Response('{"object": "list", "data": []}', stub.models)

    _batches(app, stub)
    return app


def _batches(app: FastAPI, stub: LlmStub) -> None:
    @app.post("/v1/files")
    async def upload(request: Request) -> Any:
        # The one file of a multipart body, taken out by its boundary: no parser is installed.
        raw = await request.body()
        boundary = raw.split(b"\r\n", 1)[0]
        parts = (part.partition(b"\r\n\r\n") for part in raw.split(boundary))
        content = next(
            rest.removesuffix(b"\r\n") for head, _, rest in parts if b'name="file"' in head
        )
        ident = f"file-{len(stub.files) + 1}"
        stub.files[ident] = content
        return {
            "id": ident, "object": "file", "bytes": len(content), "created_at": 1,
            "filename": "x.jsonl", "purpose": "batch", "status": "processed",
        }  # fmt: skip

    @app.get("/v1/files/{ident}/content")
    async def content(ident: str) -> Response:
        return Response(stub.files[ident], media_type="application/octet-stream")

    @app.post("/v1/batches")
    async def create(request: Request) -> Any:
        body = await request.json()
        ident = f"batch-{len(stub.batches) + 1}"
        stub.batches[ident] = {
            **body, "id": ident, "object": "batch", "created_at": 1, "status": "in_progress",
        }  # fmt: skip
        return stub.batches[ident]

    @app.get("/v1/batches")
    async def listed() -> Any:
        return {"object": "list", "data": list(stub.batches.values()), "has_more": False}

    @app.get("/v1/batches/{ident}")
    async def one(ident: str) -> Any:
        if ident not in stub.batches:
            return Response(status_code=404)
        batch = stub.batches[ident]
        if stub.batch_ends is not None and batch["status"] == "in_progress":
            batch["status"] = stub.batch_ends
            if stub.batch_ends in {"completed", "expired"}:
                lines = list(_results(stub, stub.files[batch["input_file_id"]]))
                stub.files[f"out-{ident}"] = b"\n".join(lines)
                batch["output_file_id"] = f"out-{ident}"
        return batch


def _results(stub: LlmStub, raw: bytes) -> Iterator[bytes]:
    for line in raw.splitlines():
        call = json.loads(line)
        stub.requests.append(call["body"])
        body = stub.completion(call["body"])
        if isinstance(body, Response):
            body = {"error": {"message": "no"}}
        yield json.dumps(
            {"custom_id": call["custom_id"], "response": {"status_code": 200, "body": body}}
        ).encode()


@asynccontextmanager
async def running(stub: LlmStub) -> AsyncIterator[LlmStub]:
    """Serve the endpoint on a free port of loopback while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    stub.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    app = make_app(stub)

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        stub.paths.append(f"{scope['method']} {scope['path']}")
        await app(scope, receive, send)

    config = uvicorn.Config(noting, log_level="critical", lifespan="off")
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


def is_plain(text: str) -> bool:
    """Tell a text without anything that breaks lines, turns direction or hides."""
    return text.isprintable() and not re.search(r"[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)
