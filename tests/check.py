"""``./plantroom check``: format, lint, types, imports, locks and docs; all of them, then a verdict."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ARCHITECTURE_LINES = 200

_HOST = re.compile(r"https?://|index-url|file://")
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _tool(*command: str) -> Callable[[], list[str]]:
    def run() -> list[str]:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return (done.stdout + done.stderr).splitlines() if done.returncode else []

    return run


def _locks() -> list[str]:
    """Every extra has a lock that names hashes and no package index."""
    complaints = []
    for extra in ("edge", "cloud", "export", "celery", "redis", "otel", "demo", "dev"):
        lock = ROOT / "requirements" / f"{extra}.txt"
        if not lock.is_file():
            complaints.append(f"{lock.relative_to(ROOT)} is missing")
            continue
        text = lock.read_text()
        complaints += [
            f"{lock.relative_to(ROOT)}:{number}: names a host: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if _HOST.search(line)
        ]
        pins = re.findall(r"^\S+==", text, re.MULTILINE)
        if not pins or text.count("--hash=") < len(pins):
            complaints.append(f"{lock.relative_to(ROOT)}: a requirement has no hash")
    return complaints


def _documents() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    yield from (ROOT / "docs").rglob("*.md")
    yield from (ROOT / "firmware_profiles").glob("*.md")


def _docs() -> list[str]:
    """Links in the documents lead somewhere; the map stays a map."""
    complaints = [
        f"{document.relative_to(ROOT)}: dead link {link}"
        for document in _documents()
        for link in _LINK.findall(document.read_text())
        if not link.startswith(("http", "mailto:")) and not (document.parent / link).exists()
    ]
    lines = len((ROOT / "docs" / "ARCHITECTURE.md").read_text().splitlines())
    if lines > ARCHITECTURE_LINES:
        complaints.append(f"docs/ARCHITECTURE.md has {lines} lines; {ARCHITECTURE_LINES} at most")
    return complaints


CHECKS: dict[str, Callable[[], list[str]]] = {
    "format": _tool("ruff", "format", "--check", "."),
    "lint": _tool("ruff", "check", "--output-format=concise", "."),
    "types": _tool("mypy"),
    "imports": _tool("lint-imports", "--no-cache"),
    "locks": _locks,
    "docs": _docs,
}


def main() -> int:
    """Run every check and return 1 if one complains."""
    failed = False
    for name, check in CHECKS.items():
        started = time.monotonic()
        complaints = check()
        failed = failed or bool(complaints)
        verdict = "failed" if complaints else "clean"
        print(f"{name:<8} {verdict}  ({time.monotonic() - started:.1f} s)", flush=True)
        for line in complaints:
            print(f"    {line}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
