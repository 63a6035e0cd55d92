"""The vendor's own package talks to the simulator, and the simulator keeps to the vectors."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from enos.core.internal.Profile import Profile
from enos.core.login.DynamicActivationLogin import DynamicActivationLogin
from enos.core.login.MessageIntegrationLogin import MessageIntegrationLogin
from enos.core.MqttClient import MqttClient
from enos.message.upstream.integration.IntMeaturepointPostRequest import (
    IntMeaturepointPostRequest,
)
from enos.message.upstream.resume.MeasurepointResumeRequest import MeasurepointResumeRequest
from enos.message.upstream.status.SubDeviceLoginRequest import SubDeviceLoginRequest
from enos.message.upstream.topo.SubDeviceInfo import SubDeviceInfo
from enos.message.upstream.topo.TopoAddRequest import TopoAddRequest
from enos.message.upstream.tsl.MeasurepointPostBatchRequest import MeasurepointPostBatchRequest
from enos.message.upstream.tsl.MeasurepointPostRequest import MeasurepointPostRequest

from demo.enos_sim.app import Simulator
from demo.enos_sim.server import Addresses
from demo.enos_sim.things import Session, Things, login
from demo.enos_sim.world import Device, Product, World
from support.enos_site import AHU, TEMPERATURE, running, world

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "enos_vectors.json").read_text())
WHEN = 1_767_225_600_000


def add_device(known: World, product_key: str, key: str, secret: str, model: str = AHU) -> Device:
    """Put a device with given keys into an EnOS."""
    product = known.products.setdefault(
        product_key, Product(product_key, "prodSecret0001", model, {}, {})
    )
    device = Device(f"A{product_key}{key}", product, key, secret, {}, "+08:00")
    known.devices[device.asset_id] = device
    return device


@pytest.fixture
async def enos() -> AsyncIterator[tuple[Simulator, Addresses]]:
    """A simulator with a gateway and a sub-device."""
    async with running(mqtt=True) as (simulator, addresses):
        add_device(simulator.world, "pkGW", "gw-01", "gwSecret0001")
        add_device(simulator.world, "pkSub", "fcu-01", "subSecret1", "EnOS_HVAC_FCU")
        yield simulator, addresses


class Connected(threading.Event):
    """The vendor's connect callback. Its blocking connect misses a fast broker and waits 10 s."""

    on_disconnect = on_connect_failed = None

    def on_connect(self) -> None:
        self.set()


@contextmanager
def connected(client: MqttClient) -> Iterator[MqttClient]:
    """Connect the vendor's client, close it afterwards."""
    up = Connected()
    client.connect(up)
    try:
        assert up.wait(15)
        yield client
    finally:
        client.close()


def url(addresses: Addresses) -> str:
    return f"tcp://{addresses.mqtt_host}:{addresses.mqtt_port}"


def gateway_of(addresses: Addresses, secret: str = "gwSecret0001") -> MqttClient:
    return MqttClient(url(addresses), "pkGW", "gw-01", secret)


def post_of(**points: Any) -> Any:
    request = MeasurepointPostRequest.builder().set_timestamp(WHEN)
    for name, value in points.items():
        request.add_measurepoint(name, value)
    return request.build()


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run the vendor's blocking client beside the simulator's loop."""
    async with asyncio.timeout(60):
        return await asyncio.to_thread(work)


async def test_the_vendor_package_posts(enos: tuple[Simulator, Addresses]) -> None:
    """Connect, post, resume and batch of the vendor's client are taken and stored."""
    simulator, addresses = enos

    def work() -> list[int]:
        with connected(gateway_of(addresses)) as client:
            single = post_of(**{TEMPERATURE: 14.5})
            late = (
                MeasurepointResumeRequest.builder()
                .add_measure_point("AHU_raw_status", 1)
                .set_timestamp(WHEN)
                .build()
            )
            batch = (
                MeasurepointPostBatchRequest.builder()
                .set_requests(
                    [
                        MeasurepointPostRequest.builder()
                        .set_product_key("pkGW")
                        .set_device_key("gw-01")
                        .add_measurepoint("AHU_raw_return_air_temp", 20.0)
                        .set_timestamp(WHEN)
                        .build()
                    ]
                )
                .build()
            )
            return [client.publish(request).get_code() for request in (single, late, batch)]

    assert await in_thread(work) == [200, 200, 200]
    names = {name: value for (_, name, _), value in simulator.world.values.items()}
    assert names == {TEMPERATURE: 14.5, "AHU_raw_status": 1, "AHU_raw_return_air_temp": 20.0}
    assert {name for _, name in simulator.world.latest} == {
        TEMPERATURE,
        "AHU_raw_return_air_temp",
    }


