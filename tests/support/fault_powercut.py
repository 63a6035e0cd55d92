"""Fault 3, power cut: every disk that a cut may leave is opened by the real buffer and judged.

What was accepted before the cut must be there with its values (or have been confirmed), and no image
may look damaged. The judge reads the messages by itself: gzip and JSON, nothing of Plantroom.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

from plantroom_edge.buffer_store import Store
from plantroom_shared.model import Batch
from support.edge_rows import METER, finding, points
from support.edge_time import T0, VirtualTime
from support.fault_case import Setting, case
from support.fault_report import Figure
from support.vfs_images import Disk
from support.vfs_recorder import Event, Recorder

FILE: Final = "buffer.db"
STEPS: Final = 300

Key = tuple[str, str, int]
"""Epoch, stream, order number."""


@dataclass(slots=True)
class Tally:
    """What the images of some workloads came to."""

    images: int = 0
    corrupt: int = 0
    """Images that the buffer took for damaged, or could not open."""
    losing: int = 0
    """Images in which rows that had been accepted are missing or altered."""
    lost: int = 0
    unopened: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take over what `other` counted."""
        self.images += other.images
        self.corrupt += other.corrupt
        self.losing += other.losing
        self.lost += other.lost
        self.unopened += other.unopened[:3]


class _Careless(sqlite3.Connection):
    """The negative control: a connection that does not sync its log at every commit."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(
            sql.replace("synchronous = FULL", "synchronous = NORMAL"), *parameters
        )


@contextlib.contextmanager
def careless() -> Iterator[None]:
    """Let every connection use ``synchronous=NORMAL``."""
    real = sqlite3.connect

    def connect(*arguments: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*arguments, **{"factory": _Careless} | more)
        return connection

    with mock.patch("sqlite3.connect", connect):
        yield


@dataclass(slots=True)
class Known:
    """What the workload knows at a moment: filled in order, so that a prefix is the past."""

    accepted: list[tuple[Key, Any]] = field(default_factory=list)
    confirmed: list[Key] = field(default_factory=list)
    """Acked rows, from when on the buffer was asked to delete them."""


class Workload:
    """Uses a buffer as an agent and its cloud do: appends, findings, acks, restarts."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.known, self.recorder = Known(), Recorder(folder)
        self._dice, self._folder = random.Random(seed), folder
        self._clock = VirtualTime()
        self._serial = 0

    def run(self, steps: int = STEPS) -> list[Event]:
        """Run so many steps and return what happened to the disk."""
        with self.recorder.recording():
            store = self._start()
            for _ in range(steps):
                if self._dice.random() < 0.03:
                    if self._dice.random() < 0.5:  # an orderly end closes the log, a kill does not
                        store.close()
                    store = self._start()
                self._step(store)
                self._mark()
            store.close()
        return self.recorder.events

    def _mark(self) -> None:
        self.recorder.mark((len(self.known.accepted), len(self.known.confirmed)))

    def _start(self) -> Store:
        self._held: list[Key] = []
        self._next = {"tel": 1, "evt": 1}
        store = Store(self._folder / FILE, 1 << 30, self._dice.randbytes(8).hex(), self._clock)
        store.run(lambda: store.add_points(points(3), [METER]))
        return store

    def _step(self, store: Store) -> None:
        self._clock.seconds += 0.25
        act = self._dice.random()
        if act < 0.75:
            self._append(store)
        elif act < 0.85:
            self._find(store)
        else:
            self._confirm(store)

    def _append(self, store: Store) -> None:
        rows = self._dice.choice((1, 7, 40))
        batch = Batch()
        for _ in range(rows):
            self._serial += 1
            batch.append(0, T0 + self._serial * 1000, float(self._serial))
        # One long text that does not compress: pages fill up as those of a big site do.
        self._serial += 1
        padding = self._dice.randbytes(self._dice.randrange(1_000, 6_000)).hex()
        batch.append(1, T0 + self._serial * 1000, padding)
        store.run(lambda: store.append([batch], []))
        self._accept(store.ep, "tel", list(batch.values))

    def _find(self, store: Store) -> None:
        self._serial += 1
        name = f"finding-{self._serial}"
        store.run(lambda: store.append([], [finding(name)]))
        self._accept(store.ep, "evt", [name])

    def _accept(self, ep: str, stream: str, values: list[Any]) -> None:
        first = self._next[stream]
        keys = [(ep, stream, first + row) for row in range(len(values))]
        self.known.accepted += zip(keys, values, strict=True)
        self._held += keys
        self._next[stream] = first + len(values)

    def _confirm(self, store: Store) -> None:
        """Ack the older half of what this epoch holds."""
        mine = [key for key in self._held if key[1] == "tel"]
        gone = mine[: len(mine) // 2]
        if not gone:
            return
        self.known.confirmed += gone
        self._mark()
        store.run(lambda: store.confirm(store.ep, "tel", [(gone[0][2], gone[-1][2])]))
        self._held = [key for key in self._held if key not in set(gone)]


class Judge:
    """Opens images with the real buffer and compares what it holds with what was accepted."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._read: dict[bytes, dict[Key, Any]] = {}
        """Messages seen before: the same ones stand in many images."""

    def judge(self, image: dict[str, bytes], upto: tuple[int, int], tally: Tally) -> None:
        """Open `image`; `upto` says how much was accepted and confirmed before the cut."""
        tally.images += 1
        shm = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as name:
            folder = Path(name)
            for file, content in image.items():
                (folder / file).write_bytes(content)
            try:
                held = self._open(folder)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the image is not usable
                tally.corrupt += 1
                tally.unopened.append(f"{type(error).__name__}: {error}")
                return
            if any(".bad-" in item.name for item in folder.iterdir()):
                tally.corrupt += 1
        confirmed = set(self._known.confirmed[: upto[1]])
        lost = [
            key
            for key, value in self._known.accepted[: upto[0]]
            if held.get(key, None) != value and key not in confirmed
        ]
        tally.lost += len(lost)
        tally.losing += bool(lost)

    def _open(self, folder: Path) -> dict[Key, Any]:
        store = Store(folder / FILE, 1 << 30, "f" * 16, VirtualTime())
        try:
            store.run(store.holdings)
        finally:
            store.close()
        held: dict[Key, Any] = {}
        with contextlib.closing(sqlite3.connect(folder / FILE)) as db:
            for (blob,) in db.execute("SELECT blob FROM frame WHERE kind = 'data'"):
                if blob not in self._read:
                    self._read[blob] = _rows(blob)
                held |= self._read[blob]
        return held


def _rows(blob: bytes) -> dict[Key, Any]:
    """Return the rows of a message; JSON in gzip, as sync v1 says."""
    message = json.loads(gzip.decompress(blob))
    found = message["st"] == "evt"
    values = [event["id"] for event in message["ev"]] if found else message["x"]
    return {(message["ep"], message["st"], message["s0"] + i): v for i, v in enumerate(values)}


def cut(seed: int, images: int, *, control: bool = False) -> Tally:
    """Run one workload and judge `images` disks that power cuts in it may leave.

    Args:
        seed: decides the workload and the images.
        images: how many.
        control: use ``synchronous=NORMAL``, of which losses are expected.
    """
    tally, dice = Tally(), random.Random(f"{seed} images")
    folder = Path(tempfile.mkdtemp(prefix="plantroom-cut-"))
    logging.disable(logging.ERROR)
    try:
        workload = Workload(folder, seed)
        with careless() if control else contextlib.nullcontext():
            events = workload.run()
        judge, disk, upto = Judge(workload.known), Disk(), (0, 0)
        moments = sorted(dice.choices(range(len(events)), _weights(events), k=images))
        at = 0
        for moment in moments:
            for event in events[at : moment + 1]:
                upto = event.mark or upto
                if event.kind != "mark":
                    disk.play(event)
            at = moment + 1
            judge.judge(disk.crash(dice), upto, tally)
    finally:
        logging.disable(logging.NOTSET)
        shutil.rmtree(folder, ignore_errors=True)
    return tally


def _weights(events: list[Event]) -> list[float]:
    """Prefer the rare moments: a checkpoint, a new file, a name that changes."""
    return [1.0 if each.name.endswith("-wal") or each.kind == "mark" else 8.0 for each in events]


@case("power-cut", faults="3", pr=2_000, full=20_000)
def power_cut(setting: Setting) -> list[Figure]:
    """Judge `count` images, and a tenth as many of the negative control."""
    tally, control = Tally(), Tally()
    for number, images in enumerate(_portions(setting.count)):
        tally.add(cut(setting.seed + number, images))
        if tally.images % 2000 < images:
            setting.say(f"{tally.images} images: {tally.corrupt} corrupt, {tally.losing} losing")
    for number, images in enumerate(_portions(max(50, setting.count // 10))):
        control.add(cut(setting.seed + number, images, control=True))
    for text in tally.unopened[:10]:
        setting.say(text)
    return _figures(tally, control, setting.seed)


def _portions(count: int) -> list[int]:
    """Return how many images each workload is to give: many workloads, not many of one."""
    each = 250
    return [min(each, count - start) for start in range(0, count, each)]


def _figures(tally: Tally, control: Tally, seed: int) -> list[Figure]:
    name, runs = "3 power cut", tally.images
    what = "NORMAL instead of FULL: images that lost rows"
    return [
        Figure(name, "images taken for damaged", runs, tally.corrupt, seed=seed),
        Figure(name, "images that lost accepted rows", runs, tally.losing, seed=seed),
        Figure(name, what, control.images, control.losing, 1, least=True, seed=seed),
    ]
