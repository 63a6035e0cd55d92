"""Asking through the endpoint's batch interface: cheaper, within a day, and resumable.

A batch is noted in the database before it is created at the endpoint, with what its ids stand for.
Whatever ends the process, the next one finds the note: a batch that the endpoint knows by our id is
taken up, one that it does not know is created; answers are kept in the transaction that ends it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx2  # the HTTP library of the openai package
import openai
import orjson

from plantroom_cloud.db import Database, Scope
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.mapping.llm.asker import SPENT, Asker
from plantroom_cloud.mapping.llm.endpoint import LlmUnavailable, Reply
from plantroom_cloud.mapping.llm.money import Cost, cost_of, estimate, period_of
from plantroom_cloud.mapping.llm.prompt import batches_of, body_of, ids_of, read_completion
from plantroom_cloud.mapping.llm.repository import LlmRepository
from plantroom_cloud.mapping.questions import Question
from plantroom_cloud.mapping.repository import MappingRepository
from plantroom_shared.clock import Clock

log = logging.getLogger(__name__)

_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_MOST_BYTES: Final = 200_000_000
_OURS: Final = "plantroom_batch"
_SEARCHED: Final = 200
_TROUBLE: Final = (openai.OpenAIError, httpx2.HTTPError, TimeoutError)


class BatchDesk:
    """Hands batches in and collects what they brought, for any site.

    Args:
        db: the database.
        asker: endpoint, settings, cache.
        clock: for rows.
    """

    def __init__(self, db: Database, asker: Asker, clock: Clock) -> None:
        self._db, self._asker, self._clock = db, asker, clock
        self._client = asker.endpoint.client

    async def hand_in(self, scope: Scope, site_id: int, questions: Sequence[Question]) -> str:
        """Leave questions with the endpoint; return why that is not possible, or nothing.

        A site has one batch at a time: while there is one, nothing is handed in.
        """
        async with self._db.read(scope) as session:
            if await LlmRepository(session, scope).batches(site_id):
                return ""
        questions = self._asker.worth_asking(questions)
        if not questions:
            return "the endpoint gave no valid answer"
        settings, now_us = self._asker.settings, self._clock.now_us()
        plan = estimate(questions, settings, now_us)
        price = settings.price_at(now_us)
        cost = cost_of(plan.tokens_in, plan.tokens_out, price, batch=True)
        ident = secrets.token_hex(16)
        async with self._db.write(scope) as session:
            repository = LlmRepository(session, scope)
            budget = settings.budget_of(await repository.slug())
            period = period_of(budget, now_us)
            if not await repository.reserve(period, cost, budget, now_us):
                return SPENT
            await repository.add_batch(
                id=ident,
                site_id=site_id,
                model=self._asker.model,
                period=period,
                tokens_in=cost.tokens_in,
                tokens_out=cost.tokens_out,
                money_micros=cost.micros,
                asked=zlib.compress(orjson.dumps(list(_notes(questions)))),
                created_us=now_us,
            )
        log.info("leaving questions with the LLM", extra=plan.as_dict())
        await self.look_after(scope, site_id)
        return ""

    async def look_after(self, scope: Scope, site_id: int) -> bool:
        """Bring every batch of a site one step on; True while one is under way."""
        async with self._db.read(scope) as session:
            rows = await LlmRepository(session, scope).batches(site_id)
        under_way = False
        for row in rows:
            try:
                async with asyncio.timeout(10 * self._asker.settings.timeout):
                    under_way |= not await self._step(scope, row)
            except (*_TROUBLE, LlmUnavailable) as error:
                log.warning("a batch waits for its endpoint", extra={"why": type(error).__name__})
                if _is_final(error):
                    await self._end(scope, row, "failed", f"the endpoint refuses: {error}"[:500])
                else:
                    under_way = True
        return under_way

    async def _step(self, scope: Scope, row: AnyRow) -> bool:
        """Create a batch, or collect it; True when it has ended."""
        if row.state == "new":
            remote = await self._find(row.id) or await self._create(row)
            async with self._db.write(scope) as session:
                await LlmRepository(session, scope).change_batch(
                    row.id, only_in=("new",), state="open", remote=remote
                )
            return False
        batch = await self._client.batches.retrieve(row.remote)
        if batch.status not in _ENDED:
            return False
        reply = Reply(problem="" if batch.status == "completed" else f"batch {batch.status}")
        if batch.output_file_id:
            calls = {note["id"]: note for note in orjson.loads(zlib.decompress(row.asked))}
            async for line in self._lines(batch.output_file_id):
                _take(line, calls, reply)
        await self._end(scope, row, "done" if reply.answers else "failed", reply.problem, reply)
        return True

    async def _find(self, ident: str) -> str | None:
        """Return the endpoint's id of a batch that was created before we could note that."""
        seen = 0
        async for batch in self._client.batches.list(limit=100):
            if (batch.metadata or {}).get(_OURS) == ident:
                return batch.id
            seen += 1
            if seen >= _SEARCHED:
                break
        return None

    async def _create(self, row: AnyRow) -> str:
        lines = [
            orjson.dumps(
                {
                    "custom_id": note["id"],
                    "method": "POST",
                    "url": "/v1/chat/completions",
                    "body": body_of(_read(note), row.model),
                }
            )
            for note in orjson.loads(zlib.decompress(row.asked))
        ]
        content = b"\n".join(lines)
        file = await self._client.files.create(
            file=(f"plantroom-{row.id}.jsonl", content), purpose="batch"
        )
        batch = await self._client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={_OURS: row.id},
        )
        return batch.id

    async def _lines(self, file_id: str) -> AsyncIterator[bytes]:
        async with self._client.files.with_streaming_response.content(file_id) as response:
            raw = bytearray()
            async for piece in response.iter_bytes():
                raw += piece
                if len(raw) > _MOST_BYTES:
                    msg = "the result of a batch has no end"
                    raise LlmUnavailable(msg)
        for line in bytes(raw).splitlines():
            yield line

    async def _end(
        self, scope: Scope, row: AnyRow, state: str, problem: str, reply: Reply | None = None
    ) -> None:
        """Keep what a batch brought and settle it, once: of two workers the first does it."""
        brought = reply or Reply()
        price = self._asker.settings.price_at(row.created_us)
        reserved = Cost(row.tokens_in, row.tokens_out, row.money_micros)
        used = cost_of(*brought.used, price, batch=True)
        questions = [
            question
            for note in orjson.loads(zlib.decompress(row.asked))
            for question in _read(note).values()
        ]
        async with self._db.write(scope) as session:
            repository = LlmRepository(session, scope)
            ended = await repository.change_batch(
                row.id,
                only_in=("new", "open"),
                state=state,
                problem=problem[:500].replace("\x00", ""),
                ended_us=self._clock.now_us(),
            )
            if not ended:
                return
            await repository.settle(row.period, used, reserved)
            mappings = MappingRepository(session, scope)
            await self._asker.keep_answers(mappings, repository, questions, brought)
        self._asker.cache.put(scope, brought.answers)


