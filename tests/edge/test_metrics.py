"""Metrics and health on the gateway: read by a real parser, asked by a real client, and by vandals."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from plantroom_edge import health, metrics
from plantroom_edge.drivers import DeviceFigures
from plantroom_edge.exposition import MOST_DEVICES, render
from plantroom_edge.metrics import LONGEST_HEAD, MOST_CALLERS, MetricsServer
from plantroom_shared.cancelling import ended
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Unavailable
from support.edge_status import NOW, device, said
from support.waiting import eventually

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: bytes) -> Samples:
    """Return every sample of an exposition, by name and labels."""
    out: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in out
            out[key] = sample.value
    return out


def one(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"plantroom_{name}", frozenset(labels.items())]


# ---------------------------------------------------------------- the format


def test_the_figures_are_what_a_parser_reads() -> None:
    """Counters, gauges and labels arrive with the values and in the base units of the convention."""
    figures = DeviceFigures("modbus:a", requests=90, failures=4, latency_ms=12.0, sent_bytes=700)
    got = parsed(render(said(), {"roof": [figures]}))
    assert one(got, "bus_polls_total", bus="roof") == 500
    assert one(got, "bus_stale_samples_total", bus="roof") == 0
    assert one(got, "bus_poll_seconds", bus="roof", quantile="0.95") == 0.02
    assert one(got, "bus_devices", bus="roof", state="dead") == 1
    assert one(got, "bus_missing", bus="roof") == 1
    assert one(got, "device_up", bus="roof", device="modbus:b") == 0
    assert one(got, "device_polls_total", bus="roof", device="modbus:b") == 3
    assert (
        one(got, "device_last_answer_timestamp_seconds", bus="roof", device="modbus:a") == NOW / 1e6
    )
    assert one(got, "device_failures_total", bus="roof", device="modbus:a") == 4
    assert one(got, "device_latency_seconds", bus="roof", device="modbus:a") == 0.012
    assert one(got, "buffer_rows", stream="tel") == 40
    assert one(got, "buffer_accepted_total", stream="tel") == 900
    assert one(got, "buffer_lost_total", cause="quota_tel") == 7
    assert one(got, "buffer_autonomy_seconds") == 7200
    assert one(got, "sync_lag_seconds") == 5
    assert one(got, "clock_offset_seconds") == 0.0025
    assert one(got, "cpu_seconds_total") == 9.5
    assert one(got, "resident_memory_bytes") == 60_000_000
    assert one(got, "task_restarts_total") == 2
    assert one(got, "sync_connected") == 1
    info = [labels for name, labels in got if name == "plantroom_agent_info"]
    assert dict(info[0])["gateway"] == "gw-tower-0001"


def test_what_is_not_known_has_no_sample() -> None:
    """A gateway without cloud, sensors or a readable buffer tells the rest, and makes nothing up."""
    document = said(
        buffer={"problem": "gone"},
        buffer_problem="gone",
        autonomy_hours=None,
        sync={"connected": False},
        connected=False,
        certificate=None,
        machine={"cpu_seconds": 1.0},
    )
    names = {name for name, _ in parsed(render(document, {}))}
    assert "plantroom_buffer_failing" in names
    absent = {
        "buffer_rows",
        "sync_lag_seconds",
        "clock_offset_seconds",
        "gateway_temperature_celsius",
    }
    assert not names & {f"plantroom_{name}" for name in absent}
    assert render({}, {}) == b""


def test_series_are_bounded() -> None:
    """Devices beyond the limit get no series of their own, and are counted."""
    many = {f"modbus:{number}": device() for number in range(MOST_DEVICES + 5)}
    buses = {"roof": said()["buses"]["roof"] | {"devices": many}}
    figures = [DeviceFigures(key) for key in many]
    got = parsed(render(said(buses=buses), {"roof": figures}))
    for name in ("plantroom_device_up", "plantroom_device_requests_total"):
        assert sum(key[0] == name for key in got) == MOST_DEVICES
    assert one(got, "devices_untold") == 5
    assert one(got, "bus_devices", bus="roof", state="alive") == MOST_DEVICES + 5


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_device_calls_itself_is_a_label(bus: str, key: str) -> None:
    """No name breaks out of its label: the parser gets it back as it was."""
    buses = {bus: said()["buses"]["roof"] | {"devices": {key: device()}}}
    try:
        expected = {(bus.encode().decode(), key.encode().decode())}
    except UnicodeEncodeError:
        return
    if any(mark in bus + key for mark in "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        return  # the parser, not the format, takes these for the end of a line
    got = parsed(render(said(buses=buses), {}))
    labels = [dict(labels) for name, labels in got if name == "plantroom_device_up"]
    assert {(each["bus"], each["device"]) for each in labels} == expected


# ---------------------------------------------------------------- health


def test_an_agent_that_works_has_no_reasons() -> None:
    """Dead devices and an absent cloud are not the agent's failure."""
    away = said(connected=False, sync={"connected": False})
    assert list(health.reasons(said(), NOW)) == list(health.reasons(away, NOW + 2_000_000)) == []


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({}, "not said anything"),
        (said(at_us=NOW - 60_000_000), "for 60 s"),
        (said(safe_mode=True), "safe mode"),
        (said(buffer_problem="disk I/O error"), "disk I/O error"),
        (said(buffer=said()["buffer"] | {"full_since_us": NOW}), "disk is full"),
        (said(buffer=said()["buffer"] | {"giving_up": "quota"}), "given up"),
        (said(tasks={"bus roof": {"failing": True, "error": "no such port"}}), "no such port"),
    ],
    ids=["silent", "stuck", "safe", "buffer", "full", "giving-up", "task"],
)
def test_each_trouble_is_said_in_words(document: dict[str, Any], word: str) -> None:
    """Whatever keeps the agent from its work is a line of its own."""
    (reason,) = health.reasons(document, NOW)
    assert word in reason


