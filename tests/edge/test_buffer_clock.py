"""Findings, audit and gaps of a gateway whose clock was never set: held back, then put right."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import orjson

from plantroom_edge import agent, buffer_db
from plantroom_edge import buffer_account as account
from plantroom_edge.buffer import Buffer
from plantroom_edge.buffer_db import PAGE, crc_of, frame_crc
from plantroom_edge.buffer_rows import Message, encode_rows
from plantroom_edge.buffer_store import Options, Store
from plantroom_edge.config import load
from plantroom_shared.model import Finding
from plantroom_shared.wire import Findings, Gap, Record, Records, Samples, Stream, decode_rows
from support import edge_agent, edge_driver
from support.edge_rows import METER, batch, counting, finding, points
from support.edge_time import T0, VirtualTime
from support.waiting import eventually

S = 1_000_000


def store_at(path: Path, *, ep: str = "e" * 16, machine: str = "now") -> Store:
    """Open a buffer of a gateway that started a minute ago, in 1970."""
    time = VirtualTime()
    time.wall_offset_us, time.seconds = 0, 60.0
    store = Store(path, 4000 * PAGE, ep, time, Options(reserve=64 * 1024))
    store.run(lambda: store.add_points(points(1), [METER]))
    store._machine, store.clock_state = machine, "unset"
    return store


def accept(
    store: Store,
    *,
    findings: tuple[Finding, ...] = (),
    records: dict[Stream, list[Record]] | None = None,
) -> None:
    """Accept rows as the agent's parts hand them in."""
    store.run(lambda: store.append([], findings, records))


def sent(store: Store, stream: Stream) -> list[Any]:
    """Return what the buffer gives out."""
    return [decode_rows(frame.blob) for frame in store.run(lambda: store.next(stream, (0, 0), 99))]


def found(store: Store) -> list[tuple[str, int, int | None]]:
    """Return the findings that are given out, with their times."""
    rows = [one for message in sent(store, "evt") for one in message.ev]
    return [(one.id, one.started, one.ended) for one in rows]


def told(store: Store, stream: Stream = "aud") -> list[tuple[str, int]]:
    """Return the records that are given out, with their times."""
    return [(one.kind, one.at) for message in sent(store, stream) for one in message.rc]


def test_findings_and_audit_wait_for_the_time_and_get_it(tmp_path: Path) -> None:
    """They are durable at once, go out when the time is known, and with the time they were made at."""
    store = store_at(tmp_path / "b.db")
    accept(
        store, findings=(finding("f", started=40 * S), finding("g", started=41 * S, ended=45 * S))
    )
    store.note("buffer.recovered", from_us=50 * S, to_us=55 * S, reserve_bytes=7)
    accept(store, records={"aud": [Record(at=58 * S, kind="agent.start")]})
    assert (found(store), told(store)) == ([], [])
    stats = store.run(store.stats)
    assert (stats.held["evt"], stats.held["aud"], stats.waiting) == (2, 2, 4)
    assert store.run(lambda: store.restamp(T0)) == 4
    assert found(store) == [("f", T0 + 40 * S, None), ("g", T0 + 41 * S, T0 + 45 * S)]
    assert told(store) == [("buffer.recovered", T0 + 60 * S), ("agent.start", T0 + 58 * S)]
    ((record, *_),) = (message.rc for message in sent(store, "aud")[:1])
    details = {"from_us": T0 + 50 * S, "to_us": T0 + 55 * S, "reserve_bytes": 7}
    assert record.doc == details
    stats = store.run(store.stats)
    assert (stats.waiting, stats.oldest_us) == (0, T0 + 60 * S)
    assert account.problems(store.db) == []
    store.close()


def test_what_waits_survives_the_process(tmp_path: Path) -> None:
    """The next process of the same start of the machine puts right what the last one accepted."""
    store = store_at(tmp_path / "b.db", ep="1" * 16)
    accept(store, findings=(finding("f", started=40 * S),))
    store.note("agent.start")
    accept(store)
    store.close()
    store = store_at(tmp_path / "b.db", ep="2" * 16)
    assert (found(store), told(store)) == ([], [])
    assert store.run(lambda: store.restamp(T0)) == 2
    assert found(store) == [("f", T0 + 40 * S, None)]
    assert told(store) == [("agent.start", T0 + 60 * S)]
    store.close()


