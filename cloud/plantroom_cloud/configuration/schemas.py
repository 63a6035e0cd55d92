"""What the API takes and says of desired configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from plantroom_cloud.configuration.repository import OPEN
from plantroom_cloud.configuration.words import Difference
from plantroom_cloud.kit.parameters import MAX_ID, PlainText
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none

_WHY: Final = "Why, for whoever asks later."
Why = Annotated[str, Field(default="", max_length=500, pattern=r"\A[^\x00]*\z", description=_WHY)]
Number = Annotated[int, Field(ge=1, le=MAX_ID)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VersionIn(_In):
    """A new version: a document, a former version again, or what the gateway runs."""

    document: dict[str, Any] | None = Field(
        default=None,
        description="Sections by key: `site`, `buses`, `detectors`. Those that it does not name stay.",
    )
    version: Number | None = Field(default=None, description="Take this version again.")
    running: bool = Field(default=False, description="Take what the gateway says that it runs.")
    parent: Number | None = Field(
        default=None, description="The newest version as you know it: 409 if it is another by now."
    )
    why: Why = ""


class AssignmentIn(_In):
    """Which version a gateway is to have."""

    version: Number
    why: Why = ""
    force: bool = Field(
        default=False, description="Also if a fifth of its points goes away, or all writes."
    )


class Source(_In):
    """A version to copy."""

    gateway: PlainText
    version: Number


class RolloutIn(_In):
    """A change for several gateways."""

    gateways: list[PlainText] = Field(default=[], max_length=1_000)
    site: int | None = Field(default=None, ge=1, le=MAX_ID, description="All gateways of a site.")
    all: bool = Field(default=False, description="All gateways of the company.")
    source: Source | None = Field(
        default=None,
        description="All get this version's document; without it each gets its own newest version.",
    )
    waves: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default=[1], min_length=1, max_length=100,
        description="Gateways of each wave; those that are left are the last one.",
    )  # fmt: skip
    most_failed: int = Field(
        default=0, ge=0, le=10_000, description="It halts if more have failed."
    )
    patience_s: int = Field(
        default=3600, ge=0, le=2_592_000,
        description="Seconds after which gateways that are away are not waited for.",
    )  # fmt: skip
    why: Why = ""
    force: bool = False


class ResumeIn(_In):
    """Going on with a rollout that has halted."""

    most_failed: int = Field(ge=0, le=10_000, description="How many may fail from now on, in all.")


class VersionOut(BaseModel):
    """A version of a gateway's configuration."""

    number: int
    parent: int | None
    digest: str
    actor: str
    why: str
    origin: str = Field(examples=["edited"])
    created: str


class VersionDetail(VersionOut):
    """A version with its document."""

    document: dict[str, Any]


class VersionPage(BaseModel):
    """Versions, the newest first."""

    items: list[VersionOut]
    next: str | None


class DifferenceOut(BaseModel):
    """One thing that differs."""

    what: Literal["added", "removed", "changed"]
    kind: str = Field(examples=["device"])
    name: str = Field(examples=["power/main-meter"])
    words: str = Field(examples=["interval: 5 → 10"])


class DiffOut(BaseModel):
    """What lies between two configurations."""

    items: list[DifferenceOut]
    points_dropped: int = Field(
        description="Points that the cloud knows and that would go away ..."
    )
    points: int = Field(description="... of so many; the gateway itself counts again.")


class ConfigurationEventOut(BaseModel):
    """Something that happened to an assignment."""

    at: str
    kind: str = Field(examples=["desired.applied"])
    doc: dict[str, Any]


class AssignmentOut(BaseModel):
    """That a gateway is to have a version, and what became of it."""

    id: str
    gateway: str
    version: int
    serial: int
    rollout: str | None
    wave: int
    force: bool
    actor: str
    why: str
    state: str = Field(
        description="waiting, staged, sent, pending, applied, refused, rolled_back, set_aside,"
        " superseded or cancelled."
    )
    reason: str = Field(examples=["points-dropped"])
    errors: list[str]
    created: str
    sent: str | None
    tries: int
    ended: str | None


class AssignmentDetail(AssignmentOut):
    """An assignment with its history."""

    events: list[ConfigurationEventOut]


