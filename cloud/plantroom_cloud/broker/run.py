"""``plantroom-cloud broker``: chooses an engine and runs it until told to stop."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import ssl
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from plantroom_cloud import ready
from plantroom_cloud.broker import embedded, mosquitto
from plantroom_cloud.config import CloudSettings
from plantroom_cloud.gateways.pki import Authority, client_context
from plantroom_shared.cancelling import ended
from plantroom_shared.errors import ConfigError

ENGINES = ("auto", "mosquitto", "embedded")
_PR_SET_PDEATHSIG = 1
_PATIENCE = 30.0


def choose(engine: str) -> Path | None:
    """Return Mosquitto's binary for `engine`, or None for the embedded broker.

    Raises:
        ConfigError: there is no such engine, or Mosquitto is asked for and not installed.
    """
    if engine not in ENGINES:
        what = f"there is no broker engine {engine[:40]!r}"
        raise ConfigError(what, key="--engine", fix=f"choose one of: {', '.join(ENGINES)}")
    binary = None if engine == "embedded" else mosquitto.find()
    if engine == "mosquitto" and binary is None:
        fix = "run 'sudo apt-get install mosquitto', or use --engine embedded"
        what = "Mosquitto is not installed"
        raise ConfigError(what, key="--engine", fix=fix)
    return binary


def run(
    settings: CloudSettings,
    *,
    engine: str = "auto",
    bind: str = "",
    port: int = 0,
    ready_file: Path | None = None,
    parent: int = 0,
) -> None:
    """Run the broker; Mosquitto replaces this process, the embedded one ends with SIGTERM.

    Args:
        settings: data folder, and host and port where `bind` and `port` name none.
        engine: ``auto`` is Mosquitto where it is installed.
        bind: address to listen on.
        port: 0 means that of the settings.
        ready_file: written once connections are taken.
        parent: process id; end when that process, which started this one, does (Linux).
    """
    binary = choose(engine)
    ready.forget(ready_file)
    host, port = bind or settings.mqtt.host, port or settings.mqtt.port
    authority = Authority(settings.data / "pki")
    authority.prepare((settings.mqtt.host, host))
    if binary is None:
        if parent:
            _end_with(parent)
        asyncio.run(_run_embedded(authority, host, port, ready_file))
        return
    plan = mosquitto.prepare(binary, settings.data / "broker", authority, host, port)
    _check_free(host, port)
    _announce_later(authority, host, port, ready_file)
    mosquitto.become(plan, partial(_end_with, parent) if parent else None)


async def _run_embedded(
    authority: Authority, host: str, port: int, ready_file: Path | None
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = await embedded.start(authority, host, port)
    ready.announce("broker", ready_file, engine="embedded", host=host, port=broker.port)
    watching = asyncio.create_task(embedded.watch(broker, authority))
    await stop.wait()
    await ended(watching)
    await broker.shutdown()


def _check_free(host: str, port: int) -> None:
    """Raise ConfigError where somebody else listens: Mosquitto would only say so in its log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            what = f"the broker cannot listen on {host}:{port}: {error}"
            fix = "choose a free port with --port"
            raise ConfigError(what, key="mqtt.port", fix=fix) from error


def _announce_later(authority: Authority, host: str, port: int, ready_file: Path | None) -> None:
    """Leave a child behind that says when Mosquitto, which we are about to become, listens."""
    broker = os.getpid()
    # Mosquitto inherits this and so never has to collect the child.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.fork():
        return
    deadline, context = time.monotonic() + _PATIENCE, client_context(authority.files("cloud"))
    while os.getppid() == broker and time.monotonic() < deadline:
        if listens(context, host, port):
            facts = {"engine": "mosquitto", "host": host, "port": port, "pid": broker}
            ready.announce("broker", ready_file, **facts)
            break
        time.sleep(0.02)
    os._exit(0)


def listens(context: ssl.SSLContext, host: str, port: int) -> bool:
    """Say whether somebody takes connections there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=1) as sock:
        # A whole handshake and a goodbye: less would be an error in Mosquitto's log.
        with suppress(OSError):
            context.wrap_socket(sock, server_hostname=host).unwrap()
        return True
    return False


def _end_with(parent: int) -> None:
    """Ask Linux to end this process when its parent ends; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we could ask
        sys.exit(0)
