"""The Edge discovery API: asynchronous, with two shapes of answer and a late second page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from demo.enos_sim.replies import answer, check_signed, json_body, refusal
from demo.enos_sim.search import page
from demo.enos_sim.security import Tokens
from demo.enos_sim.world import Refused, World

EDGE = "edgeAst01"
NETS = ["eth0-10.20.0.5/24", "eth1-192.168.7.2/24"]
DEVICES = 203
"""More than one page of 200."""
_KINDS = (("analog-input", "degrees-Celsius"), ("binary-input", "no-units"))


def found_devices() -> list[dict[str, Any]]:
    """Return what a search of the network finds."""
    return [
        {
            "edgeAssetId": EDGE,
            "protocol": "bacnet",
            "otDeviceInst": 1000 + at,
            "otDeviceName": f"DDC-{at:03d}",
            "deviceType": None,
            "deviceModel": None,
            "address": f"10.20.0.{at}:47808" if at % 3 else None,
            "description": None,
            "vendorName": "Example Controls" if at % 2 else None,
            "systemStatus": None,
        }
        for at in range(DEVICES)
    ]


def found_points(device: int) -> list[dict[str, Any]]:
    """Return the objects of a device; instances repeat across object types."""
    return [
        {
            "objectType": kind,
            "otDeviceInst": device,
            "objectInst": instance,
            "objectIdentifier": f"({kind},{instance})",
            "objectName": f"AHU{instance}_{'T' if kind == 'analog-input' else 'RUN'}",
            "description": None,
            "presentValue": 20.5 + instance if kind == "analog-input" else "active",
            "covIncrement": None,
            "unit": unit,
        }
        for kind, unit in _KINDS
        for instance in range(4)
    ]


class Discovery:
    """The six calls; a result takes a few questions to be there."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self.world, self.tokens = world, tokens
        self.started: set[str] = set()
        self.wanted: list[int] = []
        self.asked: Counter[str] = Counter()
        self.router = APIRouter(prefix="/enos-edge/v2.4/discovery")
        for name, handler in (
            ("getNetConfig", self._net_config),
            ("search", self._search),
            ("deviceResponse", self._devices),
            ("pointResponse", self._points),
            ("autoConfigV2", self._auto_config),
        ):
            self._route(name, handler)

    def _route(self, name: str, handler: Any) -> None:
        async def handle(request: Request) -> JSONResponse:
            self.world.counts["requests"] += 1
            try:
                query = await check_signed(self.world, self.tokens, request)
            except Refused as error:
                return refusal(self.world, error, status=401)
            try:
                data = handler(await json_body(request) | query)
            except Refused as error:
                return refusal(self.world, error)
            return answer(data, subMsg=None, args=None)

        self.router.add_api_route(f"/{name}", handle, methods=["GET", "POST"])

    def _ready(self, what: str) -> bool:
        self.asked[what] += 1
        return self.asked[what] > self.world.limits.discovery_polls

    def _net_config(self, body: dict[str, Any]) -> list[str]:
        if body.get("assetId") != EDGE:
            raise Refused(99404, "edge not found")
        return NETS

    def _search(self, body: dict[str, Any]) -> bool:
        if body.get("assetId") != EDGE or body.get("protocol") != "bacnet":
            raise Refused(99400, "Invalid Argument: assetId or protocol")
        kind = body.get("type")
        if kind == "device" and body.get("net") in NETS:
            self.started.add("device")
        elif kind == "point" and isinstance(body.get("otDeviceInstList"), list):
            self.started.add("point")
            self.wanted = [int(item) for item in body["otDeviceInstList"]]
        else:
            raise Refused(99400, "Invalid Argument: net, type or otDeviceInstList")
        self.asked.clear()
        return True

    def _devices(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("assetIds") != [EDGE]:
            raise Refused(99400, "Invalid Argument: assetIds")
        rows = found_devices() if "device" in self.started else []
        shown, pagination = page(rows, body, self.world.limits.page)
        number, size = pagination["pageNo"], pagination["pageSize"]
        return {
            "record": shown if self._ready(f"device page {number}") else [],
            "pageNo": number,
            "pageSize": size,
            "recordCount": len(shown),
            "totalRecordCount": len(rows),
            "pageCount": -(-len(rows) // size),
        }

    def _points(self, body: dict[str, Any]) -> Any:
        device = body.get("otDeviceInst")
        if type(device) is not int:
            raise Refused(99400, "Invalid Argument: otDeviceInst")
        ready = "point" in self.started and device in self.wanted
        rows = found_points(device) if ready and self._ready(f"points {device}") else []
        if self.asked[f"points {device}"] == self.world.limits.discovery_polls + 1:
            rows = rows[: len(rows) // 2]  # the first answer that is not empty is not yet whole
        return {"record": rows} if device % 2 else rows

    def _auto_config(self, body: dict[str, Any]) -> None:
        configs = body.get("configs")
        if not isinstance(configs, list) or not configs:
            raise Refused(99400, "Invalid Argument: configs")
