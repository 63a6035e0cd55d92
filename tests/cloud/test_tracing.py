"""A message is followed by one id from the gateway to the platform: in logs, and as spans."""

from __future__ import annotations

import http.server
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sqlalchemy import select

from plantroom_cloud.config import WatchingSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.kit import tracing
from plantroom_cloud.kit.following import followed
from plantroom_cloud.publishing.outbox import unpacked
from plantroom_cloud.publishing.publishers import Receipt
from plantroom_cloud.publishing.worker import OutboxWorker
from plantroom_cloud.tables import Outbox, Target
from plantroom_shared.errors import ConfigError, Unavailable
from plantroom_shared.tracing import root_of, trace_of
from support import cloud_site as site
from support.api_world import ONE_ENGINE, Tenant, client_of, make_app
from support.cloud_site import EPOCH, GATEWAY, TestClock, inv, tel
from support.servers import as_owner


@dataclass
class Collector:
    """An OTLP collector of our own: keeps what it is sent."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    headers: dict[str, str] = field(default_factory=dict)

    def take(self, body: bytes) -> None:
        """Read one request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.services.add(about["service.name"])
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def named(self, name: str) -> list[Any]:
        """Return its spans of that name."""
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that runs."""
    made = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                raw = gzip.decompress(raw)
            made.headers |= dict(self.headers.items())
            made.take(raw)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        yield made
        server.shutdown()
        thread.join()


class Taker:
    """A publisher that takes everything."""

    async def prepare(self, plan: Any) -> None:
        """Nothing to prepare."""

    def accepts(self, mapped: Any) -> bool:
        return True

    async def publish(self, values: Any) -> Receipt:
        return Receipt(len(values))


async def _through(database: Database) -> list[str]:
    """Store two messages and publish their rows; return their ids."""
    home = await site.add_home(database)
    async with as_owner(database).write() as session:
        session.add(Target(company_id=home.company_id, kind="enos"))
    clock = TestClock()
    await Store(database, clock).store([inv(site.dictionary(4)), tel(1, 3), tel(4, 2)])
    async with as_owner(database).read() as session:
        (row,) = (await session.execute(select(Outbox))).scalars()
    waiting = unpacked(row.samples)
    assert waiting is not None
    ids = waiting.traces(row.gateway_id)
    taker: Any = Taker()
    worker = OutboxWorker(database, Scope(home.company_id), "enos", taker, clock, mapping_wait=0.0)
    assert await worker.round()
    return ids


async def test_one_id_from_the_gateway_to_the_platform(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """What a message is says its id: ingest, outbox and publisher agree without being told."""
    caplog.set_level(logging.DEBUG, logger="plantroom_cloud.kit.following")
    wanted = [trace_of(GATEWAY, EPOCH, "tel", s0) for s0 in (1, 4)]
    assert await _through(database) == wanted
    assert [record.getMessage() for record in caplog.records] == ["store", "publish"]


@ONE_ENGINE
async def test_spans_follow_a_message(database: Database, collector: Collector) -> None:
    """`store` and `publish` are in the trace of the first, under its beginning; others are linked."""
    settings = WatchingSettings(otlp=collector.url, otlp_headers={"x-key": "k"})
    with tracing.tracing(settings, "test"):
        first, second = await _through(database)
    assert collector.services == {"plantroom-test"}
    assert collector.headers["x-key"] == "k"
    for name in ("store", "publish"):
        (span,) = collector.named(name)
        assert span.trace_id.hex() == first
        assert span.parent_span_id.hex() == root_of(first)
        assert [link.trace_id.hex() for link in span.links] == [second]
        assert span.end_time_unix_nano >= span.start_time_unix_nano
    assert not tracing.spans().on


@ONE_ENGINE
async def test_a_request_is_a_span_in_its_callers_trace(
    database: Database, acme: Tenant, collector: Collector
) -> None:
    """By the template of its route; what failed says so."""
    given = "4bf92f3577b34da6a3ce929d0e0e4736"
    with tracing.tracing(WatchingSettings(otlp=collector.url), "api"):
        app = make_app(database)

        @app.get("/crash")
        async def crash() -> None:
            raise ZeroDivisionError

        async with client_of(app, headers=acme.headers) as client:
            trace = {"traceparent": f"00-{given}-00f067aa0ba902b7-01"}
            await client.get(f"/v1/points/{acme.points[0]}", headers=trace)
            await client.get("/crash", headers=trace)
    (span,) = collector.named("GET /v1/points/{point}")
    assert span.trace_id.hex() == given
    assert span.status.code == 0
    (span,) = collector.named("GET /crash")
    assert span.status.code == 2


def test_which_traces_are_kept_follows_from_their_ids(collector: Collector) -> None:
    """Two processes that keep half of them keep the same half; what failed says its kind."""
    ids = [trace_of("gw", "0" * 16, "tel", n) for n in range(64)]
    kept = []
    for name in ("one", "two"):
        collector.spans.clear()
        with tracing.tracing(WatchingSettings(otlp=collector.url, sampled=0.5), name):
            for trace in ids:
                with pytest.raises(Unavailable), followed("store", [trace]):
                    raise Unavailable(name)
        assert {span.status.message for span in collector.spans} == {"Unavailable"}
        kept.append({span.trace_id.hex() for span in collector.spans})
    assert kept[0] == kept[1]
    assert 0 < len(kept[0]) < 64


def test_without_the_extra_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with (
        pytest.raises(ConfigError, match=r"watching\.otlp.*otel"),
        tracing.tracing(WatchingSettings(otlp="http://127.0.0.1:9/v1/traces"), "x"),
    ):
        pass


def test_where_nobody_collects_nothing_is_made() -> None:
    """Neither spans nor what they need."""
    with tracing.tracing(WatchingSettings(), "x") as to:
        assert not to.on
        to.record("x", ["0" * 32], 0, {})
        to.close()
        with followed("store", [trace_of("gw", "0" * 16, "tel", n) for n in range(40)]):
            pass
