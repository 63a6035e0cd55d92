"""Publishing on a connection that is slow, dead or gone."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import aiomqtt
import pytest

from plantroom_edge import sync_client as client_module
from plantroom_edge.session import Session
from plantroom_edge.sync_client import Line


class SlowBroker:
    """Takes message after message when it is told to, in the place of a client."""

    def __init__(self) -> None:
        self.came: list[tuple[str, bytes]] = []
        self.taken: list[asyncio.Future[None]] = []

    async def publish(self, topic: str, payload: bytes, **_more: Any) -> None:
        self.came.append((topic, payload))
        self.taken.append(asyncio.get_running_loop().create_future())
        await self.taken[-1]


async def for_ever() -> None:
    await asyncio.Event().wait()


def line(broker: SlowBroker, receiver: asyncio.Task[None]) -> Line:
    client = cast("aiomqtt.Client", broker)
    return Line(client, cast("Session", None), receiver, "gw-test-0001")


ROWS = [("tel", b"1"), ("fill", b"2"), ("tel", b"3")]


async def test_a_slow_link_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as one message after the other is taken, all of them may take their time."""
    monkeypatch.setattr(client_module, "PUBACK_WITHIN", 0.5)
    broker, receiver = SlowBroker(), asyncio.create_task(for_ever())
    way = line(broker, receiver)
    await way.publish(ROWS)
    task = asyncio.create_task(way.flush())
    for i in range(3):
        await asyncio.sleep(0.3)
        broker.taken[i].set_result(None)
    await task
    assert [payload for _, payload in broker.came] == [b"1", b"2", b"3"]
    assert broker.came[1][0] == "sv1/gw-test-0001/up/fill"
    receiver.cancel()


async def test_a_link_that_takes_nothing_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a single PUBACK in its time the connection is given up."""
    monkeypatch.setattr(client_module, "PUBACK_WITHIN", 0.05)
    broker, receiver = SlowBroker(), asyncio.create_task(for_ever())
    way = line(broker, receiver)
    await way.publish(ROWS)
    with pytest.raises(aiomqtt.MqttError, match=r"took nothing for 0\.05 s"):
        await way.flush()
    with pytest.raises(aiomqtt.MqttError, match=r"took nothing for 0\.05 s"):
        way.check()
    await way.close()


async def test_nobody_waits_for_the_broker_until_much_is_on_its_way() -> None:
    """A long line is filled; what would pile up behind it waits."""
    broker, receiver = SlowBroker(), asyncio.create_task(for_ever())
    way = line(broker, receiver)
    async with asyncio.timeout(60):
        for number in range(client_module.UNTAKEN):
            await way.publish([("tel", b"%d" % number)])
    one_more = asyncio.create_task(way.publish([("tel", b"more")]))
    while len(broker.came) <= client_module.UNTAKEN:
        await asyncio.sleep(0)
    assert not one_more.done()
    broker.taken[0].set_result(None)
    async with asyncio.timeout(60):
        await one_more
    await way.close()
    assert [payload for _, payload in broker.came[:3]] == [b"0", b"1", b"2"]


async def test_a_connection_that_ends_ends_the_wait() -> None:
    """However it ends, nobody waits for PUBACKs any more."""

    async def lost() -> None:
        msg = "Disconnected during message iteration"
        raise aiomqtt.MqttError(msg)

    async def closed() -> None:
        """Nothing went wrong, it is just over."""

    for ending, said in ((lost, "Disconnected"), (closed, "was closed")):
        way = line(SlowBroker(), asyncio.create_task(ending()))
        await way.publish(ROWS)
        with pytest.raises(aiomqtt.MqttError, match=said):
            await way.flush()


async def test_a_refusal_is_passed_on() -> None:
    """What the client refuses to publish ends the connection; the others are not waited for."""
    broker, receiver = SlowBroker(), asyncio.create_task(for_ever())
    way = line(broker, receiver)
    await way.publish(ROWS)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    broker.taken[1].set_exception(aiomqtt.MqttError("Could not publish message"))
    with pytest.raises(aiomqtt.MqttError, match="Could not publish"):
        await way.flush()
    await way.close()
