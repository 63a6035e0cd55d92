"""The commands of the loss account, the quarantine and the replay, and what is wrong with them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import orjson
import pytest
from sqlalchemy import update

from plantroom_cloud.db import Database
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.publishing.lease import lease
from plantroom_cloud.tables import Gateway, StreamTotal
from plantroom_shared.clock import SystemClock
from support import cloud_site as site
from support.api_world import Tenant
from support.cloud_command import Run, cloud_in, runner
from support.cloud_site import GATEWAY
from support.replay_world import objects
from support.servers import as_owner

AHEAD = 3_600_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a cloud with a gateway: five samples stored, two refused as of the future."""
    return cloud_in(tmp_path).parent


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return code, output and errors."""
    call = runner(folder / "cloud.yaml", monkeypatch, capsys)
    assert call("migrate")[0] == 0
    asyncio.run(_fill(folder))
    return call


def _database(folder: Path) -> Database:
    return Database(f"sqlite+aiosqlite:///{folder / 'data' / 'plantroom.db'}")


async def _fill(folder: Path) -> None:
    database, clock = _database(folder), SystemClock()
    await site.add_home(database, "acme", "tower", GATEWAY, "gw-south-0002")
    store = Store(database, clock)
    good = site.tel(1, 5, at=clock.now_us() - AHEAD)
    ahead = site.tel(6, 2, at=clock.now_us() + AHEAD)
    await store.store([site.inv(site.dictionary(1)), good, ahead])
    await store.store([site.incoming("evt", site.findings(1, [site.finding("f-1")]))])
    await database.close()


def test_account_of_everything(run: Run, folder: Path) -> None:
    """Without a gateway all of them, by site the sum; code 1 if one does not balance."""
    code, out, _ = run("account", "--json")
    assert code == 0
    assert [one["accepted"] for one in json.loads(out)["gateways"]] == [7, 0]
    code, out, _ = run("account", "--site", "tower", "--json")
    books = json.loads(out)
    assert (code, books["stored"], books["quarantined"], len(books["gateways"])) == (0, 5, 2, 2)
    code, out, _ = run("account", GATEWAY, "--stream", "evt", "--json")
    assert (code, json.loads(out)["stored"]) == (0, 1)
    assert "gap_list" not in json.loads(out)
    code, out, _ = run("account")
    assert code == 0
    assert "gw-south-0002: offline · reported never · newest sample never" in out

    async def spoil() -> None:
        database = _database(folder)
        async with as_owner(database).write() as session:
            now = SystemClock().now_us()
            await session.execute(update(StreamTotal).values(accepted=9, reported_us=now))
            clock = {"clock_state": "sync", "clock_skew_us": 1500, "oldest_us": now}
            statement = update(Gateway).where(Gateway.id == GATEWAY)
            await session.execute(statement.values(online=True, **clock))
        await database.close()

    asyncio.run(spoil())
    code, out, _ = run("account", GATEWAY)
    assert code == 1
    for part in ("online", "clock sync", "skew +0.002 s", "oldest unsent", "first of them: 8-9"):
        assert part in out


def test_quarantine_by_hand(run: Run) -> None:
    """List, show, release with a correction, discard; the account follows."""
    code, out, _ = run("quarantine", "list", GATEWAY, "--json")
    assert code == 0
    second, first = json.loads(out)
    assert (first["seq"], first["reason"], first["state"]) == (6, "future_ts", "held")
    code, out, _ = run("quarantine", "show", GATEWAY, str(first["id"]))
    shown = json.loads(out)
    assert shown["point"]["key"] == "bacnet:1:analog-input:0"
    assert (shown["content"]["x"], shown["ts"][:2]) == (6.0, "20")
    code, out, _ = run("quarantine", "release", GATEWAY, str(first["id"]), "--shift", "-7200")
    assert (code, out) == (0, f"row {first['id']} released: 1 stored\n")
    code, out, err = run("quarantine", "discard", GATEWAY, str(first["id"]), "--reason", "late")
    assert (code, "was released" in err) == (1, True)
    code, out, _ = run(
        "quarantine", "discard", GATEWAY, str(second["id"]), "--reason", "bench", "--json"
    )
    assert (code, json.loads(out)["state"]) == (0, "discarded")
    assert json.loads(run("quarantine", "list", GATEWAY, "--json")[1]) == []
    code, out, _ = run("quarantine", "list", GATEWAY, "--state", "all")
    assert "bench" in out
    assert "released" in out
    books = json.loads(run("account", GATEWAY, "--json")[1])
    assert (books["stored"], books["quarantined"], books["discarded"]) == (6, 1, 1)


def test_value_given_as_json(run: Run) -> None:
    """Another time and another value for one sample."""
    ids = [row["id"] for row in json.loads(run("quarantine", "list", GATEWAY, "--json")[1])]
    options = ("--ts", "2026-01-01T00:00:00Z", "--value", '"on"')
    code, out, err = run("quarantine", "release", GATEWAY, str(ids[0]), *options)
    assert code == 0, err
    assert "1 stored" in out


def test_replay_to_a_file(run: Run, tmp_path: Path) -> None:
    """Everything of a site, under a name; again is nothing more; without one into a new file."""
    path = tmp_path / "out.jsonl"
    start = str(SystemClock().now_us() // 1_000_000 - 9_000_000)
    named = ("replay", "--site", "tower", "--from", "1", "--consumer", "bi", "--to-file", str(path))
    code, out, err = run(*named)
    assert code == 0, err
    assert "6 objects delivered, 6 of them now; 0 came in" in out
    assert [one["n"] for one in objects(path)] == list(range(1, 7))
    code, out, _ = run(*named, "--json")
    assert (json.loads(out)["delivered"], json.loads(out)["now"]) == (6, 0)
    code, _, err = run(*named[:4], start, *named[5:])
    assert (code, "has begun with another" in err) == (2, True)
    path.unlink()
    code, out, _ = run(*named, "--restart", "--speed", "1e9", "--json")
    assert json.loads(out)["now"] == 6
    other = tmp_path / "other.jsonl"
    code, out, _ = run("replay", "--site", "tower", "--from", "1", "--to-file", str(other))
    assert (code, len(objects(other))) == (0, 6)


def test_consumer_at_work_is_not_served_twice(run: Run, folder: Path) -> None:
    """Whoever holds the lease goes on; the other is told."""
    named = ("replay", "--site", "tower", "--from", "1", "--consumer", "bi", "--to-file", "x")

    async def hold() -> tuple[int, str, str]:
        database = _database(folder)
        async with lease(database, "replay-1-bi"):
            answer = await asyncio.to_thread(run, *named)
        await database.close()
        return answer

    code, _, err = asyncio.run(hold())
    assert (code, "served by another process" in err) == (1, True)


REPLAY = ("replay", "--site", "tower", "--from", "1")
TOPIC = (*REPLAY, "--to-topic", "t")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (REPLAY, "one of --to-file and --to-topic"),
        ((*TOPIC, "--to-file", "x"), "one of --to-file and --to-topic"),
        (TOPIC, "mqtt://host:1883"),
        ((*TOPIC, "--broker", "mqtt://user:secret@host"), "PLANTROOM_REPLAY_PASSWORD"),
        ((*TOPIC, "--broker", "mqtt://host:port"), "mqtt://host:1883"),
        ((*TOPIC, "--broker", "mqtts://host", "--ca", "/none"), "PEM"),
        ((*REPLAY, "--to-topic", "a/#", "--broker", "mqtt://h"), "without '+'"),
        (("replay", "--site", "tower", "--from", "x", "--to-file", "f"), "--from"),
        ((*REPLAY, "--to", "1", "--to-file", "f"), "before --to"),
        ((*REPLAY, "--to-file", "f", "--speed", "0"), "--speed"),
        ((*REPLAY, "--to-file", "f", "--consumer", "A B"), "--consumer"),
        (("replay", "--site", "none", "--from", "1", "--to-file", "f"), "no site 'none'"),
        (("account", "--site", "none"), "no site 'none'"),
        (("quarantine", "list", GATEWAY, "--state", "lost"), "held, released"),
        (("quarantine", "list", "gw-none-0001"), "no gateway"),
        (("quarantine", "discard", GATEWAY, "1", "--reason", " "), "--reason"),
        (("quarantine", "release", GATEWAY, "1", "--value", "{"), "--value 21.5"),
        (("quarantine", "release", GATEWAY, "1", "--ts", "soon"), "--ts"),
    ],
)
def test_mistakes_are_named_with_the_fix(run: Run, arguments: tuple[str, ...], part: str) -> None:
    """Code 2 and one line."""
    code, _, err = run(*arguments)
    assert code == 2
    assert part in err
    assert "Traceback" not in err
    assert "secret" not in err


def test_row_that_is_none(run: Run) -> None:
    """It is no setting that is wrong."""
    code, _, err = run("quarantine", "show", GATEWAY, "999")
    assert (code, "no quarantined row 999" in err) == (1, True)


@pytest.mark.parametrize(
    "command",
    [("account",), ("quarantine", "list", GATEWAY), (*REPLAY, "--to-file", "f")],
)
def test_database_that_is_away(run: Run, folder: Path, command: tuple[str, ...]) -> None:
    """What may pass by itself ends with code 1 and one line."""

    async def spoil() -> None:
        database = _database(folder)
        async with as_owner(database).write() as session:
            connection = await session.connection()
            await connection.exec_driver_sql("ALTER TABLE gateway RENAME TO gone")
            await connection.exec_driver_sql("ALTER TABLE site RENAME TO gone_too")
        await database.close()

    asyncio.run(spoil())
    code, _, err = run(*command)
    assert code == 1
    assert "the database does not answer" in err


# ---------------------------------------------------------------- the same over HTTP


async def test_quarantine_over_http(client: httpx.AsyncClient, acme: Tenant) -> None:
    """List by reason and state, show, release, discard, and what is refused."""
    base = f"/v1/gateways/{acme.gateway}/quarantine"
    sample, record = acme.quarantined
    items = (await client.get(base, params={"limit": 1})).json()
    assert [one["id"] for one in items["items"]] == [record]
    more = (await client.get(base, params={"limit": 1, "after": items["next"]})).json()
    assert ([one["id"] for one in more["items"]], more["next"]) == ([sample], None)
    for params, ids in (
        ({"reason": "alias"}, [sample]),
        ({"stream": "aud"}, [record]),
        ({"state": "released"}, []),
    ):
        found = (await client.get(base, params=params)).json()["items"]
        assert [one["id"] for one in found] == ids
    shown = (await client.get(f"{base}/{sample}")).json()
    assert shown["content"] == {
        "p": 0,
        "dt": 0,
        "x": 21.5,
        "q": None,
        "t": "1769860740000000",
    }
    assert (shown["point"]["id"], shown["ts"]) == (acme.points[0], "2026-01-31T11:59:00.000000Z")
    answer = await client.post(f"{base}/{record}/release")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_storable")
    answer = await client.post(f"{base}/{sample}/release", json={"shift": -1.5, "value": 20})
    assert answer.json()["note"] == orjson.dumps({"shift_us": -1_500_000, "value": 20.0}).decode()
    again = await client.post(f"{base}/{sample}/release")
    assert again.json() == answer.json()
    latest = f"/v1/points/{acme.points[0]}/samples"
    rows = (await client.get(latest, params={"from": "2026-01-31T11:58:00Z"})).json()["items"]
    assert (rows[0]["ts"], rows[0]["value"]) == ("2026-01-31T11:58:58.500000Z", 20.0)
    assert (await client.post(f"{base}/{record}/discard")).status_code == 422
    assert (await client.post(f"{base}/{record}/discard", json={"reason": ""})).status_code == 422
    done = await client.post(f"{base}/{record}/discard", json={"reason": "old agent"})
    assert (done.status_code, done.json()["state"]) == (200, "discarded")
    assert (await client.get(base)).json()["items"] == []
    assert (await client.get(f"{base}/{sample}")).json()["state"] == "released"
    assert (await client.get(f"{base}/999")).status_code == 404
    assert (await client.get("/v1/gateways/none/quarantine")).status_code == 404
    books = (await client.get(f"/v1/gateways/{acme.gateway}/account")).json()
    assert (books["stored"], books["quarantined"], books["balanced"]) == (3, 0, True)
    for bad in ({"shift": 1e12}, {"ts": "soon"}, {"other": 1}, {"value": [1]}):
        assert (await client.post(f"{base}/{sample}/release", json=bad)).status_code == 422


async def test_consumers_over_http(client: httpx.AsyncClient, acme: Tenant) -> None:
    """How far each has come; one that is deleted is gone."""
    path = f"/v1/sites/{acme.site}/replays"
    (one,) = (await client.get(path)).json()["items"]
    assert (one["consumer"], one["delivered"], one["done"]) == ("reader-1", 0, False)
    assert (one["from"], one["at"]) == (
        "2026-01-31T11:00:00.000000Z",
        "2026-01-31T11:59:00.000000Z",
    )
    assert (await client.delete("/v1/replays/reader-1")).json()["deleted"] is True
    assert (await client.get(path)).json() == {"items": [], "next": None}
    assert (await client.delete("/v1/replays/reader-1")).status_code == 404
    assert (await client.get("/v1/sites/999/replays")).status_code == 404
