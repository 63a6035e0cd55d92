"""What a device's traffic was like and what was learned of it, for a person."""

from __future__ import annotations

from plantroom_edge.drivers import DeviceFigures
from plantroom_edge.drivers.bacnet.cov import Watch
from plantroom_edge.drivers.bacnet.plan import LARGEST_ANSWER, Plan
from plantroom_edge.drivers.bacnet.session import Session
from plantroom_edge.drivers.bacnet.vocabulary import PRESENT_VALUE, READ_PROPERTY_MULTIPLE


def figures_of(session: Session, plan: Plan, interval: float, watch: Watch | None) -> DeviceFigures:
    """Return the figures of one device."""
    traffic = session.traffic
    out = DeviceFigures(
        session.key,
        requests=traffic.requests,
        failures=traffic.failures,
        latency_ms=traffic.latency * 1e3,
        latency_max_ms=traffic.latency_max * 1e3,
        sent_bytes=traffic.sent,
        received_bytes=traffic.received,
        plan=_plan_lines(plan, interval),
    )
    advice = _size_advice(session, plan)
    if traffic.repeats > 10 and traffic.repeats * 20 > traffic.requests:
        share = 100 * traffic.repeats // traffic.requests
        advice.append(f"{share} requests of 100 had to be repeated; check the network or `timeout`")
    if traffic.segmented:
        advice.append(f"{traffic.segmented} answers came in segments")
    if watch is not None:
        advice += watch.advice()
    elif len(plan.batches) > 1:
        advice.append(
            f"a round takes {len(plan.batches)} requests; if the device has COV and room for "
            "subscriptions, `cov: auto` saves most of them"
        )
    out.advice = tuple(advice)
    return out


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


def _size_advice(session: Session, plan: Plan) -> list[str]:
    if not session.multiple:
        return ["no read-property-multiple: one request per point, and no status flags"]
    most = max((len(batch.refs) for batch in plan.batches), default=0)
    if session.budget is not None and session.budget < min(session.max_apdu, LARGEST_ANSWER):
        return [
            f"answers less at once than it announces ({session.max_apdu} octets): "
            f"at most {most} properties in a request"
        ]
    if session.max_apdu < LARGEST_ANSWER and not session.segments:
        return [
            f"answers of at most {session.max_apdu} octets and no segments: "
            f"at most {most} properties in a request"
        ]
    return []
