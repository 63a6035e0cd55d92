"""``./plantroom bench mapping`` on a small folder of its own: the table, the JSON, what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mapping import command, dictionary, mappers
from benchmarks.mapping import speed as speeds
from benchmarks.mapping.labelled import Labelled
from support.mappinglists import SITES, write

RUN = Path(command.__file__).parents[1] / "run.py"


def train(rows: Sequence[Labelled]) -> mappers.Mapper:
    """Return what `--also` names in a test."""
    return mappers.Plantroom()


def _json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert command.main([*argv, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _wrong(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert command.main([*argv, "--no-speed", "--no-baselines"]) == 2
    return capsys.readouterr().err


def test_the_launchers_command_prints_a_table_and_speed(tmp_path: Path) -> None:
    """One process, as the launcher starts it: every mapper, both kinds of names, the sizes asked for."""
    folder = write(tmp_path)
    argv = [sys.executable, str(RUN), "mapping", "--data", str(folder), "--sizes", "10"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    for name in ("plantroom", "dictionary", "tfidf"):
        for kind in ("plain", "rewritten"):
            assert f"{name}, {kind} names" in done.stdout
        assert [
            line.split()[1] for line in done.stdout.splitlines() if line.split()[:1] == [name]
        ] == ["10"]
    assert sum(line.startswith("south ") for line in done.stdout.splitlines()) == 6
    assert "2 buildings in" in done.stdout


def test_json_holds_every_metric_of_every_building(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Per building, the mean, and over all points together; the goals stand beside."""
    found = _json(capsys, "--data", str(write(tmp_path)), "--no-speed", "--seed", "3")
    assert found["seed"] == 3
    assert found["speed"] == {}
    assert set(found["results"]) == {"plantroom", "dictionary", "tfidf"}
    ours = found["results"]["plantroom"]
    assert set(ours) == {"plain", "rewritten"}
    north = ours["plain"]["buildings"]["north"]
    assert north["points"] == 20
    assert north["top50"] == north["after20"] == north["exact"] == 1.0
    assert set(north) == set(ours["plain"]["mean"]) > set(found["goals"])
    assert set(ours["plain"]["pooled"]) == {"ece", "coverage"}


def test_only_chooses_buildings_and_train_gives_lessons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one building in the folder, TF-IDF has nothing to learn from unless it is given."""
    data, lessons = tmp_path / "data", tmp_path / "lessons"
    data.mkdir()
    lessons.mkdir()
    write(data)
    write(lessons)
    (data / "north.csv").unlink()
    argv = ["--data", str(data), "--only", "south", "--no-speed"]
    assert command.main(argv) == 0
    assert "not judged" in capsys.readouterr().out
    found = _json(capsys, *argv, "--train", str(lessons))
    assert set(found["results"]["tfidf"]["plain"]["buildings"]) == {"south"}


def test_with_the_same_lessons_there_is_one_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two buildings that are not among the lessons share it; without lessons each has its own."""
    folder, lessons = write(tmp_path), tmp_path / "lessons"
    lessons.mkdir()
    text = (folder / "north.csv").read_text(encoding="utf-8").replace("north", "west")
    (lessons / "west.csv").write_text(text, encoding="utf-8")
    trained: list[set[str]] = []

    def counted(rows: Sequence[Labelled]) -> mappers.Mapper:
        trained.append({row.building for row in rows})
        return mappers.Plantroom()

    monkeypatch.setattr(dictionary, "train", counted)
    argv = ("--data", str(folder), "--no-speed")
    _json(capsys, *argv, "--train", str(lessons))
    assert trained == [{"west"}]
    _json(capsys, *argv)
    assert trained[1:] == [{"south"}, {"north"}]


def test_one_more_mapper_can_be_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A learned one is cross-validated by naming the function that trains it."""
    sys.modules["trained_here"] = sys.modules[__name__]
    try:
        name = "trained_here:train"
        argv = ("--data", str(write(tmp_path)), "--no-baselines", "--no-speed", "--also", name)
        found = _json(capsys, *argv)["results"]
    finally:
        del sys.modules["trained_here"]
    assert found[name] == found["plantroom"]
    assert "--also" in _wrong(capsys, "--data", str(tmp_path), "--also", "nowhere:train")
    assert "--also" in _wrong(capsys, "--data", str(tmp_path), "--also", "json:nothing")


def test_what_is_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file, the column or the option, and what to do."""
    assert "no such folder" in _wrong(capsys, "--data", str(tmp_path / "none"))
    assert "no .csv file" in _wrong(capsys, "--data", str(tmp_path))
    file = tmp_path / "list.csv"
    file.write_text("building,name\nb,AHU-1 T\n", encoding="utf-8")
    said = _wrong(capsys, "--data", str(tmp_path))
    assert f"{file}: point_name: there is no such column" in said
    file.write_text("", encoding="utf-8")
    assert "building" in _wrong(capsys, "--data", str(tmp_path))
    file.write_text("building,point_name,point_type\nb,AHU-1 T,\n", encoding="utf-8")
    assert "no point has a label" in _wrong(capsys, "--data", str(tmp_path))
    assert "--only" in _wrong(capsys, "--data", str(tmp_path), "--only", "castle")
    assert "--sizes" in _wrong(capsys, "--data", str(tmp_path), "--sizes", "0")
    assert "--sizes" in _wrong(capsys, "--data", str(tmp_path), "--sizes", "many")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "--train" in _wrong(capsys, "--data", str(write(tmp_path)), "--train", str(empty))


def test_odd_rows_are_named_and_cost_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row without a name is left out, a label that Brick does not have is judged as it stands."""
    lines = ["building,point_name,point_type", *(f"b,,{n}" for n in range(12))]
    lines += ["b,AHU-1 Zone Temp,Zone_Air_Temperature_Sensor", "b,AHU-2 X,Made_Up"]
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    argv = ["--data", str(tmp_path), "--no-baselines", "--no-speed", "--json"]
    assert command.main(argv) == 0
    said = capsys.readouterr()
    assert "list.csv:2: point_name is empty" in said.err
    assert "and 3 more rows" in said.err
    found = json.loads(said.out)
    assert any("'Made_Up' is no Brick" in note for note in found["notes"])
    assert found["results"]["plantroom"]["plain"]["buildings"]["b"]["points"] == 2


def test_a_vocabulary_beside_the_lists_is_not_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders inside the folder are nobody's lists."""
    folder = write(tmp_path)
    argv = ("--data", str(folder), "--no-baselines", "--no-speed")
    before = _json(capsys, *argv)["results"]
    (folder / "vocab").mkdir()
    (folder / "vocab" / "classes.csv").write_text("class,branch\n", encoding="utf-8")
    assert _json(capsys, *argv)["results"] == before


def test_speed_is_measured_in_another_process(tmp_path: Path) -> None:
    """Each size is there with its time and memory; a process that fails says why."""
    found = speeds.measure("plantroom", [10])
    assert [item.points for item in found] == [10]
    assert all(item.seconds > 0 and item.cpu_seconds > 0 and item.peak_mb > 1 for item in found)
    with pytest.raises(speeds.SpeedError, match="nobody"):
        speeds.measure("nobody", [10])


def test_the_speed_of_what_must_be_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is trained on the folder first, once for all sizes."""
    assert speeds.main(["tfidf", "10,20", str(write(tmp_path))]) == 0
    assert [item["points"] for item in json.loads(capsys.readouterr().out)] == [10, 20]
    assert len(SITES) == 2
