"""Desired configurations in the running agent: taken, refused, tried, taken back, told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plantroom_edge.config import load
from plantroom_shared.clock import SystemClock
from support import desired_site
from support.command_site import OTHER
from support.desired_site import DEAD, HASTY, assignment, bus, running, signed, write_site


@pytest.fixture(autouse=True)
def driver() -> Iterator[None]:
    with desired_site.scripted():
        yield


async def test_applied_hot_and_told_with_what_runs(tmp_path: Path) -> None:
    """Only the bus that differs starts anew; the site's file is not touched; a new start runs the same."""
    file = write_site(tmp_path, bus("a"), bus("b"))
    before = file.read_bytes()
    async with running(file) as run:
        await run.gives()
        kept = next(one for one in run.desired._vitals.samplers if one.name == "b")
        run.send(assignment(1, {"buses": [bus("a", interval=0.07), bus("b")]}))
        end = await run.ended("a-1")
        assert run.kinds("a-1") == ["pending", "applied"]
        assert kept in run.desired._vitals.samplers
        await run.until(lambda: run.told[-1].kind == "desired.running")
        assert run.told[-1].doc["config"] == end.doc["config"]
        assert run.told[-1].doc["document"]["buses"][0]["interval"] == 0.07
    assert file.read_bytes() == before
    async with running(file) as run:
        await run.gives()
        assert run.crew.config.buses[0].interval == 0.07
        assert run.kinds("a-1") == []  # told once


async def test_who_may_not_is_not_heeded(tmp_path: Path) -> None:
    """Foreign keys, foreign gateways, changed texts, times that are over: nothing, and one word of it."""
    file, now = write_site(tmp_path, bus()), SystemClock().now_us()
    wanted = {"buses": [bus(interval=0.07)]}
    good = assignment(1, wanted)
    other = signed(good, OTHER)
    forged = [
        other,
        signed(good, kid="k2"),
        signed(good | {"gateway": "gw-else-0001"}),
        signed(good | {"issued": now - 400_000_000, "expires": now - 200_000_000}),
        signed(good | {"issued": now + 100_000_000, "expires": now + 200_000_000}),
        signed(good | {"expires": now + 4_000_000_000}),
        signed(good | {"later": 1}),
        signed(good | {"document": {"writes": {"enabled": True}}}),
        signed(good | {"document": {"desired": {}}}),
        signed(good | {"document": {}}),
        b"rubbish",
    ]
    async with running(file) as run:
        await run.gives()
        for one in forged:
            run.desired.offer(one)
            await run.until(run.desired._inbox.empty)
        run.send(assignment(1, {"buses": [bus(interval=0.06)]}))
        await run.ended("a-1")
        counts = run.desired.counters
        assert sum(counts[why] for why in counts if why != "again") == len(forged)
        assert run.audits.count("desired.distrusted") == 1
        assert run.crew.config.buses[0].interval == 0.06


async def test_an_older_one_never_comes_after_a_newer(tmp_path: Path) -> None:
    """Neither a copy nor one that was delayed has any effect; of the last the end is told again."""
    file = write_site(tmp_path, bus())
    async with running(file) as run:
        await run.gives()
        late = assignment(1, {"buses": [bus(interval=0.2)]})
        last = assignment(2, {"buses": [bus(interval=0.07)]})
        run.send(last)
        await run.ended("a-2")
        run.send(late)
        run.send(last)
        await run.until(lambda: run.kinds("a-2").count("applied") == 2)
        first, second = (row for row in run.told if row.kind == "desired.applied")
        assert first == second  # the same number: the cloud knows it
        assert run.kinds("a-1") == []
        assert run.crew.config.buses[0].interval == 0.07
    async with running(file) as run:  # and not after a new start
        await run.gives()
        run.send(late)
        await run.until(lambda: run.desired.counters["again"] or run.desired.counters["expired"])
        assert run.crew.config.buses[0].interval == 0.07


@pytest.mark.parametrize(
    ("document", "reason", "words"),
    [
        ({"buses": [bus(interval="x")]}, "configuration", "buses[0].interval"),
        ({"buses": [bus(driver="nobody")]}, "configuration", "nobody"),
        ({"buses": [bus(), bus()]}, "configuration", "rename one"),
        ({"buses": 7}, "configuration", "must be a list"),
        ({"site": ""}, "configuration", "site"),
        ({"buses": []}, "points-dropped", "20 of 20 points"),
        ({"buses": [bus("b")]}, "points-dropped", "10 of 20 points"),
    ],
)
async def test_what_is_refused_changes_nothing(
    tmp_path: Path, document: dict[str, Any], reason: str, words: str
) -> None:
    """It is checked whole, with the errors of the file check; a fifth of the points needs force."""
    file = write_site(tmp_path, bus("a"), bus("b"))
    async with running(file) as run:
        await run.gives()
        config = run.crew.config
        run.send(assignment(1, document))
        end = await run.ended("a-1")
        assert (end.kind, end.doc["reason"]) == ("desired.refused", reason)
        assert any(words in line for line in end.doc["errors"])
        assert run.crew.config is config
    assert load(file).site == "bench"