# ---------------------------------------------------------------- the server


class Asked:
    """What the server is given, and how often it asked."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = said(at_us=SystemClock().now_us())
        self.renders = 0

    def traffic(self) -> dict[str, list[DeviceFigures]]:
        self.renders += 1
        return {"roof": [DeviceFigures("modbus:a", requests=1)]}


@asynccontextmanager
async def serving(asked: Asked) -> AsyncIterator[MetricsServer]:
    server = MetricsServer(
        "127.0.0.1", 0, document=lambda: asked.document, traffic=asked.traffic, clock=SystemClock()
    )
    task = asyncio.create_task(server.run())
    try:
        await eventually(lambda: server.port)
        yield server
    finally:
        await ended(task)


@asynccontextmanager
async def client(server: MetricsServer) -> AsyncIterator[httpx.AsyncClient]:
    base = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=base, timeout=20) as opened:
        yield opened


async def test_a_client_gets_metrics_and_health() -> None:
    """Prometheus' own format comes with its content type; health is 200, or 503 with the reasons."""
    asked = Asked()
    async with serving(asked) as server, client(server) as http:
        reply = await http.get("/metrics?x=1", headers={"Accept": "application/openmetrics-text"})
        well = await http.get("/health")
        asked.document |= {"safe_mode": True, "buffer_problem": "disk I/O error"}
        ill = await http.get("/health")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    got = parsed(reply.content)
    assert one(got, "bus_polls_total", bus="roof") == 500
    assert one(got, "device_requests_total", bus="roof", device="modbus:a") == 1
    assert (well.status_code, well.text) == (200, "ok\n")
    assert ill.status_code == 503
    assert len(ill.text.splitlines()) == 2


async def test_many_callers_cost_one_rendering() -> None:
    """The text is made once for each second's document, and anew for the next."""
    asked = Asked()
    async with serving(asked) as server, client(server) as http:
        for _ in range(20):
            await http.get("/metrics")
        assert asked.renders == 1
        asked.document = asked.document | {"at_us": asked.document["at_us"] + 1}
        await http.get("/metrics")
    assert asked.renders == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/../../etc/passwd", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/health", 405),
        ("DELETE", "/nothing", 404),
    ],
)
async def test_there_is_nothing_else(method: str, path: str, status: int) -> None:
    """Only two paths, only GET."""
    async with serving(Asked()) as server:
        reply = await spoken(server, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert reply.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"\r\nAllow: GET\r\n" in reply) is (status == 405)


async def spoken(server: MetricsServer, said: bytes) -> bytes:
    """Return all that the server answers to `said`."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            writer.write(said)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


HOSTILE = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "an older protocol": b"GET /metrics\r\n\r\n",
    "two spaces": b"GET  /metrics HTTP/1.1\r\n\r\n",
    "nothing": b"\r\n\r\n",
    "an endless line": b"GET /" + b"a" * (2 * LONGEST_HEAD) + b" HTTP/1.1\r\n\r\n",
    "endless headers": b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * LONGEST_HEAD + b"\r\n",
}


@pytest.mark.parametrize("trick", HOSTILE)
async def test_rubbish_is_refused_and_the_next_is_served(trick: str) -> None:
    """What is no request gets 400 or an end, and costs nobody else an answer."""
    async with serving(Asked()) as server:
        reply = await spoken(server, HOSTILE[trick])
        assert reply.startswith(b"HTTP/1.1 400 ") or reply == b""
        async with client(server) as http:
            assert (await http.get("/health")).status_code == 200


async def test_callers_are_few_and_have_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds connections open without a word is dropped, and so is who comes in too great a number."""
    monkeypatch.setattr(metrics, "PATIENCE", 1.0)
    async with serving(Asked()) as server, asyncio.timeout(30):
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(40)]
        assert len(server._callers) <= MOST_CALLERS
        for reader, writer in held:
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        await eventually(lambda: not server._callers)
        async with client(server) as http:
            assert (await http.get("/metrics")).status_code == 200


async def test_who_leaves_or_talks_on_is_forgotten() -> None:
    """Half a request and an end, or megabytes behind it, leave nothing behind."""
    async with serving(Asked()) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /met")
        writer.close()
        await spoken(server, b"GET /health HTTP/1.1\r\n\r\n" + b"x" * 4_000_000)
        await eventually(lambda: not server._callers)


@given(st.binary(max_size=300))
def test_any_head_has_an_answer(head: bytes) -> None:
    """Whatever stands in a request, the answer is a whole one of a known kind."""
    server = MetricsServer("x", 0, document=said, traffic=dict, clock=SystemClock())
    answer = server.answer(head)
    assert answer.status in {200, 400, 404, 405, 503}
    assert answer.encode().endswith(answer.body)


async def test_a_taken_port_is_unavailable_and_says_what_to_change() -> None:
    """Where the address cannot be had the supervisor tries again, and a person reads which key it is."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = MetricsServer("127.0.0.1", port, document=dict, traffic=dict, clock=SystemClock())
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match=r"metrics\.listen"):
                await server.run()
