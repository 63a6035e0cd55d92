"""What is said of somebody who is told of alarms."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from plantroom_cloud.alarms.rules import Name, Priority
from plantroom_cloud.alarms.schedules import Schedule
from plantroom_cloud.config_alarms import MailAddress
from plantroom_cloud.kit.parameters import MAX_ID

Happening = Literal["raised", "returned", "acknowledged"]


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        msg = "is no address such as https://desk.example/alarms, without a name or password in it"
        raise ValueError(msg)
    return url


class Digest(BaseModel):
    """Many alarms in one message, where they would be a flood."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    more_than: int = Field(default=10, ge=1, le=1000, description="Messages within `within_s`.")
    within_s: float = Field(default=600, ge=10, le=86_400)
    every_s: float = Field(default=600, ge=10, le=86_400, description="Seconds between digests.")


class _Receiver(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(examples=["Night desk"])
    enabled: bool = True
    on: list[Happening] = Field(default=["raised"], min_length=1, max_length=3)
    least_priority: Priority = "medium"
    sites: list[Annotated[int, Field(ge=1, le=MAX_ID)]] | None = Field(
        default=None, min_length=1, max_length=1000, description="None: all."
    )
    after_s: float = Field(
        default=0, ge=0, le=604_800,
        description="Escalation: told only of what nobody has acknowledged for so many seconds.",
    )  # fmt: skip
    schedule: Schedule = Schedule()
    digest: Digest = Digest()


class MailReceiver(_Receiver):
    """A mailbox."""

    kind: Literal["email"] = "email"
    target: MailAddress = Field(examples=["desk@plant.example"])


class HookReceiver(_Receiver):
    """A program, told by a signed request (https://www.standardwebhooks.com)."""

    kind: Literal["webhook"] = "webhook"
    target: Annotated[
        str,
        StringConstraints(max_length=2000, pattern=r"\A[\x21-\x7e]+\z"),
        AfterValidator(_https),
    ] = Field(examples=["https://desk.example/alarms"])


Receiver = Annotated[MailReceiver | HookReceiver, Field(discriminator="kind")]


class ReceiverIn(BaseModel):
    """Somebody who is to be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    receiver: Receiver


def read_receiver(config: Any) -> MailReceiver | HookReceiver:
    """Return a receiver as the table keeps it."""
    return ReceiverIn.model_validate({"receiver": config}).receiver
