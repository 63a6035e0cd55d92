"""Hello and resume: what the gateway said it holds, and what follows from the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from plantroom_edge.session_actions import Confirm, HeardTime, Mark, Revive
from plantroom_shared import ranges
from plantroom_shared.wire import STREAMS, Hello, Known, Resume, encode, spans

_REMEMBERED: Final = 16
"""Hellos whose time of sending is remembered."""


class Opening:
    """The account that a session opened with, or last gave.

    Args:
        hello: the account; its `session` names the session.
        mark: what the current epoch had accepted when it was made.
        now_us: the gateway's clock, microseconds since 1970.
    """

    def __init__(self, hello: Hello, mark: Mark, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._asked: dict[int, float] = {}
        self.renew(hello, mark)

    def renew(self, hello: Hello, mark: Mark) -> None:
        """Take a new account in the place of the one before."""
        self.hello, self.mark = hello, mark
        self._held = {
            (holding.ep, stream): list(held)
            for holding in hello.epochs
            for stream, held in holding.held.items()
        }
        self._accepted = {
            (holding.ep, stream): accepted
            for holding in hello.epochs
            for stream, accepted in holding.accepted.items()
        }

    @property
    def has_backlog(self) -> bool:
        """Whether it named samples that are still held."""
        return any(stream == "tel" and held for (_, stream), held in self._held.items())

    def say(self, now: float) -> bytes:
        """Return the account as it goes out now, with the time of the gateway's clock."""
        self.hello = self.hello.model_copy(update={"at": max(1, self._now_us())})
        self._asked[self.hello.at] = now
        while len(self._asked) > _REMEMBERED:
            self._asked.pop(next(iter(self._asked)))
        return encode(self.hello)

    def time(self, resume: Resume, now: float) -> list[HeardTime]:
        """Return what the answer says of the time, if it is known when it was asked."""
        asked = self._asked.pop(resume.hello_at, None) if resume.hello_at else None
        return [] if asked is None else [HeardTime(resume.time, now - asked)]

    def trims(self, known: Known) -> list[Confirm]:
        """Return what the cloud has of rows that the account named; other claims are ignored."""
        actions: list[Confirm] = []
        for stream, claimed in known.ranges.items():
            held = self._held.get((known.ep, stream), [])
            if ours := ranges.intersect(held, spans(claimed)):
                actions.append(Confirm(known.ep, stream, tuple(ours)))
        return actions

    def missing(self, known: Known, takes: set[str]) -> list[Revive]:
        """Return what was once confirmed and the cloud has no more: it was set back to a backup."""
        actions: list[Revive] = []
        for stream in STREAMS:
            accepted = self._accepted.get((known.ep, stream), 0)
            if not accepted or (stream in ("cmd", "aud") and stream not in takes):
                continue
            here = [*self._held.get((known.ep, stream), []), *spans(known.ranges.get(stream, []))]
            if gone := ranges.subtract([(1, accepted)], here):
                actions.append(Revive(known.ep, stream, tuple(gone)))
        return actions
