"""The agent's figures in the text format that Prometheus reads; pure: status document → text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from plantroom_edge.drivers import DeviceFigures

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

MOST_DEVICES: Final = 2000
"""Devices with series of their own: each label value costs the one who stores it. The rest is a number."""

Traffic = Mapping[str, Sequence[DeviceFigures]]
"""Bus → what the traffic with its devices was like."""

_GAUGES: Final = {
    "safe_mode": ("safe_mode", "1 while the agent runs with its core alone after crashes."),
    "samples_per_second": ("samples_per_second", "Samples taken into the buffer a second."),
    "connected": ("sync_connected", "1 while there is a connection to the cloud."),
}
_MACHINE: Final = {
    "resident_bytes": ("resident_memory_bytes", "Memory of the agent."),
    "temperature_c": ("gateway_temperature_celsius", "Hottest thermal zone of the gateway."),
}
_BUFFER: Final = {
    "disk_bytes": ("buffer_disk_bytes", "What the buffer takes on the disk."),
    "limit_bytes": ("buffer_limit_bytes", "What it may take."),
    "room_bytes": ("buffer_room_bytes", "What samples may still take before any must be given up."),
}
_BUS: Final = {
    "polls": ("polls", "Reads of a group of points."),
    "overruns": ("overruns", "Slots missed since the poll before had not ended."),
    "samples": ("samples", "Samples handed to the buffer."),
    "bad": ("bad_samples", "Of these, of bad or uncertain quality."),
    "suppressed": ("suppressed_values", "Values read that said nothing new."),
    "stale": ("stale_samples", "Samples that say that a point is not read any more."),
    "refused": ("refused_samples", "Samples that the buffer did not take."),
    "skipped_dead": ("skipped_polls", "Polls left out since the device does not answer."),
    "reads_hung": ("hung_reads", "Reads that the driver did not end in time."),
    "reads_failed": ("failed_reads", "Reads that ended in a defect of the driver."),
    "reads_misshapen": (
        "misshapen_reads",
        "Reads in which the driver returned too little or much.",
    ),
}


class _Families(Collector):
    """The families of one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def render(document: dict[str, Any], traffic: Traffic) -> bytes:
    """Return the exposition of `document`, the agent's own account of itself.

    Args:
        document: as `Vitals.document` makes it; empty before the first.
        traffic: of the buses whose drivers tell.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(_families(document, traffic) if document else ()))
    return generate_latest(registry)


def _families(document: dict[str, Any], traffic: Traffic) -> Iterator[Metric]:
    yield from _agent(document)
    yield from _buffer(document)
    buses: dict[str, dict[str, Any]] = document["buses"]
    yield from _buses(buses)
    yield from _devices(buses)
    yield from _traffic(traffic)


def _gauge(name: str, text: str, value: Any) -> Iterator[Metric]:
    """Yield a gauge without labels; nothing where there is no number."""
    if isinstance(value, bool | int | float):
        yield GaugeMetricFamily(f"plantroom_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"plantroom_{name}", text, value=value)


def _agent(document: dict[str, Any]) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "plantroom_agent_info", "Always 1: who this is.", labels=("gateway", "version")
    )
    info.add_metric((document["gateway"], version("plantroom")), 1)
    yield info
    machine, sync, counters = document["machine"], document["sync"], document["counters"]
    for key, (name, text) in _GAUGES.items():
        yield from _gauge(name, text, document[key])
    for key, (name, text) in _MACHINE.items():
        yield from _gauge(name, text, machine.get(key))
    yield _counter("cpu_seconds", "Processor time of the agent.", machine["cpu_seconds"])
    if "written_bytes" in machine:
        text = "What the agent has made the disk write."
        yield _counter("disk_written_bytes", text, machine["written_bytes"])
    yield _counter("task_restarts", "Restarts of failed tasks.", counters["restarts"])
    failing = sum(task["failing"] for task in document["tasks"].values())
    yield from _gauge("tasks_failing", "Tasks that fail now.", failing)
    text = "When the certificate is over."
    until = (document["certificate"] or {}).get("until")
    yield from _gauge("certificate_end_timestamp_seconds", text, until)
    skew = sync.get("clock_skew_us")
    text = "Gateway minus cloud, when it was last measured."
    yield from _gauge("clock_offset_seconds", text, None if skew is None else skew / 1e6)
    text = "Since the cloud last confirmed anything."
    yield from _gauge("sync_last_ack_age_seconds", text, sync.get("last_ack_age"))


def _buffer(document: dict[str, Any]) -> Iterator[Metric]:
    buffer = document["buffer"]
    text = "1 while the buffer does not take samples."
    yield from _gauge("buffer_failing", text, bool(document["buffer_problem"]))
    if hours := document["autonomy_hours"]:
        text = "How long no sample need be given up without the cloud."
        yield from _gauge("buffer_autonomy_seconds", text, hours * 3600)
    if "held" not in buffer:
        return
    for key, (name, text) in _BUFFER.items():
        yield from _gauge(name, text, buffer[key])
    oldest = buffer["oldest_us"]
    age = 0.0 if oldest is None else max(0, document["at_us"] - oldest) / 1e6
    yield from _gauge("sync_lag_seconds", "Age of the oldest row that is not confirmed.", age)
    rows = GaugeMetricFamily("plantroom_buffer_rows", "Rows not confirmed.", labels=("stream",))
    accepted = CounterMetricFamily("plantroom_buffer_accepted", "Rows taken.", labels=("stream",))
    for stream, count in buffer["held"].items():
        rows.add_metric((stream,), count)
        accepted.add_metric((stream,), buffer["accepted"].get(stream, 0))
    lost = CounterMetricFamily("plantroom_buffer_lost", "Rows given up.", labels=("cause",))
    for cause, count in buffer["lost"].items():
        lost.add_metric((cause,), count)
    yield from (rows, accepted, lost)


def _buses(buses: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    for key, (name, text) in _BUS.items():
        family = CounterMetricFamily(f"plantroom_bus_{name}", text, labels=("bus",))
        for bus, said in buses.items():
            family.add_metric((bus,), said["counters"].get(key, 0))
        yield family
    devices = GaugeMetricFamily(
        "plantroom_bus_devices", "Devices by whether they answer.", labels=("bus", "state")
    )
    missing = GaugeMetricFamily(
        "plantroom_bus_missing", "Configured, and never found.", labels=("bus",)
    )
    # Not a summary: a quantile of the last polls, not of all since the start.
    took = GaugeMetricFamily(
        "plantroom_bus_poll_seconds",
        "How long the last polls took.",
        labels=("bus", "quantile"),
    )
    for bus, said in buses.items():
        alive = sum(device["alive"] for device in said["devices"].values())
        devices.add_metric((bus, "alive"), alive)
        devices.add_metric((bus, "dead"), len(said["devices"]) - alive)
        missing.add_metric((bus,), len(said["missing"]))
        for quantile, key in (("0.5", "p50"), ("0.95", "p95")):
            if key in said["poll_ms"]:
                took.add_metric((bus, quantile), said["poll_ms"][key] / 1000)
    yield from (devices, missing, took)


def _devices(buses: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    labels = ("bus", "device")
    up = GaugeMetricFamily("plantroom_device_up", "1 while it answers.", labels=labels)
    polls = CounterMetricFamily("plantroom_device_polls", "Reads of a group.", labels=labels)
    overruns = CounterMetricFamily("plantroom_device_overruns", "Slots missed.", labels=labels)
    good = GaugeMetricFamily(
        "plantroom_device_last_answer_timestamp_seconds",
        "When it last answered; 0: not since the start.",
        labels=labels,
    )
    points = GaugeMetricFamily("plantroom_device_points", "Points polled.", labels=labels)
    entries = [
        ((bus, key), device)
        for bus, said in buses.items()
        for key, device in said["devices"].items()
    ]
    for who, device in entries[:MOST_DEVICES]:
        up.add_metric(who, float(device["alive"]))
        polls.add_metric(who, device["polls"])
        overruns.add_metric(who, device["overruns"])
        good.add_metric(who, device["last_good_us"] / 1e6)
        points.add_metric(who, device["points"])
    yield from (up, polls, overruns, good, points)
    text = "Devices without series of their own: there are too many."
    yield from _gauge("devices_untold", text, max(0, len(entries) - MOST_DEVICES))


def _traffic(traffic: Traffic) -> Iterator[Metric]:
    labels = ("bus", "device")
    requests = CounterMetricFamily("plantroom_device_requests", "Requests sent.", labels=labels)
    failures = CounterMetricFamily(
        "plantroom_device_failures", "Requests without a usable answer.", labels=labels
    )
    sent = CounterMetricFamily("plantroom_device_sent_bytes", "Sent to it.", labels=labels)
    received = CounterMetricFamily("plantroom_device_received_bytes", "Got from it.", labels=labels)
    latency = GaugeMetricFamily(
        "plantroom_device_latency_seconds", "From request to answer, moving average.", labels=labels
    )
    entries = [((bus, one.device), one) for bus, figures in traffic.items() for one in figures]
    for who, one in entries[:MOST_DEVICES]:
        requests.add_metric(who, one.requests)
        failures.add_metric(who, one.failures)
        sent.add_metric(who, one.sent_bytes)
        received.add_metric(who, one.received_bytes)
        latency.add_metric(who, one.latency_ms / 1000)
    yield from (requests, failures, sent, received, latency)
