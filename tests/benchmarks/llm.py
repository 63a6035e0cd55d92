"""The LLM mapper on a large site: calls, tokens and time beside asking naively, and under trouble.

A simulated OpenAI-compatible endpoint runs in a process of its own and takes 10 s for every call.
Naively each point would be asked about by itself, with a prompt of 2,000 tokens.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root / "deploy"), str(root / "tests")]

import uvicorn
from fastapi import FastAPI, Request, Response
from sqlalchemy import delete, func, insert, select

from benchmarks.figures import Figure
from benchmarks.mapping import synthetic
from plantroom_cloud.config import LlmSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.mapping.jobs import Mapper
from plantroom_cloud.mapping.llm import Asker, Deadline, Outcome
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.migrations import migrate
from plantroom_cloud.tables import Company, Device, Gateway, Mapping, Point, Site
from plantroom_shared.clock import SystemClock
from support.servers import as_owner

POINTS: Final = 100_000
FEWER: Final = 5_000
"""Points of the site that is mapped under each kind of trouble."""
CALL: Final = 10.0
"""Seconds that the endpoint takes."""
NAIVE_TOKENS: Final = 2_070
"""Of one point asked about alone: a prompt of 2,040 and an answer of 30."""
TROUBLES: Final = ("fails 30 %", "hangs", "rubbish", "429")


def measure(seconds: float) -> dict[str, Figure]:
    """Return the figures; `seconds` is not used: the work ends when it is done."""
    del seconds
    return asyncio.run(_measure(POINTS, CALL, FEWER))


async def _measure(points: int, call: float, fewer: int) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    figures |= await _large(points, call)
    print(f"plantroom: {points} points: done", file=sys.stderr, flush=True)
    for trouble in TROUBLES:
        figures |= await _troubled(trouble, fewer, call)
        print(f"plantroom: {trouble}: done", file=sys.stderr, flush=True)
    return figures


async def _large(points: int, call: float) -> dict[str, Figure]:
    with endpoint(call) as url:
        async with site(points) as (db, place):
            first = await _run(db, place, url)
            before = _counts(url)
            # A new process knows nothing but the database.
            second = await _run(db, place, url, fresh=True)
            after = _counts(url)
            asked = await _sources(db)
    name = f"{points} points, {call:g} s a call"
    naive = float(points * NAIVE_TOKENS)
    return {
        f"{name}: all (offline mapping and storing too)": Figure(first[0], "s"),
        f"{name}: asking alone": Figure(first[1], "s"),
        f"{name}: calls": Figure(before["calls"], "calls", float(points)),
        f"{name}: tokens": Figure(before["tokens"], "tokens", naive),
        f"{name}: points with a word of the LLM": Figure(asked.get("llm", 0), "points"),
        f"{name}: second run, all": Figure(second[0], "s"),
        f"{name}: second run, calls": Figure(after["calls"] - before["calls"], "calls"),
    }


async def _troubled(trouble: str, points: int, call: float) -> dict[str, Figure]:
    with endpoint(call, trouble) as url:
        async with site(points) as (db, place):
            lasted = await _run(db, place, url)
            found = await _sources(db)
            calls = _counts(url)["calls"]
    return {
        f"{points} points, endpoint {trouble}: all": Figure(lasted[0], "s"),
        f"{points} points, endpoint {trouble}: asking alone": Figure(lasted[1], "s"),
        f"{points} points, endpoint {trouble}: requests": Figure(calls, "requests"),
        f"{points} points, endpoint {trouble}: mapped": Figure(sum(found.values()), "points"),
        f"{points} points, endpoint {trouble}: fallback": Figure(
            found.get("fallback", 0), "points"
        ),
    }


class _Timed(Asker):
    """An asker that knows how long it took."""

    asking: float = 0.0

    async def ask(
        self, scope: Scope, questions: Sequence[Question], deadline: Deadline | None = None
    ) -> Outcome:
        """Ask, by the watch."""
        started = time.monotonic()
        try:
            return await super().ask(scope, questions, deadline)
        finally:
            self.asking += time.monotonic() - started


async def _run(
    db: Database, place: tuple[int, int], url: str, *, fresh: bool = False
) -> tuple[float, float]:
    """Map the site and return the seconds, of all and of the asking alone."""
    clock = SystemClock()
    asker = _Timed(db, LlmSettings(base_url=url, model="simulated"), clock)
    if fresh:
        async with as_owner(db).write() as session:
            await session.execute(delete(Mapping))
    started = time.monotonic()
    try:
        await Mapper(db, asker, clock).ask_about(place)
    finally:
        await asker.close()
    return time.monotonic() - started, asker.asking


async def _sources(db: Database) -> dict[str, int]:
    async with as_owner(db).read() as session:
        rows = await session.execute(select(Mapping.source, func.count()).group_by(Mapping.source))
        return {source: int(count) for source, count in rows.all()}


@asynccontextmanager
async def site(points: int) -> AsyncIterator[tuple[Database, tuple[int, int]]]:
    """Make a database with one site of so many points."""
    with tempfile.TemporaryDirectory() as folder:
        db = Database(f"sqlite+aiosqlite:///{folder}/bench.db")
        try:
            await migrate(db)
            yield db, await _fill(db, points)
        finally:
            await db.close()


async def _fill(db: Database, points: int) -> tuple[int, int]:
    own = {"created_us": 1}
    async with as_owner(db).write() as session:
        company = Company(slug="bench", name="bench", **own)
        session.add(company)
        await session.flush()
        place = Site(company_id=company.id, slug="s", name="s", timezone="UTC", **own)
        session.add(place)
        await session.flush()
        session.add(
            Gateway(id="g", company_id=company.id, site_id=place.id, name="g", report={}, **own)
        )
        await session.flush()
        where = {"company_id": company.id, "site_id": place.id, "gateway_id": "g"}
        device = Device(**where, key="d", name="controller", protocol="bacnet")
        session.add(device)
        await session.flush()
        rows = [
            {**where, "device_id": device.id, "key": f"k{n}", "name": row.name, "unit": row.unit,
             "changed_us": 1}
            for n, row in enumerate(synthetic.site(points, seed=1))
        ]  # fmt: skip
        await session.execute(insert(Point), rows)
        return company.id, place.id


# ---------------------------------------------------------------- the endpoint, a process


@contextmanager
def endpoint(call: float, trouble: str = "") -> Iterator[str]:
    """Run the simulated endpoint and yield its base URL."""
    command = [sys.executable, __file__, str(call), trouble]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGKILL)


def _counts(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/counts", timeout=30) as response:
        found: dict[str, float] = json.loads(response.read())
    return found


def serve(call: float, trouble: str) -> None:
    """Answer completions after `call` seconds, with the first choice of every point."""
    app = FastAPI()
    counts = {"calls": 0, "tokens": 0}
    chance = random.Random(1)

    @app.get("/v1/counts")
    async def told() -> Any:
        return counts

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Any:
        body = await request.json()
        counts["calls"] += 1
        if trouble == "429" and counts["calls"] % 4 == 1:
            return Response(status_code=429, headers={"retry-after": "2"})
        await asyncio.sleep(3600 if trouble == "hangs" else call)
        if trouble == "fails 30 %" and chance.random() < 0.3:
            return Response(status_code=503)
        sent = len(json.dumps([body["messages"], body["response_format"]], ensure_ascii=False))
        data = json.loads(body["messages"][1]["content"])
        said = json.dumps({point["id"]: point["choices"][0] for point in data["points"]})
        if trouble == "rubbish":
            said = "Sure! Here is your answer: " + said[: chance.randrange(len(said))]
        usage = {"prompt_tokens": sent // 4, "completion_tokens": len(said) // 4}
        counts["tokens"] += sum(usage.values())
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "x", "object": "chat.completion", "created": 1, "model": "simulated",
                "choices": [choice], "usage": usage}  # fmt: skip

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
    os._exit(0)


if __name__ == "__main__":
    serve(float(sys.argv[1]), sys.argv[2])
