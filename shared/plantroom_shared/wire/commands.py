"""Commands: what the cloud may ask a gateway to write, signed; down on ``cmd``, never retained.

What is signed is the very text that is read, so no two ways to write the same JSON can differ in
meaning. An order is for one gateway, for a short while, and is carried out at most once.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from plantroom_shared.errors import Rejected
from plantroom_shared.model import Key
from plantroom_shared.wire.messages import Message, Seq
from plantroom_shared.wire.packing import VERSION

MAX_BODY: Final = 65_536
"""Characters of an order as JSON."""
MAX_WRITES: Final = 64
"""Writes of one order: all of them are carried out, or none."""

_BANNER: Final = b"plantroom command v1\n"


def _settable(value: Any) -> Any:
    """Return `value` if a point can be set to it."""
    if isinstance(value, bool | int):
        if abs(value) >= 2**63:
            msg = "is too big"
            raise ValueError(msg)
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and len(value) <= 512:
        return value
    msg = "must be a number, true, false or a text of at most 512 characters"
    raise ValueError(msg)


def _shown(value: Any) -> Any:
    return None if value is None else _settable(value)


Settable = Annotated[Any, AfterValidator(_settable)]
Shown = Annotated[Any, AfterValidator(_shown)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Kid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Signed(BaseModel):
    # A key that is not known may be a condition: what has one is refused, not carried out without.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Expected(_Signed):
    """What a write is to replace; it is refused where something else is there."""

    value: Shown
    """The point's value; on a bus with priorities the content of the slot, null where it is free."""


class Write(_Signed):
    """One value for one point."""

    point: Key
    value: Settable
    """In the point's unit."""
    priority: Annotated[int, Field(ge=1, le=16)] | None = None
    """Slot of the priority array, where the bus has one; None leaves it to the gateway."""
    expect: Expected | None = None


class Order(_Signed):
    """The signed part of a command."""

    v: Literal[1] = VERSION
    gateway: Annotated[str, StringConstraints(max_length=40)]
    """The one gateway that it is for."""
    id: Name
    kind: Literal["write", "dry_run", "release"]
    """``dry_run`` checks all that ``write`` would and writes nothing; ``release`` ends a lease."""
    issued: Seq
    """Microseconds since 1970, by the cloud's clock ..."""
    expires: Seq
    """... and from when on it must not be carried out any more."""
    nonce: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    actor: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Who wants it, for the audit."""
    writes: list[Write] = Field(default_factory=list, max_length=MAX_WRITES)
    lease_s: Annotated[float, Field(gt=0, le=604_800, allow_inf_nan=False)] | None = None
    """Seconds after which the gateway takes the values back; None leaves it to the gateway."""
    release: Name | None = None
    """With ``release``: the id of the command whose values are to be taken back."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.kind == "release") != (self.release is not None):
            msg = "release goes with the kind release, and with no other"
            raise ValueError(msg)
        if (self.kind == "release") == bool(self.writes):
            msg = "a release has no writes, all else has at least one"
            raise ValueError(msg)
        if len({(write.point, write.priority) for write in self.writes}) != len(self.writes):
            msg = "one point is written twice"
            raise ValueError(msg)
        if self.expires <= self.issued:
            msg = "it expires before it is issued"
            raise ValueError(msg)
        return self


class Command(Message):
    """Down: an order as JSON text, and the signature over exactly that text."""

    kid: Kid
    """Which key has signed; the gateway has its public half in a file."""
    sig: Annotated[str, StringConstraints(max_length=128)]
    """Base64 of the Ed25519 signature over `signed_part`."""
    body: Annotated[str, StringConstraints(max_length=MAX_BODY)]
    """An `Order` as JSON."""


def signed_part(body: str) -> bytes:
    """Return the bytes that are signed: a banner, so that no other signature fits, and the text."""
    return _BANNER + body.encode()


def read_order(body: str) -> Order:
    """Return the order in `body`; Rejected names what is wrong."""
    try:
        document = orjson.loads(body)
        return Order.model_validate(document, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"order: {where}: {first['msg']}"
        raise Rejected(msg, reason="schema") from error
    except ValueError as error:
        msg = f"order is not JSON: {error}"
        raise Rejected(msg, reason="malformed") from error
