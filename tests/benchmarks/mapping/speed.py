"""How fast, and with how much memory: each mapper in a process of its own.

``speed.py plantroom|dictionary|tfidf [FOLDER]`` prints one JSON list; `measure` starts it.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[3]
    sys.path[:0] = [str(root / "deploy"), str(root / "tests")]

from benchmarks.mapping import dictionary, labelled, synthetic, tfidf
from benchmarks.mapping.labelled import Labelled
from plantroom_shared.mapping import map_points

SIZES: Final = (1_000, 10_000, 100_000)
_LIMIT: Final = 1200.0
"""Seconds that one mapper may take for all sizes."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One size, mapped once."""

    points: int
    seconds: float
    cpu_seconds: float
    """All threads; less than `seconds` where the machine was busy with other things."""
    peak_mb: float
    """Of the whole process up to then, interpreter, vocabulary and training included."""


class SpeedError(RuntimeError):
    """A measuring process failed; the text says how."""


def measure(name: str, sizes: Sequence[int], folder: Path | None = None) -> list[Speed]:
    """Return the speed of a mapper.

    Each size in a process of its own, so that no cache of one serves the next; but a baseline
    that must be trained first is trained once, and then takes the sizes in their order.

    Raises:
        SpeedError: the process failed or took too long.
    """
    runs = [[size] for size in sizes] if folder is None else [list(sizes)]
    found: list[Speed] = []
    for run in runs:
        command = [sys.executable, __file__, name, ",".join(map(str, run))]
        if folder is not None:
            command.append(str(folder))
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_LIMIT, check=False
            )
        except subprocess.TimeoutExpired as error:
            msg = f"{name} took more than {_LIMIT:.0f} s for {run} points"
            raise SpeedError(msg) from error
        if done.returncode:
            end = " / ".join(done.stderr.strip().splitlines()[-2:])
            msg = f"measuring {name} failed: {end}"
            raise SpeedError(msg)
        found += [Speed(**item) for item in json.loads(done.stdout)]
    return found


Work = Callable[[], object]


def _starter(name: str, folder: Path | None) -> Callable[[Sequence[Labelled]], Work]:
    """Return how to come from rows to the work that is measured, models trained."""
    if folder is not None:
        rows = [row for own in labelled.read(folder, []).values() for row in own]
        trained = tfidf.train(rows)
        return lambda rows: partial(trained.map, rows)
    if name == "dictionary":
        return lambda rows: partial(dictionary.Dictionary().map, rows)
    if name == "plantroom":
        return _ours
    msg = f"nobody knows a mapper {name!r}"
    raise SpeedError(msg)


def _ours(rows: Sequence[Labelled]) -> Work:
    # A caller has its points at hand: making them out of a benchmark's rows is no mapping.
    return partial(map_points, [labelled.point_of(row, n) for n, row in enumerate(rows)])


def _peak_mb() -> float:
    """Return the most memory this program ever had; what it was started by is not in it."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def main(argv: Sequence[str]) -> int:
    """Measure in this process."""
    name, sizes = argv[0], [int(size) for size in argv[1].split(",")]
    start = _starter(name, Path(argv[2]) if len(argv) > 2 else None)
    start(synthetic.site(10, seed=0))()  # reads its vocabulary
    found = []
    for size in sizes:
        work = start(synthetic.site(size, seed=1))
        gc.collect()
        started, used = time.perf_counter(), time.process_time()
        work()
        lasted, used = time.perf_counter() - started, time.process_time() - used
        found.append(asdict(Speed(size, lasted, used, _peak_mb())))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
