"""Settings: where they come from, who wins, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from plantroom_cloud.config import load_settings
from plantroom_shared.errors import ConfigError

SECRET = "do-not-show-me"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine takes part."""
    import os

    for name in list(os.environ):
        if name.startswith("PLANTROOM_"):
            monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    """Return a settings file."""
    path = tmp_path / "cloud.yaml"
    path.write_text(text)
    return path


def test_defaults_run_on_one_machine() -> None:
    """Without file and variables everything is embedded."""
    settings = load_settings()
    assert settings.database_url.startswith("sqlite+aiosqlite:///")
    assert (settings.mqtt.port, settings.mqtt.version) == (8883, "auto")


def test_file_then_variable_then_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearer wins, key by key, also inside a section."""
    path = write(tmp_path, "api_port: 1\ndata: /from/file\nmqtt: {port: 11, host: a}\n")
    monkeypatch.setenv("PLANTROOM_API_PORT", "2")
    monkeypatch.setenv("PLANTROOM_MQTT__PORT", "22")
    settings = load_settings(path)
    assert (settings.api_port, settings.data) == (2, Path("/from/file"))
    assert (settings.mqtt.port, settings.mqtt.host) == (22, "a")
    assert load_settings(path, api_port=3).api_port == 3


def test_empty_file_is_fine(tmp_path: Path) -> None:
    """It changes nothing."""
    assert load_settings(write(tmp_path, "")).model_dump() == load_settings().model_dump()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("api_prot: 1", ("cloud.yaml", "api_prot", "is no setting", "api_port")),
        ("mqtt: {prot: 1}", ("cloud.yaml", "mqtt.prot", "is no setting")),
        ("api_port: many", ("cloud.yaml", "api_port", "integer")),
        ("api_port: 70000", ("cloud.yaml", "api_port", "65535")),
        ("mqtt: 5", ("cloud.yaml", "mqtt")),
        ("llm: {base_url: 'http://x'}", ("cloud.yaml", "llm.model", "is missing")),
        ("a: [", ("cloud.yaml", "line", "YAML")),
        ("a: b: c", ("cloud.yaml", "line 1", "YAML")),
        ("- a\n- b", ("cloud.yaml", "mapping", "api_port: 8080")),
        ("\x00", ("cloud.yaml",)),
    ],
)
def test_wrong_file_names_file_key_and_fix(
    tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))
    for part in parts:
        assert part in str(caught.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """The option that named it is named."""
    with pytest.raises(ConfigError, match="--config"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"data: \xe9")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_settings(tmp_path / "latin.yaml")


def test_wrong_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the file, which is innocent."""
    path = write(tmp_path, "api_port: 1")
    monkeypatch.setenv("PLANTROOM_API_PORT", "many")
    with pytest.raises(ConfigError, match="PLANTROOM_API_PORT: api_port"):
        load_settings(path)
    monkeypatch.delenv("PLANTROOM_API_PORT")
    monkeypatch.setenv("PLANTROOM_ENOS", f"[{SECRET}")
    with pytest.raises(ConfigError, match="JSON") as caught:
        load_settings(path)
    assert SECRET not in str(caught.value)


def test_secrets_are_not_repeated(tmp_path: Path) -> None:
    """An error shows where, not what."""
    path = write(tmp_path, f"llm: {{base_url: http://x, model: y, api_key: [{SECRET}]}}")
    with pytest.raises(ConfigError, match="api_key") as caught:
        load_settings(path)
    assert SECRET not in str(caught.value)
    path = write(tmp_path, f"llm: {{base_url: http://x, model: y, api_key: {SECRET}}}")
    assert SECRET not in repr(load_settings(path))
