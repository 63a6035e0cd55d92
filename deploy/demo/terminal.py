"""A program on a terminal of its own: what it shows, and the keys that are pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path

_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])")


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """Runs a program on a pseudo-terminal.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        columns: width.
        lines: height.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, *, columns: int = 120, lines: int = 30
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        size = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(lines)}
        self.process = subprocess.Popen(
            list(command),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**os.environ, **size},
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509  one system call: Ctrl-C is a signal then
        )
        os.close(theirs)
        self.raw = ""
        """Everything so far, with its colours."""
        self._from = 0

    @property
    def text(self) -> str:
        """What was shown since the last key, without colours."""
        return _ESCAPES.sub("", self.raw[self._from :])

    def until(self, *words: str, seconds: float = 30.0) -> str:
        """Return what was shown since the last key when all `words` were.

        Raises:
            TimeoutError: they were not.
        """
        deadline = time.monotonic() + seconds
        while not all(word in self.text for word in words):
            if not self._read(deadline - time.monotonic()):
                msg = f"{words} did not appear: {self.text[-3000:]}"
                raise TimeoutError(msg)
        return self.text

    def press(self, keys: str) -> None:
        """Press keys; `until` looks at what comes from now on."""
        self._from = len(self.raw)
        os.write(self._ours, keys.encode())

    def end(self, seconds: float = 30.0) -> int:
        """Return the exit code when the program has ended.

        Raises:
            TimeoutError: it has not; it is killed.
        """
        deadline = time.monotonic() + seconds
        while self._read(deadline - time.monotonic()):
            pass
        try:
            return self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(self.text[-3000:]) from error
        finally:
            self.close()

    def close(self) -> None:
        """Kill the program if it still runs, and give the terminal back."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def _read(self, seconds: float) -> bool:
        """Take what has come; return whether more may come in time."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the program has closed its side
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)
