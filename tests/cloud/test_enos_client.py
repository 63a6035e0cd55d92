"""The EnOS client: tokens, errors, products, devices, discovery, over real sockets."""

from __future__ import annotations

import email.utils
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from demo.enos_sim import discovery as simulated
from demo.enos_sim.app import Simulator
from demo.enos_sim.faults import Fault
from plantroom_cloud.kit.breakers import BreakerOpen
from plantroom_cloud.publishing.enos import devices, errors
from plantroom_cloud.publishing.enos.discovery import Discovery
from plantroom_cloud.publishing.enos.gateway import Gateway
from plantroom_cloud.publishing.enos.transport import Transport
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Rejected, Unavailable
from support import enos_site
from support.enos_site import AHU

PRODUCTS = "/connect-service/v2.1/products"


@dataclass
class Clock:
    """The machine's clock, moved."""

    ahead: float = 0.0

    def now_us(self) -> int:
        return SystemClock().now_us()

    def monotonic(self) -> float:
        return SystemClock().monotonic() + self.ahead


@dataclass
class Both:
    """A client and the simulator it talks to."""

    simulator: Simulator
    gateway: Gateway
    clock: Clock

    def fail(self, mode: str, count: int = 1, path: str = "", retry_after: str = "") -> None:
        fault = {"mode": mode, "count": count, "path": path, "retry_after": retry_after}
        self.simulator.faults.waiting.append(Fault.model_validate(fault))

    async def ask(self) -> dict[str, Any]:
        return await self.gateway.call("POST", PRODUCTS, {"action": "search"}, {"expression": ""})


@asynccontextmanager
async def joined(deadline: float = 10.0, **more: Any) -> AsyncIterator[Both]:
    """Yield a client joined to a simulator."""
    settings = {name: more.pop(name) for name in ("app_secret", "app_key") if name in more}
    async with enos_site.running(**more) as (simulator, addresses):
        clock = Clock()
        target = enos_site.target_of(simulator.world, addresses, **settings)
        gateway = Gateway(target, clock, deadline=deadline)
        try:
            yield Both(simulator, gateway, clock)
        finally:
            await gateway.close()


# ------------------------------------------------------------ tokens


async def test_one_token_serves_many_calls() -> None:
    """A token is asked for once, not per call."""
    async with joined() as both:
        for _ in range(3):
            await both.ask()
        assert both.simulator.world.counts["token_requests"] == 1


@pytest.mark.parametrize("fault", ["401", "expired"])
async def test_a_refused_token_is_replaced_once(fault: str) -> None:
    """A token that ended early costs one more token request and nothing else."""
    async with joined() as both:
        await both.ask()
        if fault == "401":
            both.fail("401", path="products")
        else:
            both.simulator.tokens.expire()
        assert (await both.ask())["code"] == 0
        assert both.simulator.world.counts["token_requests"] == 2


async def test_a_token_that_is_never_taken_is_an_error_for_a_person() -> None:
    """After a fresh token is refused too, the error names the settings to check."""
    async with joined() as both:
        both.fail("401", 2, "products")
        with pytest.raises(Unavailable, match="app_key"):
            await both.ask()


async def test_wrong_keys_lose_nothing_and_say_what_to_do() -> None:
    """A wrong secret is for a person to put right: until then it is "later", a minute at a time."""
    async with joined(app_secret="wrong") as both:
        with pytest.raises(Unavailable, match="app_secret") as caught:
            await both.ask()
        assert caught.value.retry_after == 60.0


async def test_a_token_near_its_end_is_refreshed() -> None:
    """With less than ten minutes to live a token is refreshed; after its end it is got anew."""
    async with joined() as both:
        await both.ask()
        first = both.simulator.tokens.token
        both.clock.ahead = 7200 - 500
        await both.ask()
        second = both.simulator.tokens.token
        assert second != first
        both.clock.ahead += 7300
        both.simulator.tokens.expire()
        await both.ask()
        assert both.simulator.tokens.token not in (first, second)


async def test_a_refresh_that_fails_falls_back() -> None:
    """Another process may have refreshed the token: then `get` hands out the valid one."""
    async with joined() as both:
        await both.ask()
        both.simulator.tokens.expire()
        both.simulator.tokens.get(_fresh_proof(both))
        both.clock.ahead = 7200 - 500
        assert (await both.ask())["code"] == 0


def _fresh_proof(both: Both) -> dict[str, object]:
    """Return a token request as another process would send it."""
    from plantroom_cloud.publishing.enos import signing

    known, at = both.simulator.world, SystemClock().now_us() // 1000 - 5000
    proof = signing.token_encryption(known.app_key, at, known.app_secret)
    return {"appKey": known.app_key, "encryption": proof, "timestamp": at}


