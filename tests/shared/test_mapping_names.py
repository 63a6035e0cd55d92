"""Names of points: cleaning, folding to templates, cutting into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_shared.mapping.lexicon import parse
from plantroom_shared.mapping.names import MAX_NAME, clean, fill, fold


def _words(name: str) -> list[str]:
    return [
        " ".join(piece.entry.words) if piece.entry else f"?{piece.text}"
        for piece in parse(fold(clean(name))[0])
        if not piece.is_id
    ]


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("AHU-1 SAT", "AHU-1 SAT"),
        ("  AHU\u200b-1\u202e SAT\x00 ", "AHU-1 SAT"),
        ("\uff21\uff28\uff35\uff0d\uff11", "AHU-1"),
        ("Zone\tTemp\r\n", "Zone Temp"),
        ("\u210e\u2460", "h1"),
    ],
)
def test_names_become_one_plain_line(name: str, cleaned: str) -> None:
    """Control, bidirectional and zero-width characters go; compatibility forms are folded."""
    assert clean(name) == cleaned


def test_only_the_beginning_of_a_long_name_counts() -> None:
    """Ten thousand characters are cut before anything looks at them."""
    assert len(clean("AHU-1 " * 2000)) <= MAX_NAME
    assert len(clean("\u200b" * 300 + "x" * 10_000)) <= MAX_NAME


@given(st.text(max_size=300))
def test_any_text_can_be_cleaned_folded_and_filled(text: str) -> None:
    """A template with its numbers put back is the cleaned name; pieces lie in order inside it."""
    name = clean(text).replace("#", " ")
    template, runs = fold(name)
    assert fill(template, runs, len(template)) == name
    assert template.count("#") == len(runs)
    pieces = parse(template)
    assert all(0 <= piece.start < piece.end <= len(template) for piece in pieces)
    assert all(a.end <= b.start for a, b in pairwise(pieces))


def test_numbers_fold_but_gases_and_phases_stay() -> None:
    """Instances share a template; CO2 is no instance, and phases are different points."""
    assert fold("VAV-12.ZN-T") == ("VAV-#.ZN-T", ("12",))
    assert fold("AHU1 RACO2")[0] == "AHU# RACO2"
    assert fold("Meter 3 Current L2")[0] == "Meter # Current L2"
    assert fold("Meter 3 Amps Ph1")[0] == "Meter # Amps Ph1"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CHWSTemp", ["Chilled Water Supply", "Temperature"]),
        ("SUPFLO-SP", ["Supply Air Flow", "Setpoint"]),
        ("W-C-ADJ", ["Adjust"]),
        ("Set Point", ["Setpoint"]),
        ("PUMPENABLE", ["Pump", "Enable"]),
        ("SpTFlwCHW", ["Setpoint", "Temperature", "Flow", "Chilled Water"]),
        ("RACO2-SP", ["Return Air CO2", "Setpoint"]),
        ("RAPM2_5", ["Return Air", "PM2.5"]),
        ("Zone pM2.5", ["Zone", "PM2.5"]),
        ("OAD-POS", ["Outside Air Damper", "Position"]),
        ("Fan-S", ["Fan", "Status"]),
        ("Vorlauftemperatur", ["Supply Water", "Temperature"]),
        ("Température soufflage", ["Temperature", "Supply"]),
        ("Caudal impulsión", ["Flow", "Supply"]),
        ("冷冻水供水温度", ["Chilled Water", "Supply Water", "Temperature"]),
        ("乙醇槽液位", ["?乙醇槽", "Level"]),
        ("Xyzzyqwk", ["?xyzzyqwk"]),
        ("Saturation", ["saturation"]),
    ],
)
def test_spellings_are_cut_out_of_runs(name: str, words: list[str]) -> None:
    """Abbreviations, camel case, joined words and other languages are understood."""
    assert _words(name) == words


def test_a_single_letter_means_something_only_at_the_end_or_set_apart() -> None:
    """`SA-T` is a temperature; a `T` inside another word is not."""
    assert _words("ZN-T") == ["Zone Air Temperature"]
    assert _words("Q T Z") == ["?q", "?t", "?z"]
