"""What the routes of identity answer in place of what was asked for."""

from __future__ import annotations

from plantroom_cloud.kit.problems import ApiError


class GrantError(ApiError):
    """A token is not given; OAuth clients read its code as `error` (RFC 6749, 5.2)."""

    status, code, title = 400, "invalid_grant", "No token for this"

    def __init__(self, detail: str) -> None:
        members = {"error": self.code, "error_description": detail}
        super().__init__(detail, members=members)


class BadGrantRequest(GrantError):
    """Something is missing, or too weak."""

    code = "invalid_request"


class BadScope(GrantError):
    """There is no such scope."""

    code = "invalid_scope"


class UnknownGrant(GrantError):
    """There is no such way to get a token."""

    code = "unsupported_grant_type"


class BadClient(GrantError):
    """Client id or secret are wrong."""

    status, code, title = 401, "invalid_client", "Not known"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers["WWW-Authenticate"] = 'Basic realm="plantroom"'


class TooManyTries(ApiError):
    """Too many log-ins have failed."""

    status, code, title = 429, "too_many_tries", "Too many failed tries"

    def __init__(self, seconds: float) -> None:
        wait = max(1, round(seconds + 0.5))
        detail = f"too many tries have failed; try again in {wait} s"
        members = {"error": "slow_down", "error_description": detail}
        super().__init__(detail, headers={"Retry-After": str(wait)}, members=members)


class Conflict(ApiError):
    """It cannot be done as things are; the text says why."""

    status, code, title = 409, "conflict", "Not as things are"
