"""Choosing and preparing a broker; the rules by themselves; the embedded one where it is hard."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from amqtt.contexts import Action
from amqtt.session import Session

from demo.processes import free_port
from plantroom_cloud.broker import embedded, mosquitto, run
from plantroom_cloud.broker.rules import identity, may_connect, may_publish, may_read
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.gateways.pki import CLOUD, Authority, client_context
from plantroom_shared.errors import ConfigError
from support.waiting import eventually, wait_until

NORTH, SOUTH = "gw-north-0001", "gw-south-0002"


def certificate(*names: str, key: str = "commonName") -> dict[str, Any]:
    """Return what ssl says of a peer with these names."""
    return {"subject": tuple(((key, name),) for name in names)}


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        (None, ""),
        ({}, ""),
        (certificate(), ""),
        (certificate(NORTH), NORTH),
        (certificate(CLOUD), CLOUD),
        (certificate("plantroom-broker"), ""),
        (certificate(NORTH, SOUTH), ""),
        (certificate("#"), ""),
        (certificate("gw-a/up-0001"), ""),
        (certificate(NORTH, key="organizationName"), ""),
    ],
)
def test_identity_is_the_one_common_name(peer: dict[str, Any] | None, name: str) -> None:
    """Two names, or one that is no id, are nobody."""
    assert identity(peer) == name


def test_the_two_rules() -> None:
    """A gateway writes up and reads down in its own subtree; the cloud does both everywhere."""
    assert may_publish(NORTH, f"sv1/{NORTH}/up/tel")
    assert may_read(NORTH, f"sv1/{NORTH}/down/ack")
    for topic in (f"sv1/{NORTH}/down/ack", f"sv1/{SOUTH}/up/tel", f"sv1/{NORTH}x/up/tel", "#", ""):
        assert not may_publish(NORTH, topic)
    for topic in (f"sv1/{NORTH}/up/tel", f"sv1/{SOUTH}/down/ack", "#", "sv1/#", "sv1/+/down/ack"):
        assert not may_read(NORTH, topic)
    assert may_publish(CLOUD, f"sv1/{NORTH}/down/ack")
    assert may_read(CLOUD, "sv1/+/up/#")
    assert not may_read(CLOUD, "$SYS/#")


def test_who_may_connect() -> None:
    """The client id is the name, and the will obeys the rule for publishing."""
    assert may_connect(NORTH, NORTH, None)
    assert may_connect(NORTH, NORTH, f"sv1/{NORTH}/up/state")
    assert not may_connect(NORTH, SOUTH, None)
    assert not may_connect("", "", None)
    assert not may_connect(NORTH, NORTH, f"sv1/{SOUTH}/up/state")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority."""
    made = Authority(tmp_path / "pki")
    made.prepare()
    return made


