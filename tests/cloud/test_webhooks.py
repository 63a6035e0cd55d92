"""Webhooks: made, signed, tried again, given up, replayed; a bad one costs no other."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from plantroom_cloud.config import CloudSettings, OutboundSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.identity.permissions import ROLES, Principal
from plantroom_cloud.kit.outbound import OutboundClient, Rules
from plantroom_cloud.kit.times import DAY
from plantroom_cloud.live import topics
from plantroom_cloud.live.telling import Happening, tell
from plantroom_cloud.tables import WebhookDelivery
from plantroom_cloud.webhooks import jobs, schedule, signing
from plantroom_cloud.webhooks.jobs import AT_ONCE, Dispatcher
from plantroom_cloud.webhooks.schemas import WebhookIn
from plantroom_cloud.webhooks.service import MOST, WebhookService
from support.api_world import ONE_ENGINE, Stopped, Tenant
from support.waiting import eventually

Reply = Callable[[int], Awaitable[bytes] | bytes]
PLAIN = OutboundSettings(allow=("127.0.0.1",))


@dataclass
class Receiver:
    """A server that takes webhooks; `reply` says what it answers to which message."""

    reply: Reply
    port: int = 0
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.taken]


def ok(_: int) -> bytes:
    return b"HTTP/1.1 204 No Content\r\n\r\n"


def answers(status: str, *lines: str) -> Reply:
    head = "\r\n".join((f"HTTP/1.1 {status}", "Content-Length: 0", *lines))
    return lambda _: f"{head}\r\n\r\n".encode()


@asynccontextmanager
async def receiving(reply: Reply = ok) -> AsyncIterator[Receiver]:
    receiver = Receiver(reply)

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                pairs = (line.split(": ", 1) for line in head.splitlines()[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                receiver.taken.append((headers, body))
                answer = receiver.reply(len(receiver.taken))
                writer.write(answer if isinstance(answer, bytes) else await answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(come, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@dataclass
class World:
    """A company's webhooks, and who sends to them."""

    db: Database
    clock: Stopped
    tenant: Tenant
    dispatcher: Dispatcher

    @property
    def scope(self) -> Scope:
        return Scope(self.tenant.company)

    async def hook(self, receiver: Receiver, *wanted: str) -> tuple[int, str]:
        who = Principal(self.tenant.company, "key", 1, "first", ROLES["engineer"])
        asked = WebhookIn.model_validate({"url": receiver.url, "topics": wanted or ("jobs",)})
        async with self.db.write(self.scope) as session:
            service = WebhookService(session, self.scope, self.clock, who)
            return await service.make(asked, Rules(PLAIN))

    async def happens(self, number: int, topic: str = topics.JOBS) -> None:
        async with self.db.write(self.scope) as session:
            what = Happening(topic, "job.done", {"n": number})
            await tell(session, self.scope, self.clock.now_us(), what)

    async def send(self) -> None:
        async with asyncio.timeout(60):
            await self.dispatcher.look()
            await self.dispatcher.settled()

    async def later(self, seconds: float) -> None:
        self.clock.now += round(seconds * 1e6)
        await self.send()


@pytest.fixture
async def world(database: Database, acme: Tenant, clock: Stopped) -> AsyncIterator[World]:
    async with OutboundClient(PLAIN) as client:
        dispatcher = Dispatcher(database, client, clock)
        yield World(database, clock, acme, dispatcher)
        await dispatcher.close()


async def _deliveries(client: httpx.AsyncClient, webhook: int, state: str = "") -> list[Any]:
    params = {"state": state} if state else {}
    answer = await client.get(f"/v1/webhooks/{webhook}/deliveries", params=params)
    items: list[Any] = answer.json()["items"]
    return items


