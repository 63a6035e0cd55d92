"""What EnOS answers to a device's MQTT request: checks, stores, replies. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from demo.enos_sim.security import device_sign_ok
from demo.enos_sim.world import Device, Refused, World

CHANNEL = "%channel%"
_CLIENT = re.compile(
    r"(?P<client>.{1,256})\|securemode=(?P<mode>[234]),signmethod=(?P<method>[A-Za-z0-9]+),"
    r"timestamp=(?P<at>[^|,]{1,64})\|\Z"
)
_SYS = re.compile(r"/sys/(?P<pk>[^/]+)/(?P<dk>[^/]+)/(?P<rest>thing/.+)\Z")
_EXT = re.compile(r"/ext/session/(?P<pk>[^/]+)/(?P<dk>[^/]+)/(?P<rest>combine/.+)\Z")
_INTEGRATION = re.compile(r"/sys/(?P<pk>[^/]+)/(?P<rest>integration/.+)\Z")
_EVENT = re.compile(r"thing/event/(?P<id>[^/]+)/post\Z")
_PARTIAL = 723


@dataclass
class Session:
    """A connected client: a device or gateway, or a product's integration channel (no device)."""

    product_key: str
    device: Device | None
    mode: int
    children: set[str] = field(default_factory=set)
    """Asset ids of sub-devices that are logged in."""


def login(world: World, client_id: str, username: str, password: str) -> Session | None:
    """Return the session of a client whose credentials hold, None for any other."""
    client, parts = _CLIENT.match(client_id), username.split("&")
    if client is None or len(parts) != 2:
        return None
    (device_key, product_key), mode = parts, int(client["mode"])
    product, device = world.products.get(product_key), world.by_keys(product_key, device_key)
    if product is None or (device is None) is not (mode == 4):
        return None
    if mode == 4 and (device_key != CHANNEL or client["client"] != product_key):
        return None
    secret = device.secret if device is not None and mode == 2 else product.secret
    signed = {
        "clientId": client["client"],
        "deviceKey": device_key,
        "productKey": product_key,
        "timestamp": client["at"],
    }
    if not device_sign_ok(signed, secret, client["method"], password):
        return None
    return Session(product_key, device, mode)


