"""The command `run`, however it was called."""

from __future__ import annotations

import asyncio
import ctypes
import logging
from pathlib import Path
from typing import Final

from plantroom_edge import agent
from plantroom_edge.desired.start import load_to_run
from plantroom_shared import log

_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 64 * 1024


def run(config: Path, *, verbose: bool) -> None:
    """Run the agent that `config` describes until it is told to stop.

    Raises:
        ConfigError: the file, or something that it names, cannot be used.
    """
    _spare_memory()
    log.configure(verbose=verbose)
    settings = load_to_run(config)
    if not settings.buses:
        then = f"plantroom-edge scan {config} --add, then plantroom-edge apply {config}"
        logging.getLogger(__name__).warning("no bus is configured yet", extra={"next": then})
    asyncio.run(agent.run(settings, file=config.absolute()))


def _spare_memory() -> None:
    """Have the C library give back what was needed at the start, and keep one heap for all threads.

    Its own way is one heap per thread, and to keep large blocks: megabytes that stay for years. Where
    there is another C library (musl), nothing is changed.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_M_ARENA_MAX, 1)
        tune(_M_MMAP_THRESHOLD, _LARGE)
