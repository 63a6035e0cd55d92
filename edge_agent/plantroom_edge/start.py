"""The way in: an agent that runs for years does not carry the libraries of the terminal."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = sys.argv[1:]
    verbose = [one for one in arguments if one in {"-v", "--verbose"}]
    rest = [one for one in arguments if one not in verbose]
    if len(rest) == 2 and rest[0] == "run" and not rest[1].startswith("-"):
        return _run(Path(rest[1]), verbose=bool(verbose))
    from plantroom_edge import cli  # noqa: PLC0415 -- five megabytes that `run` does without

    return cli.main()


def _run(config: Path, *, verbose: bool) -> int:
    """Do what the command `run` does, without what draws tables."""
    from plantroom_edge.running import run  # noqa: PLC0415 -- other commands need no agent
    from plantroom_shared.errors import PlantroomError  # noqa: PLC0415 -- as above

    try:
        run(config, verbose=verbose)
    except PlantroomError as error:
        from plantroom_edge import cli  # noqa: PLC0415 -- only to complain as every command does

        return cli.complain(error)
    return 0
