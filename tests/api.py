"""``./plantroom api [renew]``: what has changed of /v1 since the golden document; make it the golden one.

`renew` also makes the Python client anew. It refuses where a client would break; `--break` says that
this is meant.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "deploy"), str(ROOT / "tests")]

from support.api_client import generated  # noqa: E402  found through the line above
from support.api_document import CLIENT, GOLDEN, live, write_golden  # noqa: E402
from support.openapi_contract import breaking, contract  # noqa: E402


def main(argv: list[str]) -> int:
    """Compare, or renew; 1 where a client would break, or where there is something to renew."""
    parser = argparse.ArgumentParser(prog="./plantroom api", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["check", "renew"], default="check")
    parser.add_argument("--break", dest="anyway", action="store_true", help="clients may break")
    options = parser.parse_args(argv)
    document = live()
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"paths": {}}
    found = breaking(golden, document)
    for line in found:
        print(f"breaks clients: {line}")
    if found and not options.anyway:
        return 1
    files = generated(document)
    if options.what == "renew":
        write_golden(contract(document))
        for name, text in files.items():
            (CLIENT / name).write_text(text)
        return 0
    stale = contract(document) != golden
    stale = stale or any((CLIENT / name).read_text() != text for name, text in files.items())
    print("run ./plantroom api renew" if stale else "nothing has changed")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
