"""Faults 2, 4 and 7: killed at any system call, a disk that answers with errors, and damaged files."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from plantroom_edge.buffer_store import Store
from plantroom_shared.errors import Unavailable
from support import fault_appender
from support.edge_rows import METER, counting, points
from support.edge_time import VirtualTime
from support.fault_case import Setting, case
from support.fault_report import Figure

CALLS: Final = "pwrite64,write,fsync,fdatasync,ftruncate,unlink,rename"
PAGE: Final = 4096

Numbers = set[int]


@dataclass(slots=True)
class Said:
    """What a child has said before it ended."""

    epoch: str = ""
    accepted: int = 0
    refused: int = 0
    asked: int = 0
    """Up to which row it had asked to confirm."""
    last: str = ""


@dataclass(slots=True)
class Held:
    """What a buffer file holds, read without Plantroom."""

    rows: dict[str, Numbers] = field(default_factory=dict)
    values: dict[tuple[str, int], Any] = field(default_factory=dict)
    gaps: dict[str, Numbers] = field(default_factory=dict)


def read_held(path: Path) -> Held:
    """Return the samples and gaps in the file at `path`."""
    held = Held()
    with contextlib.closing(sqlite3.connect(path)) as db:
        frames = db.execute("SELECT kind, blob FROM frame WHERE stream = 'tel'").fetchall()
    for kind, blob in frames:
        message = json.loads(gzip.decompress(blob))
        numbers = range(message["s0"], message["s0"] + message["n"])
        where = held.rows if kind == "data" else held.gaps
        where.setdefault(message["ep"], set()).update(numbers)
        if kind == "data":
            held.values |= {
                (message["ep"], n): v for n, v in zip(numbers, message["x"], strict=True)
            }
    return held


def reopened(path: Path) -> Held:
    """Let the buffer open `path` as after a restart, then return what it holds."""
    store = Store(path, 1 << 30, "f" * 16, VirtualTime())
    try:
        store.run(store.holdings)
    finally:
        store.close()
    return read_held(path)


def sent(path: Path) -> None:
    """Let the buffer open `path` and give out all it has, as to the cloud: so damage is found."""
    store = Store(path, 1 << 30, "e" * 16, VirtualTime())
    try:
        after = (0, 0)
        while frames := store.run(lambda: store.next("tel", after, 200)):  # noqa: B023 -- at once
            after = (frames[-1].order, frames[-1].last)
    finally:
        store.close()


def run_child(folder: Path, steps: int, *strace: str) -> Said:
    """Run the appender, under strace where options are given, and return what it said."""
    command = [sys.executable, fault_appender.__file__, str(folder), str(steps)]
    if strace:
        command = ["strace", "-f", "-qq", *strace, *command]
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment | {"PATH": "/usr/bin:/bin"},
        check=False,
        timeout=120,
    )
    said = Said()
    for line in done.stdout.decode().splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        said.last = line[0]
        match line.split():
            case ["E", epoch]:
                said.epoch = epoch
            case ["A", "tel", _, last]:
                said.accepted = int(last)
            case ["R"]:
                said.refused += 1
            case ["C", last]:
                said.asked = int(last)
    return said


def missing(said: Said, held: Held) -> int:
    """Return how many rows were accepted, never to be deleted, and are not there."""
    have = held.rows.get(said.epoch, set())
    return len(set(range(said.asked + 1, said.accepted + 1)) - have)


def need_strace() -> None:
    """Return if strace is here and may trace; else fail with what to do about it."""
    if (strace := shutil.which("strace")) is None:
        msg = "strace is missing: sudo apt-get install --no-install-recommends strace"
        raise RuntimeError(msg)
    done = subprocess.run(
        [strace, "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        fix = "allow ptrace: kernel.yama.ptrace_scope at most 2, a container with SYS_PTRACE"
        msg = f"strace may not trace here ({done.stderr.strip()}); {fix}"
        raise RuntimeError(msg)


@case("syscalls", faults="2", pr=40, full=100_000)
def syscalls(setting: Setting) -> Sequence[Figure]:
    """Killed at the n-th system call that touches a file, for up to `count` values of n."""
    name, steps = "2 kill at a system call", 24
    need_strace()
    log = setting.folder / "calls"
    whole = setting.folder / "whole"
    whole.mkdir(parents=True)
    said = run_child(whole, steps, "-o", str(log), "-e", f"trace={CALLS}")
    total = sum("resumed" not in line for line in log.read_text().splitlines())
    chosen = list(range(1, total + 1))
    if len(chosen) > setting.count:
        chosen = sorted(setting.dice("calls").sample(chosen, setting.count))
    lost = unusable = 0
    for number in chosen:
        folder = Path(tempfile.mkdtemp(dir=setting.folder))
        inject = f"inject={CALLS}:signal=KILL:when={number}"
        said = run_child(folder, steps, "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", inject)
        try:
            lost += missing(said, reopened(folder / "buffer.db")) if said.epoch else 0
        except (sqlite3.Error, Unavailable, ValueError) as error:
            setting.say(f"call {number}: {error}")
            unusable += 1
        unusable += any(".bad-" in each.name for each in folder.iterdir())
        shutil.rmtree(folder)
        if number % 50 == 0:
            setting.say(f"call {number} of {total}: {lost} lost")
    runs = len(chosen)
    return [
        Figure(name, "system calls in a cycle", 1, total, 50, least=True),
        Figure(name, "accepted rows lost", runs, lost, seed=setting.seed),
        Figure(name, "files taken for damaged, or unusable", runs, unusable, seed=setting.seed),
    ]


FAILURES: Final = (
    "fdatasync,fsync:error=EIO",
    "pwrite64:error=ENOSPC",
    "pwrite64:error=EROFS",
    "pwrite64:retval=1",
)


@case("disk-errors", faults="4", pr=12, full=200)
def disk_errors(setting: Setting) -> Sequence[Figure]:
    """The disk fails for a while: EIO at a sync, no space, read-only, short writes."""
    name, dice = "4 disk errors", setting.dice("errors")
    need_strace()
    false = lost = stuck = refused = 0
    for number in range(setting.count):
        failure = FAILURES[number % len(FAILURES)]
        folder = Path(tempfile.mkdtemp(dir=setting.folder))
        first = dice.randint(40, 90)
        inject = f"inject={failure}:when={first}..{first + dice.randint(1, 12)}"
        log = folder / "calls"
        trace = f"trace={CALLS}"
        said = run_child(folder, 300, "-o", str(log), "-e", trace, "-e", inject)
        bad = false_accepts(log.read_text(errors="replace"))
        held = reopened(folder / "buffer.db")
        short = missing(said, held)
        if bad or short or said.last == "R" or not said.refused:
            setting.say(f"{inject}: {bad} false, {short} lost, {said}")
        false, lost = false + bad, lost + short
        stuck += said.last == "R"
        refused += said.refused > 0
        shutil.rmtree(folder)
    runs, seed = setting.count, setting.seed
    return [
        Figure(name, "accepted though the sync had failed", runs, false, seed=seed),
        Figure(name, "accepted rows lost", runs, lost, seed=seed),
        Figure(name, "refusing still, after the disk is well again", runs, stuck, seed=seed),
        Figure(name, "runs in which rows were refused", runs, refused, None),
    ]


def false_accepts(log: str) -> int:
    """Return how often a row was said to be accepted without a sync that succeeded before."""
    false, synced = 0, False
    for line in log.splitlines():
        if "sync(" in line or "sync resumed" in line:
            if "unfinished" not in line:
                synced = line.rstrip().endswith("= 0")
        elif 'write(1, "A ' in line:
            false += not synced
            synced = False
    return false


# ---------------------------------------------------------------- damage


def _flip(data: bytearray, dice: random.Random) -> list[int]:
    places = [dice.randrange(len(data)) for _ in range(dice.choice((1, 1, 2, 8)))]
    for at in places:
        data[at] ^= 1 << dice.randrange(8)
    return [at // PAGE for at in places]


def _page(data: bytearray, dice: random.Random) -> list[int]:
    page = dice.randrange(len(data) // PAGE)
    rubbish = bytes(PAGE) if dice.random() < 0.5 else dice.randbytes(PAGE)
    data[page * PAGE : (page + 1) * PAGE] = rubbish
    return [page]


def _cut(data: bytearray, dice: random.Random) -> list[int]:
    whole = len(data) // PAGE
    size = dice.randrange(len(data))
    del data[size:]
    return list(range(size // PAGE, whole))


def _nothing(data: bytearray, dice: random.Random) -> list[int]:
    whole = len(data) // PAGE
    data[:] = b"" if dice.random() < 0.5 else bytes(len(data))
    return list(range(whole))


DAMAGES: Final[tuple[Callable[[bytearray, random.Random], list[int]], ...]] = (
    _flip, _flip, _flip, _flip, _page, _cut, _flip, _page, _flip, _nothing,
)  # fmt: skip


@case("damage", faults="7", pr=100, full=500)
def damage(setting: Setting) -> Sequence[Figure]:
    """Bits flip, pages go, the file is cut off or empty: what is untouched is saved, the rest declared."""
    name, dice = "7 damaged file", setting.dice("damage")
    original = setting.folder / "original" / "buffer.db"
    accepted = _fill(original)
    content, before = original.read_bytes(), read_held(original)
    where = _pages(original, content)
    loops = wrong = silent = saved = untouched = 0
    logging.disable(logging.ERROR)
    for number in range(setting.count):
        folder = Path(tempfile.mkdtemp(dir=setting.folder))
        spoilt = bytearray(content)
        act = DAMAGES[number % len(DAMAGES)]
        pages = set(act(spoilt, dice))
        (folder / "buffer.db").write_bytes(spoilt)
        try:
            sent(folder / "buffer.db")
            held = reopened(folder / "buffer.db")  # a second start, which finds nothing left to do
        except Exception as error:  # noqa: BLE001 -- any of them is a start that failed
            setting.say(f"case {number}, {act.__name__}: {type(error).__name__}: {error}")
            loops += 1
            continue
        finally:
            shutil.rmtree(folder)
        wrong += sum(before.values.get(key) != value for key, value in held.values.items())
        safe = {key for key, on in where.items() if not on & pages}
        untouched += len(safe)
        saved += len(safe & held.values.keys())
        if act is _flip:
            silent += _silent(accepted, held)
    logging.disable(logging.NOTSET)
    runs, seed = setting.count, setting.seed
    return [
        Figure(name, "starts that failed", runs, loops, seed=seed),
        Figure(name, "values that are not as they were written", runs, wrong, seed=seed),
        Figure(
            name, "rows on untouched pages that were saved", untouched,
            100 * saved / max(1, untouched), 99, least=True, unit="%", seed=seed,
        ),
        Figure(name, "flipped bits: rows neither there nor declared", runs, silent, seed=seed),
    ]  # fmt: skip


def _fill(path: Path) -> dict[str, int]:
    path.parent.mkdir(parents=True)
    accepted: dict[str, int] = {}
    serial = 0
    for ep in ("1" * 16, "2" * 16, "3" * 16):
        store = Store(path, 1 << 30, ep, VirtualTime())
        store.run(lambda: store.add_points(points(1), [METER]))  # noqa: B023 -- run at once
        for _ in range(60):
            store.run(lambda: store.append([counting(serial, 40)], []))  # noqa: B023 -- run at once
            serial += 40
        accepted[ep] = 60 * 40
        store.close()
    return accepted


def _pages(path: Path, content: bytes) -> dict[tuple[str, int], set[int]]:
    """Return on which pages of the file the message of each row stands."""
    where: dict[tuple[str, int], set[int]] = {}
    with contextlib.closing(sqlite3.connect(path)) as db:
        for (blob,) in db.execute("SELECT blob FROM frame WHERE kind = 'data'"):
            at = content.find(blob)
            on = {at // PAGE, (at + len(blob)) // PAGE} if at >= 0 else set(range(1 << 10))
            message = json.loads(gzip.decompress(blob))
            for seq in range(message["s0"], message["s0"] + message["n"]):
                where[message["ep"], seq] = on
    return where


def _silent(accepted: dict[str, int], held: Held) -> int:
    """Return how many rows are nowhere; rows of an epoch of which nothing is left cannot be named."""
    return sum(
        len(set(range(1, most + 1)) - held.rows.get(ep, set()) - held.gaps.get(ep, set()))
        for ep, most in accepted.items()
    )
