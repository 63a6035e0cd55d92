"""Child processes of the demo and of the tests: started, watched, killed, and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PATHS = os.pathsep.join(str(ROOT / one) for one in ("deploy", "shared", "edge_agent", "cloud"))
"""What a child imports: this checkout, whatever is installed."""
_PR_SET_PDEATHSIG = 1


class ProcessFailedError(RuntimeError):
    """A child ended, or was not ready in time; the text holds the end of its log."""


def dying_with_parent(how: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Return a `preexec_fn` that has the kernel send `how` when the parent dies, however it dies.

    Linux only. It counts from the thread that starts the child, which must live as long as we do.
    """
    libc = ctypes.CDLL(None)  # here: between fork and exec nothing may be loaded

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, how)

    return ask


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(condition: Callable[[], bool], *, what: str, seconds: float = 30.0) -> None:
    """Return when `condition` holds; ProcessFailedError names `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            msg = f"{what} did not happen within {seconds:.0f} s"
            raise ProcessFailedError(msg)
        time.sleep(0.02)


class Child:
    """One program, its log, and whether it still runs.

    Args:
        name: for messages and the log's file name.
        command: the program and its arguments.
        folder: where the log goes.
        env: variables on top of this process's own.
        ready: a file that the program writes when it serves.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        env: dict[str, str] | None = None,
        ready: Path | None = None,
    ) -> None:
        self.name, self._command, self._ready = name, list(command), ready
        self._log = folder / f"{name}.log"
        self._env = {**os.environ, "PYTHONPATH": _PATHS, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Child:
        """Start it, its output going to the end of its log."""
        if self._ready is not None:
            self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._log.parent,
                env=self._env,
                preexec_fn=dying_with_parent(),  # noqa: PLW1509  no threads are running yet
            )
        return self

    def wait_ready(self, seconds: float = 60.0) -> Child:
        """Return when its ready file is there; ProcessFailedError if it ends before."""
        ready = self._ready
        if ready is not None:
            wait_for(
                lambda: ready.exists() or not self.running,
                what=f"{self.name} becoming ready",
                seconds=seconds,
            )
            if not ready.exists():
                msg = f"{self.name} ended with code {self.returncode}:\n{self.log_end()}"
                raise ProcessFailedError(msg)
        return self

    @property
    def pid(self) -> int:
        """The process id of the running program."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Say whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll() if self._process else None

    def log_end(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def tell(self, line: str) -> None:
        """Write one line to its standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL), and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()

    def stop(self, seconds: float = 15.0) -> int | None:
        """Ask it to end, kill it if it does not, and return its exit code."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._close()
        return self._process.returncode

    def _close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def python(*arguments: str) -> list[str]:
    """Return a command that runs a module or script in this interpreter."""
    return [sys.executable, *arguments]