async def test_all_writes_need_force(tmp_path: Path) -> None:
    """Few points, but all that may be written: refused; with force it goes."""
    grant = {"point": "scripted:3:*", "min": 0, "max": 1}
    writes = {"enabled": True, "keys": {"k1": "k.pem"}, "allow": [grant]}
    one = {"name": "w", "driver": "scripted", "devices": 1, "points": 1, "interval": 0.05}
    file = write_site(
        tmp_path, bus("a", points=20), one, writes=writes | {"allow": [grant | {"point": "*"}]}
    )
    async with running(file) as run:
        await run.gives()
        look = run.desired._look()
        granted = run.crew.config.writes.model_copy(update={"allow": ()})
        assert granted.grant(look["w"]["scripted:0"].points[0]) is None
        run.send(assignment(1, {"buses": []}))
        assert (await run.ended("a-1")).doc["reason"] == "all-writes"
        run.send(assignment(2, {"buses": []}, force=True))
        assert (await run.ended("a-2")).kind == "desired.applied"
        assert run.crew.config.buses == ()
        assert run.crew.config.writes.enabled  # the switch is the site's, whatever is wanted


async def test_what_does_no_good_is_taken_back(tmp_path: Path) -> None:
    """A bus that gives no values within its time is put back, and what was before runs on."""
    file = write_site(tmp_path, bus(), desired=HASTY)
    async with running(file) as run:
        await run.gives()
        run.send(assignment(1, {"buses": [bus(points=DEAD)]}))
        end = await run.ended("a-1")
        assert (end.kind, end.doc["reason"], end.doc["errors"]) == (
            "desired.rolled_back", "no-samples", ["a"],
        )  # fmt: skip
        await run.until(lambda: run.crew.config.buses[0].points == 5)
        await run.gives()
        run.send(assignment(2, {"buses": [bus(points=6)]}))
        assert (await run.ended("a-2")).kind == "desired.applied"
    assert load(file).buses[0].points == 6  # type: ignore[attr-defined]


async def test_changes_on_site_come_first(tmp_path: Path) -> None:
    """A file with changes that nobody has applied is not applied by the way; one that is ends ours."""
    file = write_site(tmp_path, bus())
    async with running(file) as run:
        await run.gives()
        run.send(assignment(1, {"buses": [bus(interval=0.07)]}))
        await run.ended("a-1")
        write_site(tmp_path, bus(interval=0.3))
        run.send(assignment(2, {"buses": [bus(interval=0.08)]}))
        end = await run.ended("a-2")
        assert (end.kind, end.doc["reason"]) == ("desired.refused", "site-file-changed")
        assert run.crew.config.buses[0].interval == 0.07
        await run.crew.reload(file)
        await run.until(lambda: "set_aside" in run.kinds("a-1"))
        assert run.crew.config.buses[0].interval == 0.3
        await run.until(lambda: run.told[-1].kind == "desired.running")
        assert (run.told[-1].doc["version"], run.desired.status()["version"]) == (0, 0)


async def test_without_keys_nothing_is_taken(tmp_path: Path) -> None:
    """A site that names nobody's key heeds nobody, and says so in no hello."""
    file = write_site(tmp_path, bus(), desired={})
    config = load(file)
    assert config.desired.keys == {}
    from plantroom_edge.agent import _open_desired

    assert _open_desired(config, None, None, file) is None  # type: ignore[arg-type] # not looked at


@pytest.mark.parametrize(
    ("points", "begin", "ends"),
    [(5, 1, ("desired.applied", 1, 5, 0.07)), (DEAD, 3, ("desired.rolled_back", 0, 5, 0.05))],
)
def test_killed_at_every_step(
    tmp_path: Path, points: int, begin: int, ends: tuple[Any, ...]
) -> None:
    """Whenever the process is killed, the next one brings it to the same end, and tells it.

    Every fourth step here; without the last argument the script takes all of them.
    """
    done = subprocess.run(
        [sys.executable, desired_site.__file__, str(tmp_path), str(points), str(begin), "4"],
        capture_output=True,
        timeout=240,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    results = json.loads(done.stdout)
    assert len(results) >= 3
    for at, result in enumerate(results):
        got = tuple(result[key] for key in ("last", "version", "points", "interval"))
        assert (at, got) == (at, ends)
