"""One endpoint: a call with its retries, its one repair, and what it cost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2  # the HTTP library of the openai package
import openai

from plantroom_cloud.config_llm import LlmSettings
from plantroom_cloud.kit.breakers import Breaker
from plantroom_cloud.kit.deadlines import Deadline
from plantroom_cloud.kit.dependencies import Dependency
from plantroom_cloud.mapping.llm.limits import MANNER, MOST_ATTEMPTS, retry_after_of, wait_before
from plantroom_cloud.mapping.llm.prompt import DIALECTS, Said, body_of, read_completion
from plantroom_cloud.mapping.questions import Question
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable

_TRY_AGAIN: Final = frozenset({408, 409, 425, 429})
_NOT_UNDERSTOOD: Final = frozenset({400, 422})
_NO_LIST: Final = frozenset({404, 405, 501})
_PROBE: Final = 3.0
"""Seconds that a list of models may take."""
_MOST_BYTES: Final = 4_000_000
"""Of one reply: a hundred answers are a few thousand."""


class _TooMuch(Exception):
    """The endpoint sends without end."""


_TROUBLE: Final = (
    openai.APIStatusError,
    openai.APIConnectionError,
    httpx2.HTTPError,  # while its reply is read
    TimeoutError,
    _TooMuch,
)
_UNTOLD: Final = (TimeoutError, _TooMuch, httpx2.HTTPError)
_PROBING: Final = (*_TROUBLE, openai.OpenAIError)
Pause = Callable[[float], Awaitable[None]]


def _not_understood(error: Exception) -> bool:
    return isinstance(error, openai.APIStatusError) and error.status_code in _NOT_UNDERSTOOD


def _works(error: Exception) -> bool | None:
    busy = isinstance(error, openai.APIStatusError) and error.status_code == 429
    says = isinstance(error, _TROUBLE) and not busy and not _not_understood(error)
    return False if says else None


def _serves(error: Exception) -> bool | None:
    if isinstance(error, openai.APIStatusError) and error.status_code in _NO_LIST:
        return True
    return False if isinstance(error, _PROBING) else None


class LlmUnavailable(Unavailable):
    """The endpoint cannot answer now."""


@dataclass(slots=True)
class Reply:
    """What asking one batch brought."""

    answers: dict[str, str] = field(default_factory=dict)
    """Cache key → class or ``unknown``; questions without a valid answer are not in it."""
    counts: dict[str, int] = field(default_factory=dict)
    """What to add to the company's counters."""
    used: tuple[int, int] = (0, 0)
    """Tokens sent and brought, as the endpoint counted them."""
    untold: int = 0
    """Calls that may have been paid for and whose use nobody told."""
    problem: str = ""
    """Why it ended early; empty where it did not."""

    def add(self, name: str, value: int = 1) -> None:
        """Count something."""
        self.counts[name] = self.counts.get(name, 0) + value


