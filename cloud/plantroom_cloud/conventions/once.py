"""Idempotency-Key at the API: every request that changes something, carried out once.

Three parts work together. A dependency of all routes under /v1 claims the key, after it is known who
asks. A listener marks the claim in the transaction in which the act commits. The middleware keeps
the answer before it is sent, or lets go of the claim where nothing has changed.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response
from sqlalchemy import CursorResult, event, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as SyncSession
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plantroom_cloud.conventions.store import (
    MAX_ANSWER,
    Answer,
    Claim,
    OnceRepository,
    Running,
    fingerprint,
)
from plantroom_cloud.db import ACTING, Database
from plantroom_cloud.db import Scope as CompanyScope
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.kit.problems import InvalidRequest
from plantroom_cloud.kit.responses import SECRET
from plantroom_cloud.kit.session import database
from plantroom_cloud.kit.times import HOUR
from plantroom_cloud.tables import OnceRequest

log = logging.getLogger(__name__)

CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
_CLAIM: Final = "plantroom.claim"
_MAX_KEY: Final = 200

_current: ContextVar[Claim | None] = ContextVar("plantroom_claim", default=None)


class _ReplayedError(Exception):
    """Not an error: the answer is known already."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__()


async def claim(request: Request, scope: CompanyScope, who: Principal) -> None:
    """Claim the key of a request that changes something, if it has one.

    Raises:
        ApiError: the key is none, belongs to another request, or is in hand.
    """
    if (key := request.headers.get(HEADER)) is None:
        return
    if not (1 <= len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        detail = f"take 1 to {_MAX_KEY} characters of ASCII, a UUID for example"
        found = {"where": "header", "name": HEADER, "detail": detail}
        msg = f"{HEADER}: {detail}"
        raise InvalidRequest(msg, errors=[found])
    route = f"{request.method} {route_of(request.scope)}"
    content = request.headers.get("content-type", "")
    asked = (request.url.path, request.scope["query_string"], content, await request.body())
    of = fingerprint(f"{who.kind}:{who.id}", *asked)
    keep_us = round(request.app.state.settings.api.idempotency_hours * HOUR)
    async with database(request).write(scope) as writing:
        repository = OnceRepository(writing, scope)
        now_us = request.app.state.clock.now_us()
        claimed = await repository.claim(route[:300], key, of, now_us, keep_us)
    if isinstance(claimed, Answer):
        raise _ReplayedError(claimed)
    request.scope[_CLAIM] = claimed
    _current.set(claimed)


def route_of(scope: Scope) -> str:
    """Return the path of a request with its parameters unfilled."""
    path: str = scope["path"]
    values = sorted(scope.get("path_params", {}).items(), key=lambda item: -len(str(item[1])))
    for name, value in values:
        path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return path


# The act's own transaction says that it was carried out: what is rolled back was not.
@event.listens_for(SyncSession, "before_commit")
def _mark(session: SyncSession) -> None:
    claim = _current.get()
    if claim is None or not claim.open or claim.committed or session.in_nested_transaction():
        return
    if session.connection().info.get(ACTING) != claim.company_id:
        return  # it is about nobody's rows, such as tries at a password, and no part of the act
    statement = update(OnceRequest).where(claim.mine, OnceRequest.state == "running")
    own = statement.where(OnceRequest.company_id == claim.company_id)
    result = cast("CursorResult[Any]", session.execute(own.values(state="committed")))
    if result.rowcount != 1:
        raise Running  # it was given up, and another carries it out: this one is rolled back
    claim.marked = True


@event.listens_for(SyncSession, "after_commit")
def _marked(_session: SyncSession) -> None:
    claim = _current.get()
    if claim is not None and claim.marked:
        claim.committed = True


class Once:
    """Keeps the answer to a claimed request before it is sent."""

    def __init__(self, app: ASGIApp, db: Database) -> None:
        self.app, self._db = app, db

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; settle its claim, if it came to one."""
        if scope["type"] != "http" or scope["method"] not in CHANGING:
            await self.app(scope, receive, send)
            return
        holding = _Holding(self, scope, send)
        before = _current.set(None)
        try:
            await self.app(scope, receive, holding.send)
        except BaseException:
            await self.settle(scope.get(_CLAIM), None)
            raise
        finally:
            _current.reset(before)

    async def settle(self, claim: Claim | None, answer: Answer | None) -> None:
        """Keep the answer of what has changed something; let go of a claim that has not.

        A database that is away costs the answer or a minute's wait, never a second execution.
        """
        if claim is None or not claim.open:
            return
        claim.open = False
        try:
            whose = CompanyScope(claim.company_id)
            async with self._db.write(whose) as session:
                repository = OnceRepository(session, whose)
                if claim.done(None if answer is None else answer.status):
                    await repository.finish(claim, answer)
                else:
                    await repository.release(claim)
        except SQLAlchemyError as error:
            log.warning("answer of a request not kept", extra={"error": str(error)})


class _Holding:
    """Holds an answer back until it is kept."""

    def __init__(self, once: Once, scope: Scope, send: Send) -> None:
        self._once, self._scope, self._send = once, scope, send
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        claim: Claim | None = self._scope.get(_CLAIM)
        if claim is None or not claim.open:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            await self._hold(claim, message)

    async def _hold(self, claim: Claim, message: Message) -> None:
        self._body += message.get("body", b"")
        more = bool(message.get("more_body", False))
        if more and len(self._body) <= MAX_ANSWER:
            return
        await self._once.settle(claim, self._answer())
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": self._body, "more_body": more})

    def _answer(self) -> Answer | None:
        # What is shown once is written down nowhere, or a copy of the database could open doors.
        if len(self._body) > MAX_ANSWER or self._scope.get(SECRET):
            return None
        headers = Headers(raw=self._start["headers"])
        kind, location = headers.get("content-type", ""), headers.get("location", "")
        return Answer(self._start["status"], self._body, kind, location)


async def _on_replayed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, _ReplayedError)  # noqa: S101 - registered for this class only
    answer = error.answer
    headers = {REPLAYED: "true"} | ({"Location": answer.location} if answer.location else {})
    return Response(answer.body, answer.status, headers, answer.media_type or None)


def install(app: FastAPI) -> None:
    """Make `app` give answers again."""
    app.add_exception_handler(_ReplayedError, _on_replayed)
