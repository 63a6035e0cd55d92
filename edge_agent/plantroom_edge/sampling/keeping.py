"""The counters' memory on the disk: a restart goes on where the last run was.

What is kept is a reading and the total behind it, so a file that is a minute old gives the same
totals: what the device has counted since is in its next reading. A reset of the device breaks that
chain; it is therefore kept at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, Final

import orjson

from plantroom_edge.sampling.counters import Counter, Memory

log = logging.getLogger(__name__)

_KEYS: Final = ("last", "total", "at", "pace")


def load(file: Path) -> dict[str, Memory]:
    """Return what was kept, by point key; nothing where the file cannot be used."""
    try:
        found = orjson.loads(file.read_bytes())
        return {str(key): _memory(entry) for key, entry in found["counters"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.error(  # noqa: TRY400 - the trace would say no more
            "the counters' totals cannot be read; they begin anew",
            extra={"file": str(file), "error": str(error)},
        )
        return {}


def _memory(entry: Any) -> Memory:
    numbers = [float(entry[key]) for key in _KEYS]
    if not all(map(isfinite, numbers)):
        msg = "a number is not finite"
        raise ValueError(msg)
    return Memory(*numbers)


def dump(counters: Mapping[str, Counter], earlier: Mapping[str, Memory]) -> bytes:
    """Return what is to be kept.

    Args:
        counters: by point key.
        earlier: what was kept of points that are not there now: a device may come back.
    """
    kept = {**earlier, **{key: one.memory for key, one in counters.items() if one.memory}}
    return orjson.dumps({"counters": {key: asdict(memory) for key, memory in kept.items()}})


def write(file: Path, content: bytes) -> None:
    """Replace the file: a reader, or the next run, sees the old one or the new one, whole.

    Raises:
        OSError: the disk does not take it.
    """
    draft = file.with_name(f"{file.name}.new")
    with draft.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
