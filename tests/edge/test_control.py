"""The control socket: whatever comes over it costs that client alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from plantroom_edge import control
from plantroom_edge.config import AgentConfig
from plantroom_edge.control import Control
from plantroom_edge.control_client import NotRunning, ask, connect
from plantroom_shared.errors import ConfigError, Rejected, Unavailable

LIMIT = 20.0


class _Wanted(BaseModel):
    number: int


async def _echo(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"said": request.get("word")}


async def _strict(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"number": _Wanted.model_validate(request).number}


async def _config(_: Mapping[str, Any]) -> dict[str, Any]:
    msg = "it is wrong"
    raise ConfigError(msg, file="edge.yaml:3")


async def _away(_: Mapping[str, Any]) -> dict[str, Any]:
    msg = "not now"
    raise Unavailable(msg)


async def _refused(_: Mapping[str, Any]) -> dict[str, Any]:
    msg = "a fifth would go"
    raise Rejected(msg, reason="confirm")


HANDLERS = {
    "echo": _echo,
    "strict": _strict,
    "config": _config,
    "away": _away,
    "refused": _refused,
}


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    data = tmp_path / ("deep" * 30) / "data"  # deeper than a socket's address is long
    data.mkdir(parents=True)
    return AgentConfig(gateway="gw-test-0001", site="x", data=data)


@contextlib.asynccontextmanager
async def serving(config: AgentConfig) -> AsyncIterator[Control]:
    server = Control(config.control_file, HANDLERS)
    task = asyncio.create_task(server.run())
    try:
        async with asyncio.timeout(LIMIT):
            while not config.control_file.exists():
                await asyncio.sleep(0)
            yield server
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert not config.control_file.exists()


@contextlib.asynccontextmanager
async def raw(
    config: AgentConfig,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with connect(config) as line:
        yield line._reader, line._writer


async def test_the_socket_is_for_its_user_alone(config: AgentConfig) -> None:
    """Others have no right to it, and one that a killed agent has left is replaced."""
    config.control_file.write_text("left over")
    async with serving(config):
        while not stat.S_ISSOCK(config.control_file.stat().st_mode):
            await asyncio.sleep(0)
        answer = await ask(config, "echo", word="hello")
        assert answer == {"v": 1, "ok": True, "said": "hello"}
        assert config.control_file.stat().st_mode & 0o777 == 0o600


async def test_errors_come_back_as_what_they_are(config: AgentConfig) -> None:
    """The client raises what the agent has raised: what to do next is the same."""
    async with serving(config), connect(config) as line:
        with pytest.raises(ConfigError, match=r"edge\.yaml:3: it is wrong"):
            await line.ask("config")
        with pytest.raises(Unavailable, match="not now"):
            await line.ask("away")
        with pytest.raises(Rejected) as refused:
            await line.ask("refused")
        assert refused.value.reason == "confirm"
        with pytest.raises(Rejected, match="number"):
            await line.ask("strict", number="many")
        with pytest.raises(Rejected, match="there are: away, config"):
            await line.ask("nonsense")
        assert (await line.ask("strict", number=5))["number"] == 5


async def test_nobody_there(config: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an agent, and with a socket that nobody serves, that is what is said."""
    with pytest.raises(NotRunning):
        await ask(config, "echo")
    with pytest.raises(NotRunning):
        await ask(config.model_copy(update={"data": config.data / "none"}), "echo")
    sock = Control(config.control_file, {})._bind()
    sock.close()
    with pytest.raises(NotRunning):
        await ask(config, "echo")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(Unavailable, match="as the user who runs the agent"):
        await ask(config, "echo")


async def test_a_folder_that_takes_no_socket(config: AgentConfig) -> None:
    """The agent goes on without, and tries again: it is told as unavailable."""
    config.control_file.mkdir()
    with pytest.raises(Unavailable, match="control socket"):
        await Control(config.control_file, {}).run()


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"rubbish\n",
        b"[]\n",
        b"5\n",
        b'{"v":2,"op":"echo"}\n',
        b'{"v":1}\n',
        b'{"v":1,"op":[]}\n',
        b"[" * 5000 + b"\n",
        b"\xff\xfe\n",
    ],
)
async def test_a_wrong_request_gets_an_answer(config: AgentConfig, line: bytes) -> None:
    """It is told what is wrong, and may go on."""
    async with serving(config), raw(config) as (reader, writer):
        writer.write(line)
        answer = orjson.loads(await reader.readline())
        assert not answer["ok"]
        writer.write(b'{"v":1,"op":"echo","word":1}\n')
        assert orjson.loads(await reader.readline())["ok"]


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.binary(max_size=200))
def test_any_bytes_leave_the_server_well(config: AgentConfig, data: bytes) -> None:
    """After whatever was sent and hung up on, the next client is served."""

    async def attack() -> None:
        async with serving(config):
            async with raw(config) as (_, writer):
                writer.write(data)
            assert (await ask(config, "echo", word="on"))["said"] == "on"

    asyncio.run(attack())


async def test_a_line_without_an_end_is_cut(config: AgentConfig) -> None:
    """More than a line may have closes that connection."""
    async with serving(config):
        async with raw(config) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                writer.write(b"x" * (control.MAX_LINE + 10))
                await writer.drain()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert (await ask(config, "echo", word=1))["ok"]


async def test_who_says_nothing_is_sent_away(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle connection does not hold its place for ever."""
    monkeypatch.setattr(control, "IDLE", 0.05)
    async with serving(config), raw(config) as (reader, _):
        assert await reader.read() == b""


async def test_only_so_many_at_a_time(config: AgentConfig) -> None:
    """One more is closed at once; when one leaves there is room again."""
    async with serving(config) as server, contextlib.AsyncExitStack() as stack:
        lines = [
            await stack.enter_async_context(connect(config)) for _ in range(control.MAX_CLIENTS)
        ]
        for line in lines:
            await line.ask("echo")
        with pytest.raises(Unavailable, match="no answer"):
            await ask(config, "echo")
        lines[0]._writer.close()
        while len(server._clients) == control.MAX_CLIENTS:
            await asyncio.sleep(0)
        assert (await ask(config, "echo"))["ok"]


async def test_clients_end_with_the_agent(config: AgentConfig) -> None:
    """A client that waits does not keep the agent from stopping."""
    async with contextlib.AsyncExitStack() as stack:
        async with serving(config):
            reader, writer = await stack.enter_async_context(raw(config))
            writer.write(b'{"v":1,"op":"echo"}\n')
            await reader.readline()
        async with asyncio.timeout(LIMIT):
            assert await reader.read() == b""
