"""What a device's traffic was like and what was learned of it, for a person."""

from __future__ import annotations

from collections.abc import Sequence

from plantroom_edge.drivers import DeviceFigures, PollGroup
from plantroom_edge.drivers.bacnet.grouping import Readout
from plantroom_edge.drivers.bacnet.plan import LARGEST_ANSWER, Plan
from plantroom_edge.drivers.bacnet.session import Session
from plantroom_edge.drivers.bacnet.traffic import Traffic
from plantroom_edge.drivers.bacnet.vocabulary import PRESENT_VALUE, READ_PROPERTY_MULTIPLE


def figures_of(groups: Sequence[PollGroup]) -> DeviceFigures:
    """Return the figures of the device that has `groups`, of which there is one at least."""
    readouts: list[Readout] = [group.plan for group in groups]
    session = readouts[0].session
    traffic = session.traffic
    return DeviceFigures(
        session.key,
        requests=traffic.requests,
        failures=traffic.failures,
        latency_ms=traffic.latency * 1e3,
        latency_max_ms=traffic.latency_max * 1e3,
        sent_bytes=traffic.sent,
        received_bytes=traffic.received,
        plan=tuple(it for group in groups for it in _plan_lines(group.plan.plan, group.interval)),
        advice=(*_network_advice(traffic), *_size_advice(session, readouts), *_cov(readouts)),
    )


def _network_advice(traffic: Traffic) -> list[str]:
    out: list[str] = []
    if traffic.repeats > 10 and traffic.repeats * 20 > traffic.requests:
        share = 100 * traffic.repeats // traffic.requests
        out.append(f"{share} of 100 requests had to be repeated; check the network, or `timeout`")
    if traffic.segmented:
        out.append(f"{traffic.segmented} answers came in segments")
    return out


def _cov(readouts: Sequence[Readout]) -> list[str]:
    watches = [readout.watch for readout in readouts if readout.watch is not None]
    if watches:
        return [line for watch in watches for line in watch.advice()]
    requests = sum(len(readout.plan.batches) for readout in readouts)
    if requests < 2:
        return []
    cure = "if the device has COV and room for subscriptions, `cov: auto` saves most of them"
    return [f"a round takes {requests} requests; {cure}"]


def _plan_lines(plan: Plan, interval: float) -> tuple[str, ...]:
    """Return one line for each kind and size of request."""
    counts: dict[str, int] = {}
    for batch in plan.batches:
        objects = sum(ref[1] == PRESENT_VALUE for ref in batch.refs) or 1
        many = batch.service == READ_PROPERTY_MULTIPLE
        what = f"read-property-multiple {objects} objects" if many else "read-property"
        counts[what] = counts.get(what, 0) + 1
    return tuple(
        f"{what} x {count} requests every {interval:g} s" for what, count in counts.items()
    )


def _size_advice(session: Session, readouts: Sequence[Readout]) -> list[str]:
    if not session.multiple:
        return ["no read-property-multiple: one request per point, and no status flags"]
    batches = [batch for readout in readouts for batch in readout.plan.batches]
    most = max((len(batch.refs) for batch in batches), default=0)
    limit = f"at most {most} properties in a request"
    if session.budget is not None and session.budget < min(session.max_apdu, LARGEST_ANSWER):
        return [f"answers less at once than its {session.max_apdu} octets: {limit}"]
    if session.max_apdu < LARGEST_ANSWER:
        return [f"answers of at most {session.max_apdu} octets: {limit}"]
    return []
