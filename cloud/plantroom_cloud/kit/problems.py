"""Problem details (RFC 9457): everything that the API answers in place of what was asked for.

::

    ApiError                 status, code and title of its class; `detail` says what to do next
    ├── InvalidRequest       422: a parameter cannot be understood or asks for too much
    ├── Unauthorized         401: no key, an unknown key, a revoked key
    ├── Forbidden            403: the key is not for this
    ├── NotFound             404: there is none, or it belongs to another company
    ├── TooLarge             413: the body is over the limit
    └── NotReady             503: the database does not answer; try again

Stack traces never leave: whatever is not one of these becomes a plain 500 with a trace id that the
log knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Scope as AsgiScope

from plantroom_shared.errors import PlantroomError, Unavailable

_READ_ONLY = "25006"  # PostgreSQL: in the midst of handing over to another server
MEDIA_TYPE = "application/problem+json"
REFERENCE = "#/components/schemas/{model}"
"""Where the OpenAPI document has the schema of a model."""
TRACE_ID = "plantroom.trace_id"
"""Key of the ASGI scope under which the trace id stands."""


class ProblemItem(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(examples=["query"], description="path, query, header or body")
    name: str = Field(examples=["from"], description="the parameter's name")
    detail: str = Field(examples=["write it as 2026-01-31T00:00:00Z"])


class Problem(BaseModel):
    """Problem details after RFC 9457."""

    type: str = Field(examples=["urn:plantroom:problem:not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no point 7; list them with GET /v1/points"])
    code: str = Field(examples=["not_found"], description="stable, for programs")
    trace_id: str = Field(description="32 hex digits; the service's log knows it")
    errors: list[ProblemItem]


class ApiError(PlantroomError):
    """An answer that is no success."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong here"

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        self.detail, self.errors, self.headers = detail, list(errors), dict(headers or {})
        self.problem_code = code or self.code
        self.members = dict(members or {})
        super().__init__(detail)


class InvalidRequest(ApiError):
    """A parameter cannot be understood or asks for too much; the text names it and says the fix."""

    status, code, title = 422, "invalid_request", "The request cannot be understood"


class Unauthorized(ApiError):
    """There is no valid key or token with the request."""

    status, code, title = 401, "unauthorized", "A valid key or access token is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="plantroom"'})


class Forbidden(ApiError):
    """The key is known, and is not for this."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(ApiError):
    """There is none, or it belongs to another company: nobody can tell which."""

    status, code, title = 404, "not_found", "Not found"


class TooLarge(ApiError):
    """The body is over the limit."""

    status, code, title = 413, "too_large", "The body is too large"


class NotReady(ApiError):
    """A part that the answer needs does not answer itself."""

    status, code, title = 503, "unavailable", "Not available at the moment"

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, round(retry_after or 1)))})


def invalid(detail: str, *, parameter: str) -> InvalidRequest:
    """Return the error of one query parameter."""
    error = {"where": "query", "name": parameter, "detail": detail}
    return InvalidRequest(f"{parameter}: {detail}", errors=[error])


def problem_response(scope: AsgiScope, error: ApiError) -> Response:
    """Return `error` as the answer to the request of `scope`."""
    return _render(
        scope,
        status=error.status,
        title=error.title,
        code=error.problem_code,
        detail=error.detail,
        errors=error.errors,
        headers=error.headers,
        members=error.members,
    )


def _render(
    scope: AsgiScope,
    *,
    status: int,
    title: str,
    code: str,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        **(members or {}),
        "type": f"urn:plantroom:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "trace_id": scope.get(TRACE_ID, ""),
        "errors": list(errors),
    }
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


# ---------------------------------------------------------------- from the framework's errors


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this class only
    return problem_response(request.scope, error)


async def _on_unavailable(request: Request, error: Exception) -> Response:
    retry_after = error.retry_after if isinstance(error, Unavailable) else None
    detail = "the database does not answer; try again in a moment"
    return problem_response(request.scope, NotReady(detail, retry_after=retry_after))


async def _on_database_error(request: Request, error: Exception) -> Response:
    """Answer where the connection is gone, or the server has become one to be read only."""
    assert isinstance(error, DBAPIError)  # noqa: S101 - registered for this class only
    if error.connection_invalidated or getattr(error.orig, "sqlstate", "") == _READ_ONLY:
        return await _on_unavailable(request, error)
    raise error


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework raises: unknown paths, wrong methods, bodies that are none."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    if error.status_code == HTTPStatus.BAD_REQUEST:
        found = {"where": "body", "name": "body", "detail": "cannot be parsed"}
        msg = "body: cannot be parsed; send it whole, and texts in UTF-8"
        return problem_response(request.scope, InvalidRequest(msg, errors=[found]))
    phrase = HTTPStatus(error.status_code).phrase
    detail = {
        404: "there is no such path; /docs lists what there is",
        405: f"{request.method} is not allowed here; /docs lists what is",
    }.get(error.status_code, phrase)
    return _render(
        request.scope,
        status=error.status_code,
        title=phrase,
        code=phrase.lower().replace(" ", "_"),
        detail=detail,
        headers=error.headers,
    )


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Answer what the framework's own parameter checks refuse."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    items = [_item(found) for found in error.errors()[:20]]
    first = items[0]
    detail = f"{first['name']}: {first['detail']}"
    return problem_response(request.scope, InvalidRequest(detail, errors=items))


def _item(found: Mapping[str, Any]) -> dict[str, str]:
    where, *path = (str(part) for part in found["loc"])
    return {"where": where, "name": ".".join(path) or where, "detail": str(found["msg"])}


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for kind in (Unavailable, OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(kind, _on_unavailable)
    app.add_exception_handler(DBAPIError, _on_database_error)


def _answer(description: str) -> dict[str, Any]:
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": description, "content": {MEDIA_TYPE: reference}}


def refusals(*kinds: type[ApiError]) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI description of a route says of errors it may answer."""
    return {kind.status: _answer(kind.title) for kind in kinds}


RESPONSES: Final = refusals(Unauthorized, Forbidden, NotFound, InvalidRequest, NotReady)
"""For the OpenAPI description of every route under /v1."""
