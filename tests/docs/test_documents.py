"""Documents that cannot lie: their examples are run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from plantroom_cloud.config import load_settings
from plantroom_edge.config import load

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(language: str) -> list[tuple[str, str]]:
    return [
        (document.name, body)
        for document in DOCUMENTS
        for kind, body in FENCE.findall(document.read_text())
        if kind == language
    ]


@pytest.mark.parametrize(("document", "text"), examples("yaml"))
def test_configuration_examples_are_valid(document: str, text: str, tmp_path: Path) -> None:
    """Every YAML example is a configuration that the agent accepts; one of no gateway, the cloud."""
    file = tmp_path / "plantroom.yaml"
    file.write_text(text)
    said = yaml.safe_load(text)
    if "gateway" in said:
        assert load(file).gateway == said["gateway"]
    else:
        assert set(said) <= load_settings(file).model_fields_set


def test_readme_shows_the_two_commands() -> None:
    """The README's shell examples are commands of the launcher."""
    commands = [body.strip() for _, body in examples("sh")]
    assert commands[:2] == ["./plantroom demo", "./plantroom test"]


def test_readme_fits_a_screen_and_a_half() -> None:
    """A README is read, not studied."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


@pytest.mark.parametrize("program", ["plantroom-edge", "plantroom-cloud"])
def test_documented_subcommands_exist(program: str) -> None:
    """What the documents call exists in the program's own help."""
    short = program.removeprefix("plantroom-")
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    named = set(re.findall(rf"(?:\./plantroom {short}|{program}) ([a-z]+)", text))
    shown = subprocess.run([BIN / program, "--help"], capture_output=True, text=True, check=True)
    assert named
    assert {name for name in named if name not in shown.stdout} == set()
