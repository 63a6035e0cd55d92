"""The launcher's words and exit codes, without installing anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "plantroom"


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAUNCHER, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


def test_help_names_every_command() -> None:
    """Without a command, and with --help, it teaches."""
    for arguments in ((), ("--help",), ("help",)):
        done = run(*arguments)
        assert done.returncode == 0
        for command in ("demo", "test", "check", "bench", "faults", "edge", "cloud"):
            assert f"  {command} " in done.stdout


def test_unknown_command_is_an_error_with_help() -> None:
    """A typo exits with 2 and shows what there is."""
    done = run("dmeo")
    assert done.returncode == 2
    assert "there is no command 'dmeo'" in done.stderr
    assert "usage" in done.stderr


def test_no_python_says_what_to_install(tmp_path: Path) -> None:
    """Where no Python is new enough, the message is a command to type."""
    shutil.copy(LAUNCHER, tmp_path / "plantroom")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "demo.txt").touch()
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("dirname", "cmp", "cat"):
        (bare / tool).symlink_to(str(shutil.which(tool)))
    (bare / "python3").write_text("#!/bin/sh\nexit 1\n")
    (bare / "python3").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "plantroom"), "demo"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(bare)},
    )
    assert done.returncode == 2
    assert "apt-get install python3" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_missing_program_ends_the_tests_at_once(tmp_path: Path) -> None:
    """What the tests need and cannot install is named with a command to type, before any runs."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "run.py")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "apt-get install --no-install-recommends" in done.stderr
    assert "strace" in done.stderr
    assert not done.stdout
