"""The message of a plain JSON device: the model that checks it is the schema that is published."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_SAMPLES = 5000
"""Samples in a message."""
MAX_SEQ = 2**53


class _Told(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Sample(_Told):
    """The value of one point at one moment."""

    point: str = Field(
        min_length=1,
        max_length=128,
        description="Name of the point; stable. A new name makes a new point.",
        examples=["supply-air-temperature"],
    )
    value: bool | int | float | Annotated[str, Field(max_length=4096)] | None = Field(
        description="Null says that there is nothing to read: it is stored as bad.",
        examples=[21.5],
    )
    ts: (
        Annotated[int, Field(ge=0, le=2**53)] | Annotated[str, Field(min_length=20, max_length=40)]
    ) | None = Field(
        default=None,
        description=(
            "When the value was read: milliseconds since 1970-01-01 UTC, or RFC 3339 with zone. "
            "Left out: when the message arrives."
        ),
        examples=["2026-01-31T12:00:00.250Z", 1769860800250],
    )
    unit: Annotated[str, Field(max_length=64)] | None = Field(default=None, examples=["°C"])
    quality: Literal["good", "uncertain", "bad"] = "good"
    reason: Annotated[str, Field(max_length=64)] = Field(
        default="", description="Why the value is not good.", examples=["sensor-open"]
    )


class Message(_Told):
    """Samples that belong to one message, with its number."""

    samples: list[Sample] = Field(min_length=1, max_length=MAX_SAMPLES)
    seq: Annotated[int, Field(ge=1, le=MAX_SEQ)] | None = Field(
        default=None,
        description=(
            "Number of the message, growing by 1 within the session. A number that was stored "
            "before is a repetition and stores nothing."
        ),
    )
    session: Annotated[str, Field(max_length=64)] = Field(
        default="",
        description="Needed where the numbers begin anew at a restart: another text each time.",
    )


SAMPLE: TypeAdapter[Sample] = TypeAdapter(Sample)
_MANY = Annotated[list[Sample], Field(min_length=1, max_length=MAX_SAMPLES)]


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of everything a device may send on its topic."""
    adapter: TypeAdapter[Any] = TypeAdapter(Sample | Message | _MANY)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Message of a device on dev1/{device}/up/data",
        **adapter.json_schema(),
    }
