"""Plantroom's API from Python: typed, page by page, and safe to try again."""

from __future__ import annotations

from plantroom_client.client import AsyncPlantroom, Plantroom
from plantroom_client.errors import (
    ApiProblem,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from plantroom_client.transport import Retries, etag

__all__ = [
    "ApiProblem",
    "AsyncPlantroom",
    "Conflict",
    "Forbidden",
    "InvalidRequest",
    "NotFound",
    "Plantroom",
    "PreconditionFailed",
    "RateLimited",
    "Retries",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "etag",
]
