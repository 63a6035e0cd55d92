"""Requests sent and, where that is safe, sent again; answers read or raised."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import httpx

from plantroom_client.errors import Unreachable, problem

_AGAIN: Final = frozenset({429, 502, 503, 504})
_RUNNING: Final = "idempotency_running"


@dataclass(frozen=True)
class Retries:
    """How often a request is sent again: where no answer came, or one that says later.

    What changes something carries an Idempotency-Key, the same each time: it is done once.
    """

    tries: int = 4
    first: float = 0.25
    """Seconds before the second try; twice as long before each further one, at random up to that."""
    most: float = 30.0
    """Seconds that one pause may take, whatever the service asks for."""

    def pause(self, attempt: int, answer: httpx.Response | None) -> float | None:
        """Return the seconds until the next try; None: there is none."""
        if attempt >= self.tries or (answer is not None and not _says_later(answer)):
            return None
        pause = random.uniform(0, self.first * 2 ** (attempt - 1))
        asked = "" if answer is None else answer.headers.get("retry-after", "")
        return min(self.most, max(pause, float(asked) if asked.isdecimal() else 0.0))


def _says_later(answer: httpx.Response) -> bool:
    if answer.status_code == 409:
        return _json(answer).get("code") == _RUNNING
    return answer.status_code in _AGAIN


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


class Answer(dict[str, Any]):
    """An object of JSON that knows its ETag."""

    etag: str = ""


def etag(answer: Mapping[str, Any]) -> str:
    """Return the ETag that came with an answer, for `if_match`; empty where there was none."""
    return answer.etag if isinstance(answer, Answer) else ""


def quoted(value: object) -> str:
    """Return a value as one segment of a path."""
    return quote(str(value), safe="")


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    """Idempotency-Key; one is made where none is given."""
    if_match: str | None = None
    body: Any = None
    kinds: Sequence[str] = ("application/json",)
    """Media types that the body may have."""

    def options(self) -> dict[str, Any]:
        """Return what httpx shall send, the same at every try."""
        headers: dict[str, str] = {}
        if self.method != "GET":
            headers["Idempotency-Key"] = self.key or str(uuid.uuid4())
        if self.if_match is not None:
            headers["If-Match"] = self.if_match
        found: dict[str, Any] = {
            "params": {
                name: _text(value) for name, value in self.query.items() if value is not None
            }
        }
        if isinstance(self.body, bytes):
            files = (kind for kind in self.kinds if kind != "application/json")
            headers["Content-Type"] = next(files, "application/json")
            found["content"] = self.body
        elif self.body is not None:
            found["json"] = self.body
        return {**found, "headers": headers}


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _read(answer: httpx.Response) -> httpx.Response:
    if answer.status_code >= 400:
        raise problem(answer.status_code, _json(answer))
    return answer


def _parsed(answer: httpx.Response) -> Any:
    body = answer.json()
    if not isinstance(body, dict):
        return body
    made = Answer(body)
    made.etag = answer.headers.get("etag", "")
    return made


class Transport:
    """Requests for code that waits.

    Args:
        url: of the service.
        key: an API key or access token.
        retries: how often to try.
        client: an httpx client of one's own, in place of one made for `url`.
        sleep: how to pause.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        retries: Retries | None = None,
        client: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = client or httpx.Client(base_url=url, timeout=30)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._retries, self._sleep = retries or Retries(), sleep

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call) -> httpx.Response:
        """Return the answer to a request; ApiProblem where it is one, Unreachable without one."""
        options = call.options()
        options["headers"] |= self._headers
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._http.request(call.method, call.path, **options)
            except httpx.TransportError as error:
                pause = self._retries.pause(attempt, None)
                if pause is None:
                    raise Unreachable(str(error)) from error
            else:
                pause = self._retries.pause(attempt, answer)
                if pause is None:
                    return _read(answer)
            self._sleep(pause)

    def call(self, call: Call) -> Any:
        """Return the JSON of an answer."""
        return _parsed(self.send(call))

    def fetch(self, call: Call) -> bytes:
        """Return an answer that is a file."""
        return self.send(call).content

    def pages(self, call: Call) -> Iterator[Any]:
        """Yield every item of a list."""
        after: str | None = None
        while True:
            page = self.call(Call(call.method, call.path, {**call.query, "after": after}))
            yield from page["items"]
            after = page.get("next")
            if after is None:
                return


class AsyncTransport:
    """Requests for asyncio; the arguments are those of `Transport`."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        retries: Retries | None = None,
        client: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = client or httpx.AsyncClient(base_url=url, timeout=30)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._retries, self._sleep = retries or Retries(), sleep

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call) -> httpx.Response:
        """Return the answer to a request; ApiProblem where it is one, Unreachable without one."""
        options = call.options()
        options["headers"] |= self._headers
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._http.request(call.method, call.path, **options)
            except httpx.TransportError as error:
                pause = self._retries.pause(attempt, None)
                if pause is None:
                    raise Unreachable(str(error)) from error
            else:
                pause = self._retries.pause(attempt, answer)
                if pause is None:
                    return _read(answer)
            await self._sleep(pause)

    async def call(self, call: Call) -> Any:
        """Return the JSON of an answer."""
        return _parsed(await self.send(call))

    async def fetch(self, call: Call) -> bytes:
        """Return an answer that is a file."""
        return (await self.send(call)).content

    async def pages(self, call: Call) -> AsyncIterator[Any]:
        """Yield every item of a list."""
        after: str | None = None
        while True:
            page = await self.call(Call(call.method, call.path, {**call.query, "after": after}))
            for item in page["items"]:
                yield item
            after = page.get("next")
            if after is None:
                return
