"""Runs the simulator on free ports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from demo.enos_sim.app import Simulator
from demo.enos_sim.mqtt import MqttSide
from demo.enos_sim.world import World


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running simulator is."""

    http: str
    """Base URL of API gateway and integration channel."""
    mqtt_host: str
    mqtt_port: int


class _Server(uvicorn.Server):
    """A uvicorn that leaves the signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


@contextlib.asynccontextmanager
async def serving(
    world: World, *, host: str = "127.0.0.1", port: int = 0, mqtt_port: int | None = 0
) -> AsyncIterator[tuple[Simulator, Addresses]]:
    """Yield a simulator that serves HTTP and MQTT; port 0 takes a free one, None serves no MQTT."""
    simulator = Simulator(world)
    listener = socket.create_server((host, port))
    config = uvicorn.Config(
        simulator.app, log_level="error", lifespan="off", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    serve = asyncio.create_task(server.serve(sockets=[listener]), name="enos-sim http")
    try:
        async with _brokering(world, host, mqtt_port) as broker_port:
            address = Addresses(f"http://{host}:{listener.getsockname()[1]}", host, broker_port)
            yield simulator, address
    finally:
        server.should_exit = True
        await serve
        listener.close()


@contextlib.asynccontextmanager
async def _brokering(world: World, host: str, port: int | None) -> AsyncIterator[int]:
    """Yield the port of the MQTT side, 0 where there is none."""
    if port is None:
        yield 0
        return
    mqtt = MqttSide(world, host, port)
    started = await mqtt.start()
    try:
        yield started
    finally:
        await mqtt.stop()


def write_ready(path: Path, world: World, addresses: Addresses) -> None:
    """Write where the simulator is, at once and whole."""
    ready = {
        "apigw": addresses.http,
        "integration": addresses.http,
        "mqtt_host": addresses.mqtt_host,
        "mqtt_port": addresses.mqtt_port,
        "app_key": world.app_key,
        "app_secret": world.app_secret,
        "org_id": world.org_id,
    }
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(ready))
    part.replace(path)
