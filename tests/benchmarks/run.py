"""``./plantroom bench NAME [--json]``: measurements beside a baseline of the same run."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy"), str(ROOT / "tests")]

from benchmarks.figures import Figure, table  # noqa: E402  found through the line above

NAMES = {
    "buffer": "samples/s that the buffer of the edge accepts, beside raw SQLite writing the same",
    "deadunits": "polls on time of Modbus units that share a socket with dead ones",
    "edge": "CPU and memory of the agent at 1,000 and 10,000 registers/s and 500 objects",
    "ingest": "samples/s from the buffer of the edge to the committed store, beside the floors",
    "wire": "bytes a sample takes on the wire and on the disk, on the demo site",
}


def main(argv: list[str]) -> int:
    """Run one benchmark and print its figures."""
    known = "\n".join(f"  {name:<6} {what}" for name, what in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="./plantroom bench",
        description=f"{__doc__}\n\nbenchmarks:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=sorted(NAMES), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=30, help="length of each measurement")
    options = parser.parse_args(argv)
    module = importlib.import_module(f"benchmarks.{options.name}")
    figures: dict[str, Figure] = module.measure(options.seconds)
    if options.json:
        print(json.dumps({name: figure.as_dict() for name, figure in figures.items()}))
    else:
        print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
