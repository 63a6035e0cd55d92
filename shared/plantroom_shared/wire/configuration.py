"""Desired configurations: what the cloud wants a gateway to read, signed; down on ``cfg``, never retained.

As with commands, what is signed is the very text that is read. An assignment is for one gateway, and
carries a number that only rises: one that comes late, or again, takes no newer one back.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from plantroom_shared.errors import Rejected
from plantroom_shared.wire.commands import Kid, Name
from plantroom_shared.wire.messages import Message, Seq
from plantroom_shared.wire.packing import VERSION

MAX_CONFIGURATION: Final = 1_048_576
"""Characters of an assignment as JSON."""

SECTIONS: Final = ("site", "buses", "detectors")
"""What of a gateway's configuration the cloud may want; all else is for the site alone."""

_CONFIGURATION_BANNER: Final = b"plantroom configuration v1\n"


class Assignment(BaseModel):
    """The signed part: which configuration one gateway is to have."""

    # As in an order: a key that is not known may be a condition.
    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = VERSION
    gateway: Annotated[str, StringConstraints(max_length=40)]
    """The one gateway that it is for."""
    id: Name
    serial: Seq
    """Rises with each assignment to this gateway; one that is not above the last is not heeded."""
    version: Seq
    """Which version of the gateway's configuration it is, as the cloud counts them."""
    issued: Seq
    """Microseconds since 1970 when it was sent, by the cloud's clock ..."""
    expires: Seq
    """... and from when on this copy of it counts no more."""
    actor: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Who wants it, for the audit."""
    why: Annotated[str, StringConstraints(max_length=500)] = ""
    force: bool = False
    """Also where a fifth of the points goes away, or all that may be written."""
    document: dict[str, Any]
    """Sections of the configuration by key; those that it does not name stay as they are."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not self.document or not self.document.keys() <= set(SECTIONS):
            msg = f"document: it has one or more of {', '.join(SECTIONS)}, and nothing else"
            raise ValueError(msg)
        if self.expires <= self.issued:
            msg = "it expires before it is issued"
            raise ValueError(msg)
        return self


class Configuration(Message):
    """Down: an assignment as JSON text, and the signature over exactly that text."""

    kid: Kid
    """Which key has signed; the gateway has its public half in a file."""
    sig: Annotated[str, StringConstraints(max_length=128)]
    """Base64 of the Ed25519 signature over `signed_configuration`."""
    body: Annotated[str, StringConstraints(max_length=MAX_CONFIGURATION)]
    """An `Assignment` as JSON."""


class Report(BaseModel):
    """``doc`` of a record ``desired.*`` on ``aud``: what became of an assignment, or what runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    journal: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,16}$")]
    n: Seq
    """The event's number there: the same journal and number is the same event."""
    id: Annotated[str, StringConstraints(max_length=64)] = ""
    """Of the assignment; empty where there is none."""
    version: Annotated[int, Field(ge=0, lt=2**63)] = 0
    reason: Annotated[str, StringConstraints(max_length=64)] = ""
    errors: list[Annotated[str, StringConstraints(max_length=400)]] = Field(
        default_factory=list, max_length=20
    )
    config: Annotated[str, StringConstraints(max_length=16)] = ""
    """Hash of the configuration that runs."""
    document: dict[str, Any] | None = None
    """With ``desired.running``: the sections that run, where they are small enough."""


def signed_configuration(body: str) -> bytes:
    """Return the bytes that are signed: a banner, so that no signature of an order fits, and the text."""
    return _CONFIGURATION_BANNER + body.encode()


def read_assignment(body: str) -> Assignment:
    """Return the assignment in `body`; Rejected names what is wrong."""
    try:
        return Assignment.model_validate(orjson.loads(body), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"assignment: {where}: {first['msg']}"
        raise Rejected(msg, reason="schema") from error
    except ValueError as error:
        msg = f"assignment is not JSON: {error}"
        raise Rejected(msg, reason="malformed") from error
