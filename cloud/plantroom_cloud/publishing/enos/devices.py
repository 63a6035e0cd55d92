"""Products and devices of EnOS: look up, create what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plantroom_cloud.publishing.enos.errors import KEY_EXISTS, Denied, code_of
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.messages import chunks
from plantroom_shared.errors import Rejected, Unavailable

_PRODUCTS = "/connect-service/v2.1/products"
_DEVICES = "/connect-service/v2.1/devices"
_BATCH = ("/connect-service/v2.4/devices", "/connect-service/v2.1/devices")
"""Newest first; an older EnOS does not know the first."""
_PAGE = 200
_MAX_PAGES = 60
"""10,000 devices per product are 50; an answer that never ends is no answer."""
_TAG = "plantroom"
BATCH = 100
"""Devices per batchCreate."""


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device to create."""

    product_key: str
    device_key: str
    name: str
    timezone: str
    """``+08:00`` or IANA."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one device of a batch was not created; `code` is EnOS's."""

    code: str
    text: str


def i18n(text: str) -> dict[str, Any]:
    """Return `text` as EnOS wants names."""
    return {"defaultValue": text, "i18nValue": {"en_US": text}}


async def find_product(gateway: Gateway, model_id: str) -> str | None:
    """Return the key of our product for `model_id`, or of one that serves; None without any."""
    found = await _products(gateway, model_id)
    ours = [product for product in found if _tags(product).get(_TAG) == model_id]
    usable = [product for product in found if product.get("productType", "Device") == "Device"]
    return next((str(product["productKey"]) for product in (*ours, *usable)), None)


async def product_for(gateway: Gateway, model_id: str) -> str:
    """Return the key of the product whose devices follow `model_id`, made if it is missing.

    Ours carries a tag. Where the app may not create products, one that somebody has made for this
    model by hand serves too.

    Raises:
        Unavailable: later.
        Rejected: EnOS has no such thing model, or will not have a product for it.
    """
    found = await _products(gateway, model_id)
    for product in found:
        if _tags(product).get(_TAG) == model_id:
            return str(product["productKey"])
    body = {
        "productName": i18n(f"Plantroom {model_id}"),
        "modelId": model_id,
        "dataFormat": "Json",
        "productType": "Device",
        "biDirectionalAuth": False,
        "productTags": {_TAG: model_id},
    }
    try:
        reply = await gateway.call("POST", _PRODUCTS, {"action": "create"}, body)
    except (Denied, Rejected) as error:
        usable = [p for p in found if p.get("productType", "Device") == "Device"]
        if usable:
            return str(usable[0]["productKey"])
        raise Rejected(str(error), reason="no_product") from error
    key = reply.get("data")
    if isinstance(key, str) and key:
        return key
    msg = f"EnOS created a product for {model_id} and did not name its key"
    raise Unavailable(msg)


async def _products(gateway: Gateway, model_id: str) -> list[dict[str, Any]]:
    rows = await _search(gateway, _PRODUCTS, f"modelId = '{quoted(model_id)}'")
    return [row for row in rows if row.get("modelId") == model_id and row.get("productKey")]


def _tags(product: Mapping[str, Any]) -> Mapping[str, Any]:
    tags = product.get("productTags")
    return tags if isinstance(tags, dict) else {}


async def create_devices(
    gateway: Gateway, devices: Sequence[NewDevice]
) -> dict[NewDevice, str | Refusal]:
    """Return for each device its asset id, created or found, or why EnOS will not have it.

    Raises:
        Unavailable: later; asking again finds what was created meanwhile.
    """
    done: dict[NewDevice, str | Refusal] = {}
    for batch in chunks(devices, BATCH):
        done |= await _create_batch(gateway, batch)
    return done


