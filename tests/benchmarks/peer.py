"""ThingsBoard Gateway, from the package index, on the same simulated devices: the peer.

It is installed into an environment of its own and kept from calling home or installing anything at
run time. It stores to SQLite and publishes with QoS 1, as we do; without TLS, which we do with. What it
delivers is counted where it arrives, behind a Mosquitto.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Usage, observe
from demo.processes import ROOT, Child, free_port, python, wait_for
from demo.stack import Stack

HERE = Path(__file__).resolve().parent
FOLDER = ROOT / ".plantroom" / "peer"
PACKAGES = ("thingsboard-gateway==3.8.5",)
AFTERWARDS = ("pymodbus==3.9.2", "pyserial", "pyserial-asyncio", "bacpypes3==0.0.110")
"""What it would install by itself when it starts."""
SETTLE = 10.0
"""Seconds from the first value until its connections and threads are what they stay."""


class PeerMissingError(RuntimeError):
    """The peer cannot run here; the text says why and what to do."""


def install() -> Path:
    """Return the interpreter of the peer's environment, made where it is not there yet."""
    interpreter, stamp = FOLDER / "bin" / "python", FOLDER / "installed"
    if shutil.which("mosquitto", path=_path()) is None:
        msg = "the peer needs a Mosquitto: install it (Debian: apt-get install mosquitto)"
        raise PeerMissingError(msg)
    if stamp.exists():
        return interpreter
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = ([sys.executable, "-m", "venv", str(FOLDER)], [*pip, *PACKAGES], [*pip, *AFTERWARDS])
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            end = " / ".join(done.stderr.strip().splitlines()[-2:])
            msg = f"ThingsBoard Gateway cannot be installed here ({end}): run without --peer"
            raise PeerMissingError(msg)
    stamp.touch()
    return interpreter


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))  # Debian's place for it


# ---------------------------------------------------------------- what it is told to read


def single_tags(port: int, registers: int) -> dict[str, Any]:
    """Return the configuration of one unit, register by register."""
    tags = [
        {"tag": f"r{address}", "address": address, "objectsCount": 1}
        for address in range(registers)
    ]
    return _modbus([_slave(port, 1, tags)])


def ranges(port: int, units: int, registers: int) -> dict[str, Any]:
    """Return its best mode: all registers of a unit as one range, 120 a request."""
    tag = {
        "tag": "r${address}",
        "address": f"0-{registers - 1}",
        "objectsCount": 1,
        "maxRegistersPerRequest": 120,
    }
    return _modbus([_slave(port, unit, [tag]) for unit in range(1, units + 1)])


def _modbus(slaves: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "modbus", "name": "modbus", "master": {"slaves": slaves}}


def _slave(port: int, unit: int, tags: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "type": "tcp",
        "method": "socket",
        "unitId": unit,
        "deviceName": f"unit-{unit}",
        "deviceType": "default",
        "timeout": 5,
        "byteOrder": "BIG",
        "wordOrder": "BIG",
        "retries": 3,
        "pollPeriod": 1000,
        "connectAttemptTimeMs": 5000,
        "connectAttemptCount": 5,
        "waitAfterFailedAttemptsMs": 300000,
        "attributes": [],
        "timeseries": [{"type": "16uint", "functionCode": 3, **tag} for tag in tags],
        "attributeUpdates": [],
        "rpc": [],
    }


def bacnet(address: str, objects: int) -> dict[str, Any]:
    """Return the configuration of one device with analog values."""
    host, port = address.split(":")
    value = {"objectType": "analogValue", "propertyId": "presentValue"}
    device = {
        "deviceInfo": {
            "deviceNameExpression": "device",
            "deviceProfileExpression": "default",
            "deviceNameExpressionSource": "constant",
            "deviceProfileExpressionSource": "constant",
        },
        "host": host,
        "port": port,
        "pollPeriod": 1000,
        "attributes": [],
        "timeseries": [
            {"key": f"v{index}", "objectId": index, **value} for index in range(1, objects + 1)
        ],
        "attributeUpdates": [],
        "serverSideRpc": [],
    }
    application = {
        "objectName": "peer",
        "host": "127.0.0.1",
        "port": free_port(),
        "objectIdentifier": 599,
        "maxApduLengthAccepted": 1476,
        "segmentationSupported": "segmentedBoth",
        "vendorIdentifier": 15,
        "deviceDiscoveryTimeoutInSec": 5,
        "devicesDiscoverPeriodSeconds": 30,
    }
    return {"type": "bacnet", "name": "bacnet", "application": application, "devices": [device]}