class Endpoint:
    """A client for one endpoint, with its breaker; it may be shared by everybody in the process.

    Args:
        settings: where it is and how it is called.
        clock: monotonic time for breaker and deadlines.
        pause: waits between attempts.
        chance: for the jitter, a number in [0, 1).
    """

    def __init__(
        self,
        settings: LlmSettings,
        clock: Clock,
        *,
        pause: Pause = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._pause, self._chance = pause, chance
        self.breaker = Breaker("llm", clock, MANNER)
        self._dependency = Dependency("llm", clock, self.breaker)
        self._turns = asyncio.Semaphore(settings.concurrency)
        self._quiet_until = float("-inf")
        self._dialect = 0
        self.client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key.get_secret_value(),
            timeout=settings.timeout,
            max_retries=0,  # ours know the deadline, the breaker and each other
            # No proxy of the environment and no redirect: names go where the settings say.
            http_client=openai.DefaultAsyncHttpxClient(
                follow_redirects=False, trust_env=False, proxy=settings.proxy or None
            ),
        )

    @property
    def model(self) -> str:
        """The model that is asked: part of the cache key."""
        return self._settings.model

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def ask(self, by_id: Mapping[str, Question], deadline: Deadline) -> Reply:
        """Ask one batch, and once more about what came back wrong; `Reply.problem` tells trouble."""
        reply = Reply()
        try:
            await self._round(by_id, reply, deadline, repair=False)
            left = {ident: q for ident, q in by_id.items() if q.key not in reply.answers}
            if left:
                reply.add("llm_repairs")
                await self._round(left, reply, deadline, repair=True)
        except LlmUnavailable as error:
            reply.add("llm_failures")
            reply.problem = str(error)
        if len(reply.answers) < len(by_id):
            reply.add("llm_unanswered", len(by_id) - len(reply.answers))
        return reply

    async def _round(
        self, by_id: Mapping[str, Question], reply: Reply, deadline: Deadline, *, repair: bool
    ) -> None:
        said = await self._call(by_id, reply, deadline, repair=repair)
        reply.add("llm_calls")
        if said.usage is None:
            reply.untold += 1
        else:
            sent, brought = said.usage
            reply.used = (reply.used[0] + sent, reply.used[1] + brought)
            reply.add("llm_tokens_in", sent)
            reply.add("llm_tokens_out", brought)
        for ident, name in said.answers.items():
            reply.answers[by_id[ident].key] = name

    async def _call(
        self, by_id: Mapping[str, Question], reply: Reply, deadline: Deadline, *, repair: bool
    ) -> Said:
        """Return what the endpoint said, after as many attempts as time and patience allow."""
        failed = 0
        dialect = self._dialect
        while True:
            try:
                async with self._turns:
                    await self._until_quiet(deadline)
                    body = body_of(by_id, self.model, repair=repair, dialect=dialect)
                    raw = await self._attempt(body, reply, deadline)
                self._dialect = dialect
                return read_completion(raw, by_id)
            except _TROUBLE as error:
                if _not_understood(error) and dialect + 1 < DIALECTS:
                    dialect += 1
                    continue
                problem, wait = self._trouble(error)
                failed += 1
                pause = wait_before(failed, wait, self._chance)
                if failed >= MOST_ATTEMPTS or pause >= deadline.left():
                    what = f"the endpoint does not answer ({problem})"
                    raise LlmUnavailable(what) from error
            reply.add("llm_retries")
            await self._pause(pause)

    def _trouble(self, error: Exception) -> tuple[str, float | None]:
        """Return what went wrong, and the wait that the server wants; LlmUnavailable if for good."""
        if not isinstance(error, openai.APIStatusError):
            return type(error).__name__, None
        status = error.status_code
        if status not in _TRY_AGAIN and status < 500:
            what = f"the endpoint refuses (HTTP {status})"
            raise LlmUnavailable(what) from error
        wait = retry_after_of({k.lower(): v for k, v in error.response.headers.items()})
        if status == 429 and wait is not None:
            self._quiet_until = self._clock.monotonic() + wait
        return f"HTTP {status}", wait

    async def _until_quiet(self, deadline: Deadline) -> None:
        """Wait while the server wants to be left alone: what it told one call holds for all."""
        wait = self._quiet_until - self._clock.monotonic()
        if wait <= 0:
            return
        if wait >= deadline.left():
            msg = f"the endpoint wants no call for {wait:.0f} s"
            raise LlmUnavailable(msg)
        await self._pause(wait)

    async def _attempt(self, body: dict[str, Any], reply: Reply, deadline: Deadline) -> bytes:
        """Return the body of one reply, and tell the breaker how it went."""
        if deadline.left() <= 0:
            msg = "no time is left"
            raise LlmUnavailable(msg)
        if not self.breaker.allow():
            msg = "the endpoint kept failing and is left alone for a while"
            raise LlmUnavailable(msg)
        try:
            with self.breaker.attempt(self._dependency, _works):
                async with asyncio.timeout(min(self._settings.timeout, deadline.left())):
                    return await self._send(body)
        except _UNTOLD:
            reply.untold += 1  # it may have been at work when we went, and may count that
            raise

    async def probe(self) -> bool:
        """Find out whether an endpoint that was left alone is back, at no cost; say whether it is.

        It is asked for its list of models: whoever answers that, or says that there is none, serves.
        """
        if self.breaker.state != "trying" or not self.breaker.allow():
            return self.breaker.state == "closed"
        try:
            with self.breaker.attempt(self._dependency, _serves):
                async with asyncio.timeout(_PROBE):
                    await self.client.with_options(max_retries=0).models.list()
        except _PROBING as error:
            return bool(_serves(error))
        return True

    async def _send(self, body: dict[str, Any]) -> bytes:
        create = self.client.chat.completions.with_streaming_response.create
        async with create(**body) as response:
            raw = bytearray()
            async for piece in response.iter_bytes():
                raw += piece
                if len(raw) > _MOST_BYTES:
                    msg = "more than any answer"
                    raise _TooMuch(msg)
        return bytes(raw)
