"""Requests that are carried out once: who has one in hand, and what was answered.

The row of a request goes from ``running`` to ``committed`` in the very transaction in which the act
commits, and from there to ``done`` with the answer. Whoever is given up because it took too long
finds another's token in the row when it commits, and is rolled back: whatever dies when, nothing is
carried out twice under one key.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from sqlalchemy import ColumnElement, CursorResult, delete, select, update

from plantroom_cloud.db import insert_into
from plantroom_cloud.kit.problems import ApiError
from plantroom_cloud.kit.repository import AnyRow, Repository
from plantroom_cloud.tables import OnceRequest

LEASE_US: Final = 60_000_000
"""How long a request may take before another with its key takes its place."""
MAX_ANSWER: Final = 1024 * 1024
"""Bytes of an answer that are kept."""
_TRIES: Final = 3
_COLUMNS = (
    OnceRequest.id,
    OnceRequest.token,
    OnceRequest.fingerprint,
    OnceRequest.state,
    OnceRequest.status,
    OnceRequest.media_type,
    OnceRequest.location,
    OnceRequest.body,
    OnceRequest.until_us,
)


class KeyReused(ApiError):
    """The key belongs to another request."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "idempotency_key_reused"
    title: ClassVar[str] = "This Idempotency-Key was used for something else"


class Running(ApiError):
    """The first request with this key is not answered yet."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "idempotency_running"
    title: ClassVar[str] = "A request with this Idempotency-Key is under way"

    def __init__(self) -> None:
        msg = "send it again in a moment: the answer will be that of the first"
        super().__init__(msg, headers={"Retry-After": "1"})


class AnswerLost(ApiError):
    """The request was carried out, and its answer is not there to be given again."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "idempotency_answer_lost"
    title: ClassVar[str] = "This was carried out, and its answer is not kept"

    def __init__(self) -> None:
        super().__init__("it will not be done again under this key; read how things stand")