# ---------------------------------------------------------------- the run


def observe_peer(stack: Stack, connector: dict[str, Any], seconds: float, offered: int) -> Usage:
    """Run the peer with one connector and watch it for `seconds`.

    Of the values that it delivers no more count than are `offered` a second: one that comes three times
    in a poll, as they do of BACnet, is one.
    """
    with _gateway(stack, connector) as (child, count):
        try:
            wait_for(lambda: _read(count)[1] > 0, what="the peer's first value", seconds=90)
        except RuntimeError as error:
            msg = f"ThingsBoard Gateway: {error}; the end of its log:\n{child.log_end()}"
            raise PeerMissingError(msg) from error
        time.sleep(SETTLE)
        first = _read(count)
        usage = observe(child.pid, seconds, lambda: _read(count)[1])
        last = _read(count)
        # The count is taken five times a second: its own clock says between when.
        rate = min(offered, (last[1] - first[1]) / (last[0] - first[0]))
        return Usage(usage.cpu_seconds, usage.seconds, usage.rss_mb, rate * usage.seconds)


@contextmanager
def _gateway(stack: Stack, connector: dict[str, Any]) -> Iterator[tuple[Child, Path]]:
    interpreter, port = install(), free_port()
    folder = stack.folder / f"peer-{connector['type']}-{port}"
    folder.mkdir()
    _write(folder, connector, port)
    children = _start(folder, interpreter, port)
    try:
        yield children[-1], folder / "count"
    finally:
        for child in reversed(children):
            child.stop()


def _start(folder: Path, interpreter: Path, port: int) -> list[Child]:
    """Start broker, cloud and gateway; the gateway is the last."""
    lines = f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
    (folder / "mosquitto.conf").write_text(f"{lines}user {getpass.getuser()}\n")
    mosquitto = shutil.which("mosquitto", path=_path()) or "mosquitto"
    broker = Child("mosquitto", [mosquitto, "-c", str(folder / "mosquitto.conf")], folder).start()
    time.sleep(1.0)  # it has no way to say that it listens
    count = folder / "count"
    cloud = Child(
        "cloud", python(str(HERE / "peer_cloud.py"), str(port), str(count)), folder, ready=count
    ).start()
    cloud.wait_ready()
    start = "from thingsboard_gateway.tb_gateway import main; main()"
    nowhere = "http://127.0.0.1:9"
    env = {
        "PYTHONPATH": "",
        "TB_GW_CONFIG_DIR": str(folder / "config"),
        "HTTPS_PROXY": nowhere,
        "HTTP_PROXY": nowhere,
    }
    gateway = Child("gateway", [str(interpreter), "-c", start], folder, env=env).start()
    return [broker, cloud, gateway]


def _read(count: Path) -> tuple[float, float]:
    """Return when the cloud last looked, in monotonic seconds, and how many values it has had."""
    at, done = count.read_text().split()
    return float(at), float(done)


def _write(folder: Path, connector: dict[str, Any], port: int) -> None:
    """Write its configuration: no remote anything, no statistics, storage in SQLite."""
    (folder / "config").mkdir()
    (folder / "logs").mkdir()
    kind = connector["type"]
    off = {"enable": False, "statsSendPeriodInSeconds": 3600}
    settings = {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": off,
            "deviceFiltering": {"enable": False},
            "maxPayloadSizeBytes": 65536,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "checkConnectorsConfigurationInSeconds": 60,
            "handleDeviceRenaming": False,
            "security": {"type": "accessToken", "accessToken": "bench"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
        },
        "storage": {
            "type": "sqlite",
            "data_file_path": str(folder / "data.db"),
            "messages_ttl_check_in_hours": 1,
            "messages_ttl_in_days": 7,
            "max_read_records_count": 1000,
        },
        "grpc": {"enabled": False},
        "connectors": [{"type": kind, "name": kind, "configuration": f"{kind}.json"}],
    }
    handler = {"class": "logging.StreamHandler", "level": "WARNING"}
    logs = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": handler},
        "root": {"level": "WARNING", "handlers": ["console"]},
    }
    documents = {"tb_gateway": settings, kind: connector, "logs": logs}
    for name, document in documents.items():
        (folder / "config" / f"{name}.json").write_text(json.dumps(document))