def test_rows_of_an_earlier_start_of_the_machine_go_as_they_are(tmp_path: Path) -> None:
    """Nobody knows how far its clock was off; they are not held for ever."""
    store = store_at(tmp_path / "b.db", ep="1" * 16, machine="before")
    accept(store, findings=(finding("f", started=40 * S),))
    store.close()
    store = store_at(tmp_path / "b.db", ep="2" * 16)
    assert store.run(lambda: store.restamp(T0)) == 0
    assert found(store) == [("f", 40 * S, None)]
    store.close()


def test_results_of_commands_do_not_wait(tmp_path: Path) -> None:
    """Somebody waits for them: they go out at once, with what time there is."""
    store = store_at(tmp_path / "b.db")
    accept(store, records={"cmd": [Record(at=60 * S, kind="write.done")]})
    assert told(store, "cmd") == [("write.done", 60 * S)]
    store.run(lambda: store.restamp(T0))
    assert told(store, "cmd") == [("write.done", 60 * S)], "what was sent never changes"
    accept(store, records={"cmd": [Record(at=61 * S, kind="write.done")]})
    assert told(store, "cmd")[1:] == [("write.done", T0 + 61 * S)]
    store.close()


def test_an_event_that_spans_the_moment_begins_at_the_right_time(tmp_path: Path) -> None:
    """What began before the clock was set and is reported after it: only the old times are moved."""
    store = store_at(tmp_path / "b.db")
    store.run(lambda: store.restamp(T0))
    accept(store, findings=(finding("f", started=40 * S, ended=T0 + 90 * S),))
    late = Record(at=T0 + 91 * S, kind="buffer.refused", doc={"from_us": 50 * S, "to_us": None})
    accept(store, records={"aud": [late]})
    assert found(store) == [("f", T0 + 40 * S, T0 + 90 * S)]
    assert told(store) == [("buffer.refused", T0 + 91 * S)]
    assert sent(store, "aud")[0].rc[0].doc == {"from_us": T0 + 50 * S, "to_us": None}
    store.close()


def test_a_row_that_was_accepted_after_the_moment_keeps_its_time(tmp_path: Path) -> None:
    """The clock may be set before the buffer is told: when a row was accepted is moved once at most."""
    store = store_at(tmp_path / "b.db")
    assert isinstance(store.clock, VirtualTime)
    store.clock.wall_offset_us = T0
    store.note("agent.stop")
    accept(store)
    store.run(lambda: store.restamp(T0))
    assert told(store) == [("agent.stop", T0 + 60 * S)]
    assert store.run(store.stats).oldest_us == T0 + 60 * S
    store.close()


def test_gaps_among_waiting_rows_get_the_right_time(tmp_path: Path) -> None:
    """When the lost rows were accepted is told in true time; a span that nobody knows stays unknown."""
    store = store_at(tmp_path / "b.db")
    for _ in range(3):
        store.run(lambda: store.append([batch([0], [1.0], S)], []))
    with store.transaction():
        for seq, span in ((1, (50 * S, 55 * S)), (3, (0, 0))):
            (head,) = store.ledger.heads(store._order, "tel", (seq, seq))
            store.ledger.delete("tel", [head.id])
            store.ledger.declare_lost(store._order, "tel", (seq, seq), "quota", span=span)
    assert store.run(lambda: store.restamp(T0)) == 1
    first, rows, last = sent(store, "tel")
    assert isinstance(first, Gap)
    assert isinstance(rows, Samples)
    assert isinstance(last, Gap)
    assert (first.gap, first.from_us, first.to_us) == ("quota", T0 + 50 * S, T0 + 55 * S)
    assert (rows.batch.times, last.from_us, last.to_us) == ([T0 + S], 0, 0)
    assert account.problems(store.db) == []
    store.close()


