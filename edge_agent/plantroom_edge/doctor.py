"""What is wrong with a gateway, what could go wrong, and what to do about it: pure.

Each check looks at plain facts and yields what it finds; `cli_doctor` gathers the facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Severity = Literal["error", "warning", "note"]

CERT_SOON: Final = 30.0
"""Days of a certificate's life from which on it is spoken of."""
CERT_LATE: Final = 25.0
"""The same where the agent has it renewed by itself, which it does when 30 are left."""
AUTONOMY: Final = 24.0
"""Hours without the cloud that a buffer should have room for."""
SKEW: Final = 2.0
"""Seconds by which the clock may differ from the cloud's."""
FAILING: Final = 0.05
"""Part of the requests that may stay without an answer."""
BUSY: Final = 0.8
"""Part of a bus's time that polling may take."""
QUIET: Final = 5
"""Intervals without a good value after which a device is spoken of."""


@dataclass(frozen=True, slots=True)
class Ailment:
    """One thing that a person should know."""

    severity: Severity
    about: str
    what: str
    fix: str = ""


@dataclass(slots=True)
class Facts:
    """What is known of a gateway."""

    now_us: int
    running: bool
    """Whether an agent runs with this configuration's data folder."""
    answers: bool = False
    """Whether it answers on its control socket."""
    config_file: str = ""
    config_hash: str = ""
    """Of the file as it is now."""
    running_hash: str = ""
    """Of what runs."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """`status.report`."""
    clock: str = ""
    """What the running agent's clock is worth: ``unset``, ``sync`` ..."""
    traffic: Mapping[str, Any] = field(default_factory=dict)
    """Bus → ``since_s`` and the figures of its devices, from drivers that tell."""
    cloud: bool = False
    """Whether a cloud is configured."""
    cert_days: float | None = None
    """Days until the certificate ends."""
    cert_renews: bool = False
    """Whether the agent has it renewed by itself."""
    files: list[Ailment] = field(default_factory=list)
    """What is wrong with files and their rights."""


@dataclass(slots=True)
class Health:
    """One device."""

    device: str
    bus: str
    answers: bool
    points: int
    polls: int
    failures: int
    quiet_s: float | None
    """Seconds since the last poll with an answer."""
    requests: int | None = None
    error_rate: float | None = None
    latency_ms: float | None = None
    latency_max_ms: float | None = None
    bus_share: float | None = None
    """Part of the bus's time that waiting for this device takes."""
    plan: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def devices(facts: Facts) -> list[Health]:
    """Return how each device is."""
    out = []
    for bus, state in _buses(facts).items():
        traffic = facts.traffic.get(bus) or {}
        figures = {one["device"]: one for one in traffic.get("devices", ())}
        for key, device in state.get("devices", {}).items():
            last = device.get("last_good_us") or 0
            quiet = max(0.0, (facts.now_us - last) / 1e6) if last else None
            health = Health(
                key,
                bus,
                bool(device["alive"]),
                device["points"],
                device["polls"],
                device["failures"],
                None if quiet is None else round(quiet, 1),
            )
            _figures(health, figures.get(key), traffic.get("since_s") or 0.0)
            out.append(health)
    return out


def _figures(health: Health, told: Mapping[str, Any] | None, since: float) -> None:
    if told is None:
        return
    requests = int(told["requests"])
    health.requests = requests
    health.error_rate = round(told["failures"] / requests, 4) if requests else 0.0
    health.latency_ms = round(told["latency_ms"], 1)
    health.latency_max_ms = round(told["latency_max_ms"], 1)
    if since > 0:
        health.bus_share = round(requests * told["latency_ms"] / 1000 / since, 4)
    health.plan, health.advice = tuple(told["plan"]), tuple(told["advice"])


def examine(facts: Facts) -> list[Ailment]:
    """Return everything worth saying, the worst first."""
    found = [
        *facts.files,
        *_agent(facts),
        *_buffer(facts),
        *_clock(facts),
        *_link(facts),
        *_all_buses(facts),
        *(one for health in devices(facts) for one in _device(health)),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda one: order[one.severity])