@dataclass(slots=True)
class Claim:
    """The right to carry out a request."""

    company_id: int
    id: int
    token: str
    until_us: int
    """When what it was answered may be forgotten."""
    marked: bool = False
    """Whether the transaction under way has marked it."""
    committed: bool = False
    """Whether a transaction of the act has committed."""
    open: bool = True
    """Whether transactions still belong to the act."""

    def done(self, status: int | None) -> bool:
        """Tell whether a request with such an answer was carried out; None: there is no answer.

        A route that answers 4xx says that it was not; a fault of ours says nothing.
        """
        if status is None or status >= 500:
            return self.committed
        return status < 400

    @property
    def mine(self) -> ColumnElement[bool]:
        """The condition that the row is still this claim's."""
        return (
            (OnceRequest.company_id == self.company_id)
            & (OnceRequest.id == self.id)
            & (OnceRequest.token == self.token)
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes
    media_type: str = "application/json"
    location: str = ""


def fingerprint(*parts: bytes | str) -> str:
    """Return a SHA-256 over `parts`, each told from the next."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class OnceRepository(Repository):
    """A company's requests with a key."""

    async def claim(
        self, route: str, key: str, of: str, now_us: int, keep_us: int = 86_400_000_000
    ) -> Claim | Answer:
        """Return the right to carry the request out, or what was answered to it before.

        Args:
            route: method and path, as the description has it.
            key: the caller's name for the request.
            of: fingerprint of the request.
            now_us: the present moment.
            keep_us: how long what is answered shall be kept.

        Raises:
            KeyReused: the key belongs to another request.
            Running: the first request is not answered yet.
            AnswerLost: it was carried out, and the answer is gone.
        """
        for _ in range(_TRIES):
            if (claim := await self._enter(route, key, of, now_us, keep_us)) is not None:
                return claim
            row = await self._find(route, key)
            if row is None:  # whoever had it has let go of it just now
                continue
            lost_us = keep_us if row.state == "committed" else 0
            if row.until_us + lost_us <= now_us:
                if (claim := await self._take_over(row, of, now_us, keep_us)) is not None:
                    return claim
                continue
            return _answered(row, of, now_us)
        raise Running

    async def _enter(
        self, route: str, key: str, of: str, now_us: int, keep_us: int
    ) -> Claim | None:
        token = secrets.token_hex(16)
        row: dict[str, Any] = {"company_id": self._scope.company_id, "route": route, "key": key}
        row |= {"fingerprint": of, "token": token, "state": "running", "media_type": ""}
        row |= {"location": "", "until_us": now_us + LEASE_US}
        unique = [OnceRequest.company_id, OnceRequest.route, OnceRequest.key]
        statement = insert_into(self._session, OnceRequest).values(**row)
        made = statement.on_conflict_do_nothing(index_elements=unique).returning(OnceRequest.id)
        found = (await self._session.execute(made)).scalar()
        if found is None:
            return None
        return Claim(self._scope.company_id, found, token, now_us + keep_us)

    async def _find(self, route: str, key: str) -> AnyRow | None:
        which = (self._own(OnceRequest), OnceRequest.route == route, OnceRequest.key == key)
        return (await self._session.execute(select(*_COLUMNS).where(*which))).one_or_none()

    async def _take_over(self, row: AnyRow, of: str, now_us: int, keep_us: int) -> Claim | None:
        """Take the place of one that was given up or is to be forgotten; None: another was faster."""
        company, until_us = self._scope.company_id, now_us + keep_us
        claim = Claim(company, row.id, secrets.token_hex(16), until_us)
        values: dict[str, Any] = {
            "token": claim.token,
            "fingerprint": of,
            "state": "running",
            "status": None,
        }
        values |= {"body": None, "media_type": "", "location": "", "until_us": now_us + LEASE_US}
        before = Claim(company, row.id, row.token, until_us)
        which = (self._own(OnceRequest), before.mine, OnceRequest.state == row.state)
        taken = await self._change(update(OnceRequest).where(*which).values(**values))
        return claim if taken else None

    async def finish(self, claim: Claim, answer: Answer | None) -> None:
        """Keep what was answered; None: that it was carried out is all that is kept."""
        values: dict[str, Any] = {"state": "done", "until_us": claim.until_us}
        if answer is not None:
            values |= {"status": answer.status, "media_type": answer.media_type}
            values |= {"location": answer.location, "body": zlib.compress(answer.body, 3)}
        await self._change(
            update(OnceRequest).where(self._own(OnceRequest), claim.mine).values(**values)
        )

    async def within(
        self, route: str, key: str, of: str, now_us: int, act: Callable[[], Awaitable[str]]
    ) -> str:
        """Do `act` and return what it returns, or what it returned before: in one transaction.

        Raises:
            KeyReused: the key belongs to another request.
        """
        claim = await self.claim(route, key, of, now_us)
        if isinstance(claim, Answer):
            return claim.body.decode()
        told = await act()
        await self.finish(claim, Answer(200, told.encode(), "text/plain"))
        return told

    async def release(self, claim: Claim) -> None:
        """Let go of a request that has changed nothing: it may be sent again."""
        await self._change(delete(OnceRequest).where(self._own(OnceRequest), claim.mine))

    async def forget(self, now_us: int, keep_us: int) -> int:
        """Delete what need not be kept any more; return how many rows that were."""
        lost = (OnceRequest.state != "committed") | (OnceRequest.until_us <= now_us - keep_us)
        old = (OnceRequest.until_us <= now_us) & lost
        return await self._change(delete(OnceRequest).where(self._own(OnceRequest), old))

    async def _change(self, statement: Any) -> int:
        result = await self._session.execute(statement)
        return cast("CursorResult[Any]", result).rowcount


def _answered(row: AnyRow, of: str, now_us: int) -> Answer:
    if row.fingerprint != of:
        msg = (
            "take a new key for a new request; this one was sent with other content, or by another"
        )
        raise KeyReused(msg)
    if row.state != "done" and now_us < row.until_us:
        raise Running
    if row.body is None:
        raise AnswerLost
    return Answer(row.status, zlib.decompress(row.body), row.media_type, row.location)