class Things:
    """Answers requests by topic."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.topology: dict[str, set[str]] = {}
        """Asset id of a gateway → asset ids of its sub-devices."""
        self._handlers: dict[str, tuple[str, Callable[[Session, dict[str, Any]], Any]]] = {
            "thing/measurepoint/post": ("thing.measurepoint.post", self._post),
            "thing/measurepoint/resume": ("thing.measurepoint.resume", self._resume),
            "thing/measurepoint/post/batch": ("thing.measurepoint.post.batch", self._post_batch),
            "thing/measurepoint/resume/batch": (
                "thing.measurepoint.resume.batch",
                self._resume_batch,
            ),
            "thing/attribute/update": ("thing.attribute.update", self._nothing),
            "thing/tsltemplate/get": ("thing.tsltemplate.get", self._model),
            "thing/device/register": ("thing.device.register", self._register),
            "thing/topo/add": ("thing.topo.add", self._topo_add),
            "thing/topo/get": ("thing.topo.get", self._topo_get),
            "combine/login": ("combine.login", self._login),
            "combine/login/batch": ("combine.login.batch", self._login_batch),
            "combine/logout": ("combine.logout", self._logout),
            "integration/measurepoint/post": ("integration.measurepoint.post", self._integrate),
        }

    def answer(self, session: Session, topic: str, payload: bytes) -> bytes | None:
        """Return the reply for ``<topic>_reply``; None for topics nobody answers."""
        if topic.endswith("_reply"):
            return None
        message_id: Any = ""
        try:
            message = _parsed(payload, self.world.limits.message)
            message_id = message.get("id", "")
            data = self._handle(session, topic, message)
        except Refused as error:
            self.world.counts["refused"] += 1
            return _reply(message_id, error.code, str(error), "")
        code, data = data if isinstance(data, tuple) else (200, data)
        return _reply(message_id, code, "success" if code == 200 else "partial", data)

    def _handle(self, session: Session, topic: str, message: dict[str, Any]) -> Any:
        rest = self._own_topic(session, topic)
        event = _EVENT.match(rest)
        if event is not None:
            # One of the vendor's clients writes thing.event.%s.post<id>; EnOS takes it.
            right = (f"thing.event.{event['id']}.post", f"thing.event.%s.post{event['id']}")
            if message.get("method") not in right:
                raise Refused(1260, "method does not fit the topic")
            return self._nothing(session, message)
        if rest not in self._handlers:
            raise Refused(1009, "no such topic")
        method, handler = self._handlers[rest]
        if message.get("method") != method:
            raise Refused(1260, "method does not fit the topic")
        if "params" not in message:
            raise Refused(1251, "params is missing")
        return handler(session, message)

    @staticmethod
    def _own_topic(session: Session, topic: str) -> str:
        """Return what follows the client's own prefix; a client has no other topics."""
        found = _INTEGRATION.match(topic) if session.device is None else None
        if found is not None and found["pk"] == session.product_key:
            return found["rest"]
        found = _SYS.match(topic) or _EXT.match(topic)
        device = session.device
        own = found is not None and device is not None
        if not own or (found["pk"], found["dk"]) != (device.product.key, device.key):  # type: ignore[index,union-attr] # `own` says both are there
            raise Refused(1009, "no permission for the topic")
        return str(found["rest"])  # type: ignore[index] # as above

    # ------------------------------------------------------------ points

    def _post(self, session: Session, message: dict[str, Any], *, realtime: bool = True) -> str:
        params, device = message["params"], _device(session)
        if not isinstance(params, dict):
            raise Refused(1206, "params is no object")
        points = self.world.check(device, params.get("measurepoints"), params.get("time"))
        self._store(device, points, params["time"], realtime=realtime)
        return ""

    def _resume(self, session: Session, message: dict[str, Any]) -> str:
        return self._post(session, message, realtime=False)

    def _post_batch(self, session: Session, message: dict[str, Any]) -> Any:
        return self._batch(session, message, realtime=True)

    def _resume_batch(self, session: Session, message: dict[str, Any]) -> Any:
        return self._batch(session, message, realtime=False)

    def _batch(self, session: Session, message: dict[str, Any], *, realtime: bool) -> Any:
        skip = message.get("skipInvalidMeasurepoints") is True
        offline = message.get("allowOfflineSubDevice") is True
        checked, partial = [], False
        for item in _objects(message["params"]):
            device = self.world.find(item)
            if not offline and device is not session.device:
                _logged_in(session, device)
            points = item.get("measurepoints")
            if skip and isinstance(points, dict):
                valid = {k: v for k, v in points.items() if self._valid(device, k, v)}
                partial |= len(valid) < len(points)
                points = valid
            if points or not skip:
                checked.append((device, self.world.check(device, points, item.get("time")), item))
        for device, values, item in checked:
            self._store(device, values, item["time"], realtime=realtime)
        return (_PARTIAL, "") if partial else ""

    def _valid(self, device: Device, name: str, value: Any) -> bool:
        try:
            self.world.check(device, {name: value}, 1)
        except Refused:
            return False
        return True

    def _integrate(self, session: Session, message: dict[str, Any]) -> str:
        checked = []
        for item in _objects(message["params"]):
            device = self.world.find(item | {"productKey": session.product_key})
            points = self.world.check(device, item.get("measurepoints"), item.get("time"))
            checked.append((device, points, item["time"]))
        for device, values, time_ms in checked:
            self._store(device, values, time_ms, realtime=False)
        return ""

    def _store(self, device: Device, points: Any, time_ms: int, *, realtime: bool) -> None:
        self.world.counts["mqtt_posts"] += 1
        self.world.store(device, points, time_ms, realtime=realtime)

    # ------------------------------------------------------------ the rest

    def _nothing(self, _session: Session, _message: dict[str, Any]) -> str:
        return ""

    def _model(self, session: Session, _message: dict[str, Any]) -> dict[str, Any]:
        return self.world.model(_device(session).product.model_id)

    def _register(self, _session: Session, message: dict[str, Any]) -> list[dict[str, str]]:
        created = [self.world.add_device(item) for item in _objects(message["params"])]
        return [
            {
                "assetId": device.asset_id,
                "productKey": device.product.key,
                "deviceKey": device.key,
                "deviceSecret": device.secret,
            }
            for device in created
        ]

    def _topo_add(self, session: Session, message: dict[str, Any]) -> str:
        children = [self._child(item) for item in _objects(message["params"])]
        mine = self.topology.setdefault(_device(session).asset_id, set())
        mine |= {child.asset_id for child in children}
        return ""

    def _topo_get(self, session: Session, _message: dict[str, Any]) -> list[dict[str, str]]:
        mine = sorted(self.topology.get(_device(session).asset_id, set()))
        devices = [self.world.devices[asset_id] for asset_id in mine]
        return [{"productKey": device.product.key, "deviceKey": device.key} for device in devices]

    def _child(self, item: dict[str, Any]) -> Device:
        """Return the sub-device whose own signature stands in `item`."""
        device = self.world.find({k: item.get(k) for k in ("productKey", "deviceKey")})
        names = ("clientId", "deviceKey", "productKey", "timestamp")
        signed = {name: str(item.get(name, "")) for name in names}
        secret = device.product.secret if str(item.get("secureMode")) == "3" else device.secret
        if not device_sign_ok(signed, secret, str(item.get("signMethod")), str(item.get("sign"))):
            raise Refused(742, "sign is wrong")
        return device

    def _login(self, session: Session, message: dict[str, Any]) -> dict[str, str]:
        params = message["params"]
        child = self._child(params if isinstance(params, dict) else {})
        if child.asset_id not in self.topology.get(_device(session).asset_id, set()):
            raise Refused(1212, "sub-device is not in the topology")
        session.children.add(child.asset_id)
        child.online = True
        ids = {"assetId": child.asset_id, "productKey": child.product.key, "deviceKey": child.key}
        return ids | {"deviceSecret": child.secret}

    def _login_batch(self, session: Session, message: dict[str, Any]) -> Any:
        params = message["params"]
        shared = {name: params.get(name) for name in ("clientId", "timestamp", "signMethod")}
        done, failed = [], []
        for item in _objects(params.get("subDevices")):
            try:
                done.append(self._login(session, {"params": shared | item}))
            except Refused:
                failed.append({k: str(item.get(k)) for k in ("productKey", "deviceKey")})
        data = {"loginedSubDevices": done, "failedSubDevices": failed}
        return (_PARTIAL, data) if failed else data

    def _logout(self, session: Session, message: dict[str, Any]) -> str:
        params = message["params"]
        device = self.world.find(params if isinstance(params, dict) else {})
        _logged_in(session, device)
        session.children.discard(device.asset_id)
        device.online = False
        return ""