def _is_final(error: Exception) -> bool:
    """Tell a refusal that will not change: the endpoint has no batches, or has forgotten this one."""
    return isinstance(error, openai.APIStatusError) and error.status_code in {400, 404, 405, 501}


def _notes(questions: Sequence[Question]) -> Iterator[dict[str, Any]]:
    for number, batch in enumerate(batches_of(questions), start=1):
        yield {
            "id": f"c{number}",
            "asked": {
                ident: {
                    "key": q.key,
                    "about": q.about,
                    "choices": q.choices,
                    "templates": q.templates,
                    "offline": q.offline,
                    "points": len(q.points),
                }
                for ident, q in ids_of(batch).items()
            },
        }


def _read(note: Mapping[str, Any]) -> dict[str, Question]:
    return {
        ident: Question(
            told["key"],
            told["about"],
            tuple(told["choices"]),
            (0,) * told["points"],
            tuple(told["templates"]),
            told["offline"],
        )
        for ident, told in note["asked"].items()
    }


def _take(line: bytes, calls: Mapping[str, Mapping[str, Any]], reply: Reply) -> None:
    """Count in one line of a result; what is no answer to a call of ours is none."""
    try:
        document = orjson.loads(line)
        note, body = calls.get(document["custom_id"]), document["response"]["body"]
    except (ValueError, KeyError, TypeError):
        reply.add("llm_failures")
        return
    if note is None or not isinstance(body, dict):
        reply.add("llm_failures")
        return
    by_id = _read(note)
    said = read_completion(body, by_id)
    sent, brought = said.usage or (0, 0)
    reply.used = (reply.used[0] + sent, reply.used[1] + brought)
    for name, value in (("llm_calls", 1), ("llm_tokens_in", sent), ("llm_tokens_out", brought)):
        reply.add(name, value)
    for ident, name in said.answers.items():
        reply.answers[by_id[ident].key] = name
