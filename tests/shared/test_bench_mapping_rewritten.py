"""Rewritten names of ``bench mapping``: other names, the same building."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.mapping.labelled import Labelled
from benchmarks.mapping.rewritten import rewrite

NAMES = [
    "MALL.AHU-01.SupplyTemp",
    "MALL.AHU-02.SupplyTemp",
    "MALL.VAV_1-17:ZN CO2",
    "MALL.VAV_1-18:ZN CO2",
    "MALL.RM-2150A..ACTCLGSP",
    "Boiler 007 kWh",
]


def _rows(names: list[str], building: str = "mall") -> list[Labelled]:
    return [Labelled(building, name, unit="degC", equip_id=name[:9]) for name in names]


def _names(names: list[str], seed: int = 1) -> list[str]:
    return [row.name for row in rewrite(_rows(names), seed)]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def test_only_names_change_and_a_seed_decides_how() -> None:
    """Labels, units and order stay; the same seed gives the same names, another one others."""
    rows = _rows(NAMES)
    found = rewrite(rows, 1)
    assert [replace(new, name=old.name) for old, new in zip(rows, found, strict=True)] == rows
    assert found == rewrite(rows, 1)
    assert found != rewrite(rows, 2)
    assert not {row.name for row in found} & set(NAMES)


def test_the_site_gets_another_name() -> None:
    """What most names begin with is replaced; a name without it keeps its own beginning."""
    for seed in range(20):
        found = _names(NAMES, seed)
        assert not any("mall" in name.lower() for name in found)
        assert found[5].lower().startswith("boiler")


def test_a_word_about_the_plant_is_no_site() -> None:
    """Where all names begin with `zone`, a site is put before them and the word stays."""
    names = [f"zone_{n:03}_temp" for n in range(1, 9)]
    assert all("zone" in name.lower() for name in _names(names))


def test_words_stay_and_humps_become_separators() -> None:
    """Letters are the same but for their case; what only case kept apart is kept apart."""
    for seed in range(20):
        for old, new in zip(NAMES[:5], _names(NAMES, seed)[:5], strict=True):
            assert _letters(new).endswith(_letters(old.removeprefix("MALL")))
        assert re.search(r"(?i)supply[-_. ]temp", _names(NAMES, seed)[0])


def test_separators_become_others_of_their_role() -> None:
    """A colon becomes a slash; a blank, dot, dash and underline become another of the four."""
    for seed in range(20):
        name = _names(NAMES, seed)[2]
        assert re.search(r"(?i)/zn[-_.]co2$", name)
        assert len(set(re.findall(r"(?i)vav(.)\d(.)\d+(/)zn(.)co2", name)[0])) == 4


def test_numbers_become_others_of_the_same_length() -> None:
    """Zeros before a number stay, digits of a gas stay, equal numbers stay equal."""
    for seed in range(20):
        found = _names(NAMES, seed)
        one, two = (re.search(r"(?i)ahu.0(\d)", name) for name in found[:2])
        assert one
        assert two
        assert one[1] not in {"1", two[1]}
        assert re.search(r"(?i)boiler.00[1-689].kwh", found[5])
        wing = [re.search(r"(?i)vav.(\d).([1-9]\d)/zn.co2", name) for name in found[2:4]]
        assert wing[0]
        assert wing[1]
        assert wing[0][1] == wing[1][1]
        assert wing[0][2] != wing[1][2]


def test_all_numbers_of_a_length_may_be_taken() -> None:
    """Ten instances with one digit still have ten different names."""
    names = [f"MALL.AHU{n}.T" for n in range(10)]
    assert len(set(_names(names))) == 10
    assert rewrite([], 1) == []


@given(
    st.sets(st.text("ab019 _-.:/", min_size=1, max_size=12), min_size=1, max_size=30),
    st.integers(0, 50),
)
def test_names_that_differ_still_differ(names: set[str], seed: int) -> None:
    """Every change can be undone, so no two points get one name."""
    assert len({name.lower() for name in _names(sorted(names), seed)}) == len(names)