async def test_a_living_token_is_used_while_the_token_service_is_away() -> None:
    """A failed refresh costs nothing while the token lives, and is not repeated at once."""
    async with joined() as both:
        await both.ask()
        both.clock.ahead = 7200 - 500
        both.fail("500", 2, "token")
        await both.ask()
        await both.ask()
        assert both.simulator.faults.done == 2


async def test_a_timestamp_that_was_used_is_taken_anew() -> None:
    """Two processes that ask in the same millisecond both get the token."""
    async with joined() as both:
        known = both.simulator.world
        at = SystemClock().now_us() // 1000 + 2000
        both.gateway._last_ms = at - 1
        proof = _proof(known.app_key, at, known.app_secret)
        both.simulator.tokens.seen.add(proof)
        assert (await both.ask())["code"] == 0
        assert both.simulator.world.counts["token_requests"] == 2


def _proof(key: str, at: int, secret: str) -> str:
    from plantroom_cloud.publishing.enos import signing

    return signing.token_encryption(key, at, secret)


async def test_timestamps_that_are_always_used_end() -> None:
    """A token service that never takes a timestamp is not asked for ever."""
    async with joined() as both:
        known = both.simulator.world
        at = SystemClock().now_us() // 1000 + 2000
        both.gateway._last_ms = at - 1
        for more in range(5):
            both.simulator.tokens.seen.add(_proof(known.app_key, at + more, known.app_secret))
        with pytest.raises(Unavailable, match="three times"):
            await both.ask()


