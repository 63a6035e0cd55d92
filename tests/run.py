"""``./plantroom test``: gets the programs the tests need, runs them all, then the faults of tier ``pr``.

Arguments go to pytest; with any, coverage is neither measured nor judged, and no faults are run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
PROGRAMS = ("mosquitto", "strace")
"""Debian's packages have the same names. PostgreSQL is not among them: a Python package carries it."""


def _say(text: str) -> None:
    print(f"plantroom: {text}", file=sys.stderr, flush=True)


def _missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


def _get_programs() -> bool:
    """Make available what the tests need besides Python; say what is missing if that fails."""
    # Debian puts it where the PATH of an ordinary user does not look.
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS))
    if not (missing := _missing()):
        return True
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0:
        _say(f"installing {' and '.join(missing)} from the system's packages")
        quiet = {
            "stdout": subprocess.DEVNULL,
            "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        }
        subprocess.run([apt, "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(  # type: ignore[call-overload]
            [apt, "install", "-y", "-qq", "--no-install-recommends", *missing],
            check=False,
            **quiet,
        )
    if not (missing := _missing()):
        return True
    fix = f"sudo apt-get install --no-install-recommends {' '.join(missing)}"
    _say(f"the tests need {' and '.join(missing)}; on Debian: {fix}")
    return False


def _pytest(*arguments: str, covered: bool) -> int:
    runner = ["-m", "coverage", "run", "-m", "pytest"] if covered else ["-m", "pytest"]
    return subprocess.run([PYTHON, *runner, *arguments], cwd=ROOT, check=False).returncode


def _coverage(*arguments: str) -> int:
    return subprocess.run([PYTHON, "-m", "coverage", *arguments], cwd=ROOT, check=False).returncode


def _faults() -> int:
    """Kill, cut and fill for a few minutes; times are not judged, as the machine may have other work."""
    command = [PYTHON, "tests/faults/run.py", "--tier", "pr", "--busy"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main(arguments: list[str]) -> int:
    """Run the tests; return pytest's exit code, or coverage's if only that falls short."""
    if not _get_programs():
        return 2
    if arguments:
        return _pytest(*arguments, covered=False)
    _coverage("erase")
    workers = str(2 * (os.cpu_count() or 1))  # many tests wait for sockets, not for a core
    code = _pytest("-n", workers, "--dist", "worksteal", "-q", covered=True)
    _coverage("combine", "--quiet")
    return (code or _coverage("report")) or _faults()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
