"""Coverage that follows greenlets, for the process that runs the tests.

SQLAlchemy runs each statement in a greenlet of its own. The tracer keeps a stack of calls per thread; a
greenlet that is left in the middle leaves its calls there, and what other calls return takes them away.
From then on, lines are noted for another file or for none. A stack per greenlet is the cure.

Coverage's own `concurrency = ["greenlet"]` has one, and can hang on Python 3.11: it keys the stacks by the
greenlets, weakly. When two threads end together, the Python function that forgets the first one's greenlet
runs as a pending call while a second pending call waits; the interpreter interrupts a traced function before
its first line for that, may not make the call within a call, and tries for ever. So the keys here never go
away, and what notes the end of a greenlet is written in C, which nobody traces.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any, Final

import coverage
from greenlet import getcurrent

_KEY: Final = "_coverage_key"


class _Key:
    """Stands for a greenlet; for another one when that has ended."""

    __slots__ = ("__weakref__",)


_keys: dict[weakref.ref[Any], _Key] = {}
_ended: deque[weakref.ref[Any]] = deque()


def current() -> _Key:
    """Return the key of the running greenlet; never two that run have the same."""
    running = getcurrent()
    key: _Key | None = running.__dict__.get(_KEY)
    if key is None:
        try:
            key = _keys.pop(_ended.popleft())
        except IndexError:
            key = _Key()
        _keys[weakref.ref(running, _ended.append)] = key
        running.__dict__[_KEY] = key
    return key


def follow() -> None:
    """Have the coverage that is measured in this process, if any, follow greenlets from now on."""
    measured = coverage.Coverage.current()
    collector = None if measured is None else measured._collector
    if measured is None or collector is None:
        return
    measured.stop()
    collector.concur_id_func = current
    measured.start()
