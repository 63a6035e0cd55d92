"""What the API takes and answers of alarms, rules and receivers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from plantroom_cloud.alarms.receivers import Receiver
from plantroom_cloud.alarms.rules import AlarmRuleIn, Note, PointId, Priority, Text

State = Literal[
    "normal", "unacknowledged", "acknowledged", "returned", "latched_unacknowledged",
    "latched_acknowledged", "shelved", "suppressed", "out_of_service",
]  # fmt: skip
Reason = Annotated[Note, StringConstraints(min_length=1, strip_whitespace=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AlarmNoteIn(_Strict):
    """Words that go into the history; they may be left out."""

    note: Note = ""


class AlarmTextIn(_Strict):
    """A note."""

    text: Reason = Field(examples=["Filter is ordered"])


class AlarmReasonIn(_Strict):
    """Why something is done."""

    reason: Reason = Field(examples=["Sensor is being replaced"])


class ShelveIn(AlarmReasonIn):
    """For how long, and why."""

    minutes: float = Field(ge=1, le=43_200, examples=[60])


class AssignIn(AlarmNoteIn):
    """Who looks after it; empty: nobody."""

    to: Annotated[Text, StringConstraints(max_length=200, strip_whitespace=True)]


class AcknowledgeIn(AlarmNoteIn):
    """Several alarms."""

    alarms: list[PointId] = Field(min_length=1, max_length=500)


class AlarmItem(BaseModel):
    """An alarm as it stands."""

    id: int
    rule: int
    site: int
    gateway: str
    point: int | None
    title: str
    priority: Priority
    state: State
    active: bool = Field(description="The condition is on, whatever hides the alarm.")
    latching: bool
    shelved_until: str | None
    suppressed: bool = Field(description="By the state of the equipment.")
    reason: str = Field(description="Why it is shelved or out of service.")
    value: float | None = Field(description="What was beyond the limit when it was last raised.")
    raised: str | None = Field(description="When the condition came last.")
    changed: str = Field(description="When it came to stand as it does.")
    calls: int = Field(description="How often it called the operator.")
    assignee: str
    response: str = Field(description="What the operator is to do.")
    consequence: str
    version: int


class AlarmPage(BaseModel):
    """Alarms, the most urgent first."""

    items: list[AlarmItem]
    next: str | None


class AlarmEventOut(BaseModel):
    """Something that happened to an alarm."""

    id: int
    kind: str = Field(examples=["raised"])
    at: str
    entered: str = Field(description="Later than `at` where samples came late.")
    before: State
    after: State
    called: bool = Field(description="It called the operator.")
    actor: str = Field(description="Empty: Plantroom.")
    doc: Any


class AlarmHistoryPage(BaseModel):
    """What happened to an alarm, the newest first; nothing of it is ever changed."""

    items: list[AlarmEventOut]
    next: str | None


class AcknowledgedOut(BaseModel):
    """What became of one of several alarms."""

    alarm: int
    done: bool
    why: str


class AcknowledgedList(BaseModel):
    """What became of each."""

    items: list[AcknowledgedOut]


class AlarmCount(BaseModel):
    """An alarm with a figure."""

    alarm: int
    title: str
    count: int


class FloodOut(BaseModel):
    """A flood: more than ten calls per operator in ten minutes, until fewer than five."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")
    calls: int


class AlarmFigures(BaseModel):
    """How well people are served by their alarms, after ISA-18.2 and EEMUA 191."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")
    operators: int
    calls: int
    per_operator_10min: float = Field(description="On average; about 1 is manageable, 2 the most.")
    peak_per_operator_10min: float
    peak: str | None = Field(description="When the worst ten minutes began.")
    flood_share: float = Field(description="Share of the time; the aim is below 0.01.")
    floods: list[FloodOut]
    priorities: dict[str, int] = Field(description="Calls by priority; the aim is 5 % high.")
    top: list[AlarmCount] = Field(description="The ten that call most.")
    top_share: float
    chattering: list[AlarmCount] = Field(description="Three calls or more within a minute.")
    standing: int
    stale: list[AlarmCount] = Field(description="Standing for 24 hours or more, in hours.")


class RuleItem(BaseModel):
    """A rule."""

    id: int
    rule: AlarmRuleIn
    version: int
    actor: str
    created: str
    changed: str


class RulePage(BaseModel):
    """Rules by number."""

    items: list[RuleItem]
    next: str | None


class ReceiverItem(BaseModel):
    """Somebody who is told."""

    id: int
    receiver: Receiver
    version: int
    told: str | None = Field(description="When it last took a message.")
    failures: int = Field(description="Tries in a row that failed.")
    last_error: str
    secret: str | None = Field(description="Signs webhooks; shown once, when it is made.")


class ReceiverPage(BaseModel):
    """Receivers by number."""

    items: list[ReceiverItem]
    next: str | None


class NoticeOut(BaseModel):
    """One event that a receiver is told of."""

    id: int
    alarm: int
    event: int
    state: str = Field(examples=["sent"], description="waiting, sent, dropped or failed.")
    created: str
    due: str
    done: str | None
    tries: int
    why: str


class NoticePage(BaseModel):
    """Notices, the newest first."""

    items: list[NoticeOut]
    next: str | None


class TriedAgain(BaseModel):
    """How many failed notices wait again."""

    notices: int
