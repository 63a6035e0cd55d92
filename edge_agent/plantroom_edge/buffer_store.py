"""The buffer's file in use: everything that runs on the buffer's one thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from plantroom_edge import buffer_account as account
from plantroom_edge import buffer_clock, buffer_points, buffer_retain
from plantroom_edge.buffer_db import LOG_LIMIT, PAGE, Frame, crc_of
from plantroom_edge.buffer_file import BufferFile, DamagedError, DiskFullError
from plantroom_edge.buffer_ledger import is_proven
from plantroom_edge.buffer_points import Points
from plantroom_edge.buffer_quota import SHARES, Quota
from plantroom_edge.buffer_rows import (
    Message,
    encode_dictionary,
    encode_findings,
    encode_records,
    encode_rows,
    join,
)
from plantroom_edge.buffer_salvage import disk_bytes, trim_evidence
from plantroom_shared import ranges
from plantroom_shared.clock import Clock
from plantroom_shared.model import Batch, Device, Finding, Point
from plantroom_shared.ranges import Range
from plantroom_shared.wire import STREAMS, ClockState, Holding, Record, Stream

log = logging.getLogger(__name__)

_KEEP_EPOCHS: Final = 256
"""Drained epochs that are remembered one by one; older ones live on in the counters."""

_VACUUM_ABOVE: Final = 1024
"""Free pages from which on the file is shortened, a little at a time."""

_EXPIRE_EVERY: Final = 60.0
"""Seconds between two looks for confirmed rows that have been kept long enough."""

_GROWTH: Final = 1.25
"""Pages that a message takes, for each page of its bytes, where every page counts."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the buffer uses its disk.

    Args:
        retain_s: seconds for which confirmed rows stay, as far as there is room.
        reserve: bytes set aside for the moment when the disk is full.
        shares: part of the limit that belongs to each stream but ``tel``.
    """

    retain_s: float = 48 * 3600.0
    reserve: int = 0
    shares: Mapping[Stream, float] = field(default_factory=lambda: dict(SHARES))


class Store(BufferFile):
    """The buffer's file and the current epoch in it; used from one thread only.

    Args:
        path: the file.
        limit: bytes the file's content may take.
        ep: this start's epoch.
        clock: for the time of acceptance, and for leaving a failing disk alone.
        options: retention, reserve and shares.
    """

    def __init__(
        self, path: Path, limit: int, ep: str, clock: Clock, options: Options | None = None
    ) -> None:
        self._options = options or Options()
        super().__init__(path, clock, self._options.reserve)
        self.limit, self.ep = limit, ep
        self.quota = Quota(limit, self._options.shares)
        self.boot = 0
        self.clock_state: ClockState = "sync"
        """``unset``: rows are accepted, and those of `WAITS` given out only after `restamp`."""
        self._machine = buffer_clock.machine_start(ep)
        self._offset_us: int | None = None
        """What to add to times from before the clock was set, once that is known."""
        self._order = 0
        self._points = Points()
        self._aliases: dict[str, int] = {}
        self._devices: dict[str, Device] = {}
        self._accepted: dict[Stream, int] = dict.fromkeys(STREAMS, 0)
        self._expire_at = 0.0

    # ------------------------------------------------------------ the epoch

    def begin(self) -> None:
        """Enter the current epoch, and put right what is not as it ought to be."""
        self._begin_epoch()
        self._heal_all()
        self.ledger.prune(self._order, _KEEP_EPOCHS)

    def _begin_epoch(self) -> None:
        """Enter the current epoch and its dictionary, where the file does not have them yet."""
        row = self.db.execute("SELECT id FROM epoch WHERE ep=?", (self.ep,)).fetchone()
        if row is None:
            boot = self.boot or 1 + account.counter(self.db, "boot")
            sql = "INSERT INTO epoch (ep, boot, crc) VALUES (?, ?, 0)"
            order = self.db.execute(sql, (self.ep, boot)).lastrowid or 0
            sql = "UPDATE epoch SET crc=? WHERE id=?"
            self.db.execute(sql, (crc_of(order, self.ep, boot), order))
            self.db.execute("INSERT OR REPLACE INTO counter VALUES ('boot', ?)", (boot,))
            self.boot, row = boot, (order,)
        self._order = int(row[0])
        buffer_points.write(self.db, self._order, 0, self._points.docs, self._devices.values())
        for stream, accepted in self._accepted.items():
            known, done = self.ledger.position(self._order, stream)
            self.ledger.put_position(self._order, stream, max(known, accepted), done)

    def _heal_all(self) -> None:
        lost = 0
        self.ledger.drop_strays()
        for (epoch,) in self.db.execute("SELECT id FROM epoch").fetchall():
            for stream in STREAMS:
                lost += self.ledger.heal(epoch, stream)
            buffer_retain.sweep(self.ledger, epoch)
        if lost:
            log.error(
                "buffered rows are damaged beyond reading and are declared lost",
                extra={"file": str(self.path), "rows": lost},
            )

    def add_points(self, points: Sequence[Point], devices: Sequence[Device]) -> list[int]:
        """Extend the dictionary of the current epoch; return the aliases of `points`.

        An alias never changes its meaning: a point that is another one than before, by its unit or
        whatever else, has a further one from now on.

        Raises:
            Unavailable: the points are other ones again and again.
        """
        told: dict[str, Point] = {}
        for point in points:
            told.setdefault(point.key, point)
        docs = {key: buffer_points.doc(point) for key, point in told.items()}
        new = {key: doc for key, doc in docs.items() if self._known(key) != doc}
        first = len(self._points)
        if new.keys() & self._aliases.keys():
            buffer_points.check_growth(first + len(new), len(self._aliases.keys() | new.keys()))
        with self.transaction():
            buffer_points.write(self.db, self._order, first, new.values(), devices)
        self._points.extend(new.values())
        self._aliases |= {key: first + i for i, key in enumerate(new)}
        self._devices |= {device.key: device for device in devices}
        return [self._aliases[point.key] for point in points]

    def _known(self, key: str) -> bytes | None:
        """Return how the dictionary has a point now."""
        alias = self._aliases.get(key)
        return None if alias is None else self._points.docs[alias]

    @property
    def dictionary_size(self) -> int:
        """How many aliases the current epoch has."""
        return len(self._points)

    def mark(self, stream: Stream) -> tuple[int, int]:
        """Return (place of the current epoch in the order of starts, rows of `stream` in it)."""
        return self._order, self._accepted[stream]

    # ------------------------------------------------------------ accepting

    def append(
        self,
        batches: Sequence[Batch],
        findings: Sequence[Finding],
        records: Mapping[Stream, Sequence[Record]] | None = None,
    ) -> list[tuple[int, Batch]]:
        """Accept rows: when this returns they are on the disk, under order numbers of their own.

        Args:
            batches: samples.
            findings: rows of ``evt``.
            records: rows of ``aud`` and ``cmd``.

        Returns:
            The samples as they were numbered: order number of the first row, and the batch.
        """
        notes = len(self.notes)
        parts: list[tuple[int, Batch]] = []
        messages: dict[Stream, list[Message]] = {}
        start = self._accepted["tel"] + 1
        state = self.clock_state  # another thread may change it at any time
        for batch in map(self._put_right, join(batches)):
            parts.append((start, batch))
            messages.setdefault("tel", []).extend(self._encode(start, batch, state))
            start += len(batch)
        messages |= self._encode_rest(findings, records or {}, self.notes[:notes])
        self._write(messages, waits=state == "unset")
        del self.notes[:notes]
        self.noted += notes
        return parts

    def _put_right(self, batch: Batch) -> Batch:
        """Return `batch` with right times, should it have been read before the clock was set."""
        if self._offset_us is None:
            return batch
        times = buffer_clock.put_right(batch.times, self._offset_us)
        return Batch(batch.points, times, batch.values, batch.quality)

    def _encode(self, s0: int, batch: Batch, state: ClockState) -> list[Message]:
        since_start = self.clock.monotonic() * 1e6 + batch.times[0] - self.clock.now_us()
        return list(
            encode_rows(
                self.ep,
                s0,
                batch,
                clock=state,
                boot=self.boot,
                mono_us=max(0, round(since_start)),
            )
        )

    def _encode_rest(
        self,
        findings: Sequence[Finding],
        records: Mapping[Stream, Sequence[Record]],
        notes: Sequence[Record],
    ) -> dict[Stream, list[Message]]:
        """Return what is no sample as messages, with right times as far as they are known."""
        messages: dict[Stream, list[Message]] = {}
        if findings:
            if self._offset_us is not None:
                findings = buffer_clock.findings_right(findings, self._offset_us)
            first = self._accepted["evt"] + 1
            messages["evt"] = list(encode_findings(self.ep, first, findings))
        lanes: dict[Stream, list[Record]] = {
            "cmd": list(records.get("cmd", ())),
            "aud": [*notes, *records.get("aud", ())],
        }
        for lane, rows in lanes.items():
            if not rows:
                continue
            right = rows
            if self._offset_us is not None:
                right = buffer_clock.records_right(rows, self._offset_us)
            first = self._accepted[lane] + 1
            messages[lane] = list(encode_records(self.ep, lane, first, right))
        return messages

    def _write(self, messages: Mapping[Stream, Sequence[Message]], *, waits: bool) -> None:
        accepted = dict(self._accepted)
        with self.transaction():
            if self.full_since is not None:
                self._make_room(messages.get("tel", ()))
            for stream, group in messages.items():
                if not group:
                    continue
                for message in group:
                    self.ledger.insert(self._order, stream, message)
                    accepted[stream] = message.s0 + message.n - 1
                _, done = self.ledger.position(self._order, stream)
                self.ledger.put_position(self._order, stream, accepted[stream], done)
                if waits and stream in buffer_clock.WAITS:
                    rows = (group[0].s0, accepted[stream])
                    buffer_clock.hold_back(self.ledger, self._order, stream, rows, self._machine)
            self._keep_house()
        self._accepted = accepted

    def _make_room(self, samples: Sequence[Message]) -> None:
        """The disk is full: samples are only taken into pages that the file already has."""
        if not samples:
            return
        need = sum(len(message.blob) for message in samples) * _GROWTH + 8 * PAGE
        while account.free_pages(self.db) * PAGE < need:
            if not self.quota.give_up(self.ledger, self._order):
                msg = "the disk is full and there is nothing left to give up for these samples"
                raise DiskFullError(msg)

    def _keep_house(self) -> None:
        self.quota.evict(self.ledger, self._order)
        if self.clock.monotonic() < self._expire_at:
            return
        trim_evidence(self.path, self.limit + self._options.reserve + LOG_LIMIT)
        before = self.clock.now_us() - round(self._options.retain_s * 1e6)
        if not buffer_retain.expire(self.ledger, before, self._order):
            self._expire_at = self.clock.monotonic() + _EXPIRE_EVERY

    def restamp(self, offset_us: int) -> int:
        """Shift the times of rows accepted while the clock was unset; give them out."""
        with self.transaction():
            shifted = buffer_clock.restamp(self.ledger, offset_us, self._machine)
        # On the thread that accepts rows: none may be held back any more, or miss the offset.
        self._offset_us = offset_us
        if self.clock_state == "unset":
            self.clock_state = "holdover"
        return shifted

    # ------------------------------------------------------------ giving out

    def next(
        self,
        stream: Stream,
        after: tuple[int, int],
        limit: int,
        until: tuple[int, int] | None = None,
    ) -> list[Frame]:
        """Return the oldest frames behind `after` and not behind `until`."""
        for _ in range(3):
            found = self._held_frames(stream, after, limit, until)
            if found is not None:
                return found
            with self.transaction():
                self._heal_all()
        msg = "messages that fail their CRC cannot be deleted"
        raise DamagedError(msg)

    def _held_frames(
        self, stream: Stream, after: tuple[int, int], limit: int, until: tuple[int, int] | None
    ) -> list[Frame] | None:
        """Return frames as `next` does; None if some are damaged or missing and must be healed."""
        out: list[Frame] = []
        for epoch in self.ledger.epochs(stream):
            if epoch < after[0] or (until and epoch > until[0]):
                continue
            last = until[1] if until and epoch == until[0] else None
            for rows in self._open_rows(stream, epoch, after):
                frames = self.ledger.frames(epoch, stream, rows, limit - len(out))
                if not self._is_whole(epoch, stream, rows, frames, limit - len(out)):
                    return None
                for _, s0, n, kind, cause, dv, _, blob, _ in frames:
                    if last is not None and s0 + n - 1 > last:
                        return out
                    out.append(
                        Frame(self._name(epoch), epoch, stream, s0, n, dv, blob, kind, cause)
                    )
                if len(out) >= limit:
                    return out
        return out

    def _open_rows(self, stream: Stream, epoch: int, after: tuple[int, int]) -> list[Range]:
        """Return the rows of an epoch that may be given out, behind `after`."""
        held = self.ledger.held(epoch, stream)
        held = ranges.subtract(held, self.ledger.waiting().get((epoch, stream), []))
        return ranges.subtract(held, [(0, after[1])]) if epoch == after[0] else held

    def _is_whole(
        self,
        epoch: int,
        stream: Stream,
        rows: Range,
        frames: Sequence[tuple[Any, ...]],
        limit: int,
    ) -> bool:
        """Say whether `frames` prove themselves and leave no hole in `rows`."""
        if not all(is_proven(epoch, stream, frame) for frame in frames):
            with self.transaction():
                self.ledger.drop_unproven(epoch, stream, frames)
            return False
        there = [(frame[1], frame[1] + frame[2] - 1) for frame in frames]
        end = there[-1][1] if len(frames) >= limit else rows[1]
        return not ranges.subtract([(rows[0], end)], there)

    def _name(self, epoch: int) -> str:
        (ep,) = self.db.execute("SELECT ep FROM epoch WHERE id=?", (epoch,)).fetchone()
        return str(ep)

    def _find_epoch(self, ep: str) -> int | None:
        row = self.db.execute("SELECT id FROM epoch WHERE ep=?", (ep,)).fetchone()
        return None if row is None else int(row[0])

    def confirm(self, ep: str, stream: Stream, acked: Sequence[Range]) -> int:
        """Enter what the cloud has committed; return how many rows that were."""
        epoch = self._find_epoch(ep)
        if epoch is None:
            return 0
        keep = self._options.retain_s > 0
        with self.transaction():
            gone = buffer_retain.confirm(self.ledger, epoch, stream, ranges.merge(acked), keep=keep)
            if not keep and gone and epoch != self._order and account.is_empty(self.db, epoch):
                self.ledger.drop_dictionary(epoch)
            self._keep_house()
        if account.free_pages(self.db) > _VACUUM_ABOVE:
            # As a script: `execute` would step once, and each step gives back one page.
            self.db.executescript("PRAGMA incremental_vacuum(512)")
        return gone

    def revive(self, ep: str, stream: Stream, wanted: Sequence[Range]) -> int:
        """Hold confirmed rows again, as far as they are still here; return how many."""
        epoch = self._find_epoch(ep)
        if epoch is None:
            return 0
        with self.transaction():
            return buffer_retain.revive(self.ledger, epoch, stream, ranges.merge(wanted))

    def dictionary(self, ep: str, a0: int) -> tuple[list[bytes], int]:
        """Return the messages that bring `ep`'s dictionary from alias `a0` on, and its size."""
        points: Sequence[Point]
        if ep == self.ep:
            points, devices = self._points, self._devices
        else:
            points, devices = account.dictionary(self.db, ep)
        return list(encode_dictionary(ep, a0, points, devices)), len(points)

    def holdings(self) -> list[Holding]:
        """Return what each epoch accepted and still holds."""
        return account.holdings(self.db)

    def stats(self) -> account.Stats:
        """Return the buffer's figures."""
        limit = self.limit + self._options.reserve
        stats = account.stats(self.db, limit=limit, salvaged=self.salvaged)
        stats.disk_bytes = disk_bytes(self.path)
        stats.reserve_bytes = self.reserve.size
        stats.full_since_us = self.full_since
        stats.written_bytes = self.ledger.written
        stats.room_bytes = self.quota.room(self.ledger, stats.held["tel"], stats.retained["tel"])
        stats.giving_up = self.quota.giving_up(self.clock.monotonic())
        return stats
