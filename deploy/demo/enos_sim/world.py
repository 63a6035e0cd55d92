"""What the simulated EnOS knows: keys, products, devices, values. No I/O."""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from plantroom_cloud.publishing.enos.models import thing_models

DEVICE_KEY = re.compile(r"[A-Za-z0-9\-_.:]{4,64}\Z")
TIMEZONE = re.compile(r"([+-][01][0-9]:[0-5][0-9]|[A-Za-z_]+(/[A-Za-z0-9_+-]+)+)\Z")
INT_LIMIT = 2**31


class Refused(Exception):
    """EnOS says no: `code` and text of the reply."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


@dataclass
class Limits:
    """What can be turned smaller for tests."""

    token_life: float = 7200.0
    """Seconds."""
    skew: float = 600.0
    """Seconds a request's timestamp may be off."""
    message: int = 512 * 1024
    """Bytes of one ``enos-message`` or MQTT payload."""
    devices_per_product: int = 10_000
    batch: int = 1000
    page: int = 200
    discovery_polls: int = 1
    """Empty answers before a discovery result is there."""


@dataclass
class Product:
    """A product and its secret."""

    key: str
    secret: str
    model_id: str
    name: dict[str, Any]
    tags: dict[str, str]
    kind: str = "Device"


@dataclass
class Device:
    """A device and its secret."""

    asset_id: str
    product: Product
    key: str
    secret: str
    name: dict[str, Any]
    timezone: str
    body: dict[str, Any] = field(default_factory=dict)
    online: bool = False


@dataclass
class Policy:
    """A storage policy: what the time-series database keeps."""

    models: dict[str, set[str]] = field(default_factory=dict)
    retention: str = "6M"


