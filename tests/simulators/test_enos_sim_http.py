"""The simulated EnOS is strict: a wrong client fails against it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from demo.enos_sim import discovery
from demo.enos_sim.app import Simulator
from plantroom_cloud.publishing.enos import signing
from support.enos_site import AHU, TEMPERATURE, world

DEVICES = "/connect-service/v2.1/devices"
PRODUCTS = "/connect-service/v2.1/products"
TOKEN = "/apim-token-service/v2.0/token"
PUBLISH = "/connect-service/v2.1/integration"


@dataclass
class Client:
    """A hand-made client: what it sends can be bent."""

    simulator: Simulator
    http: httpx.AsyncClient
    token: str = ""
    last_ms: int = 0
    seen: list[int] = field(default_factory=list)

    def tick(self) -> int:
        self.last_ms = max(time.time_ns() // 1_000_000, self.last_ms + 1)
        return self.last_ms

    async def ask_token(self, action: str = "get", **change: Any) -> dict[str, Any]:
        world, at = self.simulator.world, self.tick()
        body = {
            "appKey": world.app_key,
            "encryption": signing.token_encryption(world.app_key, at, world.app_secret),
            "timestamp": at,
        }
        reply = await self.http.post(f"{TOKEN}/{action}", json=body | change)
        answer: dict[str, Any] = reply.json()
        return answer

    async def login(self) -> None:
        self.token = (await self.ask_token())["data"]["accessToken"]

    async def signed(self, path: str, query: dict[str, str], body: Any = None) -> httpx.Request:
        world, at = self.simulator.world, self.tick()
        params = {"orgId": world.org_id, **query}
        content = b"" if body is None else json.dumps(body).encode()
        headers = {
            "apim-accesstoken": self.token,
            "apim-timestamp": str(at),
            "apim-signature": signing.request_signature(
                self.token, params, content, at, world.app_secret
            ),
        }
        return self.http.build_request(
            "POST", path, params=params, headers=headers, content=content
        )

    async def call(self, path: str, action: str, body: Any = None, **query: str) -> Any:
        request = await self.signed(path, {"action": action, **query}, body)
        return (await self.http.send(request)).json()

    async def device(self, key: str = "ahu-01") -> str:
        """Create a product and a device; return its asset id."""
        product = await self.call(PRODUCTS, "create", product_body())
        body = device_body(product["data"], key)
        return str((await self.call(DEVICES, "create", body))["data"]["assetId"])

    async def publish(self, message: Any, parts: int = 1, **query: str) -> Any:
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        params = {"action": "postMeasurepoint", "orgId": self.simulator.world.org_id} | query
        files = [("enos-message", (None, raw, "application/json"))] * parts
        headers = {"apim-accesstoken": self.token}
        reply = await self.http.post(PUBLISH, params=params, files=files, headers=headers)
        return reply.json()


def product_body(**more: Any) -> dict[str, Any]:
    return {
        "productName": {"defaultValue": "AHU", "i18nValue": {}},
        "modelId": AHU,
        "dataFormat": "Json",
        "productType": "Device",
        "biDirectionalAuth": False,
    } | more


def device_body(product_key: str, key: str, **more: Any) -> dict[str, Any]:
    return {
        "productKey": product_key,
        "deviceKey": key,
        "deviceName": {"defaultValue": key, "i18nValue": {}},
        "timezone": "+08:00",
    } | more


def message_of(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "version": "1.1",
        "method": "integration.measurepoint.post",
        "params": list(items),
        "files": {},
    } | more


def item_of(asset_id: str, **points: Any) -> dict[str, Any]:
    return {"assetId": asset_id, "time": 1_767_225_600_000, "measurepoints": points}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client that is logged in, without sockets between."""
    simulator = Simulator(world(discovery_polls=1, devices_per_product=3, message=4096, batch=5))
    transport = httpx.ASGITransport(app=simulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://enos") as http:
        made = Client(simulator, http)
        await made.login()
        yield made


# ------------------------------------------------------------ tokens


async def test_the_same_token_as_long_as_it_lives(client: Client) -> None:
    """While the token is valid, get hands out the same one; success stands in `status`."""
    reply = await client.ask_token()
    assert reply["status"] == 0
    assert reply["data"]["accessToken"] == client.token
    client.simulator.tokens.expire()
    assert (await client.ask_token())["data"]["accessToken"] != client.token


async def test_text_timestamps_are_taken(client: Client) -> None:
    """One vendor client sends the timestamp as text."""
    at = client.tick()
    proof = signing.token_encryption("0d0ea2bc-15de", at, "f3b3c2d1-7a6e")
    reply = await client.ask_token(timestamp=str(at), encryption=proof)
    assert reply["status"] == 0


async def test_token_errors(client: Client) -> None:
    """Every refusal has the code that the documents give it."""
    at = client.tick()
    key, secret = client.simulator.world.app_key, client.simulator.world.app_secret
    proof = signing.token_encryption(key, at, secret)
    used: dict[str, Any] = {"timestamp": at, "encryption": proof}
    assert (await client.ask_token(**used))["status"] == 0
    assert (await client.ask_token(**used))["status"] == 1001
    assert (await client.ask_token(appKey="other"))["status"] == 1002
    assert (await client.ask_token(encryption="0" * 64))["status"] == 1003
    assert (await client.ask_token(timestamp="soon"))["status"] == 1004
    assert (await client.ask_token(appKey=""))["status"] == 1202
    late = client.tick() - 3_600_000
    old = signing.token_encryption(key, late, secret)
    assert (await client.ask_token(timestamp=late, encryption=old))["status"] == 1004
    assert (await client.ask_token("refresh"))["status"] == 1202
    assert (await client.ask_token("refresh", accessToken="other"))["status"] == 1204
    fresh = await client.ask_token("refresh", accessToken=client.token)
    assert fresh["data"]["accessToken"] != client.token
    client.simulator.tokens.expire()
    now = fresh["data"]["accessToken"]
    assert (await client.ask_token("refresh", accessToken=now))["status"] == 1203


# ------------------------------------------------------------ signatures


async def test_a_right_request_passes(client: Client) -> None:
    """The request that the tests below bend is a right one."""
    request = await client.signed(PRODUCTS, {"action": "search"}, {"expression": ""})
    assert (await client.http.send(request)).json()["code"] == 0


@pytest.mark.parametrize("what", ["body", "query", "timestamp", "signature", "token"])
async def test_one_changed_byte_is_refused(client: Client, what: str) -> None:
    """A signature holds for these bytes and no others."""
    request = await client.signed(PRODUCTS, {"action": "search"}, {"expression": ""})
    headers = dict(request.headers)
    url, content = request.url, request.content
    if what == "body":
        content = content.replace(b": ", b":  ", 1)
        headers["content-length"] = str(len(content))
    elif what == "query":
        url = url.copy_set_param("action", "Search")
    else:
        name = {"token": "apim-accesstoken"}.get(what, f"apim-{what}")
        last = headers[name][-1]
        headers[name] = headers[name][:-1] + ("1" if last != "1" else "2")
    reply = await client.http.request("POST", url, headers=headers, content=content)
    assert reply.status_code == 401
    assert reply.json()["code"] != 0


async def test_requests_out_of_time_are_refused(client: Client) -> None:
    """A timestamp more than ten minutes off is refused, signature or not."""
    client.last_ms = time.time_ns() // 1_000_000 + 3_600_000
    request = await client.signed(PRODUCTS, {"action": "search"}, {})
    assert (await client.http.send(request)).status_code == 401


async def test_an_expired_token_is_refused(client: Client) -> None:
    """A token that has ended says so, on the gateway and on the channel."""
    client.simulator.tokens.expire()
    assert (await client.call(PRODUCTS, "search", {}))["code"] == 1203
    assert (await client.publish(message_of()))["code"] == 1203


async def test_another_organisation_is_refused(client: Client) -> None:
    """An app has rights in its own organisation."""
    request = await client.signed(PRODUCTS, {"action": "search", "orgId": "o99"}, {})
    assert (await client.http.send(request)).json()["code"] == 99403


# ------------------------------------------------------------ products, devices


async def test_products(client: Client) -> None:
    """A product needs a model that exists, and is found by it."""
    assert (await client.call(PRODUCTS, "create", product_body(modelId="No")))["code"] == 11699
    assert (await client.call(PRODUCTS, "create", {"modelId": AHU}))["code"] == 99400
    for field_name, wrong in (
        ("productName", "AHU"),
        ("dataFormat", "XML"),
        ("productType", "Thing"),
        ("biDirectionalAuth", "no"),
    ):
        body = product_body(**{field_name: wrong})
        assert (await client.call(PRODUCTS, "create", body))["code"] == 99400
    key = (await client.call(PRODUCTS, "create", product_body()))["data"]
    found = await client.call(PRODUCTS, "search", {"expression": f"modelId = '{AHU}'"})
    assert [row["productKey"] for row in found["data"]] == [key]
    got = await client.call(PRODUCTS, "get", productKey=key)
    assert got["data"]["modelId"] == AHU
    assert (await client.call(PRODUCTS, "get", productKey="none"))["code"] == 11611
    assert (await client.call(PRODUCTS, "melt"))["code"] == 99400


async def test_batch_create_answers_for_each_device(client: Client) -> None:
    """One bad device of a batch costs no other."""
    product = (await client.call(PRODUCTS, "create", product_body()))["data"]
    devices = [
        device_body(product, "ahu-01"),
        device_body(product, "ahu-01"),
        device_body(product, "no"),
        device_body("none", "ahu-02"),
        device_body(product, "ahu-03", timezone="here"),
    ]
    reply = await client.call(DEVICES, "batchCreate", {"deviceList": devices})
    assert [item["code"] for item in reply["data"]] == [0, 11702, 99400, 11611, 99400]
    assert (reply["successSize"], reply["totalSize"]) == (1, 5)
    reply = await client.call(DEVICES, "batchCreate", {"deviceList": devices * 2})
    assert reply["code"] == 11858
    keys = [device_body(product, f"vav-{n}") for n in range(3)]
    reply = await client.call(DEVICES, "batchCreate", {"deviceList": [*keys, "x"]})
    assert [item["code"] for item in reply["data"]] == [0, 0, 11739, 99400]


async def test_v24_hides_secrets(client: Client) -> None:
    """The newest device API does not show what the older one shows."""
    product = (await client.call(PRODUCTS, "create", product_body()))["data"]
    new = device_body(product, "ahu-01")
    path = "/connect-service/v2.4/devices"
    reply = await client.call(path, "batchCreate", {"deviceList": [new]})
    assert "deviceSecret" not in reply["data"][0]["data"]
    reply = await client.call(DEVICES, "create", device_body(product, "ahu-02"))
    assert reply["data"]["deviceSecret"]


async def test_devices_are_found_changed_and_deleted(client: Client) -> None:
    """Search, get, update and delete see the same device."""
    asset_id = await client.device()
    search = {"expression": "deviceKey in ('ahu-01', 'x') and deviceName.defaultValue like '%ahu%'"}
    found = await client.call(DEVICES, "search", search)
    assert [row["assetId"] for row in found["data"]] == [asset_id]
    assert found["pagination"]["totalSize"] == 1
    name = {"defaultValue": "Roof", "i18nValue": {}}
    await client.call(DEVICES, "update", {"deviceName": name}, assetId=asset_id)
    got = await client.call(DEVICES, "get", assetId=asset_id)
    assert got["data"]["deviceName"] == name
    await client.call(DEVICES, "delete", assetId=asset_id)
    assert (await client.call(DEVICES, "get", assetId=asset_id))["code"] == 99404


@pytest.mark.parametrize(
    "body",
    [
        {"expression": "deviceKey"},
        {"expression": "a = 'b' or c = 'd'"},
        {"expression": "a in (b)"},
        {"pagination": {"pageNo": 1, "pageSize": 201}},
        {"pagination": {"pageNo": 0}},
    ],
)
async def test_searches_that_make_no_sense(client: Client, body: dict[str, Any]) -> None:
    """What EnOS could not understand is refused."""
    assert (await client.call(DEVICES, "search", body))["code"] == 99400


async def test_models_are_shown(client: Client) -> None:
    """Thing models say what their points take."""
    path = "/model-service/v2.1/thing-models"
    model = await client.call(path, "get", modelId=AHU)
    assert model["data"]["measurepoints"][TEMPERATURE]["dataType"] == "DOUBLE"
    found = await client.call(path, "search", {"expression": f"modelId in ('{AHU}')"})
    assert [row["modelId"] for row in found["data"]] == [AHU]


# ------------------------------------------------------------ publish


async def test_values_are_stored_once(client: Client) -> None:
    """EnOS holds one value of each asset, point and time; offline values move no latest."""
    asset_id = await client.device()
    item = item_of(
        asset_id, AHU_raw_supply_air_temp=14.5, AHU_raw_status={"value": 1, "quality": 0}
    )
    for _ in range(2):
        assert (await client.publish(message_of(item)))["code"] == 0
    assert len(client.simulator.world.values) == 2
    newer = item | {"time": item["time"] + 1000}
    assert (await client.publish(message_of(newer, isRealtimeIntegration=False)))["code"] == 0
    query = {"assetIds": asset_id, "pointIds": f"{TEMPERATURE},AHU_raw_status"}
    latest = await client.call("/tsdb-service/v2.1/latest", "", query)
    assert {row["timestamp"] for row in latest["data"]["items"]} == {item["time"]}
    raw = await client.call("/tsdb-service/v2.1/raw", "", query)
    assert len(raw["data"]["items"]) == 4
    wrong = await client.call("/tsdb-service/v2.1/raw", "", {"assetIds": [asset_id]})
    assert wrong["code"] == 80400


@pytest.mark.parametrize(
    ("points", "code"),
    [
        ({"AHU_raw_none": 1.0}, 1204),
        ({"AHU_raw_supply_air_temp": "warm"}, 1204),
        ({"AHU_raw_supply_air_temp": True}, 1204),
        ({"AHU_raw_status": 1.5}, 1204),
        ({"AHU_raw_status": 2**31}, 1204),
        ({"AHU_raw_supply_air_temp": {"value": 1.0, "quality": 12}}, 1204),
        ({}, 1251),
    ],
)
async def test_one_wrong_value_refuses_the_message(
    client: Client, points: dict[str, Any], code: int
) -> None:
    """Nothing of a message is kept if any of it is wrong."""
    asset_id = await client.device()
    good = item_of(asset_id, AHU_raw_supply_air_temp=14.5)
    reply = await client.publish(message_of(good, item_of(asset_id, **points)))
    assert reply["code"] == code
    assert client.simulator.world.values == {}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", 1220),
        (b"[]", 1206),
        (b" " * 5000, 1008),
        (message_of(), 1251),
        (message_of("x"), 1206),  # type: ignore[arg-type] # wrong on purpose
        (message_of({"assetId": "none", "time": 1, "measurepoints": {"a": 1}}), 1257),
        (message_of({}, method="integration.event.post"), 1260),
        (message_of({}, version="2"), 1206),
        (message_of({}, files=[]), 1206),
        (message_of({}, isRealtimeIntegration="no"), 1206),
    ],
)
async def test_messages_that_are_refused(client: Client, message: Any, code: int) -> None:
    """Each rule of the envelope has its code."""
    assert (await client.publish(message))["code"] == code


