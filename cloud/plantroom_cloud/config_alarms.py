"""Settings of alarms: how they are evaluated, and the mail server that tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

LEAST_DAYS: Final = 30
MOST_DAYS: Final = 36_500


def _address(text: str) -> str:
    name, at, host = text.partition("@")
    if not (name and at and host) or any(not " " < char < "\x7f" or char in "<>," for char in text):
        msg = "is no mail address such as alarms@plantroom.example"
        raise ValueError(msg)
    return text


def _days(days: int) -> int:
    if days and not LEAST_DAYS <= days <= MOST_DAYS:
        msg = f"is neither 0 (for ever) nor {LEAST_DAYS} to {MOST_DAYS} days"
        raise ValueError(msg)
    return days


MailAddress = Annotated[str, Field(max_length=254), AfterValidator(_address)]


class SmtpSettings(BaseModel):
    """The server that takes our mail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    sender: MailAddress
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """``starttls`` and ``tls`` check the certificate; ``none`` is for a server on this machine."""
    ca_file: Path | None = None
    """Certificates to trust in place of the system's."""
    user: str = ""
    password: SecretStr = SecretStr("")
    timeout: float = Field(default=20.0, gt=0, le=120)
    """Seconds for each step of a delivery."""

    @model_validator(mode="after")
    def _guarded(self) -> SmtpSettings:
        if self.user and self.tls == "none":
            msg = "a password does not go over a line without TLS: say tls: starttls"
            raise ValueError(msg)
        return self


class AlarmSettings(BaseModel):
    """How alarms are evaluated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smtp: SmtpSettings | None = None
    """Without it nobody is told by mail."""
    history_after: float = Field(default=3600.0, ge=0)
    """Seconds: what was over so long before it was found is entered, and calls nobody."""
    late_limit: float = Field(default=259_200.0, ge=3600)
    """Seconds: samples that are older when they come change no alarm."""
    settle: float = Field(default=2.0, ge=0, le=600)
    """Seconds that a delay waits beyond its end for samples that are on their way."""
    give_up: float = Field(default=86_400.0, gt=0)
    """Seconds after which what a receiver does not take is given up."""
    keep_days: Annotated[int, AfterValidator(_days)] = 1825
    """Days that the history of alarms is kept where a company has set nothing else; 0: for ever."""
    link: str = Field(default="", max_length=500, pattern=r"^(https?://[^\s]+)?$")
    """Where people look at alarms; stands in mails."""
