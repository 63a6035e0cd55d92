"""What the API says of deletions and exports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plantroom_cloud.kit.parameters import MAX_ID
from plantroom_cloud.kit.times import rfc3339, rfc3339_or_none
from plantroom_cloud.tables import CompanyExport, Deletion


class DeletionIn(BaseModel):
    """Whose data is to go."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["site", "person", "company"]
    id: int | None = Field(
        default=None, ge=1, le=MAX_ID, description="Of the site or the user; none of a company."
    )

    @model_validator(mode="after")
    def _named(self) -> DeletionIn:
        if (self.id is None) != (self.kind == "company"):
            msg = "id: a site and a person have one, the company has none: it is your own"
            raise ValueError(msg)
        return self


class ConfirmIn(BaseModel):
    """The word that confirms a plan."""

    model_config = ConfigDict(extra="forbid")

    word: str = Field(max_length=64, description="That of the plan.", examples=["5f3a9c01"])


class CertificateOut(BaseModel):
    """The proof: Ed25519 over a banner and `body`, with the key of `GET /v1/audit/keys`."""

    body: str
    key: str
    signature: str


class DeletionOut(BaseModel):
    """Data that is to go, or has gone."""

    id: str
    kind: Literal["site", "person", "company"]
    subject: int
    state: Literal["planned", "confirmed", "done", "cancelled"]
    word: str | None = Field(description="Confirms it; only while it is planned.")
    rows: dict[str, int] = Field(description="Table → rows that would go, when it was planned.")
    names: dict[str, int] = Field(description="Column → rows in which a name would be replaced.")
    gone: dict[str, int]
    rewritten: dict[str, int]
    trouble: str = Field(description="Why it does not get on; empty while it does.")
    asked: str
    asked_by: str
    confirmed: str | None
    confirmed_by: str
    ended: str | None
    certificate: CertificateOut | None


class DeletionPage(BaseModel):
    """A page of deletions."""

    items: list[DeletionOut]
    next: str | None


class ExportFile(BaseModel):
    """A file of an export: its lines, not compressed."""

    rows: int
    bytes: int
    sha256: str


class ExportOut(BaseModel):
    """All that a company owns."""

    id: str
    state: Literal["waiting", "done", "failed", "expired"]
    reason: str
    asked: str
    asked_by: str
    ended: str | None
    expires: str | None
    made: str | None = Field(description="The moment that it shows.")
    files: dict[str, ExportFile]
    left_out: dict[str, list[str]] = Field(description="Table → columns: secrets.")


class ExportPage(BaseModel):
    """A page of exports."""

    items: list[ExportOut]
    next: str | None


def show_deletion(row: Deletion) -> dict[str, Any]:
    """Return the JSON of a deletion."""
    proof = {"body": row.certificate, "key": row.key_id, "signature": row.signature}
    return {
        "id": row.id,
        "kind": row.kind,
        "subject": row.subject,
        "state": row.state,
        "word": row.word if row.state == "planned" else None,
        "rows": row.plan.get("rows", {}),
        "names": row.plan.get("names", {}),
        "gone": row.gone,
        "rewritten": row.rewritten,
        "trouble": row.trouble,
        "asked": rfc3339(row.asked_us),
        "asked_by": row.asked_by,
        "confirmed": rfc3339_or_none(row.confirmed_us),
        "confirmed_by": row.confirmed_by,
        "ended": rfc3339_or_none(row.ended_us),
        "certificate": proof if row.certificate else None,
    }


def show_export(row: CompanyExport) -> dict[str, Any]:
    """Return the JSON of an export."""
    return {
        "id": row.id,
        "state": row.state,
        "reason": row.reason,
        "asked": rfc3339(row.asked_us),
        "asked_by": row.asked_by,
        "ended": rfc3339_or_none(row.ended_us),
        "expires": rfc3339_or_none(row.expires_us),
        "made": row.manifest.get("made"),
        "files": row.manifest.get("files", {}),
        "left_out": row.manifest.get("left_out", {}),
    }
