"""``plantroom-cloud doctor`` and ``blobs``, and exports that go to the blobs."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from plantroom_cloud import doctor
from plantroom_cloud.cli import main
from plantroom_cloud.config import load_settings
from plantroom_cloud.kit.blobs import FolderBlobs
from plantroom_cloud.kit.blobs_opening import open_blobs, try_out
from plantroom_shared.errors import ConfigError, Unavailable
from support.redis_server import running_redis
from support.s3_server import S3, running_s3
from support.servers import opened
from support.store_site import Said, plant

T0 = 1_769_860_800_000_000
Run = Callable[..., int]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """A server on a socket."""
    with running_s3() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, sqlite_template: Path) -> dict[str, Any]:
    """Settings of a service with a site and one sample."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "plantroom.db").write_bytes(sqlite_template.read_bytes())

    async def seed() -> None:
        async with opened(f"sqlite+aiosqlite:///{data / 'plantroom.db'}") as database:
            here = await plant(database)
            await here.add([Said(here.points[0], T0, 1, 21.5, None, 0, "")])

    asyncio.run(seed())
    return {"data": str(data), "mqtt": {"port": 1}}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, Any]) -> Run:
    """Return a function that runs a command on these settings, and more."""

    def typed(*arguments: str, **more: Any) -> int:
        config = tmp_path / "cloud.yaml"
        config.write_text(yaml.safe_dump(settings | more))
        monkeypatch.setattr(sys, "argv", ["plantroom-cloud", "--config", str(config), *arguments])
        try:
            return main()
        except SystemExit as end:
            return int(end.code or 0)

    return typed


def findings(out: str) -> dict[str, Any]:
    """Return what the doctor says, by setting."""
    return {one["setting"]: one for one in json.loads(out)}


def test_the_doctor_says_what_is_set_and_whether_it_answers(
    run: Run, capsys: pytest.CaptureFixture[str], settings: dict[str, Any]
) -> None:
    """All that answers is well, what does not is named with what to do, and the exit code is 1."""
    assert run("doctor", "--json") == 1
    found = findings(capsys.readouterr().out)
    assert {name: one["ok"] for name, one in found.items()} == {
        "database": True, "jobs": True, "live.bus": True, "cache": True, "blobs": True, "mqtt": False,
    }  # fmt: skip
    assert "plantroom-cloud broker" in found["mqtt"]["told"]
    assert found["blobs"]["value"] == f"{settings['data']}/blobs"

    async def serving() -> int:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(run, "doctor", mqtt={"port": port})

    assert asyncio.run(serving()) == 0
    out = capsys.readouterr().out
    assert out.count("ok ") == 6
    assert "TROUBLE" not in out


def test_the_doctor_finds_what_does_not_answer(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each by itself, with its key; no password is shown."""
    away = {
        "database": "postgresql+psycopg://plant:do-not-show@127.0.0.1:1/x",
        "redis": "redis://:do-not-show@127.0.0.1:1/0",
        "jobs": "celery",
        "cache": "redis",
        "live": {"bus": "redis"},
        "blobs": "s3://plant",
        "s3": {"endpoint": "http://127.0.0.1:1", "access_key": "a", "secret_key": "do-not-show"},
    }
    assert run("doctor", "--json", **away) == 1
    out = capsys.readouterr().out
    found = findings(out)
    assert [one["ok"] for one in found.values()] == [False] * 6
    assert "do-not-show" not in out
    for over_redis in ("jobs", "live.bus", "cache"):
        assert "Redis does not answer" in found[over_redis]["told"]
    empty = f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
    assert run("doctor", "--json", database=empty) == 1
    assert "plantroom-cloud migrate" in findings(capsys.readouterr().out)["database"]["told"]


def test_the_doctor_knows_redis_and_s3(
    run: Run, capsys: pytest.CaptureFixture[str], s3: S3
) -> None:
    """Real ones answer."""
    with running_redis() as redis:
        chosen = {"jobs": "celery", "redis": redis.url}
        kept = {"blobs": f"s3://{s3.bucket}/deep/er", "s3": s3.told}
        run("doctor", "--json", **chosen, **kept)
    found = findings(capsys.readouterr().out)
    assert found["jobs"]["ok"]
    assert found["jobs"]["told"].startswith("Redis ")
    assert found["blobs"]["ok"], found["blobs"]


@pytest.mark.parametrize("missing", ["redis", "celery"])
def test_the_doctor_names_what_is_not_installed(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """An extra that the settings want."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else found(name)
    )
    assert run("doctor", "--json", jobs="celery", redis="redis://127.0.0.1:1") == 1
    assert "install plantroom[" in findings(capsys.readouterr().out)["jobs"]["told"]


