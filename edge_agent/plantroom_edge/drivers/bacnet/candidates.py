"""What a scan has learned of a device → a candidate for the configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plantroom_edge.drivers import Candidate
from plantroom_edge.drivers.bacnet.facts import Found, Identity
from plantroom_edge.drivers.bacnet.profile import Catalogue, apply, choose
from plantroom_edge.drivers.bacnet.scan import Scan
from plantroom_edge.drivers.bacnet.services import WHOLE, Ref
from plantroom_edge.drivers.bacnet.vocabulary import PRESENT_VALUE, STATUS_FLAGS


def candidate(
    scan: Scan, bus: Mapping[str, Any], notes: Sequence[str], catalogue: Catalogue
) -> Candidate:
    """Return the device of `scan`, however far that has come.

    Args:
        scan: what was learned.
        bus: keys of the bus that reaches it.
        notes: what else a person should know of it.
        catalogue: the profiles to choose from.
    """
    found = scan.so_far()
    profile = choose(catalogue, found)
    name = next((name for name, one in catalogue if one is profile), "")
    evidence = [*_evidence(scan, found), *notes]
    if profile is not None:
        found = apply(profile, found)
        evidence.insert(0, f"what it says of itself fits the profile {name}")
    return Candidate(
        bus=bus,
        entry={"instance": scan.session.instance},
        device=found.device,
        points=found.points,
        profile=name,
        confidence=1.0,
        evidence=tuple(evidence),
    )


def _evidence(scan: Scan, found: Found) -> Iterator[str]:
    session = scan.session
    if says := _product(found.identity):
        yield f"says to be {says}"
    if session.peer.net:
        yield f"behind a router: {session.peer}"
    if scan.found is None:
        yield f"not wholly looked at: {scan.trouble or 'there was no time to ask it'}"
    yield f"{len(found.points)} points of {scan.counted} objects"
    if found.objects:
        yield _load(scan, found)
    yield from (f"left out: {line}" for line in found.left_out)


def _product(who: Identity) -> str:
    vendor = (
        f"{who.vendor or 'vendor'} ({who.vendor_id})" if who.vendor_id is not None else who.vendor
    )
    parts = (vendor, who.model, who.firmware and f"firmware {who.firmware}")
    return ", ".join(part for part in parts if part)


def _load(scan: Scan, found: Found) -> str:
    """Return what one poll of all points costs on the bus, by estimate."""
    props = (PRESENT_VALUE, STATUS_FLAGS)
    refs: list[Ref] = [(oid, prop, WHOLE) for oid in found.objects for prop in props]
    batches = scan.session.plan(refs).batches
    octets = sum(batch.size for batch in batches)
    one_by_one = "" if scan.session.multiple else ": it has no read-property-multiple"
    return f"a poll takes {len(batches)} requests and about {octets} octets{one_by_one}"
