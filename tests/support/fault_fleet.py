"""Fault 29: many gateways reconnect at once, because their broker was away."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import aiomqtt

from demo.stack import COMPANY, SITE, Stack
from plantroom_cloud.config import load_settings
from plantroom_cloud.db import open_database
from plantroom_cloud.gateways.pki import Authority, TlsFiles, client_context
from plantroom_cloud.gateways.provision import add_gateway
from plantroom_cloud.identity.setup import add_site, find_company
from plantroom_shared import topics, wire
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import SystemClock
from plantroom_shared.model import Batch, Quality
from support.cloud_site import dictionary
from support.fault_case import Setting, case
from support.fault_report import Figure, percentile
from support.fault_rig import Rig, rigged
from support.servers import as_owner

ROWS = 50


async def _provision(stack: Stack, count: int) -> list[str]:
    """Make gateways and their certificates; return their names."""
    settings, clock = load_settings(stack.cloud_config), SystemClock()
    database, names = open_database(settings), [f"gw-fleet-{n:04d}" for n in range(count)]
    try:
        async with as_owner(database).write() as session:
            owner = await find_company(session, COMPANY)
            site = await add_site(
                session, clock, owner, f"{SITE}-fleet", name="Fleet", timezone="UTC"
            )
            for name in names:
                await add_gateway(
                    session, clock, Authority(settings.data / "pki"), name,
                    scope=owner, site_id=site, out=stack.folder / "fleet" / name,
                )  # fmt: skip
    finally:
        await database.close()
    return names


class Gateway:
    """A gateway as small as can be: says hello, sends one message, waits for its ack."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack, self.name = stack, name
        folder: Path = stack.folder / "fleet" / name
        files = TlsFiles(folder / "ca.pem", folder / "gateway.pem", folder / "gateway.key")
        self._context = client_context(files)
        self._epoch = secrets.token_hex(8)
        self.resumed: list[float] = []
        """When each connection was resumed."""
        self.acked = 0
        self.surprises: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Stay connected until `stop`; no patience at all between two attempts but a second's."""
        while not stop.is_set():
            try:
                async with aiomqtt.Client(
                    "127.0.0.1", self._stack.broker_port, identifier=self.name,
                    tls_context=self._context, timeout=20, keepalive=20,
                ) as client:  # fmt: skip
                    await self._talk(client)
            except (aiomqtt.MqttError, TimeoutError):
                pass
            except Exception as error:  # noqa: BLE001 -- told at the end; the gateway comes again
                self.surprises.add(repr(error))
            await asyncio.sleep(secrets.randbelow(1000) / 1000)

    async def _talk(self, client: aiomqtt.Client) -> None:
        session = secrets.token_hex(8)
        await client.subscribe(f"sv1/{self.name}/down/#", qos=1)
        hello = wire.Hello(session=session, agent="fleet", epochs=[wire.Holding(ep=self._epoch)])
        asking = asyncio.create_task(self._ask(client, wire.encode(hello)))
        try:
            await self._listen(client, session, asking)
        finally:
            await ended(asking)

    async def _ask(self, client: aiomqtt.Client, hello: bytes) -> None:
        """Say hello again until it is answered: the ingest may not be back yet."""
        while True:
            await self._send(client, "hello", hello)
            await asyncio.sleep(5)

    async def _listen(
        self, client: aiomqtt.Client, session: str, asking: asyncio.Task[None]
    ) -> None:
        resumed = False
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            channel = message.topic.value.rpartition("/")[2]
            if channel == "resume":
                same = wire.decode(wire.Resume, message.payload).session == session
                if same and not resumed:
                    resumed = True
                    asking.cancel()
                    self.resumed.append(time.monotonic())
                    await self._send_rows(client)
            elif channel == "ack":
                reply = wire.decode_reply(message.payload)
                if isinstance(reply, wire.Ack) and reply.st == "tel":
                    self.acked = max(self.acked, reply.ranges[-1][1])

    async def _send_rows(self, client: aiomqtt.Client) -> None:
        """Send the same rows on every connection: what was stored before is only acked again."""
        batch = Batch()
        for row in range(ROWS):
            batch.append(
                row % 4, time.time_ns() // 1000 - 1000 * (ROWS - row), float(row), Quality.GOOD
            )
        await self._send(client, "inv", wire.encode(dictionary(4, epoch=self._epoch)))
        await self._send(client, "tel", wire.encode_samples(self._epoch, 1, batch))

    async def _send(self, client: aiomqtt.Client, channel: str, payload: bytes) -> None:
        await client.publish(topics.up(self.name, channel), payload, qos=1)


@case("fleet", faults="29", pr=60, full=200, alone=True)
def fleet(setting: Setting) -> Sequence[Figure]:
    """`count` gateways lose their broker, and all come back in the same moment."""
    with rigged(setting, postgres=True, points=4, interval=5.0) as rig:
        rig.start_cloud()
        return asyncio.run(_fleet(setting, rig))


async def _fleet(setting: Setting, rig: Rig) -> list[Figure]:
    name, broker = "29 gateways at once", rig.stack.children["broker"]
    names = await _provision(rig.stack, setting.count)
    gateways = [Gateway(rig.stack, each) for each in names]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(each.run(stop)) for each in gateways]
    try:
        await _until(lambda: all(each.acked >= ROWS for each in gateways), 180)
        before = [len(each.resumed) for each in gateways]
        broker.kill()
        await asyncio.sleep(1)
        began = time.monotonic()
        broker.start()
        await _until(
            lambda: all(len(g.resumed) > b for g, b in zip(gateways, before, strict=True)), 180
        )
        waits = [
            (each.resumed[b] if len(each.resumed) > b else began + 181) - began
            for each, b in zip(gateways, before, strict=True)
        ]
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        _, stuck = await asyncio.wait(tasks, timeout=30)
        for task in stuck:
            task.print_stack()
        for surprise in set().union(*(each.surprises for each in gateways)):
            setting.say(surprise)
    rig.stack.stop("ingest")
    with rig.cloud_database() as db:
        ((stored,),) = db.execute("SELECT count(*) FROM sample")
    runs = setting.count
    return [
        Figure(name, "gateways not resumed", runs, sum(wait > 180 for wait in waits)),
        Figure(name, "rows missing or twice", runs * ROWS, abs(runs * ROWS - int(stored))),
        Figure(name, "resumed, p50", runs, percentile(waits, 0.5), None, unit="s"),
        Figure(name, "all resumed", runs, max(waits), 120, unit="s", timing=True),
    ]


async def _until(condition: object, seconds: float) -> None:
    assert callable(condition)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.05)