@dataclass
class World:
    """The whole state of one simulated EnOS."""

    app_key: str
    app_secret: str
    org_id: str = "o15000000000001"
    limits: Limits = field(default_factory=Limits)
    products: dict[str, Product] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    """Asset id → device."""
    values: dict[tuple[str, str, int], Any] = field(default_factory=dict)
    """(asset id, point, ms) → value: EnOS holds one value of each."""
    latest: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    repeated: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """(asset id, point, ms) → how often it came after the first time."""
    counts: Counter[str] = field(default_factory=Counter)
    versions: tuple[str, ...] = ("v2.0", "v2.1", "v2.4")
    """Of the device API; an older EnOS lacks the last."""
    hidden_models: set[str] = field(default_factory=set)
    """Models that this organisation does not have."""
    hidden_points: set[tuple[str, str]] = field(default_factory=set)
    """(model, point) that the models of this organisation lack."""
    policies: dict[str, Policy] = field(default_factory=dict)
    """Id → storage policy. Where there is none at all, everything is kept."""
    trees: dict[str, Any] = field(default_factory=dict)
    """Id → asset tree, a `trees.Tree`."""
    _serial: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    # ------------------------------------------------------------ models

    def model(self, model_id: str) -> dict[str, Any]:
        """Return a thing model as ``thing-models?action=get`` shows it."""
        points = thing_models().get(model_id)
        if points is None or model_id in self.hidden_models:
            raise Refused(11699, f"model {model_id} not found")
        shown = {
            name: {
                "identifier": name,
                "name": {"defaultValue": name, "i18nValue": {}},
                "dataType": point.data_type,
                "dataDefinition": None,
                "signalType": point.signal_type,
                "hasQuality": point.data_type in ("INT", "FLOAT", "DOUBLE"),
                "unit": {"unitId": point.unit, "multiplier": "ONE"} if point.unit else None,
            }
            for name, point in points.items()
            if (model_id, name) not in self.hidden_points
        }
        return {
            "modelId": model_id,
            "modelIdPath": f"/{model_id}",
            "orgId": self.org_id,
            "name": {"defaultValue": model_id, "i18nValue": {}},
            "attributes": {},
            "measurepoints": shown,
            "services": {},
            "events": {},
            "tags": {},
        }

    def model_ids(self) -> list[str]:
        """Return the models this organisation has."""
        return sorted(set(thing_models()) - self.hidden_models)

    def keeps(self, model_id: str, point: str) -> bool:
        """Say whether the time-series database keeps a point's values."""
        kept = (policy.models.get(model_id, ()) for policy in self.policies.values())
        return not self.policies or any(point in points for points in kept)

    def next_serial(self) -> int:
        """Return a number that nothing has yet."""
        return next(self._serial)

    # ------------------------------------------------------------ products, devices

    def add_product(self, body: dict[str, Any]) -> Product:
        """Create a product from the body of ``products?action=create``."""
        for name in ("productName", "modelId", "dataFormat", "productType", "biDirectionalAuth"):
            if name not in body:
                raise Refused(99400, f"Invalid Argument: {name} is missing")
        check_name(body["productName"])
        if body["dataFormat"] not in ("Custom", "Json"):
            raise Refused(99400, "Invalid Argument: dataFormat")
        if body["productType"] not in ("Device", "Gateway"):
            raise Refused(99400, "Invalid Argument: productType")
        if type(body["biDirectionalAuth"]) is not bool:
            raise Refused(99400, "Invalid Argument: biDirectionalAuth")
        self.model(str(body["modelId"]))
        key = f"pk{next(self._serial):06d}"
        product = Product(
            key,
            secrets.token_hex(8),
            str(body["modelId"]),
            body["productName"],
            dict(body.get("productTags") or {}),
            body["productType"],
        )
        self.products[key] = product
        return product

    def add_device(self, body: Any) -> Device:
        """Create a device from one element of ``deviceList``."""
        if not isinstance(body, dict):
            raise Refused(99400, "Invalid Argument: device")
        product = self.products.get(str(body.get("productKey")))
        if product is None:
            raise Refused(11611, "product not found")
        check_name(body.get("deviceName"))
        if not TIMEZONE.match(str(body.get("timezone", ""))):
            raise Refused(99400, "Invalid Argument: timezone")
        serial = next(self._serial)
        key = body.get("deviceKey") or f"auto-{serial:08d}"
        if not isinstance(key, str) or not DEVICE_KEY.match(key):
            raise Refused(99400, "Invalid Argument: deviceKey")
        mine = [device for device in self.devices.values() if device.product is product]
        if any(device.key == key for device in mine):
            raise Refused(11702, "device key already exists")
        if len(mine) >= self.limits.devices_per_product:
            raise Refused(11739, "too many devices in the product")
        asset_id = hashlib.sha256(f"{product.key}/{key}/{serial}".encode()).hexdigest()[:8]
        asset_id = f"A{asset_id}"
        device = Device(
            asset_id, product, key, secrets.token_hex(8), body["deviceName"], body["timezone"], body
        )
        self.devices[asset_id] = device
        return device

    def find(self, ids: dict[str, Any]) -> Device:
        """Return the device that ``assetId`` or ``productKey`` and ``deviceKey`` name."""
        asset_id = ids.get("assetId")
        if isinstance(asset_id, str):
            device = self.devices.get(asset_id)
        else:
            device = self.by_keys(ids.get("productKey"), ids.get("deviceKey"))
        if device is None:
            raise Refused(1257, "device not found")
        return device

    def by_keys(self, product_key: object, device_key: object) -> Device | None:
        """Return the device of a product by its key."""
        for device in self.devices.values():
            if device.product.key == product_key and device.key == device_key:
                return device
        return None

    # ------------------------------------------------------------ values

    def check(self, device: Device, points: Any, time_ms: Any) -> dict[str, Any]:
        """Return the plain values of one params item; Refused if EnOS would refuse the message."""
        if type(time_ms) is not int or not 0 < time_ms < 10**14:
            raise Refused(1206, "time is no millisecond timestamp")
        if not isinstance(points, dict) or not points:
            raise Refused(1251, "measurepoints is empty")
        model = thing_models()[device.product.model_id]
        checked: dict[str, Any] = {}
        for name, raw in points.items():
            point = model.get(name)
            hidden = (device.product.model_id, name) in self.hidden_points
            if point is None or hidden:
                raise Refused(1204, f"model validation failed: {name} is not defined")
            value, graded = _value_of(raw)
            if graded and point.data_type not in ("INT", "FLOAT", "DOUBLE"):
                raise Refused(1204, f"model validation failed: {name} has no quality")
            if not _fits(value, point.data_type):
                raise Refused(1204, f"model validation failed: {name} is no {point.data_type}")
            checked[name] = value
        return checked

    def store(
        self, device: Device, points: dict[str, Any], time_ms: int, *, realtime: bool
    ) -> None:
        """Keep checked values; only the online path moves "latest"."""
        for name, value in points.items():
            self.counts["values"] += 1
            key = (device.asset_id, name)
            if (*key, time_ms) in self.values:
                self.repeated[*key, time_ms] += 1
            self.values[(*key, time_ms)] = value
            if realtime and time_ms >= self.latest.get(key, (0, None))[0]:
                self.latest[key] = (time_ms, value)


def check_name(name: Any) -> None:
    """Refuse what is no StringI18n."""
    if not isinstance(name, dict) or not isinstance(name.get("defaultValue"), str):
        raise Refused(99400, "Invalid Argument: a name needs defaultValue")
    if not isinstance(name.get("i18nValue", {}), dict):
        raise Refused(99400, "Invalid Argument: i18nValue")


def _value_of(raw: Any) -> tuple[Any, bool]:
    if isinstance(raw, dict) and "value" in raw:
        quality = raw.get("quality")
        if type(quality) is not int or not 0 <= quality <= 9:
            raise Refused(1204, "model validation failed: quality")
        return raw["value"], True
    return raw, False


def _fits(value: Any, data_type: str) -> bool:
    if data_type == "INT":
        return type(value) is int and -INT_LIMIT <= value < INT_LIMIT
    if data_type in ("FLOAT", "DOUBLE"):
        return type(value) in (int, float)
    if data_type == "BOOL":
        return type(value) is bool
    if data_type == "ENUM":
        return type(value) in (int, str)
    return isinstance(value, str) and len(value) <= 1024