def document(facts: Facts) -> dict[str, Any]:
    """Return facts and findings as plain values."""
    found = examine(facts)
    return {
        "ok": not any(one.severity == "error" for one in found),
        "running": facts.running,
        "findings": [asdict(one) for one in found],
        "devices": [asdict(one) for one in devices(facts)],
        "autonomy_hours": facts.report.get("autonomy_hours"),
        "flash_bytes_per_day": facts.report.get("flash_bytes_per_day"),
        "certificate_days": facts.cert_days,
        "clock": facts.clock or None,
        "clock_skew_us": _sync(facts).get("clock_skew_us"),
        "connected": _said(facts).get("connected", False),
        "last_confirmed_s": facts.report.get("last_confirmed_s"),
        "on_edge": facts.report.get("on_edge"),
    }


def _said(facts: Facts) -> Mapping[str, Any]:
    said = facts.report.get("agent")
    return said if isinstance(said, Mapping) else {}


def _sync(facts: Facts) -> Mapping[str, Any]:
    sync = _said(facts).get("sync")
    return sync if isinstance(sync, Mapping) else {}


def _buses(facts: Facts) -> Mapping[str, Any]:
    buses = _said(facts).get("buses")
    return buses if isinstance(buses, Mapping) and facts.running else {}


# ---------------------------------------------------------------- the checks


def _agent(facts: Facts) -> Iterator[Ailment]:
    file = facts.config_file
    if not facts.running:
        yield Ailment("warning", "agent", "it does not run", f"plantroom-edge run {file}")
        return
    if not facts.answers:
        what = "it runs and does not answer on its control socket"
        yield Ailment("warning", "agent", what, "run this as its user; else start it anew")
    if facts.running_hash and facts.running_hash != facts.config_hash:
        what = "the file is not what runs"
        yield Ailment("warning", "configuration", what, f"plantroom-edge apply {file}")
    if facts.report.get("safe_mode"):
        what = "safe mode after failed starts: no detectors, no sinks"
        yield Ailment("error", "agent", what, "see its log for why it ended, then change that")
    for name, task in (_said(facts).get("tasks") or {}).items():
        if task.get("failing"):
            what = f"fails and is tried again: {task.get('error', '')}"
            yield Ailment("error", name, what, "see what it says; it goes on by itself then")


def _buffer(facts: Facts) -> Iterator[Ailment]:
    report = facts.report
    if problem := _said(facts).get("buffer_problem"):
        yield Ailment("error", "buffer", f"rows are refused: {problem}", "see to the disk")
    if report.get("full_since_us"):
        what = "the disk is full: the oldest samples are given up for new ones"
        yield Ailment("error", "disk", what, "make room, or lower buffer.limit_mb")
    if report.get("giving_up"):
        what = f"the oldest samples are given up ({report['giving_up']})"
        yield Ailment("error", "buffer", what, "bring the cloud back, or raise buffer.limit_mb")
    for cause, count in (report.get("lost") or {}).items():
        yield Ailment("note", "buffer", f"{count:,} rows were declared lost ({cause})")
    autonomy = report.get("autonomy_hours")
    if autonomy is not None and autonomy < AUTONOMY:
        what = f"room for {autonomy} h without the cloud"
        yield Ailment("warning", "buffer", what, "raise buffer.limit_mb, or read less often")
    a_day, budget = report.get("flash_bytes_per_day"), report.get("flash_budget_bytes")
    if a_day and budget and a_day > budget:
        what = f"{a_day / 1e6:.0f} MB a day are written, {budget / 1e6:.0f} are allowed"
        yield Ailment("warning", "disk", what, "raise buffer.commit_ms, or read less often")


def _clock(facts: Facts) -> Iterator[Ailment]:
    if not facts.running:
        return
    if facts.clock == "unset":
        what = "nobody knows the time: samples wait until it is set"
        yield Ailment("error", "clock", what, "set it (timedatectl, NTP) or connect the cloud")
    skew = _sync(facts).get("clock_skew_us")
    if skew is not None and abs(skew) > SKEW * 1e6:
        what = f"it differs by {skew / 1e6:.1f} s from the cloud's"
        yield Ailment("warning", "clock", what, "let NTP set it: timedatectl set-ntp true")


