"""The measure that the floor of coverage is held against follows what runs behind a switch of greenlets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import BuiltinMethodType

import coverage
from greenlet import getcurrent, greenlet

from support import coverage_greenlets

ROOT = Path(__file__).resolve().parents[2]
MEASURED = """
import asyncio, sys
from sqlalchemy.util import await_only, greenlet_spawn

def statement():
    await_only(asyncio.sleep(0))

async def query():
    await greenlet_spawn(statement)
    found = 1
    return found

async def request():
    answer = await query()
    answer += 1
    return answer

def serve():
    asyncio.run(request())

if "follow" in sys.argv:
    from support import coverage_greenlets
    coverage_greenlets.follow()
serve()
"""
LINES = MEASURED.splitlines()
BEHIND = {LINES.index(f"    {line}") + 1 for line in ("found = 1", "return found", "answer += 1")}


def _measured(folder: Path, *arguments: str) -> set[int]:
    """Run the program above under coverage and return the lines that were noted."""
    program, data = folder / "program.py", folder / "data"
    program.write_text(MEASURED)
    (folder / "rc").write_text("[run]\nconcurrency = thread\n")
    how = ("--rcfile", str(folder / "rc"), "--data-file", str(data))
    command = [sys.executable, "-m", "coverage", "run", *how, str(program), *arguments]
    # Not measured itself: it has a measure of its own.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    environment = clean | {"PYTHONPATH": str(ROOT / "tests")}
    subprocess.run(command, check=True, env=environment, timeout=60)
    kept = coverage.CoverageData(str(data))
    kept.read()
    return set(kept.lines(str(program)) or ())


def test_lines_behind_a_switch_are_noted(tmp_path: Path) -> None:
    """They are lost to a stack of calls per thread, and noted with one per greenlet."""
    assert _measured(tmp_path, "follow") >= BEHIND
    # Where this holds no more, the tracer has no need of help.
    assert not _measured(tmp_path) >= BEHIND


def test_no_two_that_run_share_a_key() -> None:
    """A key is for one greenlet, as long as that runs; then for another, so they do not pile up."""
    here = coverage_greenlets.current()
    one, other = (greenlet(_key_and_wait) for _ in range(2))
    keys = [one.switch(), other.switch()]
    assert len({here, *keys}) == 3
    assert coverage_greenlets.current() is here
    one.switch()
    known = len(coverage_greenlets._keys)
    del one
    for _ in range(1000):
        greenlet(coverage_greenlets.current).switch()
    assert len(coverage_greenlets._keys) <= known
    other.switch()


def _key_and_wait() -> None:
    parent = getcurrent().parent
    assert parent is not None
    parent.switch(coverage_greenlets.current())


def test_the_end_of_a_thread_runs_no_python() -> None:
    """What hears of the end of a thread's greenlet is C: Python there may never be left again."""
    heard: list[object] = []

    def run() -> None:
        coverage_greenlets.current()
        heard.extend(ref.__callback__ for ref in weakref.getweakrefs(getcurrent()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert heard
    assert all(isinstance(callback, BuiltinMethodType) for callback in heard)
