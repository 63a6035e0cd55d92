"""Every Prometheus metric of the cloud, by name; whoever counts imports it from here.

No label is a company, a site, a gateway or a point: series cost the one who stores them, and what
`/metrics` says is nobody's but the operator's. What objects know themselves (breakers, pools,
caches, queues) is asked for when it is scraped, see `watch`.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
REGISTRY: Final = CollectorRegistry(auto_describe=True)
_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SLOW: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"plantroom_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"plantroom_{name}", text, labels, registry=REGISTRY)


def _histogram(
    name: str, text: str, *labels: str, buckets: tuple[float, ...] = _QUICK
) -> Histogram:
    return Histogram(f"plantroom_{name}", text, labels, registry=REGISTRY, buckets=buckets)


# ---------------------------------------------------------------- the API
REQUESTS: Final = _counter(
    "http_requests", "Requests, by the route's template.", "method", "route", "status"
)
REQUEST_SECONDS: Final = _histogram(
    "http_request_seconds", "From the request to the first byte of its answer.", "route"
)
REQUESTS_UNDER_WAY: Final = _gauge("http_requests_under_way", "Requests that are being answered.")
DEADLINES: Final = _counter("http_deadlines", "Requests given up at their deadline.")

# ---------------------------------------------------------------- ingest
INGEST_MESSAGES: Final = _counter(
    "ingest_messages", "Messages dealt with, by what became of them.", "outcome"
)
INGEST_ROWS: Final = _counter("ingest_rows", "Rows stored that were not there before.")
INGEST_ACKS: Final = _counter("ingest_answers", "Acks and other answers sent to gateways.")
INGEST_STORE_SECONDS: Final = _histogram(
    "ingest_store_seconds", "One transaction of messages.", buckets=_SLOW
)

# ---------------------------------------------------------------- worker
OUTBOX_ROWS: Final = _gauge("outbox_rows", "Values that wait for a platform.", "kind")
OUTBOX_AGE: Final = _gauge(
    "outbox_age_seconds", "Since the oldest of what waits was stored; 0: none waits.", "kind"
)
JOB_CHUNKS: Final = _gauge("job_chunks", "Chunks of jobs that are open, by state.", "state")
JOB_WAIT: Final = _gauge(
    "job_wait_seconds", "Since the chunk that waits longest became due; 0: none waits."
)
JOB_ENDED: Final = _counter("job_chunks_ended", "Chunks that were begun, by outcome.", "outcome")
PUBLISHED: Final = _counter("published_values", "Values a platform has taken.", "kind")
NOT_PUBLISHED: Final = _counter(
    "unpublished_values", "Values counted as not published, by reason.", "kind", "reason"
)
PUBLISH_FAILURES: Final = _counter("publish_failures", "Rounds that failed.", "kind")
PART_RESTARTS: Final = _counter(
    "part_restarts", "Starts of a part of the process after it had failed.", "part"
)

# ---------------------------------------------------------------- what others answer
CALL_SECONDS: Final = _histogram(
    "dependency_seconds", "Calls of a dependency, by outcome.", "dependency", "outcome"
)
BREAKER_OPENED: Final = _counter("breaker_opened", "Times a breaker opened.", "breaker")
BREAKER_REFUSED: Final = _counter(
    "breaker_refused", "Calls not made since the breaker was open.", "breaker"
)
CACHE_LOOKUPS: Final = _counter(
    "cache_lookups", "Look-ups, by where they were answered.", "cache", "answer"
)

# ---------------------------------------------------------------- what is asked for at the scrape

Reading = tuple[str, str, tuple[tuple[str, str], ...], float]
"""Name without prefix, help, labels, value; readings of one name and labels are added up."""
_WATCHED: Final[WeakKeyDictionary[Any, Callable[[Any], Iterable[Reading]]]] = WeakKeyDictionary()


def watch(thing: Any, read: Callable[[Any], Iterable[Reading]]) -> None:
    """Have `read(thing)` tell gauges at each scrape, as long as `thing` lives."""
    _WATCHED[thing] = read


class _Watched(Collector):
    def collect(self) -> Iterable[Metric]:
        texts: dict[str, str] = {}
        sums: Tally[tuple[str, tuple[tuple[str, str], ...]]] = Tally()
        for thing, read in list(_WATCHED.items()):
            for name, text, labels, value in read(thing):
                texts[name] = text
                sums[name, labels] += value  # type: ignore[assignment] # a tally of floats
        families: dict[str, GaugeMetricFamily] = {}
        for (name, labels), value in sorted(sums.items()):
            family = families.setdefault(
                name,
                GaugeMetricFamily(
                    f"plantroom_{name}", texts[name], labels=[label for label, _ in labels]
                ),
            )
            family.add_metric([text for _, text in labels], value)
        return families.values()

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing is known before something is watched


REGISTRY.register(_Watched())
ProcessCollector(namespace="plantroom", registry=REGISTRY)


def exposition() -> bytes:
    """Return what Prometheus reads."""
    return generate_latest(REGISTRY)
