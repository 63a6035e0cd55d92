"""The whole of sync v1 over a real broker: lanes, snapshot, flow, gaps, clock, a restored cloud."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from plantroom_edge import session as session_module
from plantroom_edge import sync as sync_module
from plantroom_edge.sync_messages import snapshots
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Batch
from plantroom_shared.wire import (
    MAX_ROWS,
    MAX_TEXT,
    MAX_WIRE,
    Flow,
    Record,
    Samples,
    decode_snapshot,
    encode,
)
from support.edge_broker import GATEWAY, BrokerProcess, cloud_behind, running
from support.edge_cloud import ModelCloud
from support.edge_rows import batch, counting, finding
from support.edge_sync import gateway, values
from support.edge_time import T0
from support.waiting import eventually


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with running("mosquitto", tmp_path) as process:
        yield process


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "STATE_EVERY", 0.2)
    monkeypatch.setattr(session_module, "HELLO_AGAIN", (0.3,))


class Flowing(ModelCloud):
    """A cloud that can say how fast to send."""

    def __init__(self) -> None:
        super().__init__()
        self.say: list[Flow] = []

    def receive(self, channel: str, payload: bytes) -> list[tuple[str, bytes]]:
        flows = [("flow", encode(flow)) for flow in self.say]
        self.say.clear()
        return [*super().receive(channel, payload), *flows]


class Early:
    """A machine whose wall clock starts in 1970."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def now_us(self) -> int:
        return round((time.monotonic() - self._began) * 1e6)

    def monotonic(self) -> float:
        return time.monotonic()


