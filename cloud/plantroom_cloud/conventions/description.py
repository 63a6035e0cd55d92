"""What the OpenAPI document says of the conventions that hold for every route."""

from __future__ import annotations

from typing import Any, Final

from plantroom_cloud.conventions.limiting import TooManyRequests
from plantroom_cloud.conventions.once import CHANGING, HEADER
from plantroom_cloud.conventions.shape import QueryTooLong
from plantroom_cloud.conventions.store import KeyReused
from plantroom_cloud.kit.deadlines import DeadlineExceeded
from plantroom_cloud.kit.problems import (
    REFERENCE,
    ApiError,
    InvalidRequest,
    NotFound,
    NotReady,
    Problem,
    TooLarge,
    refusals,
)

_KEY: Final = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Your own name for this request, a UUID for example: sent again within a day, the answer "
        "is the same and nothing is done twice."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
_FRAMEWORKS: Final = "HTTPValidationError"
"""What FastAPI says that it answers to what is not valid; we answer a problem."""

_OPEN: Final = ("/oauth/", "/provision/")
"""How paths begin that take something from whoever has no key yet."""


def complete(document: dict[str, Any]) -> None:
    """Add the problem details, the Idempotency-Key and the answers that every route may give."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in (_FRAMEWORKS, "ValidationError"):
        schemas.pop(name, None)
    shape = Problem.model_json_schema(ref_template=REFERENCE)
    schemas.update(shape.pop("$defs", {}), Problem=shape)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            # A route that describes its body itself brings what that refers to.
            for content in operation.get("requestBody", {}).get("content", {}).values():
                shape = dict(content.get("schema", {}))
                schemas.update(shape.pop("$defs", {}))
                content["schema"] = shape
            if "422" in operation["responses"]:
                # The framework names its own errors where the route names none.
                operation["responses"]["422"] = refusals(InvalidRequest)[422]
            if path.startswith("/v1/"):
                _complete(method.upper(), operation)
            elif path.startswith(_OPEN):
                kinds = (NotFound, NotReady, TooLarge, QueryTooLong, TooManyRequests)
                for status, answer in refusals(*kinds, DeadlineExceeded).items():
                    operation["responses"].setdefault(str(status), answer)
    _spell_patterns(document)


def _spell_patterns(part: Any) -> None:
    r"""Spell patterns as JSON Schema has them: ``^...$`` (ECMA 262) in place of ``\A...\z``."""
    inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for item in inside:
        _spell_patterns(item)
    if isinstance(part, dict) and isinstance(pattern := part.get("pattern"), str):
        part["pattern"] = pattern.replace(r"\A", "^").replace(r"\z", "$").replace(r"\Z", "$")


def _complete(method: str, operation: dict[str, Any]) -> None:
    kinds: list[type[ApiError]] = [TooManyRequests, QueryTooLong, DeadlineExceeded]
    if method in CHANGING:
        operation.setdefault("parameters", []).append(_KEY)
        kinds += [KeyReused, TooLarge]
    for status, answer in refusals(*kinds).items():
        operation["responses"].setdefault(str(status), answer)