@pytest.mark.parametrize("data", [None, {}, {"accessToken": "", "expire": 1}, {"accessToken": "x"}])
async def test_a_token_answer_without_a_token_is_later(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Success without accessToken and expire is no success; an unknown code is later too."""
    async with joined() as both:
        monkeypatch.setattr(both.simulator.tokens, "get", lambda _body: data)
        with pytest.raises(Unavailable, match="accessToken"):
            await both.ask()
        both.fail("unclear", path="token")
        with pytest.raises(Unavailable, match="31337"):
            await both.ask()


# ------------------------------------------------------------ errors


@pytest.mark.parametrize("mode", ["403", "429", "500", "503", "garbage", "unclear"])
async def test_trouble_is_later(mode: str) -> None:
    """Whatever makes no sense or says "later" is Unavailable."""
    async with joined() as both:
        await both.ask()
        both.fail(mode)
        with pytest.raises(Unavailable):
            await both.ask()
        assert (await both.ask())["code"] == 0


async def test_no_answer_is_later() -> None:
    """A silent EnOS is given up after the deadline."""
    async with joined(deadline=0.3) as both:
        both.fail("silent")
        with pytest.raises(Unavailable, match="did not answer"):
            await both.ask()


async def test_nobody_there_is_later() -> None:
    """An address where nobody listens names itself."""
    transport = Transport(SystemClock())
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        await transport.send("GET", "http://127.0.0.1:1/x", "x")
    await transport.close()


async def test_retry_after_is_honoured() -> None:
    """Seconds and dates of Retry-After come with the error; nonsense does not."""
    async with joined() as both:
        await both.ask()
        in_a_minute = email.utils.formatdate(SystemClock().now_us() / 1e6 + 60, usegmt=True)
        for text, low, high in (("7", 7, 7), (in_a_minute, 50, 61), ("999999", 3600, 3600)):
            both.fail("429", retry_after=text)
            with pytest.raises(Unavailable) as caught:
                await both.ask()
            assert low <= (caught.value.retry_after or 0) <= high
        both.fail("429", retry_after="soon")
        with pytest.raises(Unavailable) as caught:
            await both.ask()
        assert caught.value.retry_after is None


def answering(
    status: int, body: bytes
) -> Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]:
    async def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body)

    return answer


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"[]", Unavailable),
        (200, b'{"data": 1}', Unavailable),
        (200, b'{"code": true}', Unavailable),
        (400, b'{"code": 0}', errors.Unclear),
        (404, b"<html>", Unavailable),
        (413, b"", Rejected),
        (200, b'{"code": 99400}', Rejected),
        (200, b'{"code": 99403}', errors.Denied),
        (200, b'{"code": "1257"}', Rejected),
        (200, b" " * (8 * 1024 * 1024 + 1), Unavailable),
    ],
)
async def test_answers_are_judged(status: int, body: bytes, kind: type[Exception]) -> None:
    """Only a code that EnOS documents as final is final."""
    transport = Transport(SystemClock())
    transport._http = httpx.AsyncClient(transport=httpx.MockTransport(answering(status, body)))
    with pytest.raises(kind):
        await transport.send("GET", "http://enos/x", "x")
    await transport.close()


@pytest.mark.parametrize("reply", [{"code": 0}, {"code": 200}, {"status": 0}, {"code": "200"}])
def test_what_success_looks_like(reply: dict[str, Any]) -> None:
    """Success is 0, or 200, in `code` or `status`, as a number or text."""
    errors.judge(reply, "x")
    assert errors.succeeded(reply)


def test_1204_is_about_a_value_only_when_publishing() -> None:
    """The same code means a stale token on the gateway, a refused value on the channel."""
    with pytest.raises(errors.Stale):
        errors.judge({"code": 1204}, "x")
    with pytest.raises(Rejected):
        errors.judge({"code": 1204}, "x", publishing=True)
    with pytest.raises(Unavailable):
        errors.judge({"code": 99500}, "x")


# ------------------------------------------------------------ products, devices


def new(product: str, key: str) -> devices.NewDevice:
    return devices.NewDevice(product, key, key, "+08:00")


async def test_a_product_is_made_once() -> None:
    """The product of a model is created and found again, also beside another's."""
    async with joined() as both:
        key = await devices.product_for(both.gateway, AHU)
        assert await devices.product_for(both.gateway, AHU) == key
        assert len(both.simulator.world.products) == 1


async def test_another_product_serves_where_we_may_not_create() -> None:
    """A product made by hand is used if creating one is refused; without it the model is."""
    async with joined() as both:
        with pytest.raises(Rejected):
            await devices.product_for(both.gateway, "no such model")
        made = both.simulator.world.add_product(
            {
                "productName": {"defaultValue": "by hand"},
                "modelId": AHU,
                "dataFormat": "Json",
                "productType": "Device",
                "biDirectionalAuth": False,
            }
        )
        both.simulator.world.hidden_models.add(AHU)
        assert await devices.product_for(both.gateway, AHU) == made.key


async def test_a_product_without_a_key_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An answer that does not name the product is no answer."""
    async with joined() as both:
        real = both.gateway.call

        async def call(method: str, path: str, query: Any, body: Any = None) -> Any:
            reply = await real(method, path, query, body)
            return reply | {"data": None} if query["action"] == "create" else reply

        monkeypatch.setattr(both.gateway, "call", call)
        with pytest.raises(Unavailable, match="key"):
            await devices.product_for(both.gateway, AHU)


async def test_devices_are_created_in_batches_and_found_again() -> None:
    """More devices than a batch and a page hold are all there; a second run finds each."""
    async with joined() as both:
        product = await devices.product_for(both.gateway, AHU)
        wanted = [new(product, f"ahu-{n:04d}") for n in range(250)]
        first = await devices.create_devices(both.gateway, wanted)
        again = await devices.create_devices(both.gateway, wanted)
        assert first == again
        assert set(first.values()) == set(both.simulator.world.devices)
        keys = [device.device_key for device in wanted]
        found = await devices.find_devices(both.gateway, product, [*keys, "none"])
        assert found == {device.device_key: asset for device, asset in first.items()}


async def test_one_refused_device_costs_no_other() -> None:
    """A device that EnOS will not have is told apart from the rest of its batch."""
    async with joined() as both:
        product = await devices.product_for(both.gateway, AHU)
        wanted = [new(product, "ahu-01"), new(product, "no"), new("none", "ahu-02")]
        done = await devices.create_devices(both.gateway, wanted)
        assert isinstance(done[wanted[0]], str)
        refused = [done[device] for device in wanted[1:]]
        assert [item.code for item in refused if isinstance(item, devices.Refusal)] == [
            "99400",
            "11611",
        ]


async def test_an_older_enos_is_asked_in_its_own_version() -> None:
    """Where batchCreate v2.4 does not exist, v2.1 does it."""
    async with joined(versions=("v2.0", "v2.1")) as both:
        product = await devices.product_for(both.gateway, AHU)
        done = await devices.create_devices(both.gateway, [new(product, "ahu-01")])
        assert list(done.values()) == list(both.simulator.world.devices)


async def test_a_refused_batch_is_no_missing_version() -> None:
    """Only "not found" sends the client to the older version."""
    async with joined() as both:
        both.simulator.world.limits.batch = 0
        with pytest.raises(Rejected, match="11858"):
            await devices.create_devices(both.gateway, [new("pk", "ahu-01")])


@pytest.mark.parametrize("data", [None, [], [{"code": 0}, {"code": 0}]])
async def test_a_batch_answer_of_the_wrong_length_is_later(
    data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that do not stand for the devices asked for are not believed."""
    async with joined() as both:

        async def call(*_arguments: Any) -> Any:
            return {"code": 0, "data": data}

        monkeypatch.setattr(both.gateway, "call", call)
        with pytest.raises(Unavailable, match="results"):
            await devices.create_devices(both.gateway, [new("pk", "ahu-01")])


async def test_a_batch_result_that_is_no_object_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Garbage in the place of one result concerns that device alone."""
    async with joined() as both:

        async def call(*_arguments: Any) -> Any:
            return {"code": 0, "data": ["?", {"code": 0, "data": {"assetId": "A1"}}]}

        monkeypatch.setattr(both.gateway, "call", call)
        wanted = [new("pk", "ahu-01"), new("pk", "ahu-02")]
        done = await devices.create_devices(both.gateway, wanted)
        assert done[wanted[0]] == devices.Refusal("", "no result")
        assert done[wanted[1]] == "A1"


# ------------------------------------------------------------ discovery


async def test_discovery_brings_every_device_and_point() -> None:
    """All pages of devices and both shapes of point answers are read, each object once."""
    async with joined(discovery_polls=2) as both:
        found = Discovery(both.gateway, simulated.EDGE, poll=0.001, patience=20)
        assert await found.networks() == simulated.NETS
        there = await found.devices(simulated.NETS[0])
        assert [device.ot_device_inst for device in there] == [
            row["otDeviceInst"] for row in simulated.found_devices()
        ]
        heard: list[tuple[int, int]] = []

        async def news(devices: int, points: int) -> None:
            heard.append((devices, points))

        points = await found.points([1000, 1001, 1000], news)
        assert (points.silent, found.bad) == ((), 0)
        assert [point.key for point in points.points] == sorted(
            (row["otDeviceInst"], row["objectType"], row["objectInst"])
            for device in (1000, 1001)
            for row in simulated.found_points(device)
        )
        assert {type(point.present_value) for point in points.points} == {float, str}
        assert heard[-1] == (2, len(points.points))
        assert heard == sorted(heard)


async def test_discovery_gives_up_after_its_patience() -> None:
    """A result that never comes is an error, not an empty list."""
    async with joined(discovery_polls=10_000) as both:
        found = Discovery(both.gateway, simulated.EDGE, poll=0.01, patience=0.5)
        with pytest.raises(Unavailable, match="brought no devices"):
            await found.devices(simulated.NETS[0])
        with pytest.raises(Unavailable, match="brought no points"):
            await found.points([1000])


async def test_discovery_survives_strange_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """One record that makes no sense costs no other; endless texts are cut."""
    async with joined() as both:
        found = Discovery(both.gateway, simulated.EDGE, poll=0.001, patience=5)
        good = {"otDeviceInst": 1, "otDeviceName": "x" * 10_000, "address": 7, "extra": 1}
        rubbish = ["?", {"otDeviceInst": "no"}, {"otDeviceInst": 2**40}]
        point = {"otDeviceInst": 1, "objectType": "analog-input", "objectInst": 3}
        strange = [
            point | {"objectName": "a\0b", "description": {}, "presentValue": []},
            point | {"objectType": "a:b"},
            point | {"otDeviceInst": 2},
        ]
        answers: dict[str, Any] = {
            "deviceResponse": {"record": [*rubbish, good]},
            "pointResponse": strange,
            "search": True,
        }

        async def call(_method: str, path: str, *_rest: Any) -> Any:
            return {"data": answers.get(path.rpartition("/")[2], 7)}

        monkeypatch.setattr(both.gateway, "call", call)
        (device,) = await found.devices("net")
        assert (device.ot_device_name, device.address) == ("x" * 512, None)
        assert found.bad == 3
        (only,) = (await found.points([1])).points
        assert (only.object_name, only.description, only.present_value) == ("ab", None, None)
        assert found.bad == 5
        assert await found.networks() == []
        hasty = Discovery(both.gateway, simulated.EDGE, poll=0.001, patience=0.5)
        answers |= {"deviceResponse": {"record": rubbish}, "pointResponse": 7}
        with pytest.raises(Unavailable, match="3 devices, none of which makes sense"):
            await hasty.devices("net")
        with pytest.raises(Unavailable, match="brought no points"):
            await hasty.points([1])
        answers["search"] = False
        with pytest.raises(Unavailable, match=r"no points within .* s; it did not begin"):
            await hasty.points([1])


async def test_discovery_waits_for_what_is_still_being_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A short page, a total that grows and an EnOS that is away for a moment: read on, and whole."""
    async with joined() as both:
        rows = simulated.found_devices()
        script: list[Any] = [
            {"record": rows[:50], "totalRecordCount": 203},
            {"record": rows[:150], "totalRecordCount": 150},
            Unavailable("away"),
            {"record": rows[:200], "totalRecordCount": 203},
            {"record": rows[200:202], "totalRecordCount": 202},
            {"record": rows[:200], "totalRecordCount": 202},
            {"record": rows[200:201], "totalRecordCount": 202},
            {"record": rows[200:202], "totalRecordCount": 202},
            {"record": rows[200:], "totalRecordCount": 203},
            {"record": rows[:200], "totalRecordCount": 203},
            {"record": rows[200:], "totalRecordCount": 203},
            {"record": [], "totalRecordCount": 203},
            {"record": rows[200:], "totalRecordCount": 203},
        ]

        async def call(_method: str, path: str, *_rest: Any) -> Any:
            if path.endswith("search"):
                return {"data": True}
            answer = script.pop(0)
            if isinstance(answer, Unavailable):
                raise answer
            return {"data": answer}

        monkeypatch.setattr(both.gateway, "call", call)
        found = await Discovery(both.gateway, "e", poll=0.001, patience=10).devices("net")
        assert [device.ot_device_inst for device in found] == [row["otDeviceInst"] for row in rows]
        assert script == []


async def test_discovery_says_what_only_came_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second page that never comes, and too many devices or points, each have a reason."""
    async with joined() as both:
        rows = simulated.found_devices()
        total = 203

        async def call(_method: str, path: str, _query: Any, body: Any = None) -> Any:
            if path.endswith("search"):
                return {"data": True}
            if path.endswith("pointResponse"):
                return {"data": simulated.found_points(body["otDeviceInst"])}
            first = body["pagination"]["pageNo"] == 1
            return {"data": {"record": rows[:200] if first else [], "totalRecordCount": total}}

        monkeypatch.setattr(both.gateway, "call", call)
        found = Discovery(both.gateway, "e", poll=0.001, patience=0.5)
        with pytest.raises(Unavailable, match="brought only 200 of 203 devices of net"):
            await found.devices("net")
        total = 10**9
        with pytest.raises(Rejected, match="more than 10000 devices"):
            await found.devices("net")
        with pytest.raises(Rejected, match="more than 15 points"):
            await found.points([1, 2], most=15)


async def test_a_device_that_says_nothing_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent, refused by EnOS, not settled in time: named; the points of the others are there."""
    async with joined() as both:
        asked: dict[int, int] = {}

        async def call(_method: str, path: str, _query: Any, body: Any = None) -> Any:
            if path.endswith("search"):
                return {"data": True}
            device = body["otDeviceInst"]
            asked[device] = asked.get(device, 0) + 1
            points = simulated.found_points(device)
            match device:
                case 1:
                    return {"data": []}
                case 2:
                    msg = "no such device"
                    raise Rejected(msg, reason="99404")
                case 3 if asked[device] < 3:
                    msg = "busy"
                    raise Unavailable(msg)
                case 4:  # begins, and does not go on
                    return {"data": points[:2] if asked[device] == 1 else []}
            return {"data": points}

        monkeypatch.setattr(both.gateway, "call", call)
        found = Discovery(both.gateway, "e", poll=0.001, patience=0.5)
        brought = await found.points([1, 2, 3, 4, 5])
        assert brought.silent == (1, 2, 4)
        assert {point.ot_device_inst for point in brought.points} == {3, 4, 5}


async def test_an_enos_that_keeps_failing_is_left_alone_for_two_seconds() -> None:
    """Whoever asks meanwhile is told at once; what it says in words is no failure of its."""
    async with joined() as made:
        assert (await made.ask())["code"] == 0
        made.fail("500", count=8, path=PRODUCTS)
        for _ in range(8):
            with pytest.raises(Unavailable, match="500"):
                await made.ask()
        made.clock.ahead += 31
        made.fail("500", count=8, path=PRODUCTS)
        for _ in range(8):
            with pytest.raises(Unavailable, match="500"):
                await made.ask()
        before = len(made.simulator.faults.waiting)
        with pytest.raises(BreakerOpen):
            await made.ask()
        assert len(made.simulator.faults.waiting) == before
        made.clock.ahead += 2
        assert (await made.ask())["code"] == 0
