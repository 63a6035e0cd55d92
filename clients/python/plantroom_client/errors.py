"""What the API answers in place of what was asked for, as exceptions."""

from __future__ import annotations

from typing import Any, Final


class Unreachable(Exception):
    """There is no answer, after all tries."""


class ApiProblem(Exception):
    """A problem detail (RFC 9457) of the API.

    Attributes:
        status: of HTTP.
        code: stable, for programs.
        title: of the kind of problem.
        detail: what is wrong and what to do next.
        trace_id: by which the service's log knows it.
        errors: what is wrong with which parameter.
    """

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("code", ""))
        self.title = str(body.get("title", ""))
        self.detail = str(body.get("detail", ""))
        self.trace_id = str(body.get("trace_id", ""))
        found = body.get("errors")
        self.errors: list[dict[str, Any]] = found if isinstance(found, list) else []
        super().__init__(f"{status} {self.code}: {self.detail}")


class Unauthorized(ApiProblem):
    """The key or token is not good (any more)."""


class Forbidden(ApiProblem):
    """Whoever asks may not do this."""


class NotFound(ApiProblem):
    """There is none, or it belongs to another company."""


class Conflict(ApiProblem):
    """It does not fit how things stand."""


class PreconditionFailed(ApiProblem):
    """It has changed since it was read (412), or If-Match is missing (428)."""


class InvalidRequest(ApiProblem):
    """A parameter or the body cannot be understood."""


class RateLimited(ApiProblem):
    """Too often; the tries of the client were not enough."""


class Unavailable(ApiProblem):
    """A part of the service does not answer; the tries of the client were not enough."""


_KINDS: Final[dict[int, type[ApiProblem]]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    422: InvalidRequest,
    428: PreconditionFailed,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem(status: int, body: Any) -> ApiProblem:
    """Return the exception of an answer; what is no problem detail has a status all the same."""
    return _KINDS.get(status, ApiProblem)(status, body if isinstance(body, dict) else {})
