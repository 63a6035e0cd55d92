"""The command `run`, however it was called."""

from __future__ import annotations

import asyncio
from pathlib import Path

from plantroom_edge import agent
from plantroom_edge.config import load
from plantroom_shared import log


def run(config: Path, *, verbose: bool) -> None:
    """Run the agent that `config` describes until it is told to stop.

    Raises:
        ConfigError: the file, or something that it names, cannot be used.
    """
    log.configure(verbose=verbose)
    settings = load(config)
    asyncio.run(agent.run(settings))
