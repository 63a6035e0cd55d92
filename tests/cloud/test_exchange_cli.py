"""``plantroom-cloud export --format`` and ``plantroom-cloud import``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import select, update

from plantroom_cloud.cli import main
from plantroom_cloud.exchange import cli
from plantroom_cloud.exchange.formats import FORMATS
from plantroom_cloud.tables import Mapping, Point
from support.api_world import seed
from support.servers import as_owner, opened


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> bytes:
    """A database with a company that has one of everything, as a file."""
    file = tmp_path_factory.mktemp("seeded") / "plantroom.db"
    file.write_bytes(sqlite_template.read_bytes())

    async def fill() -> None:
        async with opened(f"sqlite+aiosqlite:///{file}") as database:
            await seed(database, "acme")

    asyncio.run(fill())
    return file.read_bytes()


@pytest.fixture
def url(tmp_path: Path, seeded: bytes) -> str:
    """A database of this test's own."""
    (tmp_path / "plantroom.db").write_bytes(seeded)
    return f"sqlite+aiosqlite:///{tmp_path / 'plantroom.db'}"


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Any:
    """Return a function that runs a command."""
    monkeypatch.setenv("PLANTROOM_DATABASE", url)
    monkeypatch.setenv("PLANTROOM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["plantroom-cloud", *arguments])
        try:
            return main()
        except SystemExit as end:
            return int(end.code or 0)

    return run


def _classes(url: str) -> dict[str, str]:
    async def read() -> dict[str, str]:
        async with opened(url) as database, as_owner(database).read() as session:
            query = select(Point.name, Mapping.point_class).join(Mapping)
            return {row.name: row.point_class for row in await session.execute(query)}

    return asyncio.run(read())


@pytest.mark.parametrize("kind", list(FORMATS))
def test_export_and_import_again(
    typed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """A folder gets a file named for the site; taken in again, its name tells what it is."""
    folder = tmp_path / "out"
    folder.mkdir()
    assert typed("export", "--site", "tower", "--format", kind, "--out", str(folder)) == 0
    (file,) = folder.iterdir()
    assert file.name == f"tower{FORMATS[kind].suffix}"
    assert str(file) in capsys.readouterr().out.replace("\n", "")
    assert len(FORMATS[kind].read(file.read_bytes()).points) == 5
    assert typed("import", str(file), "--site", "tower", "--yes") == 0
    out = capsys.readouterr().out
    assert "5 undecided" in out
    assert "nothing to do" in out


def test_import_shows_and_asks(
    typed: Any,
    tmp_path: Path,
    url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The plan is shown; a no changes nothing, a yes does it; names cannot command the terminal."""
    file = tmp_path / "list.csv"
    file.write_text(
        "point_name,point_type,relation,parent,equip_id\n"
        "CH1.SupplyTemp,CO2_Sensor,,,[red]\x1b[2J\n[bold]none\x1b[1m,CO2_Sensor,,,\n"
    )
    asked: list[str] = []

    def answer(what: str) -> bool:
        asked.append(what)
        return len(asked) > 1

    monkeypatch.setattr(typer, "confirm", answer)
    assert typed("import", str(file), "--site", "tower", "--company", "acme") == 0
    out = capsys.readouterr().out
    assert "CH1.SupplyTemp" in out
    assert "[red][2J" in out
    assert "[bold]none" in out
    assert "\x1b[2J" not in out
    assert "nothing was changed" in out
    assert _classes(url)["CH1.SupplyTemp"] != "CO2_Sensor"
    assert typed("import", str(file), "--site", "tower") == 0
    assert asked == ["Take in 1 changes?"] * 2
    assert "1 points of tower decided" in capsys.readouterr().out
    assert _classes(url)["CH1.SupplyTemp"] == "CO2_Sensor"


def test_what_changed_meanwhile_is_not_overrun(
    typed: Any,
    tmp_path: Path,
    url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever decides between plan and yes wins; the operator is told."""
    file = tmp_path / "list.csv"
    file.write_text("point_name,point_type\nCH1.SupplyTemp,CO2_Sensor\n")

    async def decide() -> None:
        async with opened(url) as database, as_owner(database).write() as session:
            await session.execute(update(Mapping).values(source="person", state="accepted"))

    def answer(_: str) -> bool:
        import threading

        thread = threading.Thread(target=lambda: asyncio.run(decide()))
        thread.start()
        thread.join(30)
        return True

    monkeypatch.setattr(typer, "confirm", answer)
    assert typed("import", str(file), "--site", "tower") == 1
    assert "changed since" in capsys.readouterr().err
    assert _classes(url)["CH1.SupplyTemp"] != "CO2_Sensor"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("export", "--site", "tower", "--format", "docx", "--out", "."), "is no format"),
        (("export", "--site", "none", "--format", "csv", "--out", "."), "there is no site"),
        (("import", "none.csv", "--site", "tower"), "none.csv"),
        (("import", "x.bin", "--site", "tower"), "does not tell its format"),
        (("import", "x.bin", "--site", "tower", "--format", "enos"), "no JSON"),
    ],
)
def test_what_is_wrong_is_told(
    typed: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    """A wrong format, site or file is exit code 2, with the fix."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.bin").write_bytes(b"\x00\x01")
    assert typed(*arguments) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.glob("*.part")) == []


def test_a_file_that_is_too_large(
    typed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not even read."""
    monkeypatch.setattr(cli, "MAX_FILE", 3)
    (tmp_path / "x.csv").write_text("point_name\n")
    assert typed("import", str(tmp_path / "x.csv"), "--site", "tower") == 2
    assert "split it" in capsys.readouterr().err


def test_an_export_that_cannot_be_written(
    typed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there is told, and no half file stays behind."""
    out = tmp_path / "none" / "x.ttl"
    assert typed("export", "--site", "tower", "--format", "brick", "--out", str(out)) == 1
    assert "cannot be written" in capsys.readouterr().err
