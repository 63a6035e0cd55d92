"""``plantroom-cloud replay`` killed with -9 in the middle, to a file and to a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import orjson
import pytest

from plantroom_cloud.gateways.pki import client_context
from plantroom_shared.cancelling import ended
from support.cloud_broker import BrokerProcess, open_to_others
from support.replay_world import END, START, World, keys, make_world, objects
from support.servers import TEMPLATE, Postgres, opened
from support.waiting import eventually, wait_until

ROWS = 5000
FEW = 2000
"""For brokers: each row is a message of its own."""
SLOWLY = ("--speed", "600")
"""Six seconds for the whole: it cannot be done before it is killed."""
PAGE = 1000
CLIENT = "gw-replay-0001"
TOPIC = f"sv1/{CLIENT}/up/replay"


@pytest.fixture
def broker(mosquitto: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A running Mosquitto; also the settings of a cloud.

    Not the embedded broker: by design it drops what a slow reader does not keep up with.
    """
    del mosquitto
    running = BrokerProcess(open_to_others(tmp_path_factory.mktemp("replay")), "mosquitto")
    running.start()
    running.tls(CLIENT)
    yield running
    running.stop()


@contextlib.asynccontextmanager
async def full_world(url: str, rows: int) -> AsyncIterator[World]:
    """Yield a site with so many samples in the database at `url`."""
    async with opened(url) as database:
        world = await make_world(database, points=5)
        step = (END - START) // rows
        await world.put((START + n * step, world.points[n % 5], n) for n in range(rows))
        yield world


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a replay."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(command: list[str]) -> dict[str, int]:
    """Run a replay to its end and return what it says."""
    done = subprocess.run([*command, "--json"], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, int] = json.loads(done.stdout)
    return told


def kill_when(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    """Kill -9 once `reached`; the process must still have been at work."""
    wait_until(lambda: reached() or process.poll() is not None, "progress")
    assert process.poll() is None, "it was done before it could be killed"
    process.kill()
    process.communicate(timeout=60)


def lines_in(path: Path) -> int:
    """Return how many whole lines a file has."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_file_after_kills(
    engine: str, tmp_path: Path, sqlite_template: Path, request: pytest.FixtureRequest
) -> None:
    """Killed, and left alone at last: every row stands in the file once, in order."""
    cloud = BrokerProcess(tmp_path, "embedded")
    (tmp_path / "data").mkdir()
    path = tmp_path / "out.jsonl"
    with contextlib.ExitStack() as stack:
        if engine == "sqlite":
            file = shutil.copy(sqlite_template, tmp_path / "data" / "plantroom.db")
            url, more = f"sqlite+aiosqlite:///{file}", {}
        else:
            postgres: Postgres = request.getfixturevalue("postgres")
            url = stack.enter_context(postgres.database(template=TEMPLATE))
            more = {"database": url}
        cloud.write_config(**more)
        async with full_world(url, ROWS) as world:
            span = ("--from", str(START // 1_000_000), "--to", str(END // 1_000_000))
            command = cloud.command(
                "replay", "--site", "tower", *span, "--to-file", str(path), "--consumer", "reader"
            )
            for mark in (800, 2200) if engine == "sqlite" else (1500,):
                process = await asyncio.to_thread(start, [*command, *SLOWLY])
                await asyncio.to_thread(kill_when, process, lambda: lines_in(path) >= mark)  # noqa: B023
                assert lines_in(path) < ROWS
            told = await asyncio.to_thread(finish, command)
    found = objects(path)
    assert told["delivered"] == ROWS
    assert [one["n"] for one in found] == list(range(1, ROWS + 1))
    assert [(one["id"], int(one["tie"])) for one in found] == [row[1:] for row in world.rows]


async def test_topic_after_a_kill(broker: BrokerProcess, sqlite_template: Path) -> None:
    """What was on its way comes again, the same bytes; nothing is left out or out of order."""
    file = shutil.copy(sqlite_template, broker.folder / "data" / "plantroom.db")
    certificates = broker.folder / "clients" / CLIENT
    async with full_world(f"sqlite+aiosqlite:///{file}", FEW) as world:
        command = broker.command(
            *("replay", "--site", "tower", "--consumer", "reader", "--to-topic", TOPIC),
            *("--from", str(START // 1_000_000), "--to", str(END // 1_000_000)),
            *("--broker", f"mqtts://127.0.0.1:{broker.port}", "--client-id", CLIENT),
            *("--ca", str(certificates / "ca.pem")),
            *("--certificate", str(certificates / "gateway.pem")),
            *("--key", str(certificates / "gateway.key")),
        )
        async with heard(broker) as payloads:
            process = await asyncio.to_thread(start, [*command, *SLOWLY])
            await asyncio.to_thread(kill_when, process, lambda: len(payloads) >= 500)
            told = await asyncio.to_thread(finish, command)
            await eventually(lambda: _has(payloads, FEW), f"the last of {len(payloads)} objects")
    by_number: dict[int, bytes] = {}
    for payload in payloads:
        number = orjson.loads(payload)["n"]
        assert by_number.setdefault(number, payload) == payload
        assert number <= len(by_number), "a number was left out"
    found = [orjson.loads(by_number[number]) for number in range(1, FEW + 1)]
    assert len(payloads) - FEW <= PAGE
    assert told["delivered"] == FEW == len(by_number)
    assert len(set(keys(found))) == FEW
    assert [(one["id"], int(one["tie"])) for one in found] == [row[1:] for row in world.rows]


def _has(payloads: list[bytes], number: int) -> bool:
    return any(orjson.loads(payload)["n"] == number for payload in payloads[-100:])


@contextlib.asynccontextmanager
async def heard(broker: BrokerProcess) -> AsyncIterator[list[bytes]]:
    """Yield a list that fills with what arrives on the topic."""
    payloads: list[bytes] = []
    context = client_context(broker.authority.files("cloud"))
    async with broker.client("plantroom-cloud", tls_context=context) as client:
        await client.subscribe(TOPIC, qos=1)

        async def listen() -> None:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                payloads.append(message.payload)

        listening = asyncio.create_task(listen())
        try:
            yield payloads
        finally:
            await ended(listening)
