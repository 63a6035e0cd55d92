"""Workers of jobs as processes of their own, to be killed in the middle of a chunk."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import func, select

from demo.processes import dying_with_parent, wait_for
from plantroom_cloud.db import Database
from plantroom_cloud.tables import JobChunk
from support.servers import as_owner

DEADLINE = 120.0


class Fleet:
    """Processes of one service over one database.

    Args:
        folder: for settings and logs.
        database_url: of a migrated database.
        settings: what else the service is told.
    """

    def __init__(self, folder: Path, database_url: str, **settings: Any) -> None:
        self._folder = folder
        self.config = folder / "cloud.yaml"
        told = {"data": str(folder / "data"), "database": database_url, "api_port": 0, **settings}
        self.config.write_text(yaml.safe_dump(told))
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start ``plantroom-cloud`` with a command that takes ``--ready-file``; it is ready then."""
        number = len(self.running)
        ready, log = self._folder / f"{number}.ready", self._folder / f"{number}.log"
        head = [sys.executable, "-m", "plantroom_cloud", "--config", str(self.config)]
        with log.open("ab") as opened:
            process = subprocess.Popen(
                [*head, *command, "--ready-file", str(ready)],
                stdin=subprocess.DEVNULL,
                stdout=opened,
                stderr=opened,
                preexec_fn=dying_with_parent(),  # noqa: PLW1509 -- it only asks the kernel
            )
        self.running.append(process)
        wait_for(
            lambda: ready.exists() or process.poll() is not None,
            what=f"the start of {command}",
            seconds=DEADLINE,
        )
        assert ready.exists(), log.read_text(errors="replace")[-2000:]
        return process

    def log(self, number: int) -> str:
        """Return what a process has said."""
        return (self._folder / f"{number}.log").read_text(errors="replace")

    def stop(self) -> None:
        """End all that still run, in order."""
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def fleet(folder: Path, database_url: str, **settings: Any) -> Iterator[Fleet]:
    """Yield processes over a database, all ended afterwards."""
    folder.mkdir(exist_ok=True)
    running = Fleet(folder, database_url, **settings)
    try:
        yield running
    finally:
        running.stop()


async def kill_with_a_chunk(db: Database, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Kill -9 a worker's process while it has a chunk; return which."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        assert process.poll() is None, "it ended before it could be killed"
        held = await _held(db, process.pid)
        if held is None:
            continue
        # Stopped, it cannot be done with the chunk between our look and its end.
        process.send_signal(signal.SIGSTOP)
        if await _held(db, process.pid) == held:
            process.kill()
            process.wait(30)
            return held
        process.send_signal(signal.SIGCONT)
    msg = "it never had a chunk"
    raise AssertionError(msg)


async def _held(db: Database, pid: int) -> dict[str, Any] | None:
    columns = (JobChunk.job_id, JobChunk.building, JobChunk.stage, JobChunk.piece, JobChunk.token)
    async with as_owner(db).read() as session:
        row = (
            await session.execute(
                select(*columns)
                .where(JobChunk.state == "claimed", JobChunk.worker.endswith(f":{pid}"))
                .limit(1)
            )
        ).one_or_none()
    return dict(row._mapping) if row else None


async def done_by(db: Database) -> dict[str, int]:
    """Return worker → chunks that it has done."""
    async with as_owner(db).read() as session:
        rows = await session.execute(
            select(JobChunk.worker, func.count())
            .where(JobChunk.state == "done", JobChunk.worker != "")
            .group_by(JobChunk.worker)
        )
        return {worker.rpartition(":")[2]: count for worker, count in rows}
