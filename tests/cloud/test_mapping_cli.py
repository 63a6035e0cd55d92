"""`plantroom-cloud map`: point lists of any make in, a table that scorers can join out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from plantroom_cloud.mapping import pointlist
from plantroom_cloud.mapping.cli import map_points_command


def run(*arguments: Any) -> Result:
    """Run the command."""
    app = typer.Typer()
    app.command()(map_points_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of the result."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


LIST = "building,point_name,description\nA,AHU-1 SAT,\nA,AHU-1 SAT-SP,\nB,冷冻水供水温度,\n"


def test_a_list_becomes_a_mapped_list(tmp_path: Path) -> None:
    """One row per point, in order, with class, equipment and confidence."""
    source, out = tmp_path / "points.csv", tmp_path / "mapped.csv"
    source.write_text(LIST, encoding="utf-8")
    result = run(source, "--out", out)
    assert result.exit_code == 0, result.output
    rows = read(out)
    assert list(rows[0]) == [
        "building", "point_name", "point_type", "equip_id", "equip_class", "confidence",
    ]  # fmt: skip
    assert [(row["building"], row["point_type"]) for row in rows] == [
        ("A", "Supply_Air_Temperature_Sensor"),
        ("A", "Supply_Air_Temperature_Setpoint"),
        ("B", "Leaving_Chilled_Water_Temperature_Sensor"),
    ]
    assert rows[0]["equip_id"] == rows[1]["equip_id"] == "AHU-1"
    assert 0 < float(rows[0]["confidence"]) < 1
    assert "3 points of 2 buildings" in result.output
    assert "of these points at 95% precision" in result.output


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    """BOMs and UTF-16 of office tools do no harm."""
    source, out = tmp_path / "points.csv", tmp_path / "mapped.csv"
    source.write_text(LIST, encoding=encoding)
    assert run(source, "--out", out).exit_code == 0
    assert read(out)[2]["point_name"] == "冷冻水供水温度"


def test_latin_1_and_semicolons_are_read(tmp_path: Path) -> None:
    """What a European spreadsheet saves: another delimiter, an old encoding, no building."""
    source, out = tmp_path / "Bürohaus.csv", tmp_path / "mapped.csv"
    source.write_bytes("Point_Name;units\nRLT 1 Außenluft Temperatur;°C\n".encode("latin-1"))
    assert run(source, "--out", out).exit_code == 0
    row = read(out)[0]
    assert (row["building"], row["point_type"]) == ("Bürohaus", "Outside_Air_Temperature_Sensor")


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    """Every list of a folder; a building may spread over files."""
    folder = tmp_path / "lists"
    folder.mkdir()
    for name in ("b.csv", "a.csv"):
        (folder / name).write_text("point_name\nAHU-1 SAT\n", encoding="utf-8")
    assert run(folder, "--out", tmp_path / "mapped.csv").exit_code == 0
    assert [row["building"] for row in read(tmp_path / "mapped.csv")] == ["a", "b"]


def test_bad_rows_and_huge_names_are_counted_not_fatal(tmp_path: Path) -> None:
    """Empty names, short rows, NULs, a cell beyond every limit and a 10,000-character name."""
    source, out = tmp_path / "points.csv", tmp_path / "mapped.csv"
    long = "AHU-1 SAT " + "x" * 10_000
    huge = "y" * (1024 * 1024 + 10)
    source.write_text(
        f"building,point_name\nA,{long}\nA\n\nA,  \nA,{huge}\nA,AHU\0-1 RAT\nA,a,b,c,d\n",
        encoding="utf-8",
    )
    result = run(source, "--out", out)
    assert result.exit_code == 0, result.output
    assert [row["point_name"] for row in read(out)] == [long, "AHU-1 RAT", "a"]
    assert "1 names cut for matching, 3 bad rows left out" in result.output


FORMULAS = ("=1+1", "+x", "-AHU", "@SUM(A1)", "'quoted", 'a "b", c')


def test_names_are_written_back_exactly(tmp_path: Path) -> None:
    """Whoever joins the result with its input finds every name."""
    source, out = tmp_path / "points.csv", tmp_path / "mapped.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["point_name"], *([name] for name in FORMULAS)])
    assert run(source, "--out", out).exit_code == 0
    assert tuple(row["point_name"] for row in read(out)) == FORMULAS


def test_for_a_spreadsheet_no_cell_is_a_formula(tmp_path: Path) -> None:
    """`--spreadsheet` makes every cell text, also those made of names."""
    source, out = tmp_path / "points.csv", tmp_path / "mapped.csv"
    rows = [["building", "point_name"], *([f"={n}", n] for n in FORMULAS), ["b", "=X-1 SAT"]]
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    assert run(source, "--out", out, "--spreadsheet").exit_code == 0
    cells = [cell for row in read(out) for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,unit\nx,y\n", "point_name: there is no such column; the first line has: name, unit"),
        ("", "point_name: there is no such column; the first line has: nothing"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, content: str, message: str) -> None:
    """The error names the file, the column and the fix, and ends with 2."""
    source = tmp_path / "points.csv"
    source.write_text(content, encoding="utf-8")
    result = run(source, "--out", tmp_path / "mapped.csv")
    said = result.output.replace("\n", "")
    assert result.exit_code == 2
    assert message in said.replace("  ", " ")
    assert "points.csv" in said
    assert not (tmp_path / "mapped.csv").exists()


def test_files_that_cannot_be_read_or_written_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file, an empty folder, a file too large, a place that does not exist."""
    good = tmp_path / "points.csv"
    good.write_text(LIST, encoding="utf-8")
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "mapped.csv"
    for source, where in ((tmp_path / "none.csv", out), (empty, out), (good, tmp_path / "x" / "y")):
        result = run(source, "--out", where)
        assert result.exit_code == 2
        assert "error:" in result.output
    monkeypatch.setattr(pointlist, "_MAX_FILE", 3)
    assert run(good, "--out", out).exit_code == 2
