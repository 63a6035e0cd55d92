"""scan, add, apply, preview and doctor: what they print, what they write, how they end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from plantroom_edge import agent, cli, interfaces, scanning
from plantroom_edge.config import load
from plantroom_edge.drivers import Progress
from plantroom_shared.errors import ConfigError, Unavailable
from support import edge_driver
from support.edge_driver import FINDS, SURE, UNSURE

BUS = {"name": "s", "driver": "scripted", "devices": 2, "points": 3, "interval": 0.05}


@pytest.fixture(autouse=True, scope="module")
def scripted() -> Iterator[None]:
    """The scripted driver is there for the tests of this file."""
    with edge_driver.registered():
        yield


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging, and what a scan finds, are put back."""
    root, ours = logging.getLogger(), logging.getLogger("plantroom_edge")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    FINDS.clear()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert run("init", "edge.yaml") == 0
    return tmp_path / "edge.yaml"


def run(*arguments: object) -> int:
    sys.argv = ["plantroom-edge", *map(str, arguments)]
    return cli.main()


@contextlib.contextmanager
def running(file: Path) -> Iterator[None]:
    """Run the agent in a thread of its own: commands are ordinary, blocking calls."""
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    config, there = load(file), threading.Event()

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        task = asyncio.create_task(agent.run(config, stop=stop, file=file))
        async with asyncio.timeout(30):
            while not config.control_file.is_socket():
                await asyncio.sleep(0.01)
        there.set()
        await task

    with pytest.MonkeyPatch.context() as patch:  # signals belong to the main thread
        patch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", lambda *_: None)
        patch.setattr(asyncio.SelectorEventLoop, "remove_signal_handler", lambda *_: None)
        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        try:
            assert there.wait(30)
            yield
        finally:
            loops[0].call_soon_threadsafe(stop.set)
            thread.join(30)
            assert not thread.is_alive()


# ---------------------------------------------------------------- scan