def test_engines(mosquitto: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mosquitto where it is installed; what was asked for and is not there is an error."""
    assert run.choose("auto") == run.choose("mosquitto") == mosquitto
    assert run.choose("embedded") is None
    with pytest.raises(ConfigError, match="auto, mosquitto, embedded"):
        run.choose("rabbit")
    monkeypatch.setattr("plantroom_cloud.broker.mosquitto.find", lambda: None)
    assert run.choose("auto") is None
    with pytest.raises(ConfigError, match="apt-get install mosquitto"):
        run.choose("mosquitto")


def test_mosquitto_is_found_on_the_path_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And in the folders where Debian puts servers."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mosquitto, "_SYSTEM_FOLDERS", ())
    assert mosquitto.find() is None
    (tmp_path / "mosquitto").write_text("#!/bin/sh\n")
    (tmp_path / "mosquitto").chmod(0o755)
    assert mosquitto.find() == tmp_path / "mosquitto"


def test_mosquittos_files(authority: Authority, tmp_path: Path) -> None:
    """Nothing is open: mutual TLS, no anonymous clients, no persistence, keys for one user."""
    plan = mosquitto.prepare(Path("/bin/m"), tmp_path / "b", authority, "127.0.0.1", 1234)
    config = plan.config.read_text()
    for line in (
        "listener 1234 127.0.0.1",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "allow_anonymous false",
        "persistence false",
        "retain_available false",
        f"acl_file {tmp_path / 'b' / 'acl'}",
    ):
        assert line in config.splitlines()
    acl = (tmp_path / "b" / "acl").read_text()
    assert "pattern write sv1/%u/up/#" in acl
    assert "pattern read sv1/%u/down/#" in acl
    assert stat.S_IMODE((tmp_path / "b" / "server.key").stat().st_mode) == 0o600
    assert not (tmp_path / "b" / "ca.key").exists()
    assert plan.command == ["/bin/m", "-c", str(plan.config)]


def test_mosquittos_files_belong_to_its_user(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it runs as another user than ours, that user gets them, and nobody else."""
    import pwd

    me = pwd.getpwuid(os.getuid())
    given: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(mosquitto, "_user_for", lambda _: me.pw_name)
    monkeypatch.setattr(os, "chown", lambda path, *ids: given.update({path.name: ids}))
    plan = mosquitto.prepare(Path("/bin/m"), tmp_path / "b", authority, "127.0.0.1", 1)
    assert plan.user == me.pw_name
    assert given == dict.fromkeys(
        ("b", "acl", "ca.pem", "crl.pem", "server.pem", "server.key", "mosquitto.conf"),
        (me.pw_uid, me.pw_gid),
    )


async def test_rules_of_the_embedded_broker_know_no_anonymous_client(authority: Authority) -> None:
    """A session without a name may do nothing at all."""
    broker = await embedded.start(authority, "127.0.0.1", free_port())
    rules = broker.plugins_manager.get_plugin("TopicRules")
    for session in (None, Session()):
        for action in Action:
            assert not await rules.topic_filtering(session=session, topic="sv1/x", action=action)
    await broker.shutdown()


def test_hostile_folder_cannot_write_configuration(authority: Authority, tmp_path: Path) -> None:
    """A line break in a path would be a line in the file."""
    folder = tmp_path / "a\nallow_anonymous true"
    with pytest.raises(ConfigError, match="control characters"):
        mosquitto.prepare(Path("/bin/m"), folder, authority, "127.0.0.1", 1)


def test_user_of_mosquitto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root gives itself up where Mosquitto's user exists and can reach the files."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert mosquitto._user_for(tmp_path / "x") == ""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(mosquitto, "USER", "no-such-user-here")
    assert mosquitto._user_for(tmp_path / "x") == ""
    monkeypatch.setattr(mosquitto, "USER", "daemon")
    (tmp_path / "closed").mkdir(mode=0o700)
    assert mosquitto._user_for(tmp_path / "closed" / "x") == ""
    monkeypatch.setattr(Path, "parents", (Path("/"),))
    assert mosquitto._user_for(Path("/x")) == "daemon"


def test_becoming_mosquitto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Privileges go first, then the last call, then the process is another."""
    done: list[Any] = []
    monkeypatch.setattr(os, "initgroups", lambda *a: done.append("groups"))
    monkeypatch.setattr(os, "setgid", lambda *a: done.append("gid"))
    monkeypatch.setattr(os, "setuid", lambda *a: done.append("uid"))
    monkeypatch.setattr(os, "execv", lambda *a: done.append(a))
    plan = mosquitto.Plan(Path("/bin/m"), tmp_path / "c", "daemon")
    mosquitto.become(plan, lambda: done.append("last"))
    assert done == ["groups", "gid", "uid", "last", (Path("/bin/m"), plan.command)]


def test_mosquitto_that_cannot_start(tmp_path: Path) -> None:
    """The way out is named."""
    plan = mosquitto.Plan(tmp_path / "none", tmp_path / "c")
    with pytest.raises(ConfigError, match="--engine embedded"):
        mosquitto.become(plan)


@pytest.mark.parametrize("engine", ["mosquitto", "embedded"])
def test_taken_port_is_a_clear_error(engine: str, tmp_path: Path, mosquitto: Path) -> None:
    """Address and remedy are named, and nothing is started."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = CloudSettings(data=tmp_path / "d")
        with pytest.raises(ConfigError, match="--port"):
            run.run(settings, engine=engine, port=taken.getsockname()[1])


async def test_silent_client_is_dropped(authority: Authority) -> None:
    """A half-open line is found by the keep-alive, which amqtt by itself only notes."""
    port = free_port()
    broker = await embedded.start(authority, "127.0.0.1", port)
    broker.config.timeout_disconnect_delay = 0
    context = client_context(authority.files("cloud"))
    will = f"sv1/{NORTH}/up/state".encode()
    connect = (
        b"\x00\x04MQTT\x04\x06\x00\x01"
        + len(CLOUD).to_bytes(2, "big")
        + CLOUD.encode()
        + len(will).to_bytes(2, "big")
        + will
        + b"\x00\x04gone"
    )
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(b"\x10" + bytes([len(connect)]) + connect)
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    async with asyncio.timeout(60):
        assert await reader.read() == b"", "the broker has closed the line"
    writer.close()
    await eventually(lambda: not broker.sessions, "the end of the session")
    await broker.shutdown()


async def test_slow_reader_loses_messages_not_memory(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond a number of unacknowledged messages the broker drops and counts them, and says so once."""
    monkeypatch.setattr(embedded, "MAX_UNACKED", 10)
    port = free_port()
    broker = await embedded.start(authority, "127.0.0.1", port)
    context = client_context(authority.files("cloud"))
    async with aiomqtt.Client(
        "127.0.0.1", port, identifier=CLOUD, tls_context=context, timeout=5
    ) as client:
        client._client.manual_ack_set(on=True)
        await client.subscribe("sv1/#", qos=1)
        for number in range(50):
            await client.publish(f"sv1/{NORTH}/down/ack", bytes([number]), qos=1)
        session, _ = broker.sessions[CLOUD]
        assert len(session.inflight_out) <= 10
        await eventually(lambda: broker.dropped[CLOUD] == 40, "the count of what was dropped")
        (warning,) = [each for each in caplog.records if "too slowly" in each.message]
        assert "Mosquitto" in vars(warning)["fix"]
    await broker.shutdown()


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"\x10\x80\x80\x80\x80\x01", b""),
        (b"\x10\xff\xff\xff\x7f", b""),
        (b"\xc0\x00", b"\x20\x02\x00\x01"),
        (b"\x10\x0c\x00\x06MQIsdp\x03\x02\x00\x3c", b"\x20\x02\x00\x01"),
    ],
)
async def test_first_packet_is_read_with_care(
    authority: Authority, first: bytes, answer: bytes
) -> None:
    """Endless lengths, packets of many megabytes and old versions end the connection."""
    port = free_port()
    broker = await embedded.start(authority, "127.0.0.1", port)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        port,
        ssl=client_context(authority.files("cloud")),
        server_hostname="localhost",
    )
    writer.write(first)
    async with asyncio.timeout(60):
        assert await reader.read() == answer
    writer.close()
    await broker.shutdown()


async def test_announcing_mosquitto(authority: Authority, tmp_path: Path) -> None:
    """What it waits for is that somebody listens, whoever answers the handshake."""
    context, port = client_context(authority.files("cloud")), free_port()
    assert not run.listens(context, "127.0.0.1", port)
    broker = await embedded.start(authority, "127.0.0.1", port)
    assert await asyncio.to_thread(run.listens, context, "127.0.0.1", port)
    await broker.shutdown()
    plain = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    assert await asyncio.to_thread(run.listens, context, "127.0.0.1", port)
    plain.close()


@pytest.mark.parametrize("child", [False, True])
def test_the_process_that_becomes_mosquitto(
    child: bool, mosquitto: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves a child behind that announces; the child becomes nothing."""
    import signal

    became: list[Any] = []
    monkeypatch.setattr("plantroom_cloud.broker.mosquitto.become", lambda *a: became.append(a))
    monkeypatch.setattr(os, "fork", lambda: 0 if child else 123)
    monkeypatch.setattr(os, "getppid", os.getpid)
    monkeypatch.setattr(run, "listens", lambda *_: True)

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    settings, file = CloudSettings(data=tmp_path / "d"), tmp_path / "ready"
    before = signal.getsignal(signal.SIGCHLD)
    try:
        if child:
            with pytest.raises(SystemExit):
                run.run(settings, engine="mosquitto", port=free_port(), ready_file=file)
            assert json.loads(file.read_text())["pid"] == os.getpid()
            assert became == []
        else:
            run.run(settings, engine="mosquitto", port=free_port(), parent=os.getpid())
            ((plan, last),) = became
            assert plan.binary == mosquitto
            assert last is not None
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_broker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Also where that process was gone before the broker could ask to be told."""
    import subprocess
    import sys

    config = tmp_path / "cloud.yaml"
    config.write_text(f"data: {tmp_path / 'data'}\nmqtt: {{port: {free_port()}}}\n")
    broker = ["broker", "--engine", "embedded", "--ready-file", str(tmp_path / "ready")]
    command = [sys.executable, "-m", "plantroom_cloud", "--config", str(config), *broker]
    late = subprocess.run([*command, "--parent", "1"], timeout=20, check=False)
    assert late.returncode == 0
    assert not (tmp_path / "ready").exists()
    if sys.platform != "linux":
        return
    starter = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([*sys.argv[1:], '--parent', str(os.getpid())])\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", starter, *command]) as parent:
        wait_until((tmp_path / "ready").exists, "the broker's start")
        pid = json.loads((tmp_path / "ready").read_text())["pid"]
        parent.kill()
    wait_until(lambda: not _runs(pid), "the broker's end")


def _runs(pid: int) -> bool:
    """Say whether a process is alive; one that only waits to be collected is not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
