"""One call to an LLM: closed choices, checked answers, and the endpoint's many ways to fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from fastapi import Response
from fastapi.responses import StreamingResponse

from plantroom_cloud.mapping.llm import Deadline, Endpoint
from plantroom_cloud.mapping.llm.endpoint import Reply
from plantroom_cloud.mapping.llm.prompt import ids_of
from plantroom_cloud.mapping.questions import Question
from support.cloud_site import TestClock
from support.mapping_llm_site import CHOICES, ask, no_pause, settings_of
from support.mapping_llm_stub import LlmStub, choose, data_of, running


@pytest.fixture
async def stub() -> AsyncIterator[LlmStub]:
    """An endpoint that chooses the first class of every point."""
    async with running(LlmStub(choose(lambda point: str(point["choices"][0])))) as endpoint:
        yield endpoint


@pytest.fixture
async def clock() -> TestClock:
    """A clock that stands still."""
    return TestClock()


@pytest.fixture
async def endpoint(stub: LlmStub, clock: TestClock) -> AsyncIterator[Endpoint]:
    """A client for it."""
    opened = Endpoint(settings_of(stub), clock, pause=no_pause)
    yield opened
    await opened.close()


async def put(endpoint: Endpoint, questions: list[Question], seconds: float = 30.0) -> Reply:
    """Ask, within a limit."""
    async with asyncio.timeout(60):
        deadline = Deadline.after(seconds, endpoint._clock)
        return await endpoint.ask(ids_of(questions), deadline)


async def test_answers_come_back_by_question(stub: LlmStub, endpoint: Endpoint) -> None:
    """Every template gets a class out of its own choices; tokens and calls are counted."""
    stub.usage = {"prompt_tokens": 100, "completion_tokens": 7}
    reply = await put(endpoint, ask())
    assert reply.answers == {f"key{n}": CHOICES[0] for n in range(3)}
    assert reply.counts == {"llm_calls": 1, "llm_tokens_in": 100, "llm_tokens_out": 7}
    assert (reply.used, reply.untold, reply.problem) == ((100, 7), 0, "")
    body = stub.requests[0]
    shape = body["response_format"]["json_schema"]
    assert shape["strict"] is True
    assert shape["schema"]["required"] == ["t1", "t2", "t3"]
    assert shape["schema"]["additionalProperties"] is False
    assert shape["schema"]["properties"]["t1"]["enum"] == [*CHOICES, "unknown"]
    assert "tools" not in body


@pytest.mark.parametrize(
    "said",
    [
        "not json",
        "[]",
        "{}",
        "null",
        '{"t1": "Furlong_Sensor", "t2": "Setpoint", "t3": 7}',
        '{"t1": "Alarm", "t2": "Alarm", "t3": "Alarm", "t4": "Alarm"}',
        '{"t1": "Alarm", "t1": "CO2_Sensor", "t2": "Alarm", "t3": "Alarm"}',
        "[" * 100_000,
        "",
    ],
)
async def test_garbage_is_asked_again_once_and_then_left(
    stub: LlmStub, endpoint: Endpoint, said: str
) -> None:
    """Anything but our ids, once each, with their own choices is no answer; one repair, then offline."""
    stub.answer = lambda _: said
    reply = await put(endpoint, ask())
    assert reply.answers == {}
    assert (reply.counts["llm_repairs"], reply.counts["llm_unanswered"]) == (1, 3)
    assert len(stub.requests) == 2
    assert len(stub.requests[1]["messages"]) == len(stub.requests[0]["messages"]) + 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome to the proxy</html>",
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b'{"choices": 7}',
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": ["x"]}}]}',
        b'{"choices": [{"message": null, "finish_reason": "stop"}], "usage": {"prompt_tokens": -5}}',
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
async def test_a_reply_that_is_no_completion_is_no_answer(
    stub: LlmStub, endpoint: Endpoint, body: bytes, kind: str
) -> None:
    """Whatever comes with a good status, in whatever content type, costs its own questions only."""
    stub.answer = lambda _: Response(body, media_type=kind)
    reply = await put(endpoint, ask())
    assert reply.answers == {}
    assert reply.untold == 2
    stub.answer = choose(lambda _: "Alarm")
    assert len((await put(endpoint, ask())).answers) == 3


async def test_usage_that_cannot_be_is_not_believed(stub: LlmStub, endpoint: Endpoint) -> None:
    """A negative or absurd count of tokens counts as not told: then the estimate holds."""
    for usage in ({"prompt_tokens": -1, "completion_tokens": 3}, "much", {"prompt_tokens": 10**12}):
        stub.usage = usage
        reply = await put(endpoint, ask())
        assert (reply.used, reply.untold) == ((0, 0), 1)


async def test_a_repair_asks_only_about_what_is_missing(stub: LlmStub, endpoint: Endpoint) -> None:
    """Good answers of a partly bad reply are kept."""
    replies = iter(['{"t1": "Alarm", "t2": "Nonsense"}', '{"t2": "CO2_Sensor", "t3": "unknown"}'])
    stub.answer = lambda _: next(replies)
    reply = await put(endpoint, ask())
    assert reply.answers == {"key0": "Alarm", "key1": "CO2_Sensor", "key2": "unknown"}
    assert [point["id"] for point in data_of(stub.requests[1])["points"]] == ["t2", "t3"]


async def test_a_refusal_and_a_cut_answer_are_no_answers(stub: LlmStub, endpoint: Endpoint) -> None:
    """A refusal says nothing; what was cut at the length limit or by a filter may be anything."""
    stub.refusal = "I will not"
    assert (await put(endpoint, ask(1))).answers == {}
    stub.refusal = None
    for reason in ("length", "content_filter"):
        stub.finish_reason = reason
        assert (await put(endpoint, ask(1))).answers == {}


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```", "\n {} \n"])
async def test_fences_around_an_answer_do_no_harm(
    stub: LlmStub, endpoint: Endpoint, fence: str
) -> None:
    """Models without structured answers put JSON into fences."""
    stub.answer = lambda _: fence.replace("{}", '{"t1": "Alarm"}')
    assert (await put(endpoint, ask(1))).answers == {"key0": "Alarm"}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_passing_trouble_is_retried(stub: LlmStub, endpoint: Endpoint, status: int) -> None:
    """Too many requests and server errors are tried again."""
    stub.trouble = lambda number: Response(status_code=status) if number < 3 else None
    reply = await put(endpoint, ask())
    assert len(reply.answers) == 3
    assert len(stub.requests) == 3
    assert reply.counts["llm_retries"] == 2


async def test_the_server_says_how_long_to_wait(stub: LlmStub, clock: TestClock) -> None:
    """Retry-After holds for the call that was told and for every other one; else jitter grows."""
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        clock.now += int(seconds * 1e6)

    endpoint = Endpoint(settings_of(stub), clock, pause=pause, chance=lambda: 0.5)
    busy = Response(status_code=429, headers={"retry-after": "7"})
    stub.trouble = {1: busy, 3: Response(status_code=500)}.get
    assert len((await put(endpoint, ask())).answers) == 3
    assert waits == [7.5]
    assert len((await put(endpoint, ask())).answers) == 3
    assert waits == [7.5, 0.5]
    endpoint._quiet_until = clock.monotonic() + 3
    assert len((await put(endpoint, ask())).answers) == 3
    assert waits[-1] == 3
    stub.trouble = lambda _: Response(status_code=429, headers={"retry-after": "3600"})
    assert "429" in (await put(endpoint, ask())).problem
    assert "wants no call" in (await put(endpoint, ask())).problem
    assert len(waits) == 3
    await endpoint.close()


@pytest.mark.parametrize(("status", "tries"), [(401, 1), (404, 1), (307, 1), (500, 4), (429, 4)])
async def test_lasting_trouble_is_told(
    stub: LlmStub, endpoint: Endpoint, status: int, tries: int
) -> None:
    """A wrong key is not retried, a broken server three times; the offline mapping stands."""
    elsewhere = {"location": "http://127.0.0.1:9/v1"}
    stub.trouble = lambda _: Response(status_code=status, headers=elsewhere)
    reply = await put(endpoint, ask(1))
    assert str(status) in reply.problem
    assert (reply.answers, reply.counts["llm_failures"]) == ({}, 1)
    assert len(stub.requests) == tries


async def test_the_breaker_opens_and_closes(
    stub: LlmStub, endpoint: Endpoint, clock: TestClock
) -> None:
    """After four failures nothing is sent for two seconds; then one call finds out."""
    stub.trouble = lambda _: Response(status_code=401)
    for _ in range(4):
        await put(endpoint, ask(1))
    assert endpoint.breaker.open
    assert "left alone" in (await put(endpoint, ask(1))).problem
    assert len(stub.requests) == 4
    clock.now += 2_100_000
    assert "401" in (await put(endpoint, ask(1))).problem
    assert "left alone" in (await put(endpoint, ask(1))).problem
    clock.now += 2_100_000
    stub.trouble = lambda _: None
    assert len((await put(endpoint, ask(1))).answers) == 1
    assert len((await put(endpoint, ask(1))).answers) == 1
    assert len(stub.requests) == 7


@pytest.mark.parametrize(("status", "back"), [(200, True), (404, True), (401, False), (503, False)])
async def test_a_list_of_models_tells_whether_it_is_back(
    stub: LlmStub, endpoint: Endpoint, clock: TestClock, status: int, back: bool
) -> None:
    """It costs nothing; an endpoint that has no such list serves all the same."""
    stub.trouble = lambda _: Response(status_code=401)
    for _ in range(4):
        await put(endpoint, ask(1))
    assert not await endpoint.probe()
    assert stub.paths[-1].startswith("POST")
    clock.now += 2_100_000
    stub.models = status
    assert await endpoint.probe() is back
    assert stub.paths[-1] == "GET /v1/models"
    assert (endpoint.breaker.state == "closed") is back


async def test_endpoints_that_understand_less_are_asked_more_simply(
    stub: LlmStub, endpoint: Endpoint
) -> None:
    """Without strict schemas a JSON object is asked for; what worked is used from then on."""
    good = stub.answer

    def picky(data: dict[str, Any]) -> Any:
        kind = stub.requests[-1].get("response_format", {}).get("type")
        return good(data) if kind == "json_object" else Response(status_code=400)

    stub.answer = picky
    assert len((await put(endpoint, ask())).answers) == 3
    assert len((await put(endpoint, ask())).answers) == 3
    kinds = [body["response_format"]["type"] for body in stub.requests]
    assert kinds == ["json_schema", "json_schema", "json_object", "json_object"]
    assert "temperature" not in stub.requests[1]
    stub.answer = lambda _: Response(status_code=400)
    assert "400" in (await put(endpoint, ask())).problem
    assert not endpoint.breaker.open


async def test_a_hanging_endpoint_ends_at_the_deadline(stub: LlmStub, clock: TestClock) -> None:
    """An attempt takes no longer than what is left; what was perhaps counted is noted."""
    stub.delay = 30
    endpoint = Endpoint(settings_of(stub, timeout=0.05), clock, pause=no_pause)
    reply = await put(endpoint, ask(1))
    assert "TimeoutError" in reply.problem
    assert (reply.untold, reply.counts["llm_retries"]) == (4, 3)
    before = len(stub.requests)
    assert before <= 4
    assert "no time" in (await put(endpoint, ask(1), seconds=0.0)).problem
    assert len(stub.requests) == before
    await endpoint.close()


async def test_a_reply_that_is_cut_or_has_no_end_is_trouble(
    stub: LlmStub, endpoint: Endpoint
) -> None:
    """A connection that breaks half-way is tried again; one that never stops sending is closed."""

    async def half() -> AsyncIterator[bytes]:
        yield b'{"choices": ['
        raise ConnectionResetError

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1_000_000
            await asyncio.sleep(0)

    bad = {1: half, 2: endless}
    stub.trouble = lambda n: StreamingResponse(bad[n]()) if n in bad else None
    reply = await put(endpoint, ask())
    assert len(reply.answers) == 3
    assert reply.counts["llm_retries"] == 2
    assert reply.untold == 2


async def test_nobody_listens(stub: LlmStub, clock: TestClock) -> None:
    """An address without a server is trouble like any other."""
    stub.base_url = "http://127.0.0.1:9/v1"
    endpoint = Endpoint(settings_of(stub), clock, pause=no_pause)
    assert "APIConnectionError" in (await put(endpoint, ask(1))).problem
    await endpoint.close()


def _moved(status: int, where: str, _: int) -> Response:
    return Response(status_code=status, headers={"location": where})


async def test_requests_go_nowhere_else(
    stub: LlmStub, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redirects are not followed, and a proxy of the environment is not used."""
    async with running(LlmStub(choose(lambda _: "Alarm"))) as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other.base_url.removesuffix("/v1"))
        endpoint = Endpoint(settings_of(stub), clock, pause=no_pause)
        assert len((await put(endpoint, ask())).answers) == 3
        where = f"{other.base_url}/chat/completions"
        for status in (301, 302, 303, 307, 308):
            stub.trouble = partial(_moved, status, where)
            assert (await put(endpoint, ask())).answers == {}
        await endpoint.close()
        assert other.paths == []


async def test_a_cancelled_call_leaves_nothing_behind(stub: LlmStub, endpoint: Endpoint) -> None:
    """The breaker learns nothing from it, and the next call has its turn."""
    stub.delay = 30
    tasks = [asyncio.create_task(put(endpoint, ask(1))) for _ in range(4)]
    async with asyncio.timeout(60):
        while stub.under_way < 4:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    stub.delay = 0
    assert len((await put(endpoint, ask())).answers) == 3
    assert json.loads(json.dumps(stub.requests[-1]["messages"][0]))["role"] == "system"
