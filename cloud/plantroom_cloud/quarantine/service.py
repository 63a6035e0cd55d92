"""Release and discard: each decides about a row once, and the account stays closed throughout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import orjson
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud import audit
from plantroom_cloud.db import Scope
from plantroom_cloud.gateways.repository import Owned
from plantroom_cloud.identity.permissions import Principal
from plantroom_cloud.ingest.answers import Answers
from plantroom_cloud.ingest.batch import GatewayBatch, Memory
from plantroom_cloud.ingest.memory import Dictionaries, Patience
from plantroom_cloud.kit.problems import ApiError, NotFound
from plantroom_cloud.kit.repository import AnyRow
from plantroom_cloud.licensing.usage import Use, count_now
from plantroom_cloud.quarantine.payloads import Correction, Held, again
from plantroom_cloud.quarantine.repository import QuarantineRepository
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Rejected

MAX_NOTE = 1000


class Conflict(ApiError):
    """The row is not, or cannot be, in the state that is asked for."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "conflict"
    title: ClassVar[str] = "This cannot be done with it as it is"


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a quarantined row."""

    id: int
    state: str
    stored: int
    """Rows of it that are stored now."""
    refused: int
    """Rows of it that lie in the quarantine again, each by itself."""
    note: str
    decided_us: int


def held_of(row: AnyRow) -> Held:
    """Return what lies in the quarantine of a row."""
    return Held(row.gateway_id, row.epoch, row.stream, row.seq, row.n, row.payload)


def decision_of(row: AnyRow) -> Decision:
    """Return what was decided about a row, of which there is a decision."""
    refused = row.n - row.stored if row.state == "released" else 0
    return Decision(row.id, row.state, row.stored, refused, row.note, row.decided_us)


class QuarantineService:
    """Decides about quarantined rows, in the transaction of `session`."""

    def __init__(self, session: AsyncSession, scope: Scope, clock: Clock) -> None:
        self._session, self._scope, self._clock = session, scope, clock
        self._rows = QuarantineRepository(session, scope)

    async def release(
        self, gateway: str, row_id: int, correction: Correction, who: Principal | str
    ) -> Decision:
        """Run a row through the ingest again; stored exactly once, whoever asks how often.

        Raises:
            NotFound: the company has no such row.
            Conflict: it was discarded, or it still cannot be stored; then nothing has changed.
        """
        owner, row = await self._find(gateway, row_id)
        if row.state is not None:
            if row.state != "released":
                msg = f"row {row_id} was discarded: {row.note}"
                raise Conflict(msg, code="discarded")
            return decision_of(row)
        held = held_of(row)
        try:
            message = again(held, correction)
        except Rejected as error:
            raise _still(row_id, str(error), error.reason) from error
        if not await self._rows.give_back(held):
            # What devices stream by themselves has no order numbers and no sync messages.
            raise _still(row_id, "rows of streaming devices can only be discarded", "streaming")
        answers = Answers()
        memory = Memory(self._clock, Dictionaries(), Patience())
        batch = GatewayBatch(self._session, owner, memory)
        try:
            await batch.take([message], answers)
        except (DataError, IntegrityError, OverflowError) as error:
            raise _still(row_id, "the database refuses it", "store") from error
        refused = await self._check(row, held, batch.stored, answers)
        now_us, note = self._clock.now_us(), _note(correction)
        await self._rows.decide(row_id, "released", batch.stored, note, now_us)
        await count_now(self._session, self._scope, now_us, Use.SAMPLES, batch.samples)
        after = {"stored": batch.stored, "refused": refused, "correction": note}
        self._record(who, "release", row, after)
        return Decision(row_id, "released", batch.stored, refused, note, now_us)

    def _record(self, who: Principal | str, verb: str, row: AnyRow, after: dict[str, Any]) -> None:
        about = {"gateway": row.gateway_id, "stream": row.stream, "seq": row.seq, "rows": row.n}
        before = about | {"reason": row.reason}
        audit.record(
            self._session,
            self._scope,
            who=who,
            action=f"quarantine.{verb}",
            subject=f"quarantine/{row.id}",
            before=before,
            after=after,
        )

    async def _check(self, row: AnyRow, held: Held, stored: int, answers: Answers) -> int:
        """Return how many rows were refused again; Conflict if nothing came of it."""
        if answers.nacks:
            _, nack = answers.nacks[0]
            msg = f"the ingest refuses it ({nack.nack}): the dictionary of its epoch is too short"
            raise _still(row.id, msg, nack.nack)
        refused, reason = await self._rows.newer(held, row.id)
        if stored == 0 and refused:
            raise _still(row.id, f"it is refused again ({reason}); correct it", reason)
        if stored + refused != held.n:
            # The account would not close: a row of that point and moment is there already.
            raise _still(row.id, "the same row is stored already; discard this one", "stored")
        return refused

    async def discard(
        self, gateway: str, row_id: int, reason: str, who: Principal | str
    ) -> Decision:
        """Decide that a row will never be stored; it stays, and is counted as discarded.

        Raises:
            NotFound: the company has no such row.
            Conflict: it was released.
        """
        _, row = await self._find(gateway, row_id)
        if row.state is not None:
            if row.state != "discarded":
                msg = f"row {row_id} was released, and {row.stored} rows of it are stored"
                raise Conflict(msg, code="released")
            return decision_of(row)
        now_us, note = self._clock.now_us(), reason.replace("\x00", "")[:MAX_NOTE]
        await self._rows.decide(row_id, "discarded", 0, note, now_us)
        self._record(who, "discard", row, {"reason": note})
        return Decision(row_id, "discarded", 0, 0, note, now_us)

    async def _find(self, gateway: str, row_id: int) -> tuple[Owned, AnyRow]:
        owner = await self._rows.lock(gateway)
        row = None if owner is None else await self._rows.find(gateway, row_id)
        if owner is None or row is None:
            raise no_row(gateway, row_id)
        return owner, row


def no_row(gateway: str, row_id: int) -> NotFound:
    """Return the error of a row that the company does not have."""
    return NotFound(
        f"gateway {gateway} has no quarantined row {row_id}; "
        f"GET /v1/gateways/{gateway}/quarantine lists them"
    )


def _still(row_id: int, why: str, reason: str) -> Conflict:
    error = {"where": "quarantine", "name": str(row_id), "detail": reason}
    return Conflict(f"row {row_id} stays in quarantine: {why}", code="not_storable", errors=[error])


def _note(correction: Correction) -> str:
    changed: dict[str, Any] = {}
    if correction.shift_us:
        changed["shift_us"] = correction.shift_us
    if correction.ts_us is not None:
        changed["ts_us"] = correction.ts_us
    if correction.replace_value:
        changed["value"] = correction.value
    return orjson.dumps(changed).decode() if changed else ""
