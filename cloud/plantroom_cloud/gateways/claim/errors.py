"""What claiming answers in place of success."""

from __future__ import annotations

from plantroom_cloud.kit.problems import ApiError


class Conflict(ApiError):
    """It is no longer, or not yet, what the request takes it for."""

    status, code, title = 409, "conflict", "Not as it stands"


class TooMany(ApiError):
    """Whoever asks has asked too often."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, detail: str, *, retry_after: float, code: str = "") -> None:
        headers = {"Retry-After": str(max(1, round(retry_after)))}
        super().__init__(detail, code=code, headers=headers)