async def test_the_vendor_package_is_told_what_is_wrong(enos: tuple[Simulator, Addresses]) -> None:
    """An undefined point is answered with 1204 and stores nothing."""
    simulator, addresses = enos

    def work() -> int:
        with connected(gateway_of(addresses)) as client:
            return int(client.publish(post_of(no_such_point=1)).get_code())

    assert await in_thread(work) == 1204
    assert simulator.world.values == {}


async def test_the_vendor_package_with_a_wrong_secret_stays_out(
    enos: tuple[Simulator, Addresses],
) -> None:
    """A client that cannot sign is not let in."""
    simulator, addresses = enos
    client = gateway_of(addresses, "wrong")
    client.get_profile().set_auto_reconnect(False)

    client.connect(Connected())
    try:
        async with asyncio.timeout(60):
            while not simulator.world.counts["mqtt_refused"]:
                await asyncio.sleep(0.01)
        assert not client.is_connected()
    finally:
        await in_thread(client.close)


async def test_the_vendor_package_logs_sub_devices_in(enos: tuple[Simulator, Addresses]) -> None:
    """A sub-device posts through its gateway after topology and login, not before."""
    simulator, addresses = enos
    login_request = SubDeviceLoginRequest.builder().set_sub_device_info(
        "pkSub", "fcu-01", "subSecret1"
    )
    topology = TopoAddRequest.builder().add_sub_device(
        SubDeviceInfo("pkSub", "fcu-01", "subSecret1")
    )

    def batch() -> Any:
        post = (
            MeasurepointPostRequest.builder()
            .set_product_key("pkSub")
            .set_device_key("fcu-01")
            .add_measurepoint("FCU_raw_zone_air_temp", 24.0)
            .set_timestamp(WHEN)
            .build()
        )
        return MeasurepointPostBatchRequest.builder().set_requests([post]).build()

    def work() -> list[int]:
        with connected(gateway_of(addresses)) as client:
            steps = [login_request.build(), batch(), topology.build()]
            steps += [login_request.build(), batch()]
            return [client.publish(step).get_code() for step in steps]

    assert await in_thread(work) == [1212, 1212, 200, 200, 200]
    assert list(simulator.world.values.values()) == [24.0]


async def test_the_vendor_package_gets_its_secret(enos: tuple[Simulator, Addresses]) -> None:
    """A device that knows only its product's secret is told its own after the connect."""
    simulator, addresses = enos
    add_device(simulator.world, "pkGW", "gw-02", "ownSecret")
    profile = Profile.create_instance(
        DynamicActivationLogin(url(addresses), "pkGW", "prodSecret0001", "gw-02")
    )
    heard: list[str] = []
    client = MqttClient(profile=profile)
    client.on_device_dynamic_active = heard.append

    def work() -> None:
        with connected(client):
            end = time.monotonic() + 15
            while not heard and time.monotonic() < end:
                time.sleep(0.01)

    await in_thread(work)
    assert heard == ["ownSecret"]


async def test_the_vendor_package_uses_the_offline_channel(
    enos: tuple[Simulator, Addresses],
) -> None:
    """The integration channel of a product posts for all its devices, past "latest"."""
    simulator, addresses = enos
    profile = Profile.create_instance(
        MessageIntegrationLogin(url(addresses), "pkGW", "prodSecret0001")
    )
    request = (
        IntMeaturepointPostRequest.builder()
        .add_meaturepoint("gw-01", WHEN, {TEMPERATURE: 15.5})
        .build()
    )

    def work() -> int:
        with connected(MqttClient(profile=profile)) as client:
            return int(client.publish(request).get_code())

    assert await in_thread(work) == 200
    assert list(simulator.world.values.values()) == [15.5]
    assert simulator.world.latest == {}


# ------------------------------------------------------------ vectors, without sockets


