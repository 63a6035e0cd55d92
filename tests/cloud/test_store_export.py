"""The export: what is in the file, what an operator types, what he reads when something is wrong."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from plantroom_cloud.cli import main
from plantroom_cloud.db import Database
from plantroom_cloud.store import export
from plantroom_shared.errors import ConfigError, Unavailable
from support.servers import opened
from support.store_site import DAY, MINUTE, Said, plant

T0 = 1_769_860_800_000_000
SAID: list[tuple[Any, ...]] = [
    (0, 1, 21.5, None, 0, ""),
    (1, 2, None, "état", 0, ""),
    (2, 3, 2.0**60, str(2**60 + 1), 1, "stale"),
    (3, 4, None, None, 2, "timeout"),
    (3, 5, 1.0, None, 0, ""),
]


def _said(point: int) -> list[Said]:
    return [Said(point, T0 + at * MINUTE, *rest) for at, *rest in SAID]


async def test_the_file_holds_what_was_stored(database: Database, tmp_path: Path) -> None:
    """Every sample in order with site, device, point and unit; types are those documented."""
    parquet: Any = importlib.import_module("pyarrow.parquet")
    here = await plant(database, points=2)
    await here.add([*_said(here.points[0]), *_said(here.points[1])])
    out = tmp_path / "tower.parquet"
    chunks = export.read_samples(
        database, here.scope, here.home.site_id, T0, T0 + 3 * MINUTE, most=2
    )
    assert await export.write_parquet(chunks, out) == 6
    table = parquet.read_table(out)
    assert tuple(table.column_names) == export.COLUMNS
    assert str(table.schema.field("ts").type) == "timestamp[us, tz=UTC]"
    rows = table.to_pylist()
    assert [(row["site"], row["device"], row["unit"]) for row in rows] == [
        ("tower", "bacnet:1", "kW")
    ] * 6
    assert [row["point"] for row in rows] == ["ai:0"] * 3 + ["ai:1"] * 3
    found = [
        (int(row["ts"].timestamp()) * 1_000_000, row["value"], row["text"], row["quality"])
        for row in rows[:3]
    ]
    assert found == [
        (T0, 21.5, None, "good"),
        (T0 + MINUTE, None, "état", "good"),
        (T0 + 2 * MINUTE, 2.0**60, "1152921504606846977", "uncertain"),
    ]
    assert [row["reason"] for row in rows[:3]] == ["", "", "stale"]


async def test_memory_is_that_of_a_row_group(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many points with few samples share a row group; none is larger than a page."""
    parquet: Any = importlib.import_module("pyarrow.parquet")
    monkeypatch.setattr(export, "PAGE", 8)
    here = await plant(sqlite_database, points=5)
    await here.add([one for point in here.points for one in _said(point)])
    out = tmp_path / "tower.parquet"
    chunks = export.read_samples(
        sqlite_database, here.scope, here.home.site_id, T0, T0 + DAY, most=3
    )
    assert await export.write_parquet(chunks, out) == 25
    file = parquet.ParquetFile(out)
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert max(sizes) <= 8
    assert sum(sizes) == 25


async def test_a_file_that_cannot_be_written_leaves_nothing(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """A folder that is not there is told, and no half file stays behind."""
    here = await plant(sqlite_database)
    chunks = export.read_samples(sqlite_database, here.scope, here.home.site_id, T0, T0 + DAY)
    with pytest.raises(Unavailable, match="cannot be written"):
        await export.write_parquet(chunks, tmp_path / "none" / "x.parquet")
    assert list(tmp_path.glob("**/*.part")) == []


async def test_without_pyarrow_the_fix_is_named(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base installation does without; who exports is told what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    here = await plant(sqlite_database)
    chunks = export.read_samples(sqlite_database, here.scope, here.home.site_id, T0, T0 + DAY)
    with pytest.raises(ConfigError, match=r"pip install 'plantroom\[export\]'"):
        await export.write_parquet(chunks, tmp_path / "x.parquet")


# ------------------------------------------------------------ by hand


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_template: Path) -> Any:
    """Return a function that runs a command on a database with a site and samples."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'plantroom.db'}"
    (tmp_path / "plantroom.db").write_bytes(sqlite_template.read_bytes())

    async def seed() -> None:
        async with opened(url) as database:
            here = await plant(database)
            await here.add(_said(here.points[0]))

    asyncio.run(seed())
    monkeypatch.setenv("PLANTROOM_DATABASE", url)
    monkeypatch.setenv("PLANTROOM_DATA", str(tmp_path / "data"))

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["plantroom-cloud", *arguments])
        try:
            return main()
        except SystemExit as end:
            return int(end.code or 0)

    return run


def _arguments(out: Path, **more: str) -> list[str]:
    options = {"site": "tower", "from": "2026-01-31T12:00:00Z", "to": "1769947200", "out": str(out)}
    return [
        "export",
        *(part for key, value in (options | more).items() for part in (f"--{key}", value)),
    ]


def test_export_by_hand(typed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder gets a file named for site and span, a file name is taken as it is."""
    assert typed(*_arguments(tmp_path)) == 0
    assert capsys.readouterr().out.startswith("5 samples in ")
    assert len(list(tmp_path.glob("tower-*.parquet"))) == 1
    assert typed(*_arguments(tmp_path / "one.parquet", company="acme")) == 0
    assert (tmp_path / "one.parquet").exists()


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("from", "soon", "--from"),
        ("to", "2026-01-01T00:00:00Z", "exchange them"),
        ("site", "none", "there is no site"),
    ],
)
def test_export_says_what_is_wrong(
    typed: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    option: str,
    value: str,
    told: str,
) -> None:
    """A wrong time, window or site is exit code 2 with the option and the fix."""
    assert typed(*_arguments(tmp_path, **{option: value})) == 2
    assert told in capsys.readouterr().err


def test_retention_by_hand(typed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Company and site settings are set, inherited and shown; nonsense is refused and not kept."""
    assert typed("retention", "show", "--company", "acme") == 0
    shown = capsys.readouterr().out
    assert "400 days" in shown
    assert "for ever" in shown
    acme = ("--company", "acme")
    assert typed("retention", "set", *acme, "--raw-days", "30", "--rollup-days", "90") == 0
    assert "90 days" in capsys.readouterr().out
    assert typed("retention", "set", *acme, "--site", "tower", "--raw-days", "60") == 0
    shown = capsys.readouterr().out
    assert "60 days" in shown
    assert "90 days" in shown
    for wrong in (("--raw-days", "100"), ("--raw-days", "-1"), ("--raw-days", "0")):
        assert typed("retention", "set", *acme, "--site", "tower", *wrong) == 2
        assert "days" in capsys.readouterr().err
    assert typed("retention", "show", *acme) == 0
    assert "60 days" in capsys.readouterr().out