async def _create_batch(
    gateway: Gateway, batch: Sequence[NewDevice]
) -> dict[NewDevice, str | Refusal]:
    body = {
        "deviceList": [
            {
                "productKey": device.product_key,
                "deviceKey": device.device_key,
                "deviceName": i18n(device.name),
                "timezone": device.timezone,
            }
            for device in batch
        ],
        "requireSecret": False,  # publishing over the integration channel needs none
    }
    results = await _batch_create(gateway, body)
    if len(results) != len(batch):
        msg = f"EnOS answered {len(results)} results to a batch of {len(batch)} devices"
        raise Unavailable(msg)
    done: dict[NewDevice, str | Refusal] = {}
    existing: list[NewDevice] = []
    for device, result in zip(batch, results, strict=True):
        match result:
            case {"data": {"assetId": str(asset_id)}} if code_of(result) in ("0", "200"):
                done[device] = asset_id
            case dict() if code_of(result) == KEY_EXISTS:
                existing.append(device)
            case dict():
                done[device] = Refusal(code_of(result), str(result.get("msg", ""))[:200])
            case _:
                done[device] = Refusal("", "no result")
    return done | await _find_existing(gateway, existing)


async def _batch_create(gateway: Gateway, body: dict[str, Any]) -> list[Any]:
    for path in _BATCH:
        try:
            reply = await gateway.call("POST", path, {"action": "batchCreate"}, body)
        except Rejected as error:
            if error.reason != "99404" or path == _BATCH[-1]:
                raise
            continue
        data = reply.get("data")
        return data if isinstance(data, list) else []
    return []  # pragma: no cover - the last path returns or raises


async def _find_existing(
    gateway: Gateway, devices: Sequence[NewDevice]
) -> dict[NewDevice, str | Refusal]:
    done: dict[NewDevice, str | Refusal] = {}
    for product_key in sorted({device.product_key for device in devices}):
        mine = [device for device in devices if device.product_key == product_key]
        assets = await find_devices(gateway, product_key, [d.device_key for d in mine])
        for device in mine:
            asset_id = assets.get(device.device_key, "")
            done[device] = asset_id or Refusal(KEY_EXISTS, "the key exists, yet is not found")
    return done


async def find_devices(
    gateway: Gateway, product_key: str, device_keys: Sequence[str]
) -> dict[str, str]:
    """Return device key → asset id of those of `device_keys` that EnOS has in the product."""
    rows = await device_rows(gateway, product_key, device_keys)
    return {str(row["deviceKey"]): str(row["assetId"]) for row in rows}


async def device_rows(
    gateway: Gateway, product_key: str, device_keys: Sequence[str]
) -> list[dict[str, Any]]:
    """Return those of `device_keys` that EnOS has in the product, as it shows them."""
    found: list[dict[str, Any]] = []
    for keys in chunks(device_keys, _PAGE):
        wanted = ",".join(f"'{quoted(key)}'" for key in keys)
        expression = f"productKey = '{quoted(product_key)}' and deviceKey in ({wanted})"
        found += [
            row
            for row in await _search(gateway, _DEVICES, expression)
            if isinstance(row.get("deviceKey"), str) and isinstance(row.get("assetId"), str)
        ]
    return found


async def update_device(gateway: Gateway, asset_id: str, *, name: str, timezone: str) -> None:
    """Write the name and the time zone of a device; what else it has stays."""
    query = {"action": "update", "assetId": asset_id, "isPatchUpdate": "true"}
    body = {"deviceName": i18n(name), "timezone": timezone}
    await gateway.call("POST", _DEVICES, query, body)


async def _search(gateway: Gateway, path: str, expression: str) -> list[dict[str, Any]]:
    """Return every row of a search, page by page."""
    rows: list[dict[str, Any]] = []
    for page in range(1, _MAX_PAGES + 1):
        body = {"expression": expression, "pagination": {"pageNo": page, "pageSize": _PAGE}}
        reply = await gateway.call("POST", path, {"action": "search"}, body)
        data = reply.get("data")
        found = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
        rows += found
        if len(found) < _PAGE:
            break
    return rows


def quoted(text: str) -> str:
    """Keep a key from ending the text it stands in; keys hold no quotes, names from outside may."""
    return text.replace("\\", "").replace("'", "")
