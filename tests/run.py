"""``./plantroom test``: gets the servers the tests need, runs them all, and holds the coverage floor.

Arguments go to pytest; with any, coverage is neither measured nor judged.
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


def _say(text: str) -> None:
    print(f"plantroom: {text}", file=sys.stderr, flush=True)


def _have_mosquitto() -> bool:
    return shutil.which("mosquitto") is not None


def _get_mosquitto() -> bool:
    """Make Mosquitto available; PostgreSQL needs nothing, a Python package carries it."""
    # Debian puts it where the PATH of an ordinary user does not look.
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS))
    if _have_mosquitto():
        return True
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0:
        _say("installing Mosquitto from the system's packages")
        quiet = {
            "stdout": subprocess.DEVNULL,
            "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        }
        subprocess.run([apt, "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(  # type: ignore[call-overload]
            [apt, "install", "-y", "-qq", "--no-install-recommends", "mosquitto"],
            check=False,
            **quiet,
        )
    if _have_mosquitto():
        return True
    _say(
        "the tests need Mosquitto; on Debian: sudo apt-get install --no-install-recommends mosquitto"
    )
    return False


def _pytest(*arguments: str, covered: bool) -> int:
    runner = ["-m", "coverage", "run", "-m", "pytest"] if covered else ["-m", "pytest"]
    return subprocess.run([PYTHON, *runner, *arguments], cwd=ROOT, check=False).returncode


def _coverage(*arguments: str) -> int:
    return subprocess.run([PYTHON, "-m", "coverage", *arguments], cwd=ROOT, check=False).returncode


def main(arguments: list[str]) -> int:
    """Run the tests; return pytest's exit code, or coverage's if only that falls short."""
    if not _get_mosquitto():
        return 2
    if arguments:
        return _pytest(*arguments, covered=False)
    _coverage("erase")
    workers = str(2 * (os.cpu_count() or 1))  # many tests wait for sockets, not for a core
    code = _pytest("-n", workers, "--dist", "worksteal", "-q", covered=True)
    _coverage("combine", "--quiet")
    return _coverage("report") if code == 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
