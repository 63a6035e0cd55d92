"""A process that is about to end says so first, so that nobody new is sent to it."""

from __future__ import annotations


class Draining:
    """Whether the process is about to end; asked by ``/readyz``."""

    def __init__(self) -> None:
        self.on = False

    def begin(self) -> None:
        """The process is about to end: from now on it is not ready."""
        self.on = True
