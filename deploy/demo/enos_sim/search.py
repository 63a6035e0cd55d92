"""The search language of EnOS: ``field = 'x' and field in ('a', 'b')``, a useful part of it."""

from __future__ import annotations

import re
from typing import Any

from demo.enos_sim.world import Device, Product, Refused

_CLAUSE = re.compile(
    r"\s*(?P<field>[A-Za-z0-9_.\-]+)\s*"
    r"(?:(?P<op>=|!=|like\b)\s*'(?P<value>[^']*)'|in\s*\((?P<list>[^()]*)\))\s*",
    re.IGNORECASE,
)
_AND = re.compile(r"and\b", re.IGNORECASE)
_QUOTED = re.compile(r"\s*'([^']*)'\s*\Z")


def matches(expression: str, row: dict[str, Any]) -> bool:
    """Say whether `row` meets `expression`; Refused if the expression makes no sense."""
    at, met = 0, True
    while expression.strip():
        clause = _CLAUSE.match(expression, at)
        if clause is None:
            raise Refused(99400, f"Invalid Argument: expression at {at}")
        met &= _meets(clause, _field(row, clause["field"]))
        at = clause.end()
        if at == len(expression):
            break
        joint = _AND.match(expression, at)
        if joint is None:
            raise Refused(99400, f"Invalid Argument: expression at {at}")
        at = joint.end()
    return met


def _meets(clause: re.Match[str], value: Any) -> bool:
    if clause["list"] is not None:
        found = [_QUOTED.match(item) for item in clause["list"].split(",")]
        if not all(found):
            raise Refused(99400, "Invalid Argument: list in expression")
        return str(value) in [item[1] for item in found if item]
    wanted = clause["value"]
    if clause["op"].lower() == "like":
        return wanted.strip("%") in str(value)
    return (str(value) == wanted) is (clause["op"] == "=")


def _field(row: dict[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def page(rows: list[Any], body: dict[str, Any], largest: int) -> tuple[list[Any], dict[str, Any]]:
    """Return one page of `rows` and the reply's pagination; Refused beyond the limit."""
    asked = body.get("pagination") or {}
    number, size = asked.get("pageNo", 1), asked.get("pageSize", 10)
    if type(number) is not int or type(size) is not int or number < 1 or not 1 <= size <= largest:
        raise Refused(99400, "Invalid Argument: pagination")
    start = (number - 1) * size
    shown = {"sortedBy": [], "pageNo": number, "pageSize": size, "totalSize": len(rows)}
    return rows[start : start + size], shown


def product_shown(product: Product, *, secret: bool) -> dict[str, Any]:
    """Return a product as the API shows it."""
    shown: dict[str, Any] = {
        "productKey": product.key,
        "productName": product.name,
        "productType": product.kind,
        "productTags": product.tags,
        "modelId": product.model_id,
        "dataFormat": "Json",
        "biDirectionalAuth": False,
    }
    return shown | ({"productSecret": product.secret} if secret else {})


def device_shown(device: Device, *, secret: bool) -> dict[str, Any]:
    """Return a device as the API shows it."""
    shown: dict[str, Any] = {
        "assetId": device.asset_id,
        "productKey": device.product.key,
        "productType": device.product.kind,
        "modelId": device.product.model_id,
        "deviceKey": device.key,
        "deviceName": device.name,
        "timezone": device.timezone,
        "deviceAttributes": device.body.get("deviceAttributes") or {},
        "deviceTags": device.body.get("deviceTags") or {},
        "status": "online" if device.online else "inactive",
    }
    return shown | ({"deviceSecret": device.secret} if secret else {})
