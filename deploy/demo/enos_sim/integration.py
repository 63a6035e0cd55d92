"""The HTTP integration channel: token, no signature, one multipart message, all or nothing."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from demo.enos_sim.replies import answer, refusal
from demo.enos_sim.security import Tokens
from demo.enos_sim.world import Device, Refused, World

_METHODS = {"postMeasurepoint": "integration.measurepoint.post"}


class Integration:
    """The publish route."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self.world, self.tokens = world, tokens
        self.router = APIRouter()
        path = "/connect-service/v2.1/integration"
        self.router.add_api_route(path, self._post, methods=["POST"], response_model=None)

    async def _post(self, request: Request) -> JSONResponse:
        self.world.counts["posts"] += 1
        try:
            method = self._method(request)
            self.take(await self._message(request), method)
        except Refused as error:
            return refusal(self.world, error)
        return answer({})

    def _method(self, request: Request) -> str:
        """Return the method the message must have, if the token and the query are right."""
        self.tokens.check(request.headers.get("apim-accesstoken", ""))
        if request.query_params.get("orgId") != self.world.org_id:
            raise Refused(99403, "orgId")
        action = request.query_params.get("action", "")
        if action not in _METHODS:
            raise Refused(99400, "Invalid Argument: action")
        return _METHODS[action]

    async def _message(self, request: Request) -> bytes:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refused(99400, "Invalid Argument: content type")
        try:
            form = await request.form(max_part_size=8 * 1024 * 1024)
        except (MultiPartException, ClientDisconnect) as error:
            raise Refused(99400, "Invalid Argument: multipart") from error
        return await _only_message(form)

    def take(self, raw: bytes, method: str) -> None:
        """Check a whole message, then store it; Refused leaves nothing behind."""
        if len(raw) > self.world.limits.message:
            raise Refused(1008, "enos-message is too large")
        try:
            message = json.loads(raw)
        except ValueError as error:
            raise Refused(1220, "enos-message is no JSON") from error
        realtime = self._check_envelope(message, method)
        checked: list[tuple[Device, dict[str, Any], int]] = []
        for item in message["params"]:
            if not isinstance(item, dict):
                raise Refused(1206, "params item is no object")
            device = self.world.find(item)
            points = self.world.check(device, item.get("measurepoints"), item.get("time"))
            checked.append((device, points, item["time"]))
        for device, points, time_ms in checked:
            self.world.store(device, points, time_ms, realtime=realtime)

    def _check_envelope(self, message: Any, method: str) -> bool:
        if not isinstance(message, dict) or not isinstance(message.get("params"), list):
            raise Refused(1206, "enos-message needs params")
        if not message["params"]:
            raise Refused(1251, "params is empty")
        if message.get("method") != method:
            raise Refused(1260, "method does not fit the action")
        if not isinstance(message.get("id"), str | int) or message.get("version") != "1.1":
            raise Refused(1206, "id or version")
        if not isinstance(message.get("files", {}), dict):
            raise Refused(1206, "files")
        realtime = message.get("isRealtimeIntegration", True)
        if type(realtime) is not bool:
            raise Refused(1206, "isRealtimeIntegration")
        return realtime


async def _only_message(form: FormData) -> bytes:
    """Return the one ``enos-message`` part; files may stand beside it, nothing else."""
    parts = form.getlist("enos-message")
    strange = {name for name, _ in form.multi_items()} - {"enos-message", "enos-file"}
    if len(parts) != 1 or strange:
        raise Refused(99400, "Invalid Argument: exactly one enos-message part")
    part = parts[0]
    return await part.read() if isinstance(part, UploadFile) else part.encode()
