"""The command that makes the learned part of the mapper: what comes out, and that nothing stays behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mapping import mappers, training
from benchmarks.mapping.labelled import Labelled
from plantroom_shared.mapping import lexicon, map_points
from plantroom_shared.mapping.scorer import of, shipped
from plantroom_shared.model import Point
from support.mappinglists import SITES, write


def _rows(site: str, dataset: str = "own") -> list[Labelled]:
    """Return a small building: clear names with their class, odd ones with another."""
    right = [
        (f"{site}.AHU-{n}.{name}", point_class)
        for n in range(1, 4)
        for name, point_class in (
            ("Supply Air Temp", "Supply_Air_Temperature_Sensor"),
            ("Return Air Temp", "Return_Air_Temperature_Sensor"),
            ("Supply Air Temp Setpoint", "Supply_Air_Temperature_Setpoint"),
            ("Zone CO2", "CO2_Sensor"),
        )
    ]
    wrong = [(f"{site}.AHU-{n}.Fan qwx", "Temperature_Sensor") for n in range(1, 4)]
    return [Labelled(site, name, point_type=t, dataset=dataset) for name, t in (*right, *wrong)]


def test_what_is_learned_tells_clear_names_from_odd_ones() -> None:
    """Names that are read in full were right, and get the better confidence."""
    learned = training.train([*_rows("A"), *_rows("B")])
    points = [
        Point(key=name, device="d", name=name)
        for name in ("AHU-1 Supply Air Temp", "AHU-1 Fan zzx")
    ]
    clear, odd = map_points(points, scorer=learned)
    assert clear.confidence is not None
    assert odd.confidence is not None
    assert clear.confidence > odd.confidence + 0.05


def test_the_same_lists_teach_the_same() -> None:
    """Training is reproducible: its gaps are seeded."""
    first = training.train(_rows("A")).as_dict()
    training._lessons.cache_clear()
    training.expansion.cache_clear()
    assert training.train(_rows("A")).as_dict() == first
    assert first["expansion"] == shipped().expansion.as_dict()


def test_lists_without_a_licence_teach_nothing() -> None:
    """Rows of the data sets that may not ship change no weight."""
    rows = _rows("A")
    others = [replace(row, building="M", dataset="mortar_x") for row in _rows("M")]
    assert training.train([*rows, *others]).as_dict() == training.train(rows).as_dict()


def test_gaps_in_the_lexicon_close_again() -> None:
    """While they last a spelling is unknown; afterwards, even after an error, it is back."""
    meaning = dict(lexicon.spellings())["humid"]
    seen = []

    def fail() -> None:
        with training.gaps(frozenset({"humid"})):
            seen.append(lexicon.parse("Humid")[0].entry)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [None]
    assert dict(lexicon.spellings())["humid"] == meaning
    assert lexicon.parse("Humid")[0].entry == meaning


def test_the_command_writes_the_file_that_ships(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights, and the buildings whose labels they come from."""
    out = tmp_path / "scorer.json"
    assert training.main(["--data", str(write(tmp_path)), "--out", str(out)]) == 0
    made = json.loads(out.read_text())
    assert set(made["trained_on"]) == set(SITES)
    assert of(made).expansion.names == shipped().expansion.names
    assert str(out) in capsys.readouterr().out


def test_a_folder_without_lists_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written."""
    out = tmp_path / "scorer.json"
    assert training.main(["--data", str(tmp_path), "--out", str(out)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not out.exists()


def test_a_building_that_taught_the_scorer_is_judged_by_one_it_did_not_teach() -> None:
    """Leave one site out: the shipped weights judge only buildings they have not seen."""
    assert "GHC" in mappers.TRAINED_ON
    assert mappers.plantroom("elsewhere", _rows("A")).__dict__ == mappers.Plantroom().__dict__
    taught = mappers.plantroom("GHC", _rows("A"))
    assert isinstance(taught, mappers.Plantroom)
    assert taught._learned is not None
