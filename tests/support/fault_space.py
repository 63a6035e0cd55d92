"""Fault 5: the gateway's disk is full while it polls, and then there is room again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from demo.processes import wait_for
from support.fault_case import Setting, case
from support.fault_network import seconds_until
from support.fault_report import Figure
from support.fault_rig import Rig, judged, rigged

SIZE_MB = 12
"""Of the disk; the buffer may take more than that."""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk at `folder`; yield whether this machine lets us."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "plantroom", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def may_mount() -> bool:
    """Say whether this process may mount: it is root, and not in a box that forbids it."""
    return (
        os.geteuid() == 0
        and subprocess.run(
            ["unshare", "--mount", "true"], capture_output=True, check=False
        ).returncode
        == 0
    )


@case("disk-full", faults="5", small=6, pr=20, full=120)
def disk_full(setting: Setting) -> Sequence[Figure]:
    """No space for `count` seconds, the cloud away as well; then room, and the cloud is back."""
    name = "5 disk full"
    with contextlib.ExitStack() as ending:
        if not may_mount() or not ending.enter_context(small_disk(setting.folder / "agent")):
            return [Figure(name, "not run: no right to mount a small disk", 0, 0, None)]
        rig = ending.enter_context(rigged(setting, points=200, interval=0.5))
        rig.start(buffer={"limit_mb": 64})
        wait_for(lambda: rig.stored() > 0, what="the first samples", seconds=60)
        rig.stack.stop("ingest")
        filler = setting.folder / "agent" / "filler"
        fill_up(filler)
        agent = rig.stack.children["agent"]
        time.sleep(setting.count)
        polling = _reads(rig)
        time.sleep(1.5)
        stalled = int(_reads(rig) <= polling)
        refused = _refused(rig)
        filler.unlink()
        before = rig.total()
        again = seconds_until(lambda: rig.total() > before, what="accepting again", limit=60)
        rig.start_ingest()
        figures, verdict = judged(name, rig, setting.seed, runs=1)
        alive = agent.returncode
    return [
        *figures,
        Figure(name, "polling stalled while the disk was full", 1, stalled),
        Figure(name, "accepting again after there was room", 1, again, 30, unit="s"),
        Figure(name, "reads refused, and counted as such", 1, refused, None),
        Figure(name, "reads never accepted, by the ledger", 1, verdict.unread, None),
        Figure(name, "exit code of the agent", 1, abs(alive or 0)),
    ]


def fill_up(filler: Path) -> None:
    """Write until there is no space."""
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def _reads(rig: Rig) -> int:
    counters = rig.stack.agent_status().get("counters", {})
    return int(counters.get("accepted", 0)) + int(counters.get("refused", 0))


def _refused(rig: Rig) -> int:
    counters = rig.stack.agent_status().get("counters", {})
    return int(counters.get("refused", 0))
