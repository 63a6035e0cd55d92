"""The journal: on the disk before the bus, so that a crash at any moment leaves nothing open.

One SQLite file of its own (WAL, ``synchronous=FULL``), used from one thread. Every public method is
one transaction. What raises Unavailable has changed nothing.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import orjson

from plantroom_edge.commands.entries import Event, Heard, Hold, State
from plantroom_edge.commands.moments import AHEAD_US, LONGEST_US, Lease, Now
from plantroom_shared.errors import Unavailable

log = logging.getLogger(__name__)

KEPT: Final = 20_000
"""Commands that are remembered though no copy of them could be carried out any more."""

MOST: Final = 60_000
"""Commands from which on no other is taken: each of them must stay for its copies to be known."""

EVENTS: Final = 50_000
"""Events that may wait for the buffer; beyond that nothing is written any more."""

_OPEN: Final = "'intent'"
_BUSY_MS: Final = 5_000


class Journal:
    """Opens or makes the journal at `file`.

    Args:
        file: its folder must exist.
        now: a journal that is lost forgets what it has seen, so no order is taken that could have
            been issued before.
    """

    def __init__(self, file: Path, now: Now) -> None:
        self._file = file
        self.lost = False
        """Whether a journal was there that could not be read; it was moved aside."""
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                msg = f"the journal of commands {file} cannot be opened: {error}"
                raise Unavailable(msg) from error
            log.error(  # noqa: TRY400 -- said, not traced
                "the journal of commands is damaged; it begins anew", extra={"file": str(file)}
            )
            self.lost = True
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    file.with_name(file.name + ending).replace(
                        file.with_name(file.name + ending + ".bad")
                    )
            self._db = self._open()
            self._set("floor_us", str(now.wall_us + LONGEST_US + AHEAD_US))
        self.name = self._meta("name")
        """Random: events of two journals are told apart by it."""

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                script = resources.files("plantroom_edge.commands").joinpath("journal.sql")
                db.executescript(f"BEGIN;{script.read_text()}COMMIT;")
            else:
                _check(db)
            if not db.execute("SELECT 1 FROM meta WHERE name='name'").fetchone():
                db.execute("INSERT INTO meta VALUES ('name', ?)", (secrets.token_hex(8),))
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            msg = f"the journal of commands cannot be written: {error}"
            raise Unavailable(msg) from error

    # ------------------------------------------------------------ small notes

    def note(self, name: str) -> str:
        """Return what was noted under `name`; empty if nothing was."""
        return self._meta(name)

    def set_note(self, name: str, value: str, event: Event | None = None) -> None:
        """Note `value` under `name`, and that it happened."""
        with self._transaction():
            self._set(name, value)
            if event:
                self._tell(event)

    def _meta(self, name: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (name, value))

    @property
    def floor_us(self) -> int:
        """The latest time of issue of an order that was taken: the true time is not before it."""
        return int(self._meta("floor_us") or 0)

    # ------------------------------------------------------------ commands

    def seen(self, ident: str, nonce: str) -> str:
        """Return ``again`` for a command that is known, ``replay`` for its nonce under another id."""
        row = self._db.execute("SELECT 1 FROM command WHERE id=?", (ident,)).fetchone()
        if row:
            return "again"
        row = self._db.execute("SELECT 1 FROM command WHERE nonce=?", (nonce,)).fetchone()
        return "replay" if row else ""

    def full(self) -> bool:
        """Say whether nothing more may be taken: what is here must stay, or be told first."""
        commands = self._db.execute("SELECT count(*) FROM command").fetchone()[0]
        events = self._db.execute("SELECT count(*) FROM event").fetchone()[0]
        return bool(commands >= MOST or events >= EVENTS)

    def begin(
        self, heard: Heard, holds: Sequence[Hold], places: Mapping[str, str], now: Now, event: Event
    ) -> None:
        """Enter that `heard` is about to be carried out, before it is; `places`: point → device."""
        with self._transaction():
            self._add(heard, "intent", "", now, places)
            for hold in holds:
                self._put(hold)
            self._tell(event)

    def decide(self, heard: Heard, state: State, reason: str, now: Now, event: Event) -> None:
        """Enter a command that ends without a write."""
        with self._transaction():
            self._add(heard, state, reason, now, {})
            self._tell(event)

    def _add(
        self, heard: Heard, state: State, reason: str, now: Now, places: Mapping[str, str]
    ) -> None:
        order = heard.order
        self._db.execute(
            "INSERT INTO command VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                order.id, order.nonce, order.kind, heard.source, order.actor, heard.body,
                order.expires, state, reason, now.wall_us, now.mono_us, now.boot,
                orjson.dumps(places).decode(),
            ),
        )  # fmt: skip
        if heard.source == "cloud":  # it has passed its window: issue and our clock agree
            self._set("floor_us", str(max(self.floor_us, order.issued)))

    def finish(
        self,
        ident: str,
        state: State,
        reason: str,
        event: Event,
        *,
        holds: Sequence[Hold] = (),
        gone: Sequence[Hold] = (),
    ) -> None:
        """Enter what became of a command: `holds` as they are now, `gone` those that hold nothing."""
        with self._transaction():
            self._db.execute(
                "UPDATE command SET state=?, reason=? WHERE id=?", (state, reason, ident)
            )
            for hold in holds:
                self._put(hold)
            for hold in gone:
                self._remove(hold)
            self._tell(event)

    def intents(self) -> list[tuple[str, str, str]]:
        """Return id, actor and source of the commands of which nobody knows whether they were carried out."""
        return self._db.execute(
            f"SELECT id, actor, source FROM command WHERE state={_OPEN} ORDER BY at_us"  # noqa: S608 -- a constant
        ).fetchall()

    def carried_out(self, now: Now) -> list[tuple[int, dict[str, str]]]:
        """Return when commands were carried out since the machine started, and point → device of each."""
        rows = self._db.execute(
            "SELECT mono_us, places FROM command WHERE boot=? AND state IN ('intent','executed','failed')"
            " AND places<>'{}' ORDER BY mono_us",
            (now.boot,),
        )
        return [(mono, orjson.loads(places)) for mono, places in rows]

    def prune(self) -> int:
        """Forget old commands of which no copy could be carried out any more; return how many."""
        with self._transaction() as db:
            cursor = db.execute(
                "DELETE FROM command WHERE id IN (SELECT id FROM command WHERE state<>'intent'"
                " AND (expires_us<=? OR source='local') AND id NOT IN (SELECT command FROM hold)"
                " ORDER BY at_us DESC LIMIT -1 OFFSET ?)",
                (self.floor_us, KEPT),
            )
            return cursor.rowcount

    # ------------------------------------------------------------ holds

    def holds(self) -> list[Hold]:
        """Return every value of ours that stands, or may stand, on a device."""
        rows = self._db.execute("SELECT * FROM hold ORDER BY point, priority").fetchall()
        return [_hold(row) for row in rows]

    def update(self, holds: Sequence[Hold]) -> None:
        """Enter holds as they are now."""
        with self._transaction():
            for hold in holds:
                self._put(hold)

    def released(self, hold: Hold, event: Event) -> None:
        """Enter that a value was taken back."""
        with self._transaction():
            self._remove(hold)
            self._tell(event)

    def _put(self, hold: Hold) -> None:
        lease = hold.lease
        self._db.execute(
            "INSERT OR REPLACE INTO hold VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            (
                hold.point, hold.priority or 0, hold.command, hold.previous, _json(hold.before),
                _json(hold.restore), _json(hold.written), lease.wall_us, lease.mono_us, lease.boot,
                lease.length_us,
            ),
        )  # fmt: skip

    def _remove(self, hold: Hold) -> None:
        where = (hold.point, hold.priority or 0)
        self._db.execute("DELETE FROM hold WHERE point=? AND priority=?", where)

    # ------------------------------------------------------------ events

    def tell(self, event: Event) -> None:
        """Enter something to be told."""
        with self._transaction():
            self._tell(event)

    def _tell(self, event: Event) -> None:
        row = (event.at_us, event.kind, _json(dict(event.doc)))
        self._db.execute("INSERT INTO event (at_us, kind, doc) VALUES (?,?,?)", row)

    def events(self, limit: int) -> list[Event]:
        """Return the oldest events that were not told yet."""
        rows = self._db.execute(
            "SELECT n, at_us, kind, doc FROM event ORDER BY n LIMIT ?", (limit,)
        ).fetchall()
        return [Event(kind, orjson.loads(doc), at, n) for n, at, kind, doc in rows]

    def told(self, last: int) -> None:
        """Forget events up to number `last`: they are in the buffer."""
        with self._transaction() as db:
            db.execute("DELETE FROM event WHERE n<=?", (last,))


def _check(db: sqlite3.Connection) -> None:
    if (said := db.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(said)


def _hold(row: tuple[Any, ...]) -> Hold:
    point, priority, command, previous, before, restore, written, *lease = row
    wall, mono, boot, length = lease
    return Hold(
        point,
        priority or None,
        command,
        orjson.loads(before),
        orjson.loads(restore),
        tuple(orjson.loads(written)),
        Lease(wall, mono, boot, length),
        previous,
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