async def test_the_request_around_a_message(client: Client) -> None:
    """Exactly one message part, multipart, a known action, a time that is one."""
    asset_id = await client.device()
    good = message_of(item_of(asset_id, AHU_raw_supply_air_temp=14.5))
    assert (await client.publish(good, parts=2))["code"] == 99400
    assert (await client.publish(good, action="postAnything"))["code"] == 99400
    assert (await client.publish(good, orgId="o99"))["code"] == 99403
    query = {"action": "postMeasurepoint", "orgId": client.simulator.world.org_id}
    headers = {"apim-accesstoken": client.token}
    reply = await client.http.post(PUBLISH, params=query, json=good, headers=headers)
    assert reply.json()["code"] == 99400
    late = message_of(item_of(asset_id, AHU_raw_supply_air_temp=14.5) | {"time": 1.5})
    assert (await client.publish(late))["code"] == 1206


# ------------------------------------------------------------ discovery


async def test_discovery_is_asynchronous(client: Client) -> None:
    """A search answers true, its result is empty first, and the second page comes late."""
    base = "/enos-edge/v2.4/discovery"
    nets = await client.call(f"{base}/getNetConfig", "", assetId=discovery.EDGE)
    start = {"assetId": discovery.EDGE, "protocol": "bacnet"}
    found = {"type": "device", "net": nets["data"][0]}
    assert (await client.call(f"{base}/search", "", start | found))["data"] is True
    body: dict[str, Any]
    for page_number, size in ((1, 200), (2, discovery.DEVICES - 200)):
        body = {
            "assetIds": [discovery.EDGE],
            "pagination": {"pageNo": page_number, "pageSize": 200},
        }
        first = await client.call(f"{base}/deviceResponse", "", body)
        assert first["data"]["record"] == []
        second = await client.call(f"{base}/deviceResponse", "", body)
        assert len(second["data"]["record"]) == size
    for body in ({"assetId": "none"}, start | {"type": "device", "net": "none"}):
        assert (await client.call(f"{base}/search", "", body))["code"] == 99400
    assert (await client.call(f"{base}/deviceResponse", "", {}))["code"] == 99400
    assert (await client.call(f"{base}/pointResponse", "", {}))["code"] == 99400
    assert (await client.call(f"{base}/autoConfigV2", "", {}))["code"] == 99400
    assert (await client.call(f"{base}/autoConfigV2", "", {"configs": [{}]}))["code"] == 0
    assert (await client.call(f"{base}/getNetConfig", "", assetId="x"))["code"] == 99404


# ------------------------------------------------------------ faults


async def test_faults_hit_what_they_are_meant_for(client: Client) -> None:
    """A fault spoils as many requests to its path as it says, and statistics count it."""
    fault = {"mode": "429", "count": 1, "path": "/integration", "retry_after": "7"}
    await client.http.post("/__sim__/faults", json=fault)
    assert (await client.call(PRODUCTS, "search", {}))["code"] == 0
    reply = await client.http.post(PUBLISH)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")
    await client.http.post("/__sim__/faults", json={"mode": "garbage"})
    reply = await client.http.post(PUBLISH)
    assert b"no JSON" in reply.content
    stats = (await client.http.get("/__sim__/stats")).json()
    assert stats["faults"] == 2
    await client.http.post("/__sim__/expire-token")
    assert (await client.call(PRODUCTS, "search", {}))["code"] == 1203
    assert (await client.http.get("/__sim__/values")).json() == []
