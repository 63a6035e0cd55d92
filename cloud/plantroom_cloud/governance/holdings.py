"""What is held of whom: of every table, how its rows go and what of them is handed over. Pure.

A table that is not named here makes a test fail by its name: nobody adds one without saying how
its rows are deleted and what of them is exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final, Literal

from sqlalchemy import Table

At = Literal["site", "gateway", "point", "itself", "job", "parent", "company"]


@dataclass(frozen=True, slots=True)
class Holding:
    """What is to be done with the rows of one table."""

    at: At
    """How it is known at which site a row lies: by ``site_id``, ``gateway_id`` or ``point_id``; it is the
    site; the job it belongs to is about it; by the row of another table; or it is the company's."""
    parent: tuple[str, str] = ("", "")
    """Column, and table whose row it names, of what lies where that lies."""
    secret: tuple[str, ...] = ()
    """Columns that no export shows: digests, secrets."""
    names: tuple[str, ...] = ()
    """Columns that repeat the name of a person."""
    kept: str = ""
    """Why its rows stay when the company goes; empty: they go."""
    handed_over: bool = True
    """Whether an export has it."""


def _below(column: str, table: str, names: tuple[str, ...] = ()) -> Holding:
    return Holding("parent", (column, table), names=names)


_PROOF: Final = "the proof of what was done, docs/governance.md"

HOLDINGS: Final[Mapping[str, Holding]] = {
    # sites and what stands there
    "site": Holding("itself"),
    "gateway": Holding("site"),
    "device": Holding("site"),
    "point": Holding("site"),
    "mapping": Holding("site"),
    "mapping_basis": Holding("site"),
    "mapping_override": Holding("site", names=("actor",)),
    "review_request": Holding("site"),
    "review_event": Holding("site", names=("actor",)),
    "streaming_device": Holding("gateway"),
    "sparkplug_birth": Holding("gateway"),
    "retention": Holding("site"),
    # what was measured and found
    "sample": Holding("point"),
    "rollup": Holding("point"),
    "latest": Holding("point"),
    "rollup_due": Holding("gateway"),
    "finding": Holding("site"),
    # delivery
    "stream_range": Holding("gateway"),
    "stream_total": Holding("gateway"),
    "stream_message": Holding("gateway"),
    "dictionary": Holding("gateway"),
    "gap": Holding("gateway"),
    "quarantine": Holding("gateway"),
    "quarantine_decision": _below("quarantine_id", "quarantine"),
    "edge_record": Holding("gateway"),
    "delivery_alarm": Holding("gateway"),
    "gateway_epoch": Holding("gateway"),
    "gateway_certificate": Holding("gateway"),
    "counter": Holding("company"),
    # commands
    "command": Holding("gateway", names=("actor",)),
    "command_event": _below("command_id", "command"),
    # publishing and replay
    "target": Holding("company"),
    "outbox": Holding("gateway"),
    "enos_device": Holding("site"),
    "published_point": Holding("site"),
    "published_past": Holding("site"),
    "publish_due": Holding("point"),
    "publish_plan": Holding("site", names=("asked_by", "approved_by")),
    "replay_position": Holding("site"),
    # jobs and the LLM
    "job": Holding("job"),
    "job_chunk": _below("job_id", "job"),
    "job_output": _below("job_id", "job"),
    "llm_usage": Holding("company"),
    "llm_answer": Holding("company"),
    "llm_batch": Holding("site"),
    "mapping_cache": Holding("company"),
    "thing_model": Holding("company", names=("actor",)),
    # people and programs
    "api_key": Holding("company", secret=("digest",), names=("created_by",)),
    "membership": Holding("company"),
    "user_session": Holding("company"),
    "refresh_token": Holding("company", secret=("digest",)),
    "invitation": Holding("company", secret=("digest",), names=("invited_by",)),
    "service_account": Holding("company", secret=("digest",), names=("created_by",)),
    # governance
    "governance_rule": Holding("company", names=("changed_by",)),
    "governance_site": Holding("site"),
    "governance_finding": Holding("site"),
    "governance_waiver": Holding("site", names=("actor", "ended_by")),
    "governance_due": Holding("site", handed_over=False),
    "deletion": Holding(
        "company", names=("asked_by", "confirmed_by"), secret=("word",), kept=_PROOF
    ),
    "company_export": Holding("company", names=("asked_by",)),
    # the audit
    "audit_row": Holding("company", kept=_PROOF),
    "audit_head": Holding("company", kept=_PROOF),
    "audit_signature": Holding("company", kept=_PROOF),
    # conventions
    "once_request": Holding("company", handed_over=False),
    # provisioning
    "issued_certificate": Holding("gateway"),
    "enrolment_token": Holding("site", secret=("digest",), names=("created_by",)),
    "expected_gateway": Holding("site", names=("created_by",)),
    "claim_try": Holding("company"),
    # desired configurations
    "configuration_version": Holding("gateway", names=("actor",)),
    "configuration_rollout": Holding("company", names=("actor",)),
    "configuration_assignment": Holding("gateway", names=("actor",)),
    "configuration_event": _below("assignment_id", "configuration_assignment"),
    "configuration_running": Holding("gateway"),
    "command_rule": Holding("company", names=("actor",)),
    # licences and usage
    "licence": Holding("company", names=("changed_by",)),
    "licence_notice": Holding("company"),
    "feature_flag": Holding("company", names=("changed_by",)),
    "usage_day": Holding("company"),
    # live
    "webhook": Holding("company", secret=("secret", "old_secret"), names=("created_by",)),
    "webhook_delivery": Holding("company"),
    "live_ticket": Holding("company", secret=("digest",), handed_over=False),
    # alarms
    "alarm_rule": Holding("site", names=("actor",)),
    "alarm": Holding("site", names=("assignee",)),
    "alarm_watch": _below("alarm_id", "alarm"),
    "alarm_occurrence": _below("alarm_id", "alarm"),
    "alarm_event": _below("alarm_id", "alarm", names=("actor",)),
    "alarm_due": Holding("gateway", handed_over=False),
    "alarm_receiver": Holding("company", secret=("secret",)),
    "alarm_keep": Holding("company"),
    "alarm_notice": _below("alarm_id", "alarm"),
}
"""Table of companies → what becomes of its rows. Some are of parts that a build may not have."""