def _link(facts: Facts) -> Iterator[Ailment]:
    if not facts.cloud:
        what = "none is configured: samples stay on the gateway"
        yield Ailment("note", "cloud", what, "add `cloud:` to the file")
        return
    yield from _certificate(facts)
    if not facts.running:
        return
    if not _said(facts).get("connected"):
        error = ((_said(facts).get("tasks") or {}).get("sync") or {}).get("error", "")
        what = f"not connected{f': {error}' if error else ''}"
        yield Ailment("error", "cloud", what, "check host, port, certificate and firewall")
    for fork in _sync(facts).get("forks") or ():
        what = f"another gateway has sent under this one's numbers ({fork})"
        yield Ailment("error", "cloud", what, "do not run two copies of one gateway")


def _certificate(facts: Facts) -> Iterator[Ailment]:
    fix = "issue a new one and name it under `cloud:`"
    if facts.cert_renews:
        fix = "let the agent reach `cloud.provision`; 30 days after its end it is claimed anew"
    soon = CERT_LATE if facts.cert_renews else CERT_SOON
    if facts.cert_days is not None and facts.cert_days <= soon:
        over = facts.cert_days <= 0
        what = "has ended" if over else f"ends in {facts.cert_days:.0f} days"
        yield Ailment("error" if over else "warning", "certificate", what, fix)
    if fault := (_said(facts).get("certificate") or {}).get("fault"):
        fix = "it is tried again every hour; a revoked gateway is reset and claimed anew"
        yield Ailment("warning", "certificate", f"could not be renewed: {fault}", fix)


def _all_buses(facts: Facts) -> Iterator[Ailment]:
    if facts.running and not _buses(facts):
        what = "none is configured: nothing is read"
        yield Ailment("warning", "buses", what, "plantroom-edge scan, then add and apply")
    told = devices(facts)
    for bus, state in _buses(facts).items():
        for target in state.get("missing", ()):
            if any(one.bus == bus and _is(one, target) for one in told):
                continue  # it did not at the last search, and does since
            what = f"does not answer: {target}"
            yield Ailment("error", bus, what, "check power, cable and address")
        counters = state.get("counters") or {}
        polls, late = counters.get("polls", 0), counters.get("overruns", 0)
        if late and late >= 0.01 * (polls + late):
            what = f"{late:,} of {polls + late:,} polls were left out: the round takes too long"
            yield Ailment("warning", bus, what, "lengthen `interval`, or spread over two buses")
        traffic = facts.traffic.get(bus) or {}
        busy = sum(one.bus_share or 0.0 for one in told if one.bus == bus)
        if traffic and busy > BUSY:
            what = f"{busy:.0%} of its time is spent waiting for answers"
            yield Ailment("warning", bus, what, "lengthen `interval`")


def _is(health: Health, target: str) -> bool:
    """Say whether a missing target, as a driver names it for a person, is this device; it answers."""
    name = health.device.partition(":")[2]
    return health.answers and health.quiet_s is not None and target.startswith(f"{name} ")


def _device(health: Health) -> Iterator[Ailment]:
    if not health.answers:
        what = f"gives no answer ({health.failures} polls in a row)"
        fix = "check power, cable and address; it is asked again by itself"
        yield Ailment("error", health.device, what, fix)
    elif health.polls >= QUIET and health.quiet_s is None:
        yield Ailment("error", health.device, "has never given a value", "check its profile")
    if health.error_rate and health.error_rate > FAILING and (health.requests or 0) >= 20:
        what = f"{health.error_rate:.0%} of the requests fail"
        fix = "check the line (termination, shield, length), or raise `timeout`"
        yield Ailment("warning", health.device, what, fix)
    for line in health.advice:
        yield Ailment("note", health.device, line)
