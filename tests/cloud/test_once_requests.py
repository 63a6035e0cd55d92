"""Idempotency-Key: whatever is sent how often, and whoever dies when, it is carried out once."""

from __future__ import annotations

import asyncio
import zlib
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, text, update

from plantroom_cloud.conventions.store import LEASE_US, OnceRepository
from plantroom_cloud.conventions.upkeep import forget
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.tables import ApiKey, MappingOverride, OnceRequest
from plantroom_cloud.thingmodels import endpoints
from support.api_routes import all_routes
from support.api_tokens import headers_for
from support.api_world import ONE_ENGINE, Stopped, Tenant, client_of, make_app
from support.servers import as_owner

PATH = "/v1/mapping-overrides"
BODY = {"model": "EnOS_HVAC_CH", "sign": -1}
KEY = {"Idempotency-Key": "one"}
DAY = 86_400_000_000


async def count(database: Database) -> int:
    """Return how many overrides there are."""
    async with as_owner(database).read() as session:
        return int((await session.scalar(select(func.count()).select_from(MappingOverride))) or 0)


async def state(database: Database) -> list[str]:
    """Return the states of requests with a key."""
    async with as_owner(database).read() as session:
        return list((await session.scalars(select(OnceRequest.state))).all())


def code(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a problem."""
    return answer.status_code, answer.json()["code"]


async def test_a_hundred_at_once_are_one(
    client: httpx.AsyncClient, database: Database, api: FastAPI, acme: Tenant
) -> None:
    """Of a hundred parallel requests one is carried out; all come to its answer, after a restart too."""
    before = await count(database)
    send = [client.post(PATH, json=BODY, headers=KEY) for _ in range(100)]
    answers = await asyncio.gather(*send)
    assert await count(database) == before + 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {code(a) for a in answers if a.status_code == 409} <= {(409, "idempotency_running")}
    bodies = {answer.content for answer in answers if answer.status_code == 200}
    assert len(bodies) == 1
    async with client_of(make_app(database), headers=acme.headers) as other:
        again = await other.post(PATH, json=BODY, headers=KEY)
    assert (again.status_code, again.content) == (200, bodies.pop())
    assert again.headers["idempotent-replayed"] == "true"
    assert await count(database) == before + 1


@ONE_ENGINE
async def test_a_key_is_for_one_request_of_one_caller(
    client: httpx.AsyncClient, database: Database, api: FastAPI, acme: Tenant, rival: Tenant
) -> None:
    """Another body, query or caller is refused; another route or company has keys of its own."""
    assert (await client.post(PATH, json=BODY, headers=KEY)).status_code == 200
    other = await client.post(PATH, json=BODY | {"sign": 1}, headers=KEY)
    assert code(other) == (409, "idempotency_key_reused")
    other = await client.post(f"{PATH}?x=1", json=BODY, headers=KEY)
    assert code(other) == (409, "idempotency_key_reused")
    assert (await client.post("/v1/jobs", json={}, headers=KEY)).status_code == 202
    async with client_of(api, headers=rival.headers) as stranger:
        assert (await stranger.post(PATH, json=BODY, headers=KEY)).status_code == 200
    async with as_owner(database).write() as session:
        await session.execute(update(ApiKey).values(id=ApiKey.id + 1000))
    colleague = await client.post(PATH, json=BODY, headers=KEY)
    assert code(colleague) == (409, "idempotency_key_reused")


@ONE_ENGINE
async def test_the_same_key_on_another_point_is_refused(
    client: httpx.AsyncClient, acme: Tenant
) -> None:
    """A route is one whatever stands in its path: a key sent to two points is a mistake."""
    first, second = (f"/v1/points/{point}/commands" for point in acme.points[:2])
    sent = await client.post(first, json={"value": 21.5}, headers=KEY)
    assert sent.status_code == 200
    again = await client.post(first, json={"value": 21.5}, headers=KEY)
    assert again.json()["id"] == sent.json()["id"]
    other = await client.post(second, json={"value": 21.5}, headers=KEY)
    assert code(other) == (409, "idempotency_key_reused")


@ONE_ENGINE
async def test_what_failed_may_be_sent_again(
    client: httpx.AsyncClient, database: Database, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal and a fault of ours keep nothing: the same key then does what it should."""
    refused = await client.post(PATH, json={"point": 999_999, "sign": -1}, headers=KEY)
    assert refused.status_code == 422
    assert await state(database) == []

    async def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(endpoints, "give_override", fails)
        assert (await client.post(PATH, json=BODY, headers=KEY)).status_code == 500
    assert await state(database) == []
    assert (await client.post(PATH, json=BODY, headers=KEY)).status_code == 200
    assert await state(database) == ["done"]


@ONE_ENGINE
async def test_what_was_carried_out_and_not_answered_is_not_done_again(
    client: httpx.AsyncClient, database: Database, clock: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process dies between commit and answer, the key says so for a day."""

    class Died(BaseException):
        """What no handler catches."""

    def dies(_row: Any) -> None:
        raise Died

    async def unable(*_: Any) -> None:
        raise Died

    before = await count(database)
    with monkeypatch.context() as patch:
        patch.setattr(endpoints, "show_override", dies)
        patch.setattr(OnceRepository, "finish", unable)
        with pytest.raises(Died):
            await client.post(PATH, json=BODY, headers=KEY)
    assert (await state(database), await count(database)) == (["committed"], before + 1)
    assert code(await client.post(PATH, json=BODY, headers=KEY)) == (409, "idempotency_running")
    clock.now += LEASE_US
    again = await client.post(PATH, json=BODY, headers=KEY)
    assert code(again) == (409, "idempotency_answer_lost")
    assert await forget(database, clock.now, DAY) == 0
    clock.now += DAY
    assert (await client.post(PATH, json=BODY, headers=KEY)).status_code == 200


async def test_whoever_is_given_up_commits_nothing(
    api: FastAPI,
    client: httpx.AsyncClient,
    database: Database,
    clock: Stopped,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that takes longer than its lease is overtaken by the next, and rolled back."""
    before, claim = await count(database), OnceRepository.claim
    claimed, go_on = asyncio.Event(), asyncio.Event()

    async def claiming(self: OnceRepository, *args: Any) -> Any:
        made = await claim(self, *args)
        if not claimed.is_set():
            await self._session.commit()
            claimed.set()
            await go_on.wait()
        return made

    monkeypatch.setattr(OnceRepository, "claim", claiming)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(client.post(PATH, json=BODY, headers=KEY))
        await claimed.wait()
        assert code(await client.post(PATH, json=BODY, headers=KEY)) == (409, "idempotency_running")
        clock.now += LEASE_US
        quick = await client.post(PATH, json=BODY, headers=KEY)
        go_on.set()
    assert quick.status_code == 200
    assert code(slow.result()) == (409, "idempotency_running")
    assert await count(database) == before + 1
    again = await client.post(PATH, json=BODY, headers=KEY)
    assert again.content == quick.content


@ONE_ENGINE
async def test_keys_that_are_none(client: httpx.AsyncClient, acme: Tenant) -> None:
    """An empty key, one too long and one that is no text are refused with the header's name."""
    for key in (b"", b"x" * 201, "ä".encode(), b"a\tb"):
        answer = await client.post(PATH, json=BODY, headers={b"Idempotency-Key": key})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["name"] == "Idempotency-Key"


async def test_old_answers_are_forgotten(
    client: httpx.AsyncClient, database: Database, clock: Stopped
) -> None:
    """After a day the worker deletes them, and not before."""
    assert (await client.post(PATH, json=BODY, headers=KEY)).status_code == 200
    assert await forget(database, clock.now + DAY - 1, DAY) == 0
    assert await forget(database, clock.now + DAY, DAY) == 1
    assert await state(database) == []


@ONE_ENGINE
async def test_large_answers_are_not_kept(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too large to be kept is answered once, and after that said to be lost."""
    monkeypatch.setattr("plantroom_cloud.conventions.once.MAX_ANSWER", 10)
    first = await client.post(PATH, json=BODY, headers=KEY)
    assert first.json()["model"] == "EnOS_HVAC_CH"
    again = await client.post(PATH, json=BODY, headers=KEY)
    assert code(again) == (409, "idempotency_answer_lost")


@ONE_ENGINE
async def test_a_database_that_goes_away_costs_the_answer_only(
    client: httpx.AsyncClient, database: Database, clock: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the answer cannot be kept it is given all the same, and nothing is done twice."""
    before = await count(database)

    async def away(self: OnceRepository, *_: Any) -> None:
        await self._session.execute(text("SELECT * FROM no_such_table"))

    with monkeypatch.context() as patch:
        patch.setattr(OnceRepository, "finish", away)
        assert (await client.post(PATH, json=BODY, headers=KEY)).status_code == 200
    clock.now += LEASE_US
    assert code(await client.post(PATH, json=BODY, headers=KEY)) == (409, "idempotency_answer_lost")
    assert await count(database) == before + 1


async def test_within_one_transaction(database: Database, acme: Tenant, clock: Stopped) -> None:
    """The command line does a thing once under a key, and tells what it told before."""
    done: list[str] = []

    async def act() -> str:
        done.append("x")
        return f"j-{len(done)}"

    for _ in range(3):
        async with database.write(Scope(acme.company)) as session:
            once = OnceRepository(session, Scope(acme.company))
            assert await once.within("start", "k", "f", clock.now, act) == "j-1"
    assert done == ["x"]


SHOWN_ONCE = {"key", "client_secret", "secret", "token", "ticket"}
"""Members of answers that open doors."""


@ONE_ENGINE
async def test_what_is_shown_once_is_kept_nowhere(
    api: FastAPI, database: Database, acme: Tenant
) -> None:
    """Of no route the answer that is kept for later holds a secret; sent again it says that it is gone."""
    secrets: dict[str, str] = {}
    async with client_of(api) as client:
        for number, route in enumerate(sorted(all_routes(api), key=lambda one: one.late)):
            if route.method != "POST" or not route.path.startswith("/v1/"):
                continue
            headers = await headers_for(route, api, acme) | {"Idempotency-Key": f"k{number}"}
            ask = partial(client.post, route.url(acme), json=route.body, headers=headers)
            answer = await ask()
            body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            if not answer.is_success or not isinstance(body, dict):
                continue
            found = [
                str(body[name])
                for name in SHOWN_ONCE & body.keys()
                if body[name] and (name != "key" or str(body[name]).startswith("pk_"))
            ]
            secrets |= dict.fromkeys(found, route.path)
            if found:
                again = await ask()
                assert again.status_code == 409, (route.path, again.text)
                assert code(again) == (409, "idempotency_answer_lost"), route.path
    assert len(set(secrets.values())) >= 7, secrets
    async with as_owner(database).read() as session:
        kept = (await session.scalars(select(OnceRequest.body))).all()
    told = "\n".join(zlib.decompress(body).decode() for body in kept if body)
    assert [path for text, path in secrets.items() if text in told] == []
