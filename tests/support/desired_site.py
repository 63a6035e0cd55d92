"""An agent that is sent desired configurations, and one that is killed at a step of applying them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plantroom_edge import agent
from plantroom_edge.buffer import Buffer
from plantroom_edge.clock import EdgeClock
from plantroom_edge.crew import Crew
from plantroom_edge.desired.start import load_to_run
from plantroom_edge.desired.state import State
from plantroom_edge.drivers import DriverSpec, drivers
from plantroom_shared import wire
from plantroom_shared.clock import Clock, SystemClock
from support import edge_driver
from support.command_site import KEY, public_pem
from support.waiting import eventually

GATEWAY = "gw-test-0001"
HEEDS: dict[str, Any] = {"keys": {"k1": "k.pem"}}
HASTY = HEEDS | {"grace": 0.5}
"""Little time for what is tried: where it is to fail."""
DEAD = 9
"""A bus of the driver ``scripted`` with so many points answers nothing."""


def bus(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "driver": "scripted", "devices": 2, "points": 5, "interval": 0.05} | more


def write_site(folder: Path, *buses: dict[str, Any], **more: Any) -> Path:
    """Write a site's file that heeds `KEY`."""
    (folder / "k.pem").write_bytes(public_pem())
    content: dict[str, Any] = {"gateway": GATEWAY, "site": "bench", "buffer": {"commit_ms": 5}}
    content |= {"buses": list(buses), "desired": HEEDS}
    file = folder / "edge.yaml"
    file.write_text(yaml.safe_dump(content | more))
    return file


def assignment(serial: int, document: dict[str, Any], **more: Any) -> dict[str, Any]:
    now = SystemClock().now_us()
    about = {"v": 1, "gateway": GATEWAY, "id": f"a-{serial}", "serial": serial, "version": serial}
    times = {"issued": now, "expires": now + 60_000_000, "actor": "somebody"}
    return about | times | {"document": document} | more


def signed(given: dict[str, Any], key: Ed25519PrivateKey = KEY, kid: str = "k1") -> bytes:
    """Return an assignment as it goes down, signed."""
    text = orjson.dumps(given).decode()
    sig = base64.b64encode(key.sign(wire.signed_configuration(text))).decode()
    return wire.encode(wire.Configuration(kid=kid, sig=sig, body=text))


def _opened(config: edge_driver.ScriptedBus, clock: Clock) -> edge_driver.ScriptedDriver:
    dead = {f"scripted:{i}" for i in range(config.devices)} if config.points == DEAD else set()
    return edge_driver.ScriptedDriver(config, clock, edge_driver.Script(dead=dead))


@contextlib.contextmanager
def scripted() -> Iterator[None]:
    """Make the driver known, and the machine's clock right."""
    with edge_driver.registered():
        drivers._items["scripted"] = DriverSpec(edge_driver.ScriptedBus, _opened)
        before = vars(agent)["EdgeClock"]
        vars(agent)["EdgeClock"] = partial(EdgeClock, synced=lambda: True)
        try:
            yield
        finally:
            vars(agent)["EdgeClock"] = before


@dataclass
class Running:
    """A running agent, and what it told."""

    file: Path
    desired: Any = None
    crew: Any = None
    told: list[wire.Record] = field(default_factory=list)
    audits: list[str] = field(default_factory=list)

    def send(self, given: dict[str, Any]) -> None:
        self.desired.offer(signed(given))

    def kinds(self, ident: str) -> list[str]:
        """Return what was told of an assignment, in order."""
        rows = [row for row in self.told if row.doc.get("id") == ident]
        return [row.kind.removeprefix("desired.") for row in rows]

    async def ended(self, ident: str) -> wire.Record:
        """Return how an assignment has ended, once that is told."""
        ends = {"applied", "refused", "rolled_back"}
        await self.until(lambda: set(self.kinds(ident)) & ends)
        return next(
            row for row in reversed(self.told)
            if row.doc.get("id") == ident and row.kind.removeprefix("desired.") in ends
        )  # fmt: skip

    async def until(self, condition: Callable[[], Any], seconds: float = 120.0) -> None:
        await eventually(condition, within=seconds)

    async def gives(self) -> None:
        """Return once every device gives values."""
        await self.until(
            lambda: (
                self.desired._look()
                and all(one.gives for bus in self.desired._look().values() for one in bus.values())
                and all(self.desired._look().values())
            )
        )