@pytest.fixture
def known() -> World:
    """The devices that the vectors name."""
    made = world()
    add_device(made, "pkAHU", "ahu-01", "devSecret0001")
    add_device(made, "pkFCU", "fcu-01", "subSecret1", "EnOS_HVAC_FCU")
    add_device(made, "pkGW", "gw-01", "gwSecret0001")
    add_device(made, "pkSub", "fcu-01", "subSecret1", "EnOS_HVAC_FCU")
    add_device(made, "pkSub", "fcu-02", "subSecret2", "EnOS_HVAC_FCU")
    return made


def answered(things: Things, session: Session, case: dict[str, Any]) -> dict[str, Any]:
    payload = json.dumps(case["payload"]).encode()
    reply = things.answer(session, case["topic"], payload)
    assert reply is not None
    answer: dict[str, Any] = json.loads(reply)
    assert answer["id"] == case["payload"]["id"]
    return answer


def session_of(known: World, topic: str) -> Session:
    """Return the session of whoever speaks on `topic`."""
    parts = topic.split("/")
    if parts[3] == "integration":
        return Session(parts[2], None, 4)
    product, key = parts[3:5] if parts[1] == "ext" else parts[2:4]
    session = Session(product, known.by_keys(product, key), 2)
    session.children |= {"ApkAHUahu-01", "ApkFCUfcu-01"}
    return session


@pytest.mark.parametrize("name", sorted(VECTORS["mqtt_payloads"]))
def test_vector_payloads_are_taken(known: World, name: str) -> None:
    """What the vendor's packages send is answered with 200, the known SDK defects included."""
    case = VECTORS["mqtt_payloads"][name]
    assert case["reply_topic"] == f"{case['topic']}_reply"
    reply = answered(Things(known), session_of(known, case["topic"]), case)
    assert reply["code"] == 200, reply


def test_vector_sub_devices(known: World) -> None:
    """Topology, login and logout of the vectors are taken in this order only."""
    cases, things = VECTORS["sub_device"], Things(known)
    session = Session("pkGW", known.by_keys("pkGW", "gw-01"), 2)
    assert answered(things, session, cases["combine_logout"])["code"] == 1212
    assert answered(things, session, cases["combine_login"])["code"] == 1212
    assert answered(things, session, cases["topo_add"])["code"] == 200
    assert answered(things, session, cases["combine_login"])["code"] == 200
    batch = answered(things, session, cases["combine_login_batch"])
    assert batch["code"] == 723
    assert batch["data"]["failedSubDevices"] == [{"productKey": "pkSub", "deviceKey": "fcu-02"}]
    assert answered(things, session, cases["combine_logout"])["code"] == 200
    shown = {"topic": "/sys/pkGW/gw-01/thing/topo/get", "payload": envelope("thing.topo.get", {})}
    assert answered(things, session, shown)["data"] == [
        {"productKey": "pkSub", "deviceKey": "fcu-01"}
    ]


def envelope(method: str, params: Any, **more: Any) -> dict[str, Any]:
    return {"id": "9", "version": "1.0", "method": method, "params": params} | more


POST = "thing/measurepoint/post"
POINTS = {"measurepoints": {TEMPERATURE: 1.0}, "time": WHEN}


@pytest.mark.parametrize(
    ("rest", "payload", "code"),
    [
        (POST, envelope("thing.measurepoint.resume", POINTS), 1260),
        (POST, {"id": "9", "method": "thing.measurepoint.post"}, 1251),
        (POST, envelope("thing.measurepoint.post", []), 1206),
        (POST, envelope("thing.measurepoint.post", {"time": WHEN, "measurepoints": {}}), 1251),
        (POST, envelope("thing.measurepoint.post", POINTS, big="x" * 600_000), 1008),
        ("thing/nothing", envelope("thing.nothing", {}), 1009),
        ("thing/event/Hot/post", envelope("thing.event.Cold.post", {}), 1260),
        (f"{POST}/batch", envelope("thing.measurepoint.post.batch", {}), 1251),
        (f"{POST}/batch", envelope("thing.measurepoint.post.batch", ["x"]), 1206),
        ("thing/topo/add", envelope("thing.topo.add", [{"productKey": "pkSub"}]), 1257),
        (
            "thing/topo/add",
            envelope("thing.topo.add", [{"productKey": "pkSub", "deviceKey": "fcu-01"}]),
            742,
        ),
    ],
)
def test_wrong_requests_have_codes(
    known: World, rest: str, payload: dict[str, Any], code: int
) -> None:
    """Each rule of the device protocol has its code."""
    session = Session("pkGW", known.by_keys("pkGW", "gw-01"), 2)
    raw = json.dumps(payload).encode()
    reply = json.loads(Things(known).answer(session, f"/sys/pkGW/gw-01/{rest}", raw) or b"")
    assert reply["code"] == code
    assert known.values == {}


