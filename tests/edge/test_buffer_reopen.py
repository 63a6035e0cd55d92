"""A buffer that was left alone opens again, and a file that was never begun is not damaged."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from plantroom_edge.buffer_store import Store
from plantroom_shared.errors import Unavailable
from support.edge_time import VirtualTime


def test_rows_that_keep_coming_do_not_put_off_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is well again is found well, however often it is asked for in between."""
    clock = VirtualTime()
    store = Store(tmp_path / "b.db", 1 << 22, "e" * 16, clock)

    def fails(_path: Path) -> sqlite3.Connection:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr("plantroom_edge.buffer_store.connect", fails)
        with pytest.raises(Unavailable):
            store.run(store.holdings)
    refused = 0
    while clock.seconds < 10.0:
        clock.seconds += 0.25
        try:
            store.run(store.holdings)
        except Unavailable:
            refused += 1
        else:
            break
    assert clock.seconds == 1.0
    assert refused == 3
    store.close()


def test_a_file_cut_off_in_its_first_transaction_is_not_damaged(tmp_path: Path) -> None:
    """The journal beside it undoes the half page: nothing is moved aside."""
    path = tmp_path / "b.db"
    script = textwrap.dedent(
        f"""
        import os, sqlite3
        db = sqlite3.connect({str(path)!r}, isolation_level=None)
        db.execute("PRAGMA cache_size=1")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (zeroblob(200000))")
        os._exit(0)
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert path.with_name("b.db-journal").exists()
    with path.open("r+b") as file:
        file.write(bytes(512))
    store = Store(path, 1 << 22, "e" * 16, VirtualTime())
    assert store.run(store.holdings)
    assert not list(tmp_path.glob("*.bad-*"))
    store.close()