def test_a_message_that_nobody_can_read_holds_nothing_up(tmp_path: Path) -> None:
    """It passes its CRC and is no message: it is left as it is, the others are put right."""
    store = store_at(tmp_path / "b.db")
    accept(store, findings=(finding("f", started=40 * S),))
    with store.transaction():
        (head,) = store.ledger.heads(store._order, "evt", (1, 1))
        store.ledger.delete("evt", [head.id])
        store.ledger.insert(store._order, "evt", Message(1, 1, 0, b"rubbish"))
    accept(store, findings=(finding("g", started=41 * S),))
    assert store.run(lambda: store.restamp(T0)) == 1
    first, second = store.run(lambda: store.next("evt", (0, 0), 9))
    assert first.blob == b"rubbish"
    message = decode_rows(second.blob)
    assert isinstance(message, Findings)
    assert message.ev[0].started == T0 + 41 * S
    store.close()


def test_a_repaired_file_still_knows_what_waits(tmp_path: Path) -> None:
    """What is saved from a damaged file is held back and put right like before."""
    path = tmp_path / "b.db"
    store = store_at(path, ep="1" * 16)
    accept(store, findings=(finding("f", started=40 * S),))
    store.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 900)
    store = store_at(path, ep="2" * 16)
    assert list(tmp_path.glob("*.bad-*"))
    assert found(store) == []
    store.run(lambda: store.restamp(T0))
    assert found(store) == [("f", T0 + 40 * S, None)]
    store.close()


def test_samples_held_back_by_an_earlier_start_still_wait(tmp_path: Path) -> None:
    """A start of the agent before the time is known loses nothing and stamps nothing wrong."""
    path, ep = tmp_path / "b.db", "1" * 16
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 4096", "auto_vacuum = INCREMENTAL", "journal_mode = WAL"):
        db.execute(f"PRAGMA {pragma}")
    for number, script in buffer_db.migrations():
        db.executescript(f"BEGIN;{script}PRAGMA user_version = {number};COMMIT;")
    db.execute("INSERT INTO epoch VALUES (1, ?, 1, ?)", (ep, crc_of(1, ep, 1)))
    rows = counting(1, 5)
    rows.times = [S] * 5
    (message,) = encode_rows(ep, 1, rows, clock="unset")
    crc = frame_crc(1, "tel", (1, 5, "data", "", 1), message.blob)
    sql = "INSERT INTO frame VALUES (NULL, 1, 'tel', 1, 5, 'data', '', 1, ?, ?, ?)"
    db.execute(sql, (S, crc, message.blob))
    position = (1, "tel", 5, "[]")
    db.execute("INSERT INTO position VALUES (?, ?, ?, ?, ?)", (*position, crc_of(*position)))
    waiting = (1, "tel", "now", orjson.dumps([(1, 5)]).decode())
    db.execute("INSERT INTO held_back VALUES (?, ?, ?, ?, ?)", (*waiting, crc_of(*waiting)))
    db.close()
    store = store_at(path, ep="2" * 16)
    assert not list(tmp_path.glob("*.bad-*"))
    assert sent(store, "tel") == []
    assert store.run(lambda: store.restamp(T0)) == 5
    assert [m.batch.times for m in sent(store, "tel")] == [[T0 + S] * 5]
    store.close()
    store = store_at(path, ep="3" * 16)
    assert store.run(store.stats).waiting == 0
    store.close()


async def test_what_an_agent_notes_at_its_start_waits_too(tmp_path: Path) -> None:
    """The first thing it enters into the audit is held back until the time is known."""
    with edge_driver.registered():
        config = load(edge_agent.write_config(tmp_path))
        time = VirtualTime()
        time.wall_offset_us = 0
        stop = asyncio.Event()
        task = asyncio.create_task(agent.run(config, clock=time, stop=stop))
        try:
            await eventually(config.status_file.exists)
        finally:
            stop.set()
            await task
    buffer = await Buffer.open(config.buffer_file, clock=time)
    try:
        assert await buffer.next("aud", (0, 0), 9) == []
        await buffer.restamp(T0)
        frames = await buffer.next("aud", (0, 0), 9)
        messages = [decode_rows(frame.blob) for frame in frames]
        records = [one for m in messages if isinstance(m, Records) for one in m.rc]
        assert [one.kind for one in records] == ["agent.start", "agent.stop"]
        assert all(one.at >= T0 for one in records)
    finally:
        await buffer.close()
