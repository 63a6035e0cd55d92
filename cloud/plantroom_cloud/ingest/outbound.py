"""Answers on their way to the gateways: acks wait for those of messages at hand, the rest does not."""

from __future__ import annotations

import asyncio

from plantroom_cloud.ingest.answers import Answers
from plantroom_shared import topics, wire
from plantroom_shared.errors import Rejected

Outgoing = tuple[str, bytes]
"""Topic and payload."""


class Outbound:
    """Gathers answers until somebody takes them.

    Args:
        gather: seconds that acks wait for more of their kind, at most.
        enough: messages after which they wait no longer.
    """

    def __init__(self, gather: float = 0.3, enough: int = 20) -> None:
        self._gather, self._enough = gather, enough
        self._answers, self._messages = Answers(), 0
        self._something, self._hurry = asyncio.Event(), asyncio.Event()

    def add(self, answers: Answers, messages: int, *, more: bool = True) -> None:
        """Take `answers` to so many `messages`, to be sent soon.

        Without `more` messages that are about to be stored there is nothing for acks to wait for: a
        gateway whose window is full sends the next ones only after them.
        """
        self._answers.add(answers)
        self._messages += messages
        urgent = bool(answers.nacks or answers.resumes or answers.flows or answers.commands)
        if answers.acks or urgent:
            self._something.set()
        if urgent or not more or self._messages >= self._enough:
            self._hurry.set()

    async def next(self) -> list[Outgoing]:
        """Wait until something is due and return it."""
        await self._something.wait()
        try:
            async with asyncio.timeout(self._gather):
                await self._hurry.wait()
        except TimeoutError:
            pass
        return self.take()

    def take(self) -> list[Outgoing]:
        """Return all there is, due or not."""
        answers, self._answers, self._messages = self._answers, Answers(), 0
        self._something.clear()
        self._hurry.clear()
        return packed(answers)


def packed(answers: Answers) -> list[Outgoing]:
    """Return `answers` as messages: resumes, how fast to go on, refusals, then acks."""
    out = [
        (topics.down(gateway, "resume"), _pack_resume(resume))
        for gateway, resume in answers.resumes
    ]
    out += [(topics.down(gateway, "flow"), wire.encode(flow)) for gateway, flow in answers.flows]
    out += [(topics.down(gateway, "ack"), wire.encode(nack)) for gateway, nack in answers.nacks]
    for (gateway, epoch, stream), ranges in answers.acks.items():
        for start in range(0, len(ranges), wire.MAX_RANGES):
            ack = wire.Ack.model_validate(
                {"ep": epoch, "st": stream, "ranges": ranges[start : start + wire.MAX_RANGES]}
            )
            out.append((topics.down(gateway, "ack"), wire.encode(ack)))
    return out + answers.commands


def _pack_resume(resume: wire.Resume) -> bytes:
    """Return `resume` packed; what is left out of one too big is only sent again by the edge."""
    try:
        return wire.encode(resume)
    except Rejected:
        half = resume.epochs[len(resume.epochs) // 2 + 1 :]
        return _pack_resume(resume.model_copy(update={"epochs": half}))