def test_scan_tells_what_it_does_and_proposes(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Traffic is told before; each device is found once, with why; the file can be added."""
    assert run("scan", config, "--driver", "scripted", "--seconds", 5, "--rate", 7) == 0
    out, err = capsys.readouterr()
    assert "at most 7 requests a second for 5 s, 35 in all" in err
    assert out.count("it says so") == 1
    assert "Test [b]works[/b]" in out
    assert "30%" in out
    assert "AHU-1 (Air_Handling_Unit)" in out
    assert f"plantroom-edge add {config} found.yaml" in err
    found = yaml.safe_load((config.parent / "found.yaml").read_text())
    assert [one.get("skip", False) for one in found["devices"]] == [False, True]
    assert run("add", config, "found.yaml") == 0
    assert "1 not added" in capsys.readouterr().out
    assert [bus.name for bus in load(config).buses] == ["scripted"]


def test_scan_as_json_and_straight_into_the_file(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs get every field; --add writes what is sure, --out what was found."""
    arguments = ("scan", config, "--driver", "scripted", "--add", "--json", "--out", "f.yaml")
    assert run(*arguments) == 0
    out = capsys.readouterr().out
    document = json.loads(out[: out.index("\n}") + 2])
    assert [one["confidence"] for one in document["devices"]] == [1.0, 0.3]
    assert document["devices"][1]["entry"]["unit"] == 3
    assert (config.parent / "f.yaml").exists()
    assert len(load(config).buses) == 1


def test_a_scan_that_fails_hides_no_other(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trouble is told; what was found before it counts; nothing at all is a failure."""
    FINDS[:] = [SURE, Unavailable("the card is gone")]
    assert run("scan", "--driver", "scripted") == 0
    assert "scripted: the card is gone" in capsys.readouterr().err
    FINDS[:] = [SURE, KeyError("a defect")]
    assert run("scan", "--driver", "scripted") == 0
    assert "scripted: KeyError: 'a defect'" in capsys.readouterr().err
    FINDS[:] = [Unavailable("the card is gone")]
    assert run("scan", "--driver", "scripted") == 1
    FINDS[:] = [Progress(1, 1, "")]
    assert run("scan", "--driver", "scripted") == 0
    assert "check cable" in capsys.readouterr().err


def test_a_scan_ends_with_its_time(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes on for ever is ended, and what it had is kept."""
    monkeypatch.setattr(scanning, "GRACE", -0.9)
    FINDS[:] = [SURE, None]
    assert run("scan", "--driver", "scripted", "--seconds", 1) == 0
    out, err = capsys.readouterr()
    assert "the time was over" in err
    assert "scripted:0" in out


async def test_too_many_are_somebody_who_answers_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of what was found has an end."""
    monkeypatch.setattr(scanning, "MOST", 1)
    found = scanning.Found()
    found.take("a", SURE)
    found.take("a", UNSURE)
    assert found.candidates == [SURE]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--add",), "--add needs a file"),
        (("--driver", "nonsense"), "there is no driver"),
        (("--units", "1-x"), "is no unit id"),
        (("--units", "300"), "is no unit id"),
        (("--bacnet", "nocard"), "there are: lo (127.0.0.1/8)"),
        (("--modbus", "/dev/ttyNONE"), "there is no serial port"),
        (("--modbus", "/proc/cpuinfo"), "is no serial port"),
        (("nofile.yaml",), "there is no such file"),
    ],
)
def test_what_cannot_be_scanned_is_said_before(
    arguments: tuple[str, ...], words: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mistakes end with 2, with what there is instead."""
    assert run("scan", *arguments) == 2
    assert words in capsys.readouterr().err


def test_ports_and_cards_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card is known by its name; a port without rights says which group to join."""
    assert interfaces.card("lo") == "127.0.0.1/8"
    assert interfaces.card("lo:47809") == "127.0.0.1/8:47809"
    assert interfaces.card("10.0.0.1/24") == "10.0.0.1/24"
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    interfaces.check_serial(f"{name}:19200,even")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="dialout"):
        interfaces.check_serial(name)
    os.close(ours)
    os.close(theirs)


def test_units_are_written_as_people_do() -> None:
    """Ranges and lists of unit ids, each once."""
    from plantroom_edge.cli_scan import _numbers

    assert _numbers("1-3, 7,2") == (1, 2, 3, 7)
    assert _numbers("") == ()


# ---------------------------------------------------------------- add


def test_add_by_hand(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A device is added once; comments stay; the file as it was is kept."""
    before = config.read_text()
    arguments = ("add", config, "--modbus", "192.0.2.20:503", "--unit", 3)
    assert run(*arguments) == 2
    assert "needs a profile" in capsys.readouterr().err
    assert run(*arguments, "--profile", "meter/eastron-sdm630", "--dry-run") == 0
    assert "+  - name: modbus-192.0.2.20-503" in capsys.readouterr().out
    assert config.read_text() == before
    assert run(*arguments, "--profile", "meter/eastron-sdm630") == 0
    assert config.with_name("edge.yaml.bak").read_text() == before
    kept = iter(config.read_text().splitlines())
    assert all(line in kept for line in before.splitlines())
    assert run(*arguments, "--profile", "meter/eastron-sdm630") == 0
    assert "nothing to add" in capsys.readouterr().out
    assert run("add", config, "--bacnet", "lo", "--who-is", "127.0.0.1:5000") == 0
    assert run("add", config, "--modbus", "192.0.2.21", "--profile", "meter/nonsense") == 0
    assert [bus.name for bus in load(config).buses][1:] == ["bacnet-127.0.0.1", "modbus-192.0.2.21"]


def test_add_refuses_what_would_not_load(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with the result is told, and nothing is written."""
    before = config.read_text()
    assert run("add", config) == 2
    assert "nothing to add" in capsys.readouterr().err
    assert run("add", config, "--modbus", "???", "--profile", "x") == 2
    (config.parent / "found.yaml").write_text("found: 2\n")
    assert run("add", config, "found.yaml") == 2
    assert "found.yaml:1: found" in capsys.readouterr().err
    assert run("scan", config, "--driver", "scripted", "--out", "/nonexistent/x.yaml") == 2
    assert "--out" in capsys.readouterr().err
    assert config.read_text() == before


# ---------------------------------------------------------------- apply


def with_buses(file: Path, *buses: dict[str, object], **more: object) -> str:
    content = yaml.safe_load(file.read_text()) | {"buses": list(buses)} | more
    return yaml.safe_dump(content)


def test_apply_shows_and_does(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Changes are told in words; a second time there is none; the hint says what to do next."""
    with running(config):
        config.write_text(with_buses(config, BUS))
        assert run("apply", config, "--dry-run") == 0
        assert "+ bus s added: scripted" in capsys.readouterr().out
        assert run("apply", config) == 0
        assert "applied to the running agent" in capsys.readouterr().out
        assert run("apply", config) == 0
        assert "unchanged" in capsys.readouterr().out
        new = config.with_name("new.yaml")
        new.write_text(with_buses(config, BUS | {"points": 4}, {**BUS, "name": "t"}))
        assert run("apply", config, new, "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert document["applied"]
        assert document["plan"]["start"] == ["s", "t"]
        assert config.read_text() == new.read_text()
        new.write_text(with_buses(config, BUS | {"points": 5}, {**BUS, "name": "t"}))
        assert run("apply", config, new) == 0
        out = capsys.readouterr().out
        assert "starts anew: s" in out
        assert "~ bus s changed: points: 4 → 5" in out


def test_apply_refuses_whole(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be hot, what is wrong and what nobody confirmed leaves file and agent alone."""
    config.write_text(with_buses(config, BUS))
    before = config.read_text()
    new = config.with_name("new.yaml")
    with running(config):
        while run("preview", config, "--json") or not _points(capsys):
            pass
        new.write_text(with_buses(config, gateway="gw-other-0001"))
        assert run("apply", config, new) == 2
        assert "change id and certificate" in capsys.readouterr().err
        new.write_text("gateway: [")
        assert run("apply", config, new) == 2
        assert run("apply", config, config.with_name("none.yaml")) == 2
        new.write_text(with_buses(config))
        assert run("apply", config, new) == 2
        assert "6 of 6 points would go away; if that is right, use --yes" in capsys.readouterr().err
        monkeypatch.setattr(sys, "stdin", _Terminal())
        monkeypatch.setattr(typer, "confirm", lambda _: False)
        assert run("apply", config, new) == 2
        assert config.read_text() == before
        missing = {**BUS, "name": "m", "driver": "modbus", "host": "x", "devices": []}
        del missing["points"], missing["interval"]
        missing["devices"] = [{"name": "d", "profile": "meter/nonsense"}]
        new.write_text(with_buses(config, BUS, missing))
        assert run("apply", config, new) == 2
        assert "nonsense" in capsys.readouterr().err
        assert config.read_text() == before
        monkeypatch.setattr(typer, "confirm", lambda _: True)
        new.write_text(with_buses(config))
        assert run("apply", config, new) == 0
        assert load(config).buses == ()


class _Terminal:
    """A standard input that somebody sits at."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0


def _points(capsys: pytest.CaptureFixture[str]) -> list[object]:
    return list(json.loads(capsys.readouterr().out or '{"points": []}')["points"])


def test_apply_without_an_agent(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is put in its place for the next start; removing much is confirmed here, too."""
    new = config.with_name("new.yaml")
    new.write_text(with_buses(config, BUS))
    assert run("apply", config, new) == 0
    out, err = capsys.readouterr()
    assert "no agent runs" in out
    assert f"plantroom-edge run {config}" in err
    assert len(load(config).buses) == 1
    assert run("apply", config) == 0
    new.write_text(with_buses(config))
    assert run("apply", config, new) == 2
    assert "1 of 1 devices would go away" in capsys.readouterr().err
    assert run("apply", config, new, "--yes", "--dry-run") == 0
    assert len(load(config).buses) == 1
    assert run("apply", config, new, "--yes", "--json") == 0
    assert load(config).buses == ()


# ---------------------------------------------------------------- preview


def test_preview_straight_from_the_buses(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an agent the buses are polled; each point is a line of cells parted by tabs."""
    assert run("preview", config) == 0
    assert "plantroom-edge scan" in capsys.readouterr().err
    config.write_text(with_buses(config, BUS))
    assert run("preview", config) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["point", "name", "value"]
    assert len(lines) == 7
    assert all(line[4] == "good" for line in lines[1:])
    assert run("preview", config, "--filter", "scripted:1 p2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["source"] == "straight from the buses"
    assert [row["point"] for row in document["points"]] == ["scripted:1:p2"]
    assert not (config.parent / "data").exists()


def test_preview_of_what_does_not_answer(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bus that cannot be opened is told, and ends the wait."""
    monkeypatch.setattr(edge_driver.Script, "__init__", _failing(edge_driver.Script.__init__))
    config.write_text(with_buses(config, BUS))
    assert run("preview", config) == 0
    assert "the bus is not there" in capsys.readouterr().err
    assert run("preview", config, "--json", "--seconds", 0.2) == 0


def _failing(original: object) -> object:
    def init(self: object, **more: object) -> None:
        original(self, **more, fail_discovery=1000)  # type: ignore[operator] # a dataclass's own

    return init


# ---------------------------------------------------------------- doctor


def _certificate(folder: Path, days: float) -> dict[str, object]:
    """Write a certificate that ends in so many days; return the cloud section that names it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw-site-0001")])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=100))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "gw.pem").write_bytes(cert.public_bytes(pem))
    (folder / "gw.key").write_bytes(key.private_bytes(pem, form, plain))
    (folder / "gw.key").chmod(0o600)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    files = {"ca": "gw.pem", "cert": "gw.pem", "key": "gw.key"}
    return {"cloud": {"host": "127.0.0.1", "port": port, **files}}


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    document = json.loads(capsys.readouterr().out)
    return {one["about"]: f"{one['severity']}: {one['what']}" for one in document["findings"]}


def test_doctor_without_an_agent(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are looked at: certificate, key and rights; the code says whether all is well."""
    assert run("doctor", config) == 0
    assert "it does not run" in capsys.readouterr().out
    config.write_text(with_buses(config, BUS, **_certificate(config.parent, 10.5)))
    (config.parent / "data").mkdir()
    assert run("doctor", config, "--json") == 0
    assert findings(capsys)["certificate"] == "warning: ends in 10 days"
    _certificate(config.parent, -1)
    (config.parent / "gw.key").chmod(0o644)
    config.chmod(0o666)
    assert run("doctor", config, "--json") == 1
    said = findings(capsys)
    assert said["certificate"] == "error: has ended"
    assert said["files"].startswith("error: ")
    (config.parent / "gw.pem").write_text("rubbish")
    assert run("doctor", config) == 1
    assert "is no certificate" in capsys.readouterr().out


def test_doctor_of_a_running_agent(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Devices, link and what differs from the file come from the agent."""
    config.write_text(with_buses(config, BUS, **_certificate(config.parent, 400)))
    with running(config):
        while run("preview", config, "--json") or not _points(capsys):
            pass
        assert run("doctor", config, "-v") == 1
        out = capsys.readouterr().out
        assert "scripted:1\ts\tyes\t3" in out
        assert "error cloud: not connected" in out
        config.write_text(with_buses(config, BUS | {"points": 4}))
        assert run("doctor", config, "--json") in (0, 1)
        said = findings(capsys)
        assert said["configuration"] == "warning: the file is not what runs"


def test_init_with_a_cloud(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The link is written as it was given; files that are not there are told."""
    arguments = ("init", "b.yaml", "--site", "tower", "--cloud", "broker.example:1234")
    assert run(*arguments) == 2
    assert "ca.pem" in capsys.readouterr().err
    (config.parent / "certs").mkdir()
    for name in ("ca.pem", "gateway.pem", "gateway.key"):
        (config.parent / "certs" / name).write_text("x")
    assert run(*arguments) == 0
    cloud = load(config.with_name("b.yaml")).cloud
    assert cloud is not None
    assert (cloud.host, cloud.port) == ("broker.example", 1234)
