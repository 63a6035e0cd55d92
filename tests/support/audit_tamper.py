"""Long chains made quickly, and everything that somebody with the database's rights may do to one."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Table, bindparam, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.audit.canonical import FIRST_PREV, FORMAT, chained, to_json
from plantroom_cloud.audit.heads import HeadKey
from plantroom_cloud.audit.repository import AuditRepository
from plantroom_cloud.audit.verifying import Chain, Finding
from plantroom_cloud.db import Database, Scope, is_sqlite
from plantroom_cloud.tables import AuditHead, AuditRow, AuditSignature, Company
from support.servers import as_owner

T0: Final = 1_769_860_800_000_000
SECOND: Final = 1_000_000
_COLUMNS: Final = AuditRow.__table__.columns.keys()


async def make_chain(
    database: Database, slug: str, rows: int, key: HeadKey, heads_every: int
) -> Scope:
    """Add a company whose chain has `rows` rows and a signed head every so many."""
    async with as_owner(database).write() as session:
        company = Company(slug=slug, name=slug, created_us=T0)
        session.add(company)
        await session.flush()
        prev, batch, signed = FIRST_PREV, [], []
        scope = Scope(company.id)
        for n in range(1, rows + 1):
            row = make_row(scope, n, prev)
            prev = row["hash"]
            batch.append(row)
            if n % heads_every == 0:
                signed.append(key.sign(company.id, slug, n, prev, row["at_us"]))
        for start in range(0, rows, 5000):
            await session.execute(insert(AuditRow), batch[start : start + 5000])
        await session.execute(
            insert(AuditHead), [{"company_id": company.id, "n": rows, "hash": prev}]
        )
        for head in signed:
            await AuditRepository(session, scope).add_signed(head)
    return scope


def make_row(scope: Scope, n: int, prev: str, **other: Any) -> dict[str, Any]:
    """Return a row of a chain as the service writes it."""
    repeated = {
        "at_us": T0 + n * SECOND,
        "actor": f"key:{n % 7}",
        "action": ("key.add", "command.give", "review.answer")[n % 3],
        "subject": f"point/{n % 1000}",
        "request_id": f"{n:032x}",
    } | other
    content = repeated | {"after": {"value": n}, "before": None, "company": scope.company_id}
    body = to_json(content | {"format": FORMAT, "n": n, "name": "a key", "source": "10.0.0.1"})
    own = {"company_id": scope.company_id, "n": n, "body": body, "prev": prev}
    return repeated | own | {"hash": chained(prev, body)}


@dataclass(frozen=True, slots=True)
class Case:
    """A chain that may be changed in `session`, which is rolled back afterwards."""

    session: AsyncSession
    scope: Scope
    other: Scope
    """Another company, with as long a chain."""
    rows: int
    chance: random.Random

    def any_row(self, margin: int = 1) -> int:
        """Return the number of some row that has `margin` others on both sides."""
        return self.chance.randint(1 + margin, self.rows - margin)

    async def get(self, n: int, scope: Scope | None = None) -> dict[str, Any]:
        """Return a row."""
        mine = AuditRow.company_id == (scope or self.scope).company_id
        found = await self.session.execute(select(AuditRow).where(mine, AuditRow.n == n))
        row = found.scalar_one()
        self.session.expunge(row)
        return {name: getattr(row, name) for name in _COLUMNS}

    async def set(self, n: int, /, **values: Any) -> None:
        """Overwrite columns of a row."""
        mine = (AuditRow.company_id == self.scope.company_id, AuditRow.n == n)
        await self.session.execute(update(AuditRow).where(*mine).values(**values))

    async def drop(self, first: int, last: int) -> None:
        """Delete rows."""
        mine = (AuditRow.company_id == self.scope.company_id, AuditRow.n.between(first, last))
        await self.session.execute(delete(AuditRow).where(*mine))

    async def shift(self, first: int, by: int) -> None:
        """Renumber all rows from `first` on."""
        mine = AuditRow.company_id == self.scope.company_id
        away = update(AuditRow).where(mine, AuditRow.n >= first).values(n=-AuditRow.n)
        back = update(AuditRow).where(mine, AuditRow.n < 0).values(n=by - AuditRow.n)
        await self.session.execute(away)
        await self.session.execute(back)

    async def set_head(self, n: int, digest: str) -> None:
        """Overwrite the head."""
        mine = AuditHead.company_id == self.scope.company_id
        await self.session.execute(update(AuditHead).where(mine).values(n=n, hash=digest))

    async def rehash(self, first: int, edited: dict[str, Any]) -> None:
        """Put `edited` in place of row `first` and hash anew all after it, the head too."""
        mine = (AuditRow.company_id == self.scope.company_id, AuditRow.n >= first)
        found = await self.session.execute(
            select(AuditRow.n, AuditRow.body).where(*mine).order_by(AuditRow.n)
        )
        prev, changed = edited["prev"], []
        for n, body in found:
            digest = chained(prev, edited["body"] if n == first else body)
            changed.append({"k": n, "p": prev, "h": digest})
            prev = digest
        await self.set(first, **edited)
        table = cast("Table", AuditRow.__table__)
        which = (table.c.company_id == self.scope.company_id, table.c.n == bindparam("k"))
        statement = update(table).where(*which).values(prev=bindparam("p"), hash=bindparam("h"))
        connection = await self.session.connection()
        await connection.execute(statement, changed)
        await self.set_head(self.rows, prev)


def edited(row: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return `row` with other members of its body, its columns in accord with it."""
    content = orjson.loads(row["body"]) | members
    columns = {name: content[name] for name in ("at_us", "actor", "action", "subject")}
    return row | columns | {"body": to_json(content)}


