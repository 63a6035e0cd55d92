"""A pause of Python's search for reference cycles, for work that makes none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_cycles() -> Iterator[None]:
    """Pause the search while many objects are made: it would go through all of them again and again.

    It holds for the whole process and ends with the block, so that cycles of other threads wait for
    as long. Where two threads pause, the first that ends lets the search go on: the other is slower.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
