"""Fault 5: the gateway's disk is full while it polls, and then there is room again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from demo.processes import Child, wait_for
from support.fault_case import Setting, case
from support.fault_network import seconds_until
from support.fault_report import Figure
from support.fault_rig import Rig, judged, rigged

SIZE_MB = 12
"""Of the disk; the buffer may take more than that."""
SMALL: Final = 64 << 10
_CLONE_NEWNS: Final = 0x0002_0000
_CLONE_NEWUSER: Final = 0x1000_0000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 0x4_0000
_SOMEBODY: Final = 1000


class NoRightError(RuntimeError):
    """This machine does not let us mount, not even in a namespace of our own."""


class Disk(Protocol):
    """What the agent's folder is on."""

    kind: str

    def fill(self) -> None:
        """Take all space."""

    def free(self) -> None:
        """Give it back."""


class SmallDisk:
    """A tmpfs of `SIZE_MB` at `folder` that only this process and its children see."""

    kind = f"a tmpfs of {SIZE_MB} MB"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _own_mounts()
        options = f"size={SIZE_MB}m,uid={os.getuid()},gid={os.getgid()},mode=0700"
        _call("mount", b"plantroom", os.fsencode(folder), b"tmpfs", 0, options.encode())
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Write until there is no space."""
        with self._filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Remove what was written."""
        self._filler.unlink()


class NoGrowth:
    """Where nobody may mount: the kernel lets no file of the agent grow over `SMALL` bytes.

    It hears EFBIG in place of ENOSPC, and the file system still says that there is room.
    """

    kind = "RLIMIT_FSIZE of the agent (there is no right to mount)"

    def __init__(self, agent: Child) -> None:
        self._pid = agent.pid
        self._before = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """Leave room for the small files, which show what the agent does."""
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (SMALL, self._before[1]))

    def free(self) -> None:
        """Allow them again."""
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, self._before)


def _call(name: str, *arguments: object) -> None:
    """Make a system call of the C library; NoRightError where it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        msg = f"{name}: {os.strerror(ctypes.get_errno())}"
        raise NoRightError(msg)


def _own_mounts() -> None:
    """Give this process mounts of its own, which end with it: root may, others as "root" of a box."""
    uid, gid = os.getuid(), os.getgid()
    try:
        _call("unshare", _CLONE_NEWNS)
    except NoRightError:
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
        own = Path("/proc/self")
        (own / "setgroups").write_text("deny")
        # Root without the right to mount becomes somebody: it could not become Mosquitto's user.
        (own / "uid_map").write_text(f"{uid or _SOMEBODY} {uid} 1")
        (own / "gid_map").write_text(f"{gid or _SOMEBODY} {gid} 1")
    _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)


@case("disk-full", faults="5", pr=20, full=120)
def disk_full(setting: Setting) -> Sequence[Figure]:
    """No space for `count` seconds, the cloud away as well; then room, and the cloud is back."""
    name = "5 disk full"
    disk: Disk | None = None
    try:
        disk = SmallDisk(setting.folder / "agent")
    except NoRightError as error:
        setting.say(f"no right to mount a small disk: {error}")
    with rigged(setting, points=200, interval=0.5) as rig:
        rig.start(buffer={"limit_mb": 64})
        wait_for(lambda: rig.stored() > 0, what="the first samples", seconds=60)
        rig.stack.stop("ingest")
        agent = rig.stack.children["agent"]
        disk = disk or NoGrowth(agent)
        disk.fill()
        time.sleep(setting.count)
        polling = _reads(rig)
        time.sleep(1.5)
        stalled = int(_reads(rig) <= polling)
        refused = _refused(rig)
        disk.free()
        before = rig.total()
        again = seconds_until(lambda: rig.total() > before, what="accepting again", limit=60)
        rig.start_ingest()
        figures, verdict = judged(name, rig, setting.seed, runs=1)
        alive = agent.returncode
    return [
        *figures,
        Figure(name, f"the full disk: {disk.kind}", 1, 1, None),
        Figure(name, "polling stalled while the disk was full", 1, stalled),
        Figure(name, "accepting again after there was room", 1, again, 30, unit="s"),
        Figure(name, "reads refused, and counted as such", 1, refused, None),
        Figure(name, "reads never accepted, by the ledger", 1, verdict.unread, None),
        Figure(name, "exit code of the agent", 1, abs(alive or 0)),
    ]


def _reads(rig: Rig) -> int:
    counters = rig.stack.agent_status().get("counters", {})
    return int(counters.get("accepted", 0)) + int(counters.get("refused", 0))


def _refused(rig: Rig) -> int:
    counters = rig.stack.agent_status().get("counters", {})
    return int(counters.get("refused", 0))