def hashed(row: dict[str, Any]) -> dict[str, Any]:
    """Return `row` with the hash that belongs to it."""
    return row | {"hash": chained(row["prev"], row["body"])}


Exact = Sequence[int]
Tamper = Callable[[Case], Awaitable[Exact]]
"""Changes the chain and returns the rows that must be named."""


async def edit_body(case: Case) -> Exact:
    """One character of the body."""
    n = case.any_row(0)
    row = await case.get(n)
    await case.set(n, body=row["body"].replace("a key", "b key"))
    return [n]


async def edit_column(case: Case) -> Exact:
    """A column that lists filter by."""
    n = case.any_row(0)
    values = {"actor": "key:99", "action": "key.revoke", "subject": "x", "at_us": 5}
    name = case.chance.choice(list(values))
    await case.set(n, **{name: values[name]})
    return [n]


async def edit_both(case: Case) -> Exact:
    """Body and columns, without the hash."""
    n = case.any_row(0)
    await case.set(n, **edited(await case.get(n), actor="key:99"))
    return [n]


async def edit_hash(case: Case) -> Exact:
    """The hash."""
    n = case.any_row(0)
    await case.set(n, hash=case.chance.randbytes(32).hex())
    return [n]


async def edit_prev(case: Case) -> Exact:
    """The hash of the row before."""
    n = case.any_row(0)
    await case.set(n, prev=case.chance.choice([case.chance.randbytes(32).hex(), "none"]))
    return [n]


async def edit_rehashed(case: Case) -> Exact:
    """Everything of a row, with the hash that belongs to it."""
    n = case.any_row(0)
    await case.set(n, **hashed(edited(await case.get(n), after={"value": "another"})))
    return [n]


async def remove(case: Case) -> Exact:
    """A row."""
    n = case.any_row()
    await case.drop(n, n)
    return [n]


async def remove_renumbered(case: Case) -> Exact:
    """A row, the later ones moved up."""
    n = case.any_row()
    await case.drop(n, n)
    await case.shift(n + 1, -1)
    return [n]