def test_nobody_speaks_for_another(known: World) -> None:
    """A device's topics are its own, and a channel is no device."""
    things, raw = Things(known), json.dumps(envelope("thing.measurepoint.post", POINTS)).encode()
    session = Session("pkGW", known.by_keys("pkGW", "gw-01"), 2)
    for topic in ("/sys/pkAHU/ahu-01/thing/measurepoint/post", "/sys/pkGW/integration/x", "x"):
        assert json.loads(things.answer(session, topic, raw) or b"")["code"] == 1009
    channel = Session("pkGW", None, 4)
    assert json.loads(things.answer(channel, f"/sys/pkGW/gw-01/{POST}", raw) or b"")["code"] == 1009
    assert (
        json.loads(things.answer(session, f"/sys/pkGW/gw-01/{POST}", b"{") or b"")["code"] == 1220
    )
    assert (
        json.loads(things.answer(session, f"/sys/pkGW/gw-01/{POST}", b"1") or b"")["code"] == 1220
    )
    assert things.answer(session, f"/sys/pkGW/gw-01/{POST}_reply", raw) is None


def test_a_batch_skips_what_is_invalid_only_if_asked_to(known: World) -> None:
    """All or nothing, unless skipInvalidMeasurepoints says otherwise."""
    things, session = Things(known), Session("pkGW", known.by_keys("pkGW", "gw-01"), 2)
    item = {
        "productKey": "pkGW",
        "deviceKey": "gw-01",
        "time": WHEN,
        "measurepoints": {TEMPERATURE: 1.0, "none": 2},
    }
    case = {
        "topic": f"/sys/pkGW/gw-01/{POST}/batch",
        "payload": envelope("thing.measurepoint.post.batch", [item]),
    }
    assert answered(things, session, case)["code"] == 1204
    case["payload"] = envelope(
        "thing.measurepoint.post.batch", [item], skipInvalidMeasurepoints=True
    )
    assert answered(things, session, case)["code"] == 723
    assert list(known.values.values()) == [1.0]


def test_the_model_is_shown_to_the_device(known: World) -> None:
    """A device can ask for its own thing model."""
    session = Session("pkGW", known.by_keys("pkGW", "gw-01"), 2)
    case = {
        "topic": "/sys/pkGW/gw-01/thing/tsltemplate/get",
        "payload": envelope("thing.tsltemplate.get", {}),
    }
    assert TEMPERATURE in answered(Things(known), session, case)["data"]["measurepoints"]


@pytest.mark.parametrize("case", VECTORS["mqtt_connect"])
def test_vector_logins(case: dict[str, Any]) -> None:
    """Every login of the vectors is let in, and none with another secret."""
    known = world()
    secret = case["deviceSecret"] or "otherSecret"
    if case["deviceKey"] != "%channel%":
        add_device(known, case["productKey"], case["deviceKey"], secret)
    product = known.products.setdefault(
        case["productKey"], Product(case["productKey"], "", AHU, {}, {})
    )
    product.secret = case["productSecret"] or "other"
    vendor, ours = case["py_sdk"], case["recommended_int_timestamp"]
    for sent, password in (
        (vendor, vendor["password"]),
        (ours, ours["password_java_sdk"]),
        (ours, ours["password_node_sdk"]),
    ):
        found = login(known, sent["mqtt_client_id"], sent["username"], password)
        assert found is not None
        assert found.mode == case["secureMode"]
    product.secret = "changed"
    for device in known.devices.values():
        device.secret = "changed"
    client, username = vendor["mqtt_client_id"], vendor["username"]
    assert login(known, client, username, vendor["password"]) is None
    assert login(known, "no form", username, vendor["password"]) is None
    assert login(known, client, "nobody", vendor["password"]) is None
    assert login(known, client, "a&b", vendor["password"]) is None
