"""What the API takes and says of the review."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_ANSWERS = 1000
MAX_RULES = 500_000

RequestId = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"\A[A-Za-z0-9._:-]+\z")
]
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"\A[^\x00]*\z")]
TemplateId = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{16}\z")]
PointId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class AnswerIn(BaseModel):
    """A decision about a template, or about points one by one."""

    model_config = ConfigDict(extra="forbid")

    template: TemplateId | None = Field(default=None, description="As the queue names it.")
    points: list[PointId] = Field(
        default=[], max_length=MAX_ANSWERS, description="In place of a template."
    )
    action: Literal["accept", "correct", "reject", "defer"]
    point_class: Text = Field(
        default="",
        examples=["Zone_Air_Temperature_Sensor"],
        description="Brick class; with accept and reject that which was seen.",
    )
    note: Text = ""


class AnswersIn(BaseModel):
    """Decisions, all taken or none."""

    model_config = ConfigDict(extra="forbid")

    request: RequestId = Field(
        description="Your own name for this request: sent again, it is answered again and not done.",
        examples=["4f1c2a7e"],
    )
    answers: list[AnswerIn] = Field(default=[], max_length=MAX_ANSWERS)
    accept_from: float | None = Field(
        default=None, ge=0, le=1, description="Accept every open template from this confidence on."
    )


class UndoIn(BaseModel):
    """Take a request back."""

    model_config = ConfigDict(extra="forbid")

    request: RequestId
    undoes: RequestId | None = Field(default=None, description="Left out: the last one.")


class RulesIn(BaseModel):
    """The rules of a site, a line each."""

    model_config = ConfigDict(extra="forbid")

    request: RequestId
    text: Annotated[str, StringConstraints(max_length=MAX_RULES, pattern=r"\A[^\x00]*\z")]


class DoneOut(BaseModel):
    """What a request did."""

    request: str
    at: str
    actor: str
    decided: int = Field(description="Templates and single points decided about.")
    changed: int = Field(description="Points whose mapping is another now.")
    learned: list[str] = Field(description="Rules there were not before.")
    forgotten: list[str] = Field(description="Rules there are no more.")
    undone: str = Field(description="The request that was taken back; empty: none.")
    open: int = Field(description="Templates still to be decided about.")


class PromiseOut(BaseModel):
    """What may be accepted unseen."""

    precision: float = Field(description="Of them, at least this share is expected to be right.")
    points: int
    share: float = Field(description="Of the open points.")
    min_confidence: float | None = Field(description="For `accept_from`; null: none is so sure.")


class OverviewOut(BaseModel):
    """How far the review has come."""

    site: int
    points: int = Field(description="Points there are to review.")
    templates: int
    decided: int = Field(description="Points that people decided about.")
    ruled: int = Field(description="Points that follow from rules.")
    open: int = Field(description="Points nobody has decided about.")
    open_templates: int
    deferred: int = Field(description="Templates put off.")
    expected_wrong: float = Field(description="Of the open points, by their confidence.")
    promises: list[PromiseOut]
    last: str = Field(description="The request that `undo` takes back; empty: none.")


class TemplateOut(BaseModel):
    """A template in the queue."""

    template: str
    name: str = Field(description="The point's own part of the name; # for numbers.")
    equip_class: str
    unit: str
    object_type: str
    states: str
    description: str
    points: int
    worth: float = Field(description="Points times uncertainty: what the queue is ordered by.")
    point_class: str = Field(description="What most of its points are mapped to.")
    also: dict[str, int] = Field(description="Other classes, with their points.")
    confidence: float | None
    source: str
    state: str = Field(examples=["open"], description="open, deferred or decided.")
    example: str = Field(description="A point's raw name.")


class TemplatePage(BaseModel):
    """A page of the queue."""

    items: list[TemplateOut]
    next: str | None


class SampleOut(BaseModel):
    """A point of a template."""

    point: int
    name: str
    description: str
    equipment: str
    point_class: str
    confidence: float | None
    source: str
    state: str
    model_point: str
    value: float | str | None
    unit: str
    at: str | None = Field(description="When it said so.")
    evidence: Any


class FoundOut(BaseModel):
    """What the mapper found, people aside."""

    point_class: str
    confidence: float | None
    source: str
    evidence: Any


class EventOut(BaseModel):
    """A line of the history."""

    id: int
    at: str
    actor: str
    action: str
    request: str
    subject: str
    name: str = Field(description="The subject for people: a template's name, or the rule.")
    point_class: str
    before: dict[str, Any]
    note: str
    undone: bool


class WhyOut(BaseModel):
    """Everything there is to say about a template."""

    template: TemplateOut
    found: FoundOut
    candidates: list[str] = Field(description="Classes to choose from, the best first.")
    rule: str = Field(description="The rule that holds for it; empty: none.")
    samples: list[SampleOut]
    history: list[EventOut]


class HistoryPage(BaseModel):
    """A page of the history, the newest first."""

    items: list[EventOut]
    next: str | None


class RuleOut(BaseModel):
    """A rule."""

    text: str
    learned: bool = Field(description="From answers; otherwise somebody wrote it.")
    points: int = Field(description="Points it decides at the moment.")


class RulesOut(BaseModel):
    """The rules of a site."""

    text: str = Field(description="All of them, to be edited and sent back.")
    items: list[RuleOut]