def _genuine(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Check a message as the specification says, without our code."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in headers["webhook-signature"].split(" ")


async def test_what_happens_is_sent_signed(world: World) -> None:
    """Each webhook gets what it wants, once, signed with its own secret."""
    async with receiving() as one, receiving() as other:
        _, secret = await world.hook(one, "jobs")
        _, second = await world.hook(other, "alarms", "gateways")
        await world.happens(1)
        await world.happens(2, topics.ALARMS)
        await world.send()
        await world.later(DAY / 1e6)
    ((headers, body),) = one.taken
    assert json.loads(body) == {
        "type": "job.done", "timestamp": "2026-01-31T12:00:00.000000Z", "data": {"n": 1}
    }  # fmt: skip
    assert _genuine(headers, body, secret)
    assert not _genuine(headers, body, second)
    assert not _genuine(headers, body + b" ", secret)
    assert [json.loads(body)["data"] for _, body in other.taken] == [{"n": 2}]


@ONE_ENGINE
async def test_what_is_rolled_back_is_not_sent(world: World) -> None:
    """A message is entered in the transaction of what happens: without that there is none."""
    async with receiving() as receiver:
        await world.hook(receiver)
        with pytest.raises(RuntimeError):
            await _rolled_back(world)
        await world.send()
    assert receiver.taken == []


async def _rolled_back(world: World) -> None:
    async with world.db.write(world.scope) as session:
        await tell(session, world.scope, world.clock.now, Happening("jobs", "job.done"))
        raise RuntimeError


@ONE_ENGINE
async def test_tried_again_for_three_days_then_given_up(
    world: World, client: httpx.AsyncClient
) -> None:
    """A message is tried ten times over three days, under one id; then it is a dead letter."""
    began = world.clock.now
    async with receiving(answers("500 Oops")) as receiver:
        webhook, _ = await world.hook(receiver)
        await world.happens(1)
        await world.send()
        for number, delay in enumerate(schedule.DELAYS, 1):
            await world.later(delay * 0.9)
            assert len(receiver.taken) == number, "not before its time"
            await world.later(delay * 0.3)
        assert len(receiver.taken) == 10
        assert len(set(receiver.ids)) == 1
        assert world.clock.now - began > 3 * DAY
        (dead,) = await _deliveries(client, webhook, "dead")
        assert (dead["tries"], dead["status"], dead["due"]) == (10, 500, None)
        assert (await client.get(f"/v1/webhooks/{webhook}")).json()["dead"] == 1
        await world.later(10 * DAY / 1e6)
        assert len(receiver.taken) == 10
        receiver.reply = ok
        answer = await client.post(f"/v1/webhooks/{webhook}/replay", json={})
        assert answer.json() == {"messages": 1}
        await world.send()
        (sent,) = await _deliveries(client, webhook)
        assert (sent["state"], sent["status"], len(set(receiver.ids))) == ("delivered", 204, 1)


@ONE_ENGINE
async def test_replay_of_one_or_of_a_time(world: World, client: httpx.AsyncClient) -> None:
    """What was delivered can be had again: one message, or all of a time."""
    async with receiving() as receiver:
        webhook, _ = await world.hook(receiver)
        for number in range(3):
            await world.happens(number)
            world.clock.now += 1_000_000
        await world.send()
        newest = (await _deliveries(client, webhook))[0]["id"]
        url = f"/v1/webhooks/{webhook}/deliveries/{newest}/replay"
        assert (await client.post(url)).json() == {"messages": 1}
        await world.send()
        assert len(receiver.taken) == 4
        body = {"states": ["delivered"], "until": "2026-01-31T12:00:01Z"}
        again = await client.post(f"/v1/webhooks/{webhook}/replay", json=body)
        assert again.json() == {"messages": 2}
        await world.send()
        assert len(receiver.taken) == 6
        missing = await client.post(f"/v1/webhooks/{webhook}/deliveries/{10**6}/replay")
        assert missing.status_code == 404


async def test_a_bad_receiver_slows_no_other(world: World) -> None:
    """While one receiver hangs another gets everything, and the bad one only a few at a time."""
    stuck = asyncio.Event()

    async def hang(_: int) -> bytes:
        await stuck.wait()
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async with receiving(hang) as bad, receiving() as good:
        await world.hook(bad)
        await world.hook(good)
        for number in range(20):
            await world.happens(number)
        await world.dispatcher.look()
        await eventually(lambda: len(good.taken) >= 20 and bad.taken, "all deliveries")
        assert len(bad.taken) <= AT_ONCE
        stuck.set()
        await world.send()
    assert len(set(bad.ids)) == len(set(good.ids)) == 20


@ONE_ENGINE
async def test_a_receiver_that_fails_is_left_alone(world: World, client: httpx.AsyncClient) -> None:
    """Behind failures nothing is sent for a while; with the first success all goes on."""
    async with receiving(answers("503 Busy", "Retry-After: 600")) as receiver:
        webhook, _ = await world.hook(receiver)
        for number in range(12):
            await world.happens(number)
        await world.send()
        assert len(receiver.taken) == AT_ONCE
        await world.send()
        assert len(receiver.taken) == AT_ONCE, "its pause is not over"
        receiver.reply = ok
        await world.later(2)
        assert len(receiver.taken) == 12, "those that have failed were told to wait"
        await world.later(500)
        assert len(receiver.taken) == 12
        await world.later(200)
        assert len(set(receiver.ids)) == 12
        about = (await client.get(f"/v1/webhooks/{webhook}")).json()
    assert (about["failures"], about["waiting"]) == (0, 0)


@ONE_ENGINE
async def test_gone_is_gone(world: World, client: httpx.AsyncClient) -> None:
    """A receiver that answers 410 gets nothing more until somebody enables it again."""
    async with receiving(answers("410 Gone")) as receiver:
        webhook, _ = await world.hook(receiver)
        await world.happens(1)
        await world.send()
        about = (await client.get(f"/v1/webhooks/{webhook}")).json()
        assert (about["enabled"], "410" in about["reason"]) == (False, True)
        await world.happens(2)
        await world.later(DAY / 1e6)
        assert len(receiver.taken) == 1
        receiver.reply = ok
        changed = await client.patch(f"/v1/webhooks/{webhook}", json={"enabled": True})
        assert (changed.json()["enabled"], changed.json()["reason"]) == (True, "")
        await world.send()
        assert len(set(receiver.ids)) == 1, "what happened meanwhile was not entered"


@ONE_ENGINE
async def test_a_new_secret_without_a_pause(world: World, client: httpx.AsyncClient) -> None:
    """For a day after a new secret messages carry both signatures, then only the new one."""
    async with receiving() as receiver:
        webhook, old = await world.hook(receiver)
        new = (await client.post(f"/v1/webhooks/{webhook}/secret")).json()["secret"]
        assert new != old
        assert old not in (shown := (await client.get("/v1/webhooks")).text)
        assert new not in shown
        await world.happens(1)
        await world.send()
        assert all(_genuine(*receiver.taken[0], secret) for secret in (old, new))
        world.clock.now += DAY
        await client.post(f"/v1/webhooks/{webhook}/test")
        await world.send()
        assert _genuine(*receiver.taken[1], new)
        assert not _genuine(*receiver.taken[1], old)
        assert json.loads(receiver.taken[1][1])["type"] == "webhook.test"


async def test_a_worker_that_dies_loses_nothing(world: World) -> None:
    """What was claimed by a worker that is gone is sent by another, when its lease has run out."""
    never = asyncio.Event()

    async def hang(_: int) -> bytes:
        await never.wait()
        return b""

    async with receiving(hang) as receiver:
        await world.hook(receiver)
        await world.happens(1)
        await world.dispatcher.look()
        await eventually(lambda: receiver.taken, "a delivery")
        await world.dispatcher.close()
        receiver.reply = ok
        await world.send()
        assert len(receiver.taken) == 1
        await world.later(61)
        assert len(receiver.taken) == 2
        assert len(set(receiver.ids)) == 1


INSIDE = (
    "http://hooks.example/", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://u:p@x.example/",
    "ftp://x/", "https://169.254.169.254/", "javascript:alert(1)", "", "https://x.example/\n",
)  # fmt: skip


@ONE_ENGINE
async def test_addresses_inside_are_not_taken(client: httpx.AsyncClient) -> None:
    """A webhook to an address that is never asked is refused when it is made, or changed."""
    listed = (await client.get("/v1/webhooks")).json()["items"][0]["id"]
    for url in INSIDE:
        body = {"url": url, "topics": ["jobs"]}
        assert (await client.post("/v1/webhooks", json=body)).status_code == 422, url
        changed = await client.patch(f"/v1/webhooks/{listed}", json={"url": url})
        assert changed.status_code == 422, url


@ONE_ENGINE
async def test_an_address_that_turns_inside_is_not_asked(world: World) -> None:
    """Whatever a name says later, the outbound client judges: the message fails, nobody is asked."""
    async with receiving() as receiver, OutboundClient(OutboundSettings()) as strict:
        await world.hook(receiver)
        await world.happens(1)
        dispatcher = Dispatcher(world.db, strict, world.clock)
        await dispatcher.look()
        await dispatcher.settled()
        await dispatcher.close()
    assert receiver.taken == []


@ONE_ENGINE
async def test_limits(client: httpx.AsyncClient) -> None:
    """There are so many webhooks and no more, and none of what there is not."""
    body: dict[str, Any] = {"url": "https://hooks.example/", "topics": ["jobs"], "name": "x"}
    made = [(await client.post("/v1/webhooks", json=body)).status_code for _ in range(MOST)]
    assert made == [200] * (MOST - 2) + [409] * 2
    wrongs: tuple[dict[str, Any], ...] = ({"topics": []}, {"topics": ["samples/1"]})
    for wrong in (*wrongs, {"secret": "x"}, {"name": "\0"}):
        assert (await client.post("/v1/webhooks", json=body | wrong)).status_code == 422


@ONE_ENGINE
async def test_what_is_done_to_a_webhook_is_in_the_audit(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    """Whoever adds, changes, tries, replays or deletes a webhook is found there; no secret is."""
    url = f"/v1/webhooks/{acme.webhook}"
    new = {"url": "https://hooks.example/x", "topics": ["jobs"]}
    acts: list[tuple[str, str, Any]] = [
        ("POST", "/v1/webhooks", new),
        ("PATCH", url, {"topics": ["jobs", "alarms"]}),
        ("POST", f"{url}/secret", None),
        ("POST", f"{url}/test", None),
        ("POST", f"{url}/replay", {}),
        ("POST", f"{url}/deliveries/{acme.delivery}/replay", None),
        ("DELETE", url, None),
    ]
    for method, where, body in acts:
        answer = await client.request(method, where, json=body)
        assert answer.status_code == 200, answer.text
    answer = await client.get("/v1/audit")
    told = [act for act in answer.json()["items"] if act["action"].startswith("webhook.")]
    verbs = ["add", "change", "secret", "test", "replay", "replay", "delete"]
    assert sorted(act["action"] for act in told) == sorted(f"webhook.{verb}" for verb in verbs)
    changed = next(act for act in told if act["action"] == "webhook.change")
    assert (changed["before"], changed["after"]) == (
        {"topics": ["alarms"]},
        {"topics": ["jobs", "alarms"]},
    )
    assert "whsec_" not in answer.text


@ONE_ENGINE
async def test_a_change_of_what_was_not_seen_is_refused(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    """Who changes a webhook that another has changed since is told so."""
    url = f"/v1/webhooks/{acme.webhook}"
    seen = {"If-Match": (await client.get(url)).headers["ETag"]}
    assert (await client.patch(url, json={"name": "a"}, headers=seen)).status_code == 200
    assert (await client.patch(url, json={"name": "b"}, headers=seen)).status_code == 412
    assert (await client.get(url)).json()["name"] == "a"


@ONE_ENGINE
async def test_the_job_sends_and_forgets(world: World, client: httpx.AsyncClient) -> None:
    """The worker's part sends what is due, and forgets after thirty days what has ended."""
    settings = CloudSettings(outbound={"allow": ["127.0.0.1"]}, live={"webhook_pause": 0.01})
    async with receiving() as receiver:
        webhook, _ = await world.hook(receiver)
        await world.happens(1)
        async with world.db.write(world.scope) as session:
            mine = WebhookDelivery.company_id == world.tenant.company
            old = update(WebhookDelivery).where(mine, WebhookDelivery.id == world.tenant.delivery)
            await session.execute(old.values(ended_us=world.clock.now - 31 * DAY))
        task = asyncio.create_task(jobs.run(world.db, settings, world.clock))
        await eventually(lambda: _deliveries(client, webhook, "delivered"), "a delivery")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await _deliveries(client, world.tenant.webhook) == []


@given(st.binary(max_size=200), st.integers(0, 2**31), st.integers(-400, 400))
def test_receivers_can_check(body: bytes, at: int, late: int) -> None:
    """A message is genuine with its secret within five minutes, and not when anything is changed."""
    secret, other = signing.new_secret(), signing.new_secret()
    headers = signing.headers("msg_1", at, body, [secret])
    assert signing.is_genuine(headers, body, secret, at + late) == (abs(late) <= 300)
    assert not signing.is_genuine(headers, body + b"x", secret, at)
    assert not signing.is_genuine(headers, body, other, at)
    assert not signing.is_genuine(headers | {"webhook-id": "msg_2"}, body, secret, at)
    assert not signing.is_genuine(headers | {"webhook-signature": "v2,\u00e4 x"}, body, secret, at)
    assert signing.is_genuine(signing.headers("m", at, body, [other, secret]), body, secret, at)


def test_the_known_answer() -> None:
    """The signature is that of the specification's example."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = signing.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, secret)
    assert made == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