NOBODYS: Final[Mapping[str, str]] = {
    "alembic_version": "the schema's number",
    "company": "becomes a tombstone: its slug and name are replaced, its id stays in the audit",
    "user_account": "a person: goes with its last membership, or when it is asked for",
    "signing_key": "of the service",
    "login_backoff": "digests of who has guessed wrong, for minutes",
    "oidc_identity": "of a person: goes with its account",
    "oidc_flow": "of a log-in under way, for minutes",
    "process_report": "of a process of the service",
    "pending_gateway": "nobody's until it is claimed; forgotten within a day",
}
"""Tables without a company → why there is nothing of a company to delete or to hand over."""

OUTSIDE: Final = (
    "backups of the database: they go by their own age",
    "logs of the service: they go by their own age",
    "what was sent on to other platforms, replays, webhooks and exports that were fetched",
    "what gateways still hold on site: `plantroom-edge` wipes it there",
    "signed heads of the audit that were copied elsewhere: hashes, nothing else",
)
"""What a deletion does not reach, as the certificate says it."""


def order(tables: Iterable[Table]) -> list[str]:
    """Return the tables that `HOLDINGS` names in an order in which rows can go: children first.

    A table goes before what its rows refer to, and before what tells at which site they lie.
    """
    there = {str(table.name): table for table in tables if table.name in HOLDINGS}
    after: dict[str, set[str]] = {name: set() for name in there}
    for name, table in there.items():
        above = {str(key.column.table.name) for key in table.foreign_keys}
        if name != "governance_due":
            above |= _places(HOLDINGS[name])
        for one in above & there.keys() - {name}:
            after[one].add(name)
    # Whatever goes leaves a note to check its site: the notes go last.
    if "governance_due" in after:
        after["governance_due"] |= after.keys() - {"governance_due"}
    return list(TopologicalSorter({k: sorted(v) for k, v in sorted(after.items())}).static_order())


def _places(holding: Holding) -> set[str]:
    if holding.at in {"gateway", "point"}:
        return {holding.at, "site"}
    if holding.at == "parent":
        return {holding.parent[1]}
    return {"site"} if holding.at == "site" else set()
