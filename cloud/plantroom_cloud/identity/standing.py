"""What those may do by now who were let in a while ago, and are still here: open connections, tickets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.db import Scope
from plantroom_cloud.identity.gate import principal_of
from plantroom_cloud.identity.permissions import ROLES, Permission, Principal, granted
from plantroom_cloud.identity.repository import IdentityRepository


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever was let in: what it may do is looked up, again and again, and is never more than it was."""

    company: int
    kind: str
    id: int
    mark: int
    """What its tokens say in `sid`; 0 for a key."""
    may: frozenset[Permission]
    """What its token or key allowed."""

    @classmethod
    def of(cls, who: Principal) -> Holder:
        """Return the holder that a principal is."""
        return cls(who.company_id, who.kind, who.id, who.mark, who.permissions)

    @classmethod
    def read(cls, company: int, document: dict[str, Any]) -> Holder:
        """Return the holder that `document` was made of."""
        kind, number, mark = document["kind"], document["id"], document["mark"]
        return cls(company, kind, number, mark, granted(document["may"]))

    @property
    def document(self) -> dict[str, Any]:
        """The holder as JSON, without its company."""
        may = sorted(self.may)
        return {"kind": self.kind, "id": self.id, "mark": self.mark, "may": may}

    @property
    def name(self) -> str:
        """Who it is, whatever it was let in by."""
        return f"{self.company}:{self.kind}:{self.id}"


async def standing(
    session: AsyncSession, scope: Scope, holders: Collection[Holder], now_us: int
) -> dict[Holder, Principal]:
    """Return what each of `holders` of one company may do; those are missing who may nothing."""
    rows = IdentityRepository(session, scope)
    marks = {holder.mark for holder in holders if holder.kind == "user"}
    sessions = {row.session: row for row in await rows.standing_of(marks)}
    keys = {row.id: row for row in await rows.some_keys(_ids(holders, "key"))}
    accounts = {row.id: row for row in await rows.some_accounts(_ids(holders, "service"))}
    found: dict[Holder, Principal] = {}
    for holder in holders:
        match holder.kind:
            case "user":
                row = sessions.get(holder.mark)
                fits = row is not None and row.id == holder.id and now_us < row.expires_us
            case "key":
                row = keys.get(holder.id)
                fits = row is not None and (row.expires_us is None or now_us < row.expires_us)
            case _:
                row = accounts.get(holder.id)
                fits = row is not None and row.valid_from_us == holder.mark
        if row is None or not fits:
            continue
        is_user = holder.kind == "user"
        may = ROLES.get(row.role, frozenset()) if is_user else granted(row.scopes)
        name = row.email if is_user else row.name
        who = principal_of(scope.company_id, holder.kind, row, name, may)
        session_id = holder.mark if is_user else None
        may = who.permissions & holder.may
        found[holder] = replace(who, permissions=may, mark=holder.mark, session=session_id)
    return found


def _ids(holders: Collection[Holder], kind: str) -> set[int]:
    return {holder.id for holder in holders if holder.kind == kind}