class AssignmentPage(BaseModel):
    """Assignments of a gateway, the newest first."""

    items: list[AssignmentOut]
    next: str | None


class RunningOut(BaseModel):
    """What a gateway said last that it runs."""

    version: int = Field(description="Of its versions; 0 where its own file says it all.")
    config: str
    told: str
    document: dict[str, Any] | None = Field(description="null where it is too large to be told.")


class ConfigurationOut(BaseModel):
    """A gateway's configuration at a glance."""

    gateway: str
    heeds: bool = Field(description="Whether it said that it takes configurations from here.")
    online: bool
    newest: VersionOut | None
    desired: AssignmentOut | None = Field(description="The last one that was staged.")
    running: RunningOut | None
    in_step: bool = Field(description="Whether it runs the version that was staged last.")


class RolloutOut(BaseModel):
    """A change for several gateways."""

    id: str
    state: str = Field(description="running, halted, done or cancelled.")
    wave: int = Field(description="The one that is open, from 0.")
    waves: list[int]
    most_failed: int
    patience_s: int
    force: bool
    actor: str
    why: str
    reason: str
    created: str
    ended: str | None


class RolloutDetail(RolloutOut):
    """A rollout with its gateways."""

    counts: dict[str, int] = Field(description="Gateways by state.")
    assignments: list[AssignmentOut]


class RolloutPage(BaseModel):
    """Rollouts, the newest first."""

    items: list[RolloutOut]
    next: str | None


def show_version(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a version."""
    names = ("number", "parent", "digest", "actor", "why", "origin")
    return {name: getattr(row, name) for name in names} | {"created": rfc3339(row.created_us)}


def show_difference(one: Difference) -> dict[str, Any]:
    """Return the JSON of a difference."""
    return {"what": one.what, "kind": one.kind, "name": one.name, "words": one.words}


def show_assignment(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of an assignment."""
    names = ("id", "version", "serial", "wave", "force", "actor", "why", "state", "reason", "tries")
    return {name: getattr(row, name) for name in names} | {
        "gateway": row.gateway_id,
        "rollout": row.rollout_id,
        "errors": row.errors,
        "created": rfc3339(row.created_us),
        "sent": rfc3339_or_none(row.sent_us),
        "ended": rfc3339_or_none(row.ended_us),
    }


def show_detail(row: AnyRow, events: Sequence[AnyRow]) -> dict[str, Any]:
    """Return the JSON of an assignment with its history."""
    told = [{"at": rfc3339(one.at_us), "kind": one.kind, "doc": one.doc} for one in events]
    return show_assignment(row) | {"events": told}


def show_configuration(
    gateway: AnyRow, newest: AnyRow | None, desired: AnyRow | None, running: AnyRow | None
) -> dict[str, Any]:
    """Return the JSON of a gateway's configuration."""
    told: dict[str, Any] | None = None
    if running is not None:
        told = {name: getattr(running, name) for name in ("version", "config", "document")}
        told["told"] = rfc3339(running.told_us)
    still = desired is not None and desired.state in {*OPEN, "applied"}
    return {
        "gateway": gateway.id,
        "heeds": "cfg" in gateway.takes.split(),
        "online": gateway.online,
        "newest": show_version(newest) if newest else None,
        "desired": show_assignment(desired) if desired else None,
        "running": told,
        "in_step": bool(
            still and desired and running and desired.state == "applied"
            and running.version == desired.version
        ),
    }  # fmt: skip


def show_rollout(row: AnyRow) -> dict[str, Any]:
    """Return the JSON of a rollout."""
    names = ("id", "state", "wave", "waves", "most_failed", "patience_s", "force", "actor", "why")
    return {name: getattr(row, name) for name in (*names, "reason")} | {
        "created": rfc3339(row.created_us),
        "ended": rfc3339_or_none(row.ended_us),
    }


def show_rollout_detail(row: AnyRow, assignments: Sequence[AnyRow]) -> dict[str, Any]:
    """Return the JSON of a rollout with its gateways."""
    counts: dict[str, int] = {}
    for one in assignments:
        counts[one.state] = counts.get(one.state, 0) + 1
    shown = [show_assignment(one) for one in assignments]
    return show_rollout(row) | {"counts": counts, "assignments": shown}