@contextlib.asynccontextmanager
async def running(file: Path) -> AsyncIterator[Running]:
    """Run the agent of `file` as the command would."""
    run, stop = Running(file), asyncio.Event()
    names = ("_open_desired",)
    before = {name: vars(agent)[name] for name in names}
    append, audit = Buffer.append_records, Buffer.audit

    def opened(config: Any, vitals: Any, crew: Any, where: Any) -> Any:
        run.crew = crew
        run.desired = before["_open_desired"](config, vitals, crew, where)
        return run.desired

    async def appended(buffer: Buffer, stream: Any, records: Any) -> None:
        await append(buffer, stream, records)
        run.told += records

    def audited(buffer: Buffer, kind: str, **details: Any) -> None:
        run.audits.append(kind)
        audit(buffer, kind, **details)

    vars(agent)["_open_desired"] = opened
    Buffer.append_records, Buffer.audit = appended, audited  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(agent.run(load_to_run(file), stop=stop, file=file))
    try:
        await run.until(lambda: run.desired or task.done())
        yield run
    finally:
        stop.set()
        async with asyncio.timeout(120):
            await asyncio.gather(task, return_exceptions=True)
        vars(agent).update(before)
        Buffer.append_records, Buffer.audit = append, audit  # type: ignore[method-assign]


# ---------------------------------------------------------------- killed at a step


class Steps:
    """Counts the steps of this process, and kills it at one."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at, self.count, self.on = kill_at, 0, False

    def __call__(self) -> None:
        if not self.on:
            return
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Let a step be before and after everything that lasts."""
        write, replace, apply, append = State.write, Path.replace, Crew.apply, Buffer.append_records

        def written(state: State, file: Path) -> None:
            write(state, file)
            self()

        def replaced(path: Path, target: Any) -> Any:
            if "desired" in path.name:
                self()
            return replace(path, target)

        async def around(plain: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
            self()
            result = await plain(*args, **more)
            self()
            return result

        async def applied(crew: Crew, *args: Any, **more: Any) -> Any:
            return await around(apply, crew, *args, **more)

        async def appended(buffer: Buffer, *args: Any) -> Any:
            return await around(append, buffer, *args)

        State.write, Path.replace = written, replaced  # type: ignore[method-assign, assignment]
        Crew.apply = applied  # type: ignore[method-assign, assignment]
        Buffer.append_records = appended  # type: ignore[method-assign, assignment]


async def _once(file: Path, given: dict[str, Any], steps: Steps | None) -> dict[str, Any]:
    """Run until what was sent has ended and is told; say how it is then."""
    if steps is not None:
        steps.install()
    async with running(file) as run:
        await run.gives()
        if steps is not None:
            steps.on = True
        run.send(given)
        state: State = run.desired._state
        await run.until(
            lambda: state.last and state.last.doc.get("id") == given["id"]
            and state.trial is None and not state.untold
        )  # fmt: skip
        assert state.last is not None
        (one,) = run.crew.config.buses
        return {
            "last": state.last.kind,
            "version": state.in_force.version if state.in_force else 0,
            "points": one.points,
            "interval": one.interval,
        }


def _forked(work: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Return what `work` says in a process of its own; None where that was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            os.write(writer, orjson.dumps(work()))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    result: dict[str, Any] = orjson.loads(said)
    return result


def main(folder: Path, points: int, begin: int = 1, stride: int = 1) -> None:
    """Kill an agent at steps of applying one change; print how each has ended after a new start."""
    out = []
    with scripted():
        for kill_at in range(begin, 100, stride):
            here = folder / f"{kill_at}"
            here.mkdir()
            file = write_site(here, bus(), desired=HASTY if points == DEAD else HEEDS)
            document = {"buses": [bus(interval=0.07, points=points)]}

            def work(steps: Steps | None, file: Path = file, document: Any = document) -> Any:
                # The cloud sends it again, with a new time: what it wants stays the same.
                return asyncio.run(_once(file, assignment(1, document), steps))

            first = _forked(partial(work, Steps(kill_at)))
            if first is not None:
                break
            out.append(_forked(partial(work, None)))
    sys.stdout.write(orjson.dumps(out).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
