"""What gateways are to be told once a batch is committed."""

from __future__ import annotations

from dataclasses import dataclass, field

from plantroom_shared import wire
from plantroom_shared.ranges import Range, merge

AckKey = tuple[str, str, str]
"""Gateway, epoch and stream (or ``inv``)."""


@dataclass(slots=True)
class Answers:
    """What the gateways are to be told after the commit."""

    acks: dict[AckKey, list[Range]] = field(default_factory=dict)
    nacks: list[tuple[str, wire.Nack]] = field(default_factory=list)
    resumes: list[tuple[str, wire.Resume]] = field(default_factory=list)
    flows: list[tuple[str, wire.Flow]] = field(default_factory=list)
    commands: list[tuple[str, bytes]] = field(default_factory=list)
    """Topic and payload of what is said to streaming devices; see `plantroom_cloud.streaming`."""

    def ack(self, gateway: str, epoch: str, stream: str, span: Range) -> None:
        """Acknowledge `span`."""
        key = (gateway, epoch, stream)
        self.acks[key] = merge([*self.acks.get(key, []), span])

    def command(self, message: tuple[str, bytes] | None) -> None:
        """Say `message`, topic and payload, to a streaming device; None says nothing."""
        if message is not None:
            self.commands.append(message)

    def add(self, other: Answers) -> None:
        """Take over all of `other`."""
        for (gateway, epoch, stream), ranges in other.acks.items():
            for span in ranges:
                self.ack(gateway, epoch, stream, span)
        self.nacks += other.nacks
        self.resumes += other.resumes
        self.flows += other.flows
        self.commands += other.commands
