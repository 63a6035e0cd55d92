"""Who is on the network: whom to ask, and which answer is which device.

A network of a thousand devices must not answer all at once, so those that are known are asked in
slices of the instance numbers, and in between only who is missing. Anybody can send an I-Am:
nothing here believes one that was not asked for.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from plantroom_edge.drivers.bacnet.client import Client
from plantroom_edge.drivers.bacnet.config import Range, Target
from plantroom_edge.drivers.bacnet.frames import IAm, Peer
from plantroom_edge.drivers.bacnet.vocabulary import MAX_INSTANCE

EVERYBODY: Final[Range] = (0, MAX_INSTANCE)
AT_ONCE: Final = 100
"""Devices that may answer one Who-Is; a socket's buffer holds more than twice as many answers."""
_JITTER: Final = 0.25
"""Seconds at most between two slices: the gateways of a site start together after a power cut."""


def slices(ranges: Iterable[Range], known: Collection[int]) -> list[Range]:
    """Return `ranges`, cut so that no more than `AT_ONCE` of the `known` instances are in one."""
    out: list[Range] = []
    for low, high in ranges:
        inside = sorted(instance for instance in known if low <= instance <= high)
        start = low
        for first in inside[AT_ONCE::AT_ONCE]:
            out.append((start, first - 1))
            start = first
        out.append((start, high))
    return out


def around(instances: Collection[int]) -> list[Range]:
    """Return the range from the lowest to the highest of `instances`; none for none."""
    return [(min(instances), max(instances))] if instances else []


async def call(client: Client, targets: Sequence[Target], ranges: Sequence[Range]) -> list[IAm]:
    """Return who answers: broadcasts ask for each of `ranges` in turn, single hosts for all.

    It takes no longer than ``timeout * (1 + retries)`` for each range, and the same for the hosts.
    """
    heard: dict[tuple[Peer, int], IAm] = {}
    hosts = tuple(target for target in targets if target.host)
    wide = tuple(target for target in targets if not target.host)
    calls: list[tuple[tuple[Target, ...], Range]] = [(hosts, EVERYBODY)] if hosts else []
    calls += [(wide, limits) for limits in ranges if wide]
    for at, (whom, limits) in enumerate(calls):
        if at > 1:
            await asyncio.sleep(random.uniform(0, _JITTER))
        answers = await client.who_is(whom, None if limits == EVERYBODY else limits)
        for said in answers:
            heard.setdefault((said.peer, said.instance), said)
    return list(heard.values())


def claims(
    heard: Iterable[IAm],
    ours: Callable[[int], bool],
    known: Collection[int],
    ignored: Counter[str],
) -> dict[int, list[IAm]]:
    """Return who says to be which instance, leaving out what is not ours."""
    names: dict[Peer, IAm] = {}
    for said in sorted(heard, key=lambda said: (said.instance, said.peer)):
        if not ours(said.instance):
            ignored["out-of-range"] += 1
            continue
        other = names.setdefault(said.peer, said)
        if other is not said:  # one address is one device: the one it was before, if any
            ignored["second-instance"] += 1
            if said.instance in known and other.instance not in known:
                names[said.peer] = said
    out: dict[int, list[IAm]] = {}
    for said in names.values():
        out.setdefault(said.instance, []).append(said)
    return out


def clashes(instance: int, first: IAm, claimants: Iterable[IAm]) -> list[str]:
    """Return a line for each that goes by the instance of `first`, for a person."""
    return [
        f"{said.peer}: calls itself device {instance}, as {first.peer} does; "
        "give one of them another instance"
        for said in claimants
        if said is not first
    ]


def silent_targets(targets: Iterable[Target], peers: Collection[Peer], bind: str) -> list[str]:
    """Return a line for each of `targets` where none of `peers` is, for a person."""
    named = {Target(peer.host, peer.port) for peer in peers}
    asked = tuple(targets)
    # Some devices answer from another port than they listen on.
    elsewhere = {target.host for target in named - set(asked)}
    out = [
        f"{target}: no answer to Who-Is"
        for target in asked
        if target.host and target not in named and target.host not in elsewhere
    ]
    if not peers:
        out += [
            f"{target} from {bind}: no device answered Who-Is"
            for target in asked
            if not target.host
        ]
    return out
