"""A consumer gets every row once, wherever a run ends: to a file, under a name, at a speed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from plantroom_cloud.db import Database
from plantroom_cloud.replay.positions import NamedBook, Position, Positions, check_name, new_replay
from plantroom_cloud.replay.run import TICK, Pace
from plantroom_cloud.replay.sinks import FileSink
from plantroom_shared.errors import ConfigError, Unavailable
from support.cloud_site import NOW, TestClock
from support.replay_world import END, START, World, keys, make_world, objects, scattered
from support.servers import as_owner


class Dying(FileSink):
    """Dies at one page: before it, with half of it written, or with all of it on the disk."""

    def __init__(self, path: Path, at: int, how: str) -> None:
        super().__init__(path)
        self.left, self.how = at, how

    async def deliver(self, lines: bytes) -> int:
        """Deliver, or die."""
        self.left -= 1
        if self.left:
            return await super().deliver(lines)
        if self.how == "half":
            await super().deliver(lines[: len(lines) // 2])
        if self.how == "whole":
            await super().deliver(lines)
        raise asyncio.CancelledError


@pytest.fixture
async def world(database: Database) -> World:
    """A site with 500 samples and two findings."""
    made = await make_world(database)
    await made.put(scattered(made, 500, 3))
    await made.find("early", START)
    await made.find("late", END - 1)
    return made


@pytest.fixture
async def small(sqlite_database: Database) -> World:
    """The same on SQLite, for what does not depend on the database."""
    made = await make_world(sqlite_database, points=2)
    await made.put((START + n, made.points[n % 2], n) for n in range(100))
    return made


async def test_file_holds_everything_in_order(world: World, tmp_path: Path) -> None:
    """Each object is whole: who, what, when, how good; numbered from 1."""
    path = tmp_path / "out.jsonl"
    outcome = await world.replay(FileSink(path), page=64)
    found = objects(path)
    assert (outcome.delivered, outcome.now, outcome.late) == (502, 502, 0)
    assert [one["n"] for one in found] == list(range(1, 503))
    assert {one["replay"] for one in found} == {outcome.replay}
    samples = [one for one in found if one["kind"] == "sample"]
    assert [(one["id"], int(one["tie"])) for one in samples] == [row[1:] for row in world.rows]
    number = world.points.index(samples[0]["id"])
    assert {key: samples[0][key] for key in samples[0] if key not in {"replay", "n", "tie"}} == {
        "kind": "sample",
        "site": "tower",
        "gateway": "gw-north-0001",
        "device": "bacnet:1",
        "point": f"bacnet:1:analog-input:{number}",
        "name": f"AI {number}",
        "unit": "degC",
        "ts": samples[0]["ts"],
        "value": float(world.rows[0][0] % 1_000_000),
        "quality": "good",
        "reason": "",
        "id": world.rows[0][1],
    }
    first = found[0]
    assert (first["kind"], first["id"], first["device"]) == ("finding", "early", "bacnet:1")
    assert (first["ended"], first["score"], first["evidence"]) == (None, 2.5, {"spe": 4.5})
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", ["before", "half", "whole"])
async def test_a_run_that_dies_is_completed(world: World, tmp_path: Path, how: str) -> None:
    """Whatever of a page was written when the process died: each object stands there once."""
    path = tmp_path / "out.jsonl"
    for page in (3, 1, 2):
        with pytest.raises(asyncio.CancelledError):
            await world.consume(path, sink=Dying(path, page, how), page=64)
    outcome = await world.consume(path, page=64)
    found = objects(path)
    assert [one["n"] for one in found] == list(range(1, 503))
    assert len(set(keys(found))) == 502
    assert outcome.delivered == 502
    again = await world.consume(path, page=64)
    assert (again.delivered, again.now) == (502, 0)
    assert objects(path) == found


async def test_page_on_its_way_never_changes(world: World, tmp_path: Path) -> None:
    """A row that comes in before what is on its way takes no number that was used; it is counted."""
    path = tmp_path / "out.jsonl"
    with pytest.raises(asyncio.CancelledError):
        await world.consume(path, sink=Dying(path, 2, "half"), page=64)
    half = path.read_bytes()
    await world.put([(world.rows[70][0], world.points[0], 2**62)])
    outcome = await world.consume(path, page=64)
    assert path.read_bytes().startswith(half)
    assert (outcome.delivered, outcome.late) == (502, 1)
    assert str(2**62) not in {one.get("tie") for one in objects(path)}


async def test_what_comes_in_ahead_is_replayed(world: World, tmp_path: Path) -> None:
    """Only what lies behind the position is late; a widened span goes on where the old one ended."""
    path = tmp_path / "out.jsonl"
    middle = START + 1_800_000_000
    first = await world.consume(path, end=middle)
    await world.put([(middle + 5, world.points[0], 9), (START + 5, world.points[0], 9)])
    second = await world.consume(path)
    assert first.delivered + second.now == second.delivered == 503
    assert (first.late, second.late) == (0, 1)
    assert [one["n"] for one in objects(path)] == list(range(1, 504))


async def test_file_that_was_moved_away_goes_on_in_a_new_one(small: World, tmp_path: Path) -> None:
    """Its reader may take the file: numbers go on, also through a death in the new file."""
    path, taken = tmp_path / "out.jsonl", tmp_path / "taken.jsonl"
    await small.consume(path, end=START + 50, page=8)
    path.rename(taken)
    with pytest.raises(asyncio.CancelledError):
        await small.consume(path, sink=Dying(path, 1, "half"), page=8)
    await small.consume(path, page=8)
    assert [one["n"] for one in objects(taken)] == list(range(1, 51))
    assert [one["n"] for one in objects(path)] == list(range(51, 101))


@pytest.mark.parametrize("content", ["cut", "other", "foreign"])
async def test_file_that_is_not_ours_is_left_alone(
    small: World, tmp_path: Path, content: str
) -> None:
    """Cut short, of another replay, or of something else: it is named, and nothing is written."""
    path = tmp_path / "out.jsonl"
    await small.consume(path, end=START + 50)
    whole = path.read_bytes()
    other = whole.replace(objects(path)[0]["replay"].encode(), b"0123456789abcdef")
    path.write_bytes({"cut": whole[:-9], "other": other, "foreign": b"notes\n" * 9999}[content])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"out\.jsonl: --to-file: is not the file"):
        await small.consume(path)
    assert path.read_bytes() == before


async def test_garbage_of_a_power_cut_is_cut_off(small: World, tmp_path: Path) -> None:
    """Bytes behind what was confirmed that are not what was planned do not stay."""
    path = tmp_path / "out.jsonl"
    await small.consume(path, end=START + 50)
    with path.open("ab") as file:
        file.write(b"\0" * 5000)
    await small.consume(path)
    assert [one["n"] for one in objects(path)] == list(range(1, 101))


async def test_fresh_replay_wants_an_empty_file(small: World, tmp_path: Path) -> None:
    """Without a name there is nothing to go on from."""
    path = tmp_path / "out.jsonl"
    await small.replay(FileSink(path))
    with pytest.raises(ConfigError, match="move it away"):
        await small.replay(FileSink(path))
    with pytest.raises(ConfigError, match="folder that can be written"):
        await small.replay(FileSink(tmp_path / "none" / "out.jsonl"))


async def test_one_writer_at_a_time(small: World, tmp_path: Path) -> None:
    """A second replay into the same file does not begin."""
    path = tmp_path / "out.jsonl"
    sink = FileSink(path)
    await sink.open(Position(new_replay(), START, END))
    with pytest.raises(Unavailable, match="another replay"):
        await small.replay(FileSink(path))
    await sink.close()
    assert (await small.replay(FileSink(path))).delivered == 100


async def test_full_disk_is_no_loss(small: World) -> None:
    """What cannot be written is not confirmed."""
    position = Position(new_replay(), START, END)
    with pytest.raises(Unavailable, match="cannot be written"):
        await small.replay(FileSink(Path("/dev/full")), position=position)
    assert position.count == 0


async def test_consumer_is_held_to_what_it_began_with(world: World, tmp_path: Path) -> None:
    """Another file, site or start under the same name is a mistake; --restart forgets."""
    path = tmp_path / "out.jsonl"
    await world.consume(path, end=END)
    book = NamedBook(world.database, world.place.scope, "reader")
    for asked in (
        world.asked(tmp_path / "other"),
        world.asked(path, start=START + 1),
        world.asked(path, end=END - 1),
    ):
        with pytest.raises(ConfigError, match="--restart"):
            await book.open(asked, NOW)
    fresh = await book.open(world.asked(tmp_path / "other"), NOW, restart=True)
    assert (fresh.count, fresh.after, fresh.done) == (0, None, False)
    with pytest.raises(ConfigError, match="1 to 64"):
        check_name("No Name")


async def test_consumer_deleted_meanwhile_stops(world: World, tmp_path: Path) -> None:
    """The run ends; it never goes on under a position that somebody else has."""
    book = NamedBook(world.database, world.place.scope, "reader")
    position = await book.open(world.asked(tmp_path / "out"), NOW)
    async with as_owner(world.database).write() as session:
        assert await Positions(session, world.place.scope).delete("reader")
    with pytest.raises(Unavailable, match="somebody else"):
        await world.replay(FileSink(tmp_path / "out"), book, position)


class Waited:
    """Sleeps by moving a clock."""

    def __init__(self, clock: TestClock) -> None:
        self.clock = clock
        self.seen: list[int] = []

    async def __call__(self, seconds: float) -> None:
        """Move the clock."""
        self.clock.now += round(seconds * 1e6)


class Watching(FileSink):
    """Notes at which clock each object was delivered."""

    def __init__(self, path: Path, clock: TestClock) -> None:
        super().__init__(path)
        self.clock = clock
        self.times: list[int] = []

    async def deliver(self, lines: bytes) -> int:
        """Deliver and look at the clock."""
        self.times += [self.clock.now] * lines.count(b"\n")
        return await super().deliver(lines)


async def test_speed_is_kept(world: World, tmp_path: Path) -> None:
    """At 60 times real time an hour takes a minute, no row early and none later than a look."""
    clock = world.clock
    sink = Watching(tmp_path / "out", clock)
    began = clock.now
    pace = Pace(60, START, clock, Waited(clock))
    outcome = await world.replay(sink, pace=pace)
    assert outcome.delivered == 502
    assert 59 <= (clock.now - began) / 1e6 <= 61
    order = sorted([ts for ts, _, _ in world.rows] + [START, END - 1])
    for at, ts in zip(sink.times, order, strict=True):
        due = (ts - START) / 60
        assert due - 1 <= at - began <= due + TICK * 1e6 + 1


async def test_very_slow_and_very_fast() -> None:
    """No speed that the command takes leaves the span."""
    clock = TestClock()
    slow, fast = Pace(1e-6, START, clock), Pace(1e9, START, clock)
    assert slow.due(END) == fast.due(END) == START + 1
    clock.now += 10_000_000
    assert slow.due(END) == START + 11
    assert fast.due(END) == END
    assert Pace(None, START, clock).due(END) == END
