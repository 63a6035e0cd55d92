"""Answers are gathered for a moment and fit their messages."""

from __future__ import annotations

import asyncio

from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.outbound import Outbound, packed
from plantroom_shared import topics, wire

GATEWAY, EPOCH = "gw-north-0001", "00000000000000aa"


def ack(*ranges: tuple[int, int], gateway: str = GATEWAY) -> Answers:
    """Return answers that acknowledge `ranges`."""
    answers = Answers()
    for span in ranges:
        answers.ack(gateway, EPOCH, "tel", span)
    return answers


async def test_acks_of_many_messages_leave_as_one() -> None:
    """After twenty messages they wait no longer; what was apart is joined."""
    outbound = Outbound(gather=3600, enough=20)
    waiting = asyncio.create_task(outbound.next())
    for number in range(20):
        assert not waiting.done()
        outbound.add(ack((number + 1, number + 1)), 1)
        await asyncio.sleep(0)
    ((topic, payload),) = await waiting
    assert topic == topics.down(GATEWAY, "ack")
    assert wire.decode_reply(payload) == wire.Ack(ep=EPOCH, st="tel", ranges=[(1, 20)])
    assert outbound.take() == []


async def test_a_lone_ack_leaves_after_a_moment() -> None:
    """It does not wait for company that never comes."""
    outbound = Outbound(gather=0.01)
    outbound.add(ack((1, 5)), 1)
    async with asyncio.timeout(60):
        assert len(await outbound.next()) == 1


async def test_refusals_and_resumes_leave_at_once() -> None:
    """A gateway waits for them; acks that are due soon go with them, the resume first."""
    outbound = Outbound(gather=3600)
    answers = ack((1, 5))
    answers.nacks.append((GATEWAY, wire.Nack(ep=EPOCH, st="tel", nack="need_dict", s0=6)))
    answers.resumes.append((GATEWAY, wire.Resume(session=EPOCH, epochs=[], time=1)))
    outbound.add(answers, 1)
    async with asyncio.timeout(60):
        sent = await outbound.next()
    assert [topic.rpartition("/")[2] for topic, _ in sent] == ["resume", "ack", "ack"]


async def test_nothing_to_say_is_not_said() -> None:
    """Messages that get no answer do not wake the sender."""
    outbound = Outbound(gather=0, enough=1)
    waiting = asyncio.create_task(outbound.next())
    outbound.add(Answers(), 5)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


def test_many_ranges_become_several_messages() -> None:
    """No message holds more ranges than its reader takes."""
    sent = packed(ack(*((10 * n, 10 * n + 1) for n in range(1, 151))))
    replies = [wire.decode_reply(payload) for _, payload in sent]
    assert [len(reply.ranges) for reply in replies if isinstance(reply, wire.Ack)] == [64, 64, 22]


def test_a_resume_that_is_too_big_says_less() -> None:
    """What it leaves out is only sent again."""
    epochs = [
        wire.Known(
            ep=f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}",
            ranges={"tel": [(n * k * 7919 + k, n * k * 7919 + 2 * k) for k in range(1, 64)]},
        )
        for n in range(1, 1500)
    ]
    answers = Answers(resumes=[(GATEWAY, wire.Resume(session=EPOCH, epochs=epochs, time=1))])
    ((_, payload),) = packed(answers)
    kept = wire.decode(wire.Resume, payload).epochs
    assert 0 < len(kept) < len(epochs)
    assert kept[-1] == epochs[-1], "the newest epochs matter most"


async def test_acks_wait_for_nothing_where_no_message_waits() -> None:
    """A gateway whose window is full sends the next rows only after them."""
    outbound = Outbound(gather=3600, enough=20)
    outbound.add(ack((1, 5)), 1, more=True)
    waiting = asyncio.create_task(outbound.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbound.add(ack((6, 9)), 1, more=False)
    async with asyncio.timeout(60):
        ((_, payload),) = await waiting
    assert wire.decode_reply(payload) == wire.Ack(ep=EPOCH, st="tel", ranges=[(1, 9)])