async def reorder(case: Case) -> Exact:
    """Two rows that have changed places."""
    first, second = sorted(case.chance.sample(range(1, case.rows + 1), 2))
    a, b = await case.get(first), await case.get(second)
    await case.set(first, **{k: v for k, v in b.items() if k not in {"n", "company_id"}})
    await case.set(second, **{k: v for k, v in a.items() if k not in {"n", "company_id"}})
    return [first, second]


async def reorder_rehashed(case: Case) -> Exact:
    """Two rows that have changed places, renumbered and hashed."""
    first = case.any_row(3)
    second = min(first + 2, case.rows)
    a, b = await case.get(first), await case.get(second)
    for row, place in ((a, b), (b, a)):
        moved = edited(row, n=place["n"]) | {"n": place["n"], "prev": place["prev"]}
        await case.set(place["n"], **hashed(moved))
    return [first, second]


async def splice_foreign(case: Case) -> Exact:
    """Another company's row in place of one."""
    n = case.any_row(0)
    row = await case.get(n, case.other)
    await case.set(n, **row | {"company_id": case.scope.company_id})
    return [n]


async def splice_inserted(case: Case) -> Exact:
    """A row put in between, the later ones moved down."""
    n = case.any_row()
    before = await case.get(n)
    await case.shift(n + 1, 1)
    row = make_row(case.scope, n + 1, before["hash"], actor="key:99")
    await case.session.execute(insert(AuditRow), [row])
    return [n + 1]


async def append(case: Case) -> Exact:
    """A row after the last, unknown to the head."""
    last = await case.get(case.rows)
    row = make_row(case.scope, case.rows + 1, last["hash"])
    await case.session.execute(insert(AuditRow), [row])
    return [case.rows + 1]


async def truncate(case: Case) -> Exact:
    """The last rows."""
    n = case.any_row()
    await case.drop(n, case.rows)
    return [n]


TAMPERS: Final[tuple[Tamper, ...]] = (
    edit_body,
    edit_column,
    edit_both,
    edit_hash,
    edit_prev,
    edit_rehashed,
    remove,
    remove_renumbered,
    reorder,
    reorder_rehashed,
    splice_foreign,
    splice_inserted,
    append,
    truncate,
)
"""Of these the row itself must be named."""


async def truncate_with_head(case: Case) -> Exact:
    """The last rows, the head put back."""
    n = case.chance.randint(2, case.rows // 2)
    await case.drop(n, case.rows)
    await case.set_head(n - 1, (await case.get(n - 1))["hash"])
    return [n]


async def rehash_all(case: Case) -> Exact:
    """A row, with everything after it and the head hashed anew."""
    n = case.chance.randint(1, case.rows // 2)
    await case.rehash(n, edited(await case.get(n), after={"value": "another"}))
    return [n]


BY_SIGNED_HEADS: Final[tuple[Tamper, ...]] = (truncate_with_head, rehash_all)
"""Of these only a signed head knows."""


async def open_gates(session: AsyncSession) -> None:
    """Take away the triggers: whoever owns the tables can."""
    for table in (AuditRow.__tablename__, AuditSignature.__tablename__):
        if is_sqlite(session):
            for act in ("update", "delete"):
                await session.execute(text(f"DROP TRIGGER {table}_no_{act}"))
        else:
            await session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))


def names(chain: Chain, wanted: Exact, *, exactly: bool = True) -> bool:
    """Tell whether the findings name every row of `wanted`; by itself, where `exactly`."""

    def covers(finding: Finding, n: int) -> bool:
        single = finding.first == finding.last or finding.kind in {"missing", "added"}
        return finding.first <= n <= finding.last and (single or not exactly)

    return all(any(covers(finding, n) for finding in chain.findings) for n in wanted)


def keys_of(key: HeadKey) -> dict[str, Ed25519PublicKey]:
    """Return the keys that check what `key` has signed."""
    return {key.id: key.key.public_key()}