def test_the_doctor_waits_for_nobody(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says nothing is told as such."""

    async def never(_: Any) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(doctor, "PATIENCE", 0.01)
    monkeypatch.setattr(doctor, "CHECKS", {"jobs": (lambda _: "x", never)})
    assert run("doctor") == 1
    assert "TROUBLE jobs: x: no answer" in capsys.readouterr().out


async def test_a_place_that_gives_back_something_else_is_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put is read again, and compared."""

    async def other(*_: Any, **__: Any) -> Any:
        yield b"other"

    monkeypatch.setattr(FolderBlobs, "get", other)
    with pytest.raises(Unavailable, match="something else"):
        await try_out(FolderBlobs(tmp_path))


# ------------------------------------------------------------ the setting


@pytest.mark.parametrize(
    ("told", "key"),
    [
        ({"blobs": "s3://plant/../x"}, "blobs"),
        ({"blobs": "s3://"}, "blobs"),
        ({"blobs": "s3://Plant"}, "blobs"),
        ({"blobs": "/var/lib"}, "blobs"),
        ({"blobs": "file://host/x"}, "blobs"),
        ({"blobs": "ftp://plant"}, "blobs"),
        ({"blobs": "s3://plant"}, "s3.access_key"),
        ({"blobs": "s3://plant", "s3": {"access_key": "a"}}, "s3.secret_key"),
        ({"s3": {"endpoint": "http://minio.example"}}, "s3.endpoint"),
        ({"s3": {"endpoint": "http://10.0.0.1:9000"}}, "s3.endpoint"),
        ({"s3": {"endpoint": "minio"}}, "s3.endpoint"),
        ({"s3": {"endpoint": "https://minio.example/path"}}, "s3.endpoint"),
        ({"s3": {"region": "Moon base"}}, "s3.region"),
    ],
)
def test_a_wrong_place_names_file_key_and_fix(
    tmp_path: Path, told: dict[str, Any], key: str
) -> None:
    """Before anything starts."""
    config = tmp_path / "cloud.yaml"
    config.write_text(yaml.safe_dump(told))
    with pytest.raises(ConfigError) as caught:
        load_settings(config)
    assert (caught.value.file, caught.value.key) == (str(config), key)
    assert caught.value.fix


def test_places(tmp_path: Path) -> None:
    """A folder of the data folder, a folder of one's own, a bucket with and without a prefix."""
    given = {"s3": {"access_key": "a", "secret_key": "b", "endpoint": "http://localhost:9000/"}}
    places = {
        "": str(tmp_path / "blobs"),
        "file:///srv/my%20blobs": "/srv/my blobs",
        "s3://plant": "s3://plant/ at http://localhost:9000",
        "s3://plant/a/b/": "s3://plant/a/b/ at http://localhost:9000",
    }
    for place, where in places.items():
        told = load_settings(None, data=tmp_path, blobs=place, **given)
        assert open_blobs(told).where == where


# ------------------------------------------------------------ by hand


@pytest.mark.parametrize("value", ["file", "s3"])
def test_exports_go_to_the_blobs(
    run: Run,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    value: str,
) -> None:
    """Samples and meanings, under a key of one's own or the company's; got again they are whole."""
    more: dict[str, Any] = {}
    if value == "s3":
        s3 = request.getfixturevalue("s3")
        more = {"blobs": f"s3://{s3.bucket}/exported", "s3": s3.told}
    window = ("--from", "2026-01-31T00:00:00Z", "--to", "2026-02-01T00:00:00Z")
    site = ("export", "--site", "tower", "--out")
    assert run(*site, "blobs:", *window, **more) == 0
    told = capsys.readouterr().out
    assert "1 samples in blobs:exports/" in told
    key, sha256 = told.split("blobs:")[1].strip().split(", SHA-256 ")
    for kind in ("brick", "haystack", "haystack-v3", "enos", "csv", "spreadsheet"):
        assert run(*site, "blobs:", "--format", kind, **more) == 0
    assert run(*site, "blobs:by-hand/a.csv", "--format", "csv", **more) == 0
    capsys.readouterr()
    assert run("blobs", "list", **more) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7  # a spreadsheet is a CSV too
    out = tmp_path / "got.parquet"
    assert run("blobs", "get", key, "--out", str(out), "--sha256", sha256, **more) == 0
    assert out.read_bytes().startswith(b"PAR1")
    assert run("blobs", "put", "again/x.parquet", str(out), **more) == 0
    assert sha256 in capsys.readouterr().out
    assert run("blobs", "delete", key, **more) == 0
    assert run("blobs", "get", key, "--out", str(out), **more) == 1
    assert "blobs list" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.part"))


def test_by_hand_wrong_files_and_keys_are_told(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With what to name instead; no half file stays."""
    (tmp_path / "a.txt").write_text("x")
    assert run("blobs", "put", "../a.txt", str(tmp_path / "a.txt")) == 1
    assert "no key" in capsys.readouterr().err
    assert run("blobs", "put", "a.txt", str(tmp_path / "none")) == 2
    assert "there is no file" in capsys.readouterr().err
    assert run("blobs", "put", "a.txt", str(tmp_path / "a.txt")) == 0
    assert run("blobs", "get", "a.txt", "--out", str(tmp_path / "none" / "b")) == 2
    assert "--out" in capsys.readouterr().err
    out = tmp_path / "b"
    assert run("blobs", "get", "a.txt", "--out", str(out), "--sha256", "0" * 64) == 1
    assert "damaged" in capsys.readouterr().err
    assert not out.exists()
