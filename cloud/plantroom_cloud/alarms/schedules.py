"""When a receiver is to be told: working hours and holidays in its own time zone. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

_STEP: Final = 300_000_000
"""Five minutes: offsets of time zones and the times below are multiples of it."""
_FURTHEST: Final = 40 * 86_400_000_000
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

ClockTime = Annotated[str, StringConstraints(pattern=r"\A(?:[01]\d|2[0-3]):[0-5][05]\z|\A24:00\z")]


class Hours(BaseModel):
    """A stretch of some days of the week."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(
        default=["mon", "tue", "wed", "thu", "fri"], min_length=1, max_length=7
    )
    start: ClockTime = Field(alias="from", examples=["08:00"], description="In steps of 5 minutes.")
    end: ClockTime = Field(alias="to", examples=["17:00"], description="Exclusive; 24:00 at most.")

    @field_validator("end")
    @classmethod
    def _ordered(cls, end: str, info: object) -> str:
        start = getattr(info, "data", {}).get("start")
        if start is not None and end <= start:
            msg = "it must lie after 'from'; cut what goes over midnight in two"
            raise ValueError(msg)
        return end


class Schedule(BaseModel):
    """When somebody may be told; without hours: always."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str = Field(default="UTC", max_length=64, examples=["Europe/Berlin"])
    hours: list[Hours] = Field(default=[], max_length=20)
    holidays: list[date] = Field(default=[], max_length=400, description="Closed all day.")
    outside: Literal["hold", "skip"] = Field(
        default="hold", description="What comes outside of the hours is told later, or never."
    )
    always_from: Literal["low", "medium", "high", "critical", "never"] = Field(
        default="critical", description="From this priority on it is told at any time."
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            msg = "this is no time zone; use an IANA name such as Europe/Berlin"
            raise ValueError(msg) from error
        return timezone

    def is_open(self, us: int) -> bool:
        """Tell whether it is within the hours at a moment, microseconds since 1970."""
        if not self.hours:
            return True
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
        local = moment.astimezone(ZoneInfo(self.timezone))
        if local.date() in self.holidays:
            return False
        day, time = _DAYS[local.weekday()], local.strftime("%H:%M")
        return any(day in part.days and part.start <= time < part.end for part in self.hours)

    def opens(self, us: int) -> int | None:
        """Return the first moment from `us` on that is within the hours; None: not in 40 days."""
        if self.is_open(us):
            return us
        first = -(-us // _STEP) * _STEP
        steps = range(first, us + _FURTHEST, _STEP)
        return next((moment for moment in steps if self.is_open(moment)), None)
