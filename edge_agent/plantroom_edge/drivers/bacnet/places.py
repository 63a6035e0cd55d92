"""Where a scan for BACnet devices looks: targets of a person → sockets and whom to ask.

Pure but for the cards of the machine, which are handed in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from plantroom_edge.drivers.bacnet.cards import Card
from plantroom_edge.drivers.bacnet.config import PORT, Target, parse_target

MOST_HOSTS: Final = 1024
"""Addresses of a foreign network that are tried one by one."""
EVERYWHERE: Final = f"0.0.0.0:{PORT}"


@dataclass(frozen=True, slots=True)
class Place:
    """A socket to scan from, and who is asked through it."""

    bind: str
    targets: tuple[Target, ...]

    @property
    def broadcast(self) -> bool:
        """Whether it asks all of its network at once."""
        return any(not target.host for target in self.targets)


def places(targets: Iterable[str], cards: Sequence[Card]) -> tuple[list[Place], list[str]]:
    """Return where to look, and the targets that mean nothing here (of another kind of bus).

    Args:
        targets: ``192.168.1.20[:port]``, ``192.168.1.0/24[:port]``, the name of a card, or
            ``broadcast[:port]``; none: the network of every card.
        cards: those of this machine.
    """
    given = list(targets)
    if not given:
        found = [_of_card(card, PORT) for card in cards if not _is_loopback(card)]
        return found or [Place(EVERYWHERE, (Target("", PORT),))], []
    out: list[Place] = []
    hosts: list[Target] = []
    strange: list[str] = []
    for text in given:
        word, _, port = text.partition(":")
        number = int(port) if port.isascii() and port.isdigit() else PORT
        named = next((card for card in cards if card.name == word), None)
        if named is not None:
            out.append(_of_card(named, number))
        elif "/" in word and (network := _network(word)) is not None:
            local = next((card for card in cards if card.network.overlaps(network)), None)
            if local is not None:
                out.append(_of_card(local, number))
            else:
                hosts += _hosts(network, number)
        else:
            try:
                target = parse_target(text)
            except ValueError:
                strange.append(text)
                continue
            if target.host:
                hosts.append(target)
            else:
                out.append(Place(EVERYWHERE, (target,)))
    if hosts:
        out.append(Place(EVERYWHERE, tuple(dict.fromkeys(hosts))))
    return list(dict.fromkeys(out)), strange


def _of_card(card: Card, port: int) -> Place:
    return Place(f"{card.address}/{card.prefix}:{port}", (Target("", port),))


def _is_loopback(card: Card) -> bool:
    return ipaddress.IPv4Address(card.address).is_loopback


def _network(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None


def _hosts(network: ipaddress.IPv4Network, port: int) -> list[Target]:
    """Return the stations of a network that no card is on; broadcasts mostly do not get there."""
    if network.num_addresses > MOST_HOSTS:
        return [Target(str(network.broadcast_address), port)]
    return [Target(str(host), port) for host in network.hosts()]
