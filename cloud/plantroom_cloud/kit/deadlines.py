"""A moment that is handed down, and the limit of a request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plantroom_cloud.kit import figures
from plantroom_cloud.kit.problems import ApiError
from plantroom_shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment that is handed down: nobody below takes longer than what is left."""

    clock: Clock
    at: float
    """On the monotonic clock."""

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Deadline:
        """Return the deadline in so many seconds."""
        return cls(clock, clock.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds that are left, never less than 0."""
        return max(0.0, self.at - self.clock.monotonic())


class DeadlineExceeded(ApiError):
    """The answer was not begun in time; what was under way for it has been stopped."""

    status: ClassVar[int] = 504
    code: ClassVar[str] = "deadline_exceeded"
    title: ClassVar[str] = "It took too long"


class RequestDeadline:
    """Gives a request up whose answer has not begun after so many seconds.

    What it was waiting for is cancelled: a statement at the database, too. An answer that has begun
    may take as long as its reader does.

    Args:
        app: what is behind it.
        seconds: of a request.
        longer: a pattern of whole paths, and the seconds of those that take files; the first counts.
    """

    def __init__(
        self,
        app: ASGIApp,
        seconds: float,
        longer: Sequence[tuple[re.Pattern[str], float]] = (),
    ) -> None:
        self.app, self.seconds, self.longer = app, seconds, tuple(longer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; DeadlineExceeded where its answer does not begin in time."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limits = (most for paths, most in self.longer if paths.fullmatch(scope["path"]))
        limit = next(limits, self.seconds)
        try:
            async with asyncio.timeout(limit) as timeout:

                async def beginning(message: Message) -> None:
                    timeout.reschedule(None)
                    await send(message)

                await self.app(scope, receive, beginning)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            figures.DEADLINES.inc()
            msg = f"this took more than {limit:g} s; ask for less at once, or try again later"
            raise DeadlineExceeded(msg) from error
