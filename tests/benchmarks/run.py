"""``./plantroom bench NAME [--json]``: measurements beside a baseline of the same run."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy"), str(ROOT / "tests")]

from benchmarks.figures import Figure, table  # noqa: E402  found through the line above
from benchmarks.peer import PeerMissingError  # noqa: E402  as above

NAMES = {
    "api": "requests/s and times of the API under an open-loop load: two workers on PostgreSQL",
    "audit": "changes of 10^5 audit rows found and named, of 200, and how long verifying takes",
    "batches": "uploads of point lists, and points mapped while the LLM never answers",
    "buffer": "samples/s that the buffer of the edge accepts, beside raw SQLite writing the same",
    "deadunits": "polls on time of Modbus units that share a socket with dead ones",
    "edge": "CPU, memory and delivery of the agent: 1,000 and 10,000 registers/s, 2,000 objects/s",
    "ingest": "samples/s from the buffer of the edge to the committed store, beside the floors",
    "live": "time from a commit to each of 500 clients that follow, in memory and over Redis",
    "llm": "calls, tokens and time of the LLM mapper on 100,000 points, beside asking naively",
    "mapping": "how well and how fast points get their meaning; has options of its own (--help)",
    "wire": "bytes a sample takes on the wire and on the disk, on the demo site",
}


def main(argv: list[str]) -> int:
    """Run one benchmark and print its figures."""
    if argv[:1] == ["mapping"]:  # its figures are a table, and it needs a folder of lists
        command = importlib.import_module("benchmarks.mapping.command")
        return int(command.main(argv[1:]))
    if argv[:1] == ["mapping-training"]:  # makes the learned part of the mapper; measures nothing
        training = importlib.import_module("benchmarks.mapping.training")
        return int(training.main(argv[1:]))
    known = "\n".join(f"  {name:<9} {what}" for name, what in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="./plantroom bench",
        description=f"{__doc__}\n\nbenchmarks:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=sorted(NAMES), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=30, help="length of each measurement")
    edge = parser.add_argument_group("only for edge")
    edge.add_argument(
        "--peer",
        action="store_true",
        help="let ThingsBoard Gateway do the same; it is installed into .plantroom/peer",
    )
    edge.add_argument(
        "--minutes", type=float, default=0, help="only watch the agent's memory for so long"
    )
    options = parser.parse_args(argv)
    more: dict[str, Any] = {}
    if options.name == "edge":
        more = {"with_peer": options.peer, "minutes": options.minutes}
    elif options.peer or options.minutes:
        parser.error("--peer and --minutes are for `edge`")
    module = importlib.import_module(f"benchmarks.{options.name}")
    try:
        figures: dict[str, Figure] = module.measure(options.seconds, **more)
    except PeerMissingError as error:
        print(f"plantroom: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({name: figure.as_dict() for name, figure in figures.items()}))
    else:
        print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