async def test_a_backlog_goes_on_fill_behind_a_snapshot(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """The newest value comes first, then old samples on fill and new ones on tel, each row once."""
    async with (
        cloud_behind(broker) as model,
        gateway(tmp_path, broker.cloud_config(), backlog=50) as unit,
    ):
        await eventually(lambda: model.snapshots)
        (snapshot, order) = model.snapshots[0]
        assert (snapshot.batch.values, order) == ([49.0], [50])
        await unit.buffer.append(counting(50, 1))
        await unit.drained()
        assert values(model, unit.buffer.epoch) == [float(i) for i in range(51)]
        assert [s0 for channel, s0 in model.came if channel == "fill"] == list(range(1, 51))
        assert [s0 for channel, s0 in model.came if channel == "tel"] == [51]
        assert len(model.snapshots) == 1


async def test_every_stream_arrives_most_urgent_first(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """Results of commands, findings and the audit go before a backlog of samples."""
    record = Record(at=T0, kind="agent.test")
    model = Flowing()
    async with (
        cloud_behind(broker, model),
        gateway(tmp_path, broker.cloud_config(), backlog=30) as unit,
    ):
        await eventually(lambda: unit.sync.connected)
        await unit.drained()
        model.say.append(Flow(pause_ms=600_000))
        seen = "flows"
        await eventually(lambda: unit.sync.status()["counters"].get(seen))
        before = len(model.came)
        for i in range(20):
            await unit.buffer.append(counting(30 + i, 1))
        await unit.buffer.append_records("aud", [record])
        await unit.buffer.append_findings([finding("f")])
        await unit.buffer.append_records("cmd", [record])
        await asyncio.sleep(0.3)
        assert len(model.came) == before
        model.say.append(Flow())
        await unit.drained()
        channels = [channel for channel, _ in model.came[before:]]
        assert channels[:3] == ["cmd", "evt", "aud"]
        assert set(channels[3:]) == {"tel"}
        epoch = unit.buffer.epoch
        assert model.rows[epoch, "cmd", 1] == record
        assert len(values(model, epoch)) == 50


async def test_what_is_lost_is_declared_with_a_signature(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """A buffer too small for an outage sends signed gaps; stored and declared rows are all rows."""
    async with gateway(tmp_path, broker.cloud_config(), limit_bytes=400_000) as unit:
        for i in range(40):
            long = [f"{i}-{row}-".ljust(1000, "x") + str(hash((i, row)) ** 9) for row in range(200)]
            await unit.buffer.append(batch([0] * 200, list(long)))
        async with cloud_behind(broker) as model:
            await unit.drained()
        samples = [key for key in [*model.rows, *model.gaps] if key[1] == "tel"]
        assert {seq for _, _, seq in samples} == set(range(1, 8001))
        assert len(samples) == 8000
        public = x509.load_pem_x509_certificate(model.hellos[0].certificate.encode()).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert model.signed
        for gap in model.signed:
            signature = base64.b64decode(gap.sig)
            public.verify(signature, gap.signed_part(GATEWAY), ec.ECDSA(hashes.SHA256()))


async def test_a_cloud_restored_from_a_backup_gets_its_rows_back(
    broker: BrokerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a connection that never broke the gateway notices what the cloud has lost, and sends it."""
    monkeypatch.setattr(sync_module, "AUDIT_EVERY", 0.2)
    async with (
        cloud_behind(broker) as model,
        gateway(tmp_path, broker.cloud_config()) as unit,
    ):
        await unit.buffer.append(counting(0, 100))
        await unit.drained()
        backup = model.backup()
        for i in range(1, 5):
            await unit.buffer.append(counting(100 * i, 100))
        await unit.buffer.append_findings([finding("f")])
        await unit.drained()
        model.restore(backup)
        assert len(values(model, unit.buffer.epoch)) == 100
        await eventually(lambda: len(values(model, unit.buffer.epoch)) == 500)
        # An answer says nothing of what was confirmed after the question: that takes the next one.
        await eventually(lambda: (unit.buffer.epoch, "evt", 1) in model.rows)
        await unit.drained()
        assert values(model, unit.buffer.epoch) == [float(i) for i in range(500)]
        assert unit.sync.status()["counters"]["rows_revived"] >= 401
        assert unit.sync.connects == 1


async def test_a_gateway_without_a_clock_connects_and_learns_the_time(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """In 1970 TLS still stands; rows read before the time is known arrive with the time they were read."""
    began = time.time_ns() // 1000
    async with gateway(tmp_path, broker.cloud_config(), machine=Early(), backlog=5) as unit:
        assert unit.buffer.clock_state == "unset"
        await eventually(lambda: unit.sync.connected)
        assert await unit.held() == 5
        async with cloud_behind(broker) as model:
            await unit.drained()
            await unit.buffer.append(Batch([0], [unit.clock.now_us()], [5.0]))
            await unit.drained()
            await eventually(lambda: model.states and model.states[-1].clock == "sync")
        assert values(model, unit.buffer.epoch) == [float(i) for i in range(6)]
        assert model.hellos[0].clock == "unset"
        ended = time.time_ns() // 1000
        slack = 1_000_000
        times = [model.times[unit.buffer.epoch, "tel", seq] for seq in range(1, 7)]
        assert times == sorted(times)
        assert began - slack <= times[0]
        assert times[-1] <= ended + slack


async def test_the_state_tells_of_the_clock_and_of_what_waits(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """Skew by the round trip, and since when the oldest row waits."""
    model = ModelCloud()
    model.now_us = lambda: time.time_ns() // 1000 + 1_500_000
    model.refuse = "fork"
    async with (
        cloud_behind(broker, model),
        gateway(tmp_path, broker.cloud_config()) as unit,
    ):
        before = unit.clock.now_us()
        await unit.buffer.append(counting(0, 10))
        await eventually(lambda: model.states and model.states[-1].oldest_us)
        state = model.states[-1]
        assert state.oldest_us is not None
        assert before <= state.oldest_us <= unit.clock.now_us()
        skew = "clock_skew_us"
        await eventually(lambda: skew in model.states[-1].counters)
        assert model.states[-1].counters[skew] == pytest.approx(-1_500_000, abs=500_000)
        assert model.states[-1].clock == "sync"
        await eventually(lambda: unit.sync.status()["forks"])
        status = unit.sync.status()
        assert status["forks"] == [f"{unit.buffer.epoch}/tel"]
        assert status["clock"] == "sync"


async def test_an_audit_waits_for_a_disk_that_fails(
    broker: BrokerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an account there is no hello; the connection goes on and the next one is said."""
    monkeypatch.setattr(sync_module, "AUDIT_EVERY", 0.1)
    async with (
        cloud_behind(broker) as model,
        gateway(tmp_path, broker.cloud_config()) as unit,
    ):
        await eventually(lambda: len(model.hellos) >= 2)
        real = unit.buffer.stats

        async def away() -> object:
            msg = "disk I/O error"
            raise Unavailable(msg)

        monkeypatch.setattr(unit.buffer, "stats", away)
        counter = "buffer_unavailable"
        await eventually(lambda: unit.sync.status()["counters"].get(counter))
        monkeypatch.setattr(unit.buffer, "stats", real)
        said = len(model.hellos)
        await eventually(lambda: len(model.hellos) > said + 1)
        assert len({hello.session for hello in model.hellos}) == 1


def test_snapshots_are_cut_to_fit() -> None:
    """However many points and however long their texts, each message is small enough."""
    rows = MAX_ROWS + 500
    many = Batch(list(range(rows)), [1] * rows, [float(i) for i in range(rows)])
    many.quality[MAX_ROWS + 1] = (2, "timeout")
    messages = [decode_snapshot(one) for one in snapshots("a" * 16, many, list(range(1, rows + 1)))]
    assert [len(order) for _, order in messages] == [MAX_ROWS, 500]
    assert messages[1][0].batch.quality == {1: (2, "timeout")}
    texts = [
        base64.b85encode(random.Random(i).randbytes(MAX_TEXT * 4 // 5)).decode() for i in range(90)
    ]
    long = Batch(list(range(90)), [1] * 90, list(texts))
    cut = list(snapshots("a" * 16, long, list(range(1, 91))))
    assert len(cut) > 1
    assert max(map(len, cut)) <= MAX_WIRE
    decoded: list[Samples] = [decode_snapshot(one)[0] for one in cut]
    assert [value for part in decoded for value in part.batch.values] == texts
