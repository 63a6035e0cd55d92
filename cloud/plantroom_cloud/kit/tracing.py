"""Spans for OpenTelemetry, where `watching.otlp` says where to; without it nothing is loaded.

Which traces are kept follows from their ids, so every process keeps the same ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plantroom_cloud.config_watching import WatchingSettings
from plantroom_cloud.kit.measuring import route_of
from plantroom_cloud.kit.problems import TRACE_ID
from plantroom_shared.errors import ConfigError
from plantroom_shared.tracing import root_of

log = logging.getLogger(__name__)
Attributes = Mapping[str, str | int | float | bool]
MOST_LINKS: Final = 64
_FLUSH_MS: Final = 2000


class Spans(Protocol):
    """Takes spans that have ended."""

    on: bool
    """Whether anybody wants them: making their attributes costs, too."""

    def record(
        self,
        name: str,
        traces: Sequence[str],
        began_ns: int,
        attributes: Attributes,
        failed: str = "",
    ) -> None:
        """Note a span from `began_ns` (since 1970) to now in the first trace; the others are linked."""
        ...

    def close(self) -> None:
        """Send what has not been sent; waits two seconds at most."""
        ...


class NoSpans:
    """Nobody wants any."""

    on = False

    def record(self, *_: object, **__: object) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class OtlpSpans:
    """Sends spans to an OTLP/HTTP collector, from a thread of its own; one that is away costs spans.

    Args:
        settings: where to.
        service: name of the service: the parts of this process.

    Raises:
        ConfigError: the extra ``otel`` is not installed.
    """

    on = True

    def __init__(self, settings: WatchingSettings, service: str) -> None:
        try:
            from opentelemetry import trace  # noqa: PLC0415 - an extra
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415
        except ImportError as error:
            what, fix = "OpenTelemetry is not installed", "install plantroom[cloud,otel]"
            raise ConfigError(what, key="watching.otlp", fix=fix) from error
        headers = {name: text.get_secret_value() for name, text in settings.otlp_headers.items()}
        exporter = OTLPSpanExporter(endpoint=settings.otlp, headers=headers, timeout=10)
        self._api: Any = trace
        self._provider: Any = TracerProvider(
            sampler=TraceIdRatioBased(settings.sampled),
            resource=Resource.create({"service.name": f"plantroom-{service}"}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer: Any = self._provider.get_tracer("plantroom")

    def record(
        self,
        name: str,
        traces: Sequence[str],
        began_ns: int,
        attributes: Attributes,
        failed: str = "",
    ) -> None:
        """Note a span from `began_ns` (since 1970) to now in the first trace; the others are linked."""
        first, *rest = traces[: MOST_LINKS + 1]
        api = self._api
        parent = api.set_span_in_context(api.NonRecordingSpan(self._context(first)))
        span = self._tracer.start_span(
            name,
            context=parent,
            kind=api.SpanKind.CONSUMER,
            attributes=dict(attributes),
            links=[api.Link(self._context(one)) for one in rest],
            start_time=began_ns,
        )
        if failed:
            span.set_status(api.Status(api.StatusCode.ERROR, failed))
        span.end(time.time_ns())

    def _context(self, trace_id: str) -> Any:
        api = self._api
        return api.SpanContext(
            int(trace_id, 16), int(root_of(trace_id), 16), is_remote=True,
            trace_flags=api.TraceFlags(api.TraceFlags.SAMPLED),
        )  # fmt: skip

    def close(self) -> None:
        """Send what has not been sent; waits two seconds at most."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()


_OPEN: Final[dict[str, Spans]] = {}
"""Parts of this process → their spans."""


def spans() -> Spans:
    """Return where spans of this process go."""
    return next(iter(_OPEN.values()), NoSpans())


@contextmanager
def tracing(settings: WatchingSettings, service: str) -> Iterator[Spans]:
    """Send spans while the block runs, if the settings say where to."""
    if not settings.otlp:
        yield NoSpans()
        return
    made = _OPEN[service] = OtlpSpans(settings, service)
    try:
        yield made
    finally:
        del _OPEN[service]
        made.close()


class RequestSpans:
    """A span for every request, in the trace that its caller has begun or in one of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note what became of it."""
        to = spans()
        if scope["type"] != "http" or not to.on:
            await self.app(scope, receive, send)
            return
        began, status = time.time_ns(), 0

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watching)
        finally:
            route = route_of(scope)
            about = {"http.request.method": scope["method"], "http.route": route}
            about["http.response.status_code"] = status
            failed = "" if 0 < status < 500 else str(status)
            to.record(f"{scope['method']} {route}", [scope[TRACE_ID]], began, about, failed)
