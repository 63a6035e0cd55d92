"""The proof that the checker works: every planted fault is reported, and a clean run is not."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.site.ledger import TURN, ledger_parse
from plantroom_cloud.ingest.store import Store
from support import servers
from support.cloud_site import TestClock, add_home, point
from support.fault_checker import Judgement, judge
from support.fault_store import POINTS, World, deliver, differences, make_world, states, stored_rows

Plant = Callable[[sqlite3.Connection], object]

ONE = "ts_us = (SELECT ts_us FROM sample ORDER BY ts_us LIMIT 1 OFFSET 37)"
OTHER = ONE.replace("37", "61")


@pytest.fixture
async def run(sqlite_template: Path, tmp_path: Path) -> tuple[Path, World]:
    """A clean run of one gateway in a file that a test may spoil."""
    path = Path(shutil.copy(sqlite_template, tmp_path / "plantroom.db"))
    dice = random.Random(11)
    async with servers.opened(f"sqlite+aiosqlite:///{path}") as database:
        world = make_world(dice, gateways=1, messages=6)
        await add_home(database, "acme", "tower", *world.gateways)
        stores = [Store(database, TestClock()), Store(database, TestClock())]
        await deliver(stores, world, dice)
        await stores[0].store(states(world))
        assert differences(world, await stored_rows(database)) == (0, 0)
    return path, world


@contextlib.contextmanager
def planted(path: Path, plant: Plant) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        plant(db)
        db.commit()
    yield


def judged(path: Path) -> Judgement:
    with contextlib.closing(sqlite3.connect(path)) as db:
        index_of = {point(index).key: index for index in range(POINTS)}
        return judge(db, index_of, ledger_parse, turn=TURN)


def test_a_clean_run_is_clean(run: tuple[Path, World]) -> None:
    """The judge sees every row, and finds nothing to say."""
    verdict = judged(run[0])
    assert verdict.clean, verdict
    assert verdict.samples == verdict.accepted == sum(map(len, run[1].rows.values()))
    assert verdict.epochs == 2
    assert verdict.unread == 0


def _insert(change: str) -> str:
    names = "company_id, point_id, ts_us, tie, value, text, quality, reason"
    return f"INSERT INTO sample ({names}) SELECT {change} FROM sample WHERE {ONE}"


DROPPED = f"DELETE FROM sample WHERE {OTHER}"
DOUBLED = _insert("company_id, point_id, ts_us + 1, tie, value, text, quality, reason")
DOUBLED_NEW_NUMBER = _insert(
    "company_id, point_id, ts_us + 1, tie + 9999, value, text, quality, reason"
)
PHANTOM = _insert(
    "company_id, point_id, ts_us + 3600000000, tie + 9999, value + 100, text, quality, reason"
)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (DROPPED, "lost"),
        (DOUBLED, "doubled"),
        (DOUBLED_NEW_NUMBER, "doubled"),
        (f"UPDATE sample SET value = value + 1 WHERE {ONE}", "doubled"),
        (f"UPDATE sample SET value = value - 5 WHERE {ONE}", "wrong"),
        (f"UPDATE sample SET value = value + {TURN} WHERE {ONE}", "wrong"),
        (f"UPDATE sample SET point_id = point_id + 1 WHERE {ONE}", "wrong"),
        (f"UPDATE sample SET ts_us = ts_us + 3600000000 WHERE {ONE}", "wrong"),
        (f"{DOUBLED}; {DROPPED}", "lost"),
        (f"{PHANTOM}; {DROPPED}", "lost"),
        ("DELETE FROM stream_range WHERE lo > 0", "lost"),
        ("UPDATE stream_range SET hi = hi - 1", "lost"),
        ("UPDATE stream_total SET accepted = accepted + 1", "lost"),
        ("DELETE FROM sample WHERE point_id = (SELECT min(id) FROM point)", "lost"),
    ],
    ids=[
        "dropped", "doubled", "doubled under a new number", "next value", "earlier value",
        "value of another point", "under another point", "at another time",
        "one dropped, another doubled", "one dropped, one invented", "watermark gone",
        "watermark short", "more accepted than stored", "a whole point dropped",
    ],
)  # fmt: skip
def test_a_planted_fault_is_reported(run: tuple[Path, World], statement: str, found: str) -> None:
    """Whatever is done to a single row, the judge says so."""
    with planted(run[0], lambda db: db.executescript(statement)):
        verdict = judged(run[0])
    assert not verdict.clean
    assert getattr(verdict, found), verdict


@pytest.mark.parametrize("fault", ["dropped", "doubled", "altered"])
async def test_differences_from_the_ledger_are_counted(fault: str, run: tuple[Path, World]) -> None:
    """The comparison row for row sees one row too few, too many, or another one."""
    statements = {
        "dropped": (DROPPED, (1, 0)),
        "doubled": (DOUBLED, (0, 1)),
        "altered": (f"UPDATE sample SET value = value + 0.5 WHERE {ONE}", (1, 1)),
    }
    statement, expected = statements[fault]
    with planted(run[0], lambda db: db.execute(statement)):
        async with servers.opened(f"sqlite+aiosqlite:///{run[0]}") as database:
            assert differences(run[1], await stored_rows(database)) == expected
