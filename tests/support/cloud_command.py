"""``plantroom-cloud`` in this process: what it ends with, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from plantroom_cloud import cli

Run = Callable[..., tuple[int, str, str]]
"""Arguments of a command → exit code, output, errors."""


def cloud_in(folder: Path) -> Path:
    """Make the folder of a cloud and return its configuration."""
    (folder / "data").mkdir(exist_ok=True)
    config = folder / "cloud.yaml"
    config.write_text(yaml.safe_dump({"data": str(folder / "data")}))
    return config


def runner(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return what runs a command with this configuration."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["plantroom-cloud", "--config", str(config), *arguments])
        try:
            code = cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call
