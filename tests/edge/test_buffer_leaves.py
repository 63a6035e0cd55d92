"""Reading rows without the tree: what SQLite wrote comes out, and rubbish ends in nothing."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plantroom_edge.buffer_db import PAGE
from plantroom_edge.buffer_leaves import rows_on_leaves

VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.binary(max_size=20)
)
KEYS = st.integers(-(2**63), 2**63 - 1)


def write(path: Path, rows: dict[int, tuple[Any, ...]]) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA page_size = {PAGE}")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
    db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [(key, *row) for key, row in rows.items()])
    db.commit()
    db.close()


@settings(deadline=None)
@given(
    rows=st.dictionaries(KEYS, st.tuples(VALUES, VALUES, st.integers(0, 20_000)), max_size=60),
)
@example(rows={n: (None, "", 4_061 + n) for n in range(-30, 30)})
def test_what_sqlite_wrote_comes_out(rows: dict[int, tuple[Any, ...]]) -> None:
    """Values of every kind, texts and blobs of every length: with and without other pages."""
    long = {key: (a, b, bytes(i % 251 for i in range(n))) for key, (a, b, n) in rows.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        write(path, long)
        assert {row[0]: row[1:] for row in rows_on_leaves(path, 4)} == long
        assert list(rows_on_leaves(path, 5)) == []
        assert list(rows_on_leaves(path, 3)) == []


@settings(deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 2**31), st.binary(min_size=1, max_size=30)), max_size=30
    ),
    cut=st.integers(0, 3 * PAGE),
)
def test_rubbish_ends_in_nothing(changes: list[tuple[int, bytes]], cut: int) -> None:
    """Any bytes may change, the file may end anywhere: rows may be missing, nothing breaks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        write(path, {n: (n, str(n) * 9, bytes(n * 37)) for n in range(300)})
        content = bytearray(path.read_bytes())
        for place, what in changes:
            at = place % len(content)
            content[at : at + len(what)] = what[: len(content) - at]
        path.write_bytes(content[: len(content) - cut])
        for row in rows_on_leaves(path, 4):
            assert len(row) == 4


@pytest.mark.parametrize("content", [b"", b"\r" * 100, b"\r" * PAGE * 3, b"\xff" * PAGE * 3])
def test_a_file_of_nothing_has_no_rows(content: bytes, tmp_path: Path) -> None:
    """Neither an empty file nor one of the same bytes all over is a trap."""
    path = tmp_path / "t.db"
    path.write_bytes(content)
    assert list(rows_on_leaves(path, 4)) == []
