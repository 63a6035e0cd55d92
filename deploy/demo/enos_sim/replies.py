"""What every route of the simulator shares: signed requests, replies and refusals in EnOS's shape."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import JSONResponse

from demo.enos_sim.security import Tokens, signature_ok
from demo.enos_sim.world import Refused, World


def answer(
    data: Any, *, code: int = 0, msg: str = "OK", status: int = 200, **extra: Any
) -> JSONResponse:
    """Return a reply in the common shape."""
    body = {"code": code, "msg": msg, "requestId": f"{time.time_ns():x}", "data": data, **extra}
    return JSONResponse(body, status_code=status)


def refusal(world: World, error: Refused, *, status: int = 200) -> JSONResponse:
    """Return a refusal, counted."""
    world.counts["refused"] += 1
    return answer(None, code=error.code, msg=str(error), status=status)


async def json_body(request: Request) -> dict[str, Any]:
    """Return the body as an object; an empty one where there is none."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refused(99400, "Invalid Argument: body is no JSON") from error
    if not isinstance(body, dict):
        raise Refused(99400, "Invalid Argument: body is no object")
    return body


async def check_signed(world: World, tokens: Tokens, request: Request) -> dict[str, str]:
    """Return the query of a request whose token and signature hold; Refused otherwise."""
    token, sign, timestamp = (
        request.headers.get(f"apim-{name}", "")
        for name in ("accesstoken", "signature", "timestamp")
    )
    tokens.check(token)
    if not timestamp.isascii() or not timestamp.isdigit():
        raise Refused(401, "apim-timestamp is missing")
    if abs(time.time() - int(timestamp) / 1000) > world.limits.skew:
        raise Refused(401, "apim-timestamp is too far off")
    query = parse_qsl(request.url.query, keep_blank_values=True)
    body = await request.body()
    right = signature_ok(token, query, body, timestamp, app_secret=world.app_secret, signature=sign)
    if not right:
        raise Refused(401, "apim-signature is wrong")
    values = dict(query)
    if values.get("orgId") != world.org_id:
        raise Refused(99403, "orgId")
    return values
