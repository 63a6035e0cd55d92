"""What the tests start for themselves does not outlive them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from demo.processes import wait_for
from support import servers

SESSION = """
import sys, time
from pathlib import Path
from support.servers import Postgres
postgres = Postgres(Path(sys.argv[1]))
postgres.start()
print(postgres.pid, flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    """Say whether the process is there and more than an entry that nobody has reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_postgresql_dies_with_a_test_session_that_is_killed() -> None:
    """Kill -9 of whoever started it ends PostgreSQL, too, and it ends well: nothing locks its files."""
    with servers.private_folder() as folder:
        environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
        with subprocess.Popen(
            [sys.executable, "-c", SESSION, str(folder)], stdout=subprocess.PIPE, env=environment
        ) as session:
            assert session.stdout is not None
            pid = int(session.stdout.readline())
            assert _alive(pid)
            session.send_signal(signal.SIGKILL)
        wait_for(lambda: not _alive(pid), what="PostgreSQL's end")
        assert not (folder / "data" / "postmaster.pid").exists()
        assert "fast shutdown" in (folder / "log").read_text()


def test_postgresql_comes_back_after_a_crash() -> None:
    """SIGQUIT loses nothing that was committed; a client does not keep it from ending."""
    with servers.private_folder() as folder:
        postgres = servers.Postgres(folder)
        try:
            postgres.start()
            postgres.run("CREATE DATABASE {}", "kept")
            postgres.stop(signal.SIGQUIT)
            postgres.start()
            with pytest.raises(psycopg.errors.DuplicateDatabase):
                postgres.run("CREATE DATABASE {}", "kept")
        finally:
            postgres.stop()
