"""Recording an act in the transaction that does it."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import event, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from plantroom_cloud.audit import origin
from plantroom_cloud.audit.canonical import (
    FIRST_PREV,
    FORMAT,
    chained,
    clean_text,
    document,
    to_json,
)
from plantroom_cloud.db import Scope, act_for_now, insert_into
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.tables import AuditHead, AuditRow

_WAITING: Final = "plantroom.audit"
_ACTION: Final = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)+\Z")


@dataclass(frozen=True, slots=True)
class _Act:
    """What waits for the end of its transaction."""

    company: int
    content: dict[str, Any]
    within: tuple[SessionTransaction, ...]
    """The savepoints, and the transaction, that may still take it back."""


@dataclass(slots=True)
class _Waiting:
    acts: list[_Act] = field(default_factory=list)


def record(
    session: AsyncSession,
    scope: Scope,
    *,
    who: Principal | str,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> None:
    """Enter an act in its company's audit: it is written with what it did, or neither is.

    The row is numbered and hashed as the last thing of the transaction: until then nothing of the
    company is locked, so the call may stand anywhere, and several acts of one transaction may be
    recorded. Secrets are masked, large documents replaced by their digest.

    Args:
        session: the one that does the act, to be committed.
        scope: whose audit.
        who: whoever asked for it; a text such as `cli_user()` where it is no principal.
        action: a noun of ours and what was done with it: ``key.add``.
        subject: to what: ``key/5``.
        before: what has changed, as it was.
        after: the same as it is now.
        request_id: of the request; that being answered unless given.

    Raises:
        ValueError: `action` is written otherwise.
    """
    if not _ACTION.match(action) or len(action) > 100:
        msg = f"{action[:100]!r} is no action: write a noun of ours and a verb, such as 'key.add'"
        raise ValueError(msg)
    where = origin.current()
    content = {
        **_who(who),
        "action": action,
        "after": document(after),
        "at_us": where.clock.now_us(),
        "before": document(before),
        "company": scope.company_id,
        "format": FORMAT,
        "request_id": clean_text(request_id or where.request_id, 64),
        "source": clean_text(where.source, 64),
        "subject": clean_text(subject, 200),
    }
    inner = session.sync_session
    _waiting_in(inner).acts.append(_Act(scope.company_id, content, _transactions(inner)))


def cli_user() -> str:
    """Return who does something at the command line: whoever runs it."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container may run as a number without a name
        return "cli:unknown"


def display_name(who: Principal | str) -> str:
    """Return `who` for people, as histories show it."""
    if isinstance(who, Principal):
        return who.name
    return f"operator {who.removeprefix('cli:')}" if who.startswith("cli:") else who


def _who(who: Principal | str) -> dict[str, str]:
    if isinstance(who, Principal):
        return {"actor": f"{who.kind}:{who.id}"[:200], "name": clean_text(who.name, 200)}
    return {"actor": clean_text(who, 200) or "unknown", "name": ""}


def _transactions(session: Session) -> tuple[SessionTransaction, ...]:
    found: list[SessionTransaction] = []
    part = session.get_nested_transaction() or session.get_transaction()
    while part is not None:
        found.append(part)
        part = part.parent
    return tuple(found)


def _waiting_in(session: Session) -> _Waiting:
    waiting: _Waiting | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = _Waiting()
        event.listen(session, "before_commit", _write)
        event.listen(session, "after_soft_rollback", _forget)
    return waiting


def _forget(session: Session, ended: SessionTransaction) -> None:
    """Drop what was recorded within a transaction, or a savepoint, that was rolled back."""
    waiting: _Waiting = session.info[_WAITING]
    gone = ended
    while not gone.nested and gone.parent is not None:
        gone = gone.parent  # a flush that fails takes back all up to the savepoint around it
    whole = gone.parent is None
    waiting.acts = [act for act in waiting.acts if not whole and gone not in act.within]


def _write(session: Session) -> None:
    """Number, chain and add what waits: the last statements before the commit."""
    if session.in_nested_transaction():
        return  # a savepoint is released: its transaction is not at its end
    waiting: _Waiting = session.info[_WAITING]
    acts, waiting.acts = waiting.acts, []
    # Always in this order: two transactions never wait for one another's head.
    for company in sorted({act.company for act in acts}):
        _chain(session, company, [act.content for act in acts if act.company == company])


def _chain(session: Session, company: int, contents: list[dict[str, Any]]) -> None:
    act_for_now(session, company)
    n, prev = _head(session, company)
    rows = []
    for content in contents:
        n += 1
        body = to_json(content | {"n": n})
        digest = chained(prev, body)
        repeated = {key: content[key] for key in ("actor", "action", "subject", "request_id")}
        row = {"company_id": company, "n": n, "at_us": content["at_us"], "body": body}
        rows.append(row | repeated | {"prev": prev, "hash": digest})
        prev = digest
    session.execute(insert(AuditRow), rows)
    session.execute(update(AuditHead).where(AuditHead.company_id == company).values(n=n, hash=prev))


def _head(session: Session, company: int) -> tuple[int, str]:
    """Lock the company's head and return it; made at the first act."""
    mine = select(AuditHead.n, AuditHead.hash).where(AuditHead.company_id == company)
    found = session.execute(mine.with_for_update()).one_or_none()
    if found is None:
        _make_head(session, company)
        found = session.execute(mine.with_for_update()).one()
    return found.n, found.hash


def _make_head(session: Session, company: int) -> None:
    made = insert_into(session, AuditHead).values(company_id=company, n=0, hash=FIRST_PREV)
    session.execute(made.on_conflict_do_nothing())  # another may make it at the same moment