def activation(device: Device) -> bytes:
    """Return the message that tells a device its secret after its first connect."""
    params = {
        "assetId": device.asset_id,
        "productKey": device.product.key,
        "deviceKey": device.key,
        "deviceSecret": device.secret,
    }
    body = {"id": "1", "version": "1.0", "method": "thing.activate.info", "params": params}
    return json.dumps(body).encode()


def _device(session: Session) -> Device:
    if session.device is None:
        raise Refused(1009, "an integration channel is no device")
    return session.device


def _logged_in(session: Session, device: Device) -> None:
    if device.asset_id not in session.children:
        raise Refused(1212, "sub-device is not allowed or offline")


def _objects(params: Any) -> list[dict[str, Any]]:
    if not isinstance(params, list) or not params:
        raise Refused(1251, "params is empty")
    if not all(isinstance(item, dict) for item in params):
        raise Refused(1206, "params holds something else than objects")
    return params


def _parsed(payload: bytes, limit: int) -> dict[str, Any]:
    if len(payload) > limit:
        raise Refused(1008, "payload is too large")
    try:
        message = json.loads(payload)
    except ValueError as error:
        raise Refused(1220, "payload is no JSON") from error
    if not isinstance(message, dict):
        raise Refused(1220, "payload is no JSON object")
    return message


def _reply(message_id: Any, code: int, text: str, data: Any) -> bytes:
    body = {"id": str(message_id), "code": code, "message": text, "data": data}
    return json.dumps(body).encode()
