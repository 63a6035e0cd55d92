"""One YAML file, checked whole, with errors that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from plantroom_edge.cli_starter import CLOUD, STARTER
from plantroom_edge.config import ConfigErrors, load
from plantroom_edge.config_explain import explain
from plantroom_edge.config_yaml import Document, dotted
from plantroom_edge.drivers.modbus.config import ModbusBus
from plantroom_shared.errors import ConfigError
from plantroom_shared.profiles import load_profile
from support import edge_driver
from support.edge_driver import ScriptedBus

GOOD = """\
gateway: gw-demo-0001
site: demo-tower
data: ./data
buffer: {limit_mb: 64, commit_ms: 100}
buses:
  - name: one
    driver: scripted
    points: 3
  - name: two
    driver: scripted
"""


@pytest.fixture(autouse=True, scope="module")
def scripted() -> Iterator[None]:
    """The scripted driver is there for the tests of this file."""
    with edge_driver.registered():
        yield


def write(folder: Path, text: str) -> Path:
    file = folder / "edge.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(write(folder, text))
    return [str(error).replace(f"{folder}/", "") for error in caught.value.errors]


def test_a_good_file_becomes_a_config(tmp_path: Path) -> None:
    """Each bus is an object of its driver's own; paths are taken from the file's folder."""
    config = load(write(tmp_path, GOOD))
    assert config.gateway == "gw-demo-0001"
    assert config.data == tmp_path / "data"
    assert config.buffer_file == tmp_path / "data" / "buffer.db"
    assert config.status_file == tmp_path / "data" / "status.json"
    assert config.cloud is None
    assert (config.buffer.limit_mb, config.buffer.commit_ms) == (64, 100)
    first = config.buses[0]
    assert isinstance(first, ScriptedBus)
    assert (first.name, first.points, first.devices) == ("one", 3, 2)


def test_the_cloud_section_names_files_beside_the_file(tmp_path: Path) -> None:
    """Certificate paths are relative to the file and must be readable."""
    for name in ("ca.pem", "gw.pem", "gw.key"):
        (tmp_path / name).write_text("x")
    cloud = "cloud: {host: broker, ca: ca.pem, cert: gw.pem, key: gw.key, mqtt: 5}\n"
    config = load(write(tmp_path, GOOD + cloud))
    assert config.cloud is not None
    assert config.cloud.ca == tmp_path / "ca.pem"
    assert (config.cloud.port, config.cloud.mqtt) == (8883, "5")
    (tmp_path / "gw.key").unlink()
    (said,) = problems(tmp_path, GOOD + cloud)
    assert said.startswith("edge.yaml:11: cloud.key:")
    assert "No such file" in said


def test_all_errors_come_at_once_with_line_key_and_fix(tmp_path: Path) -> None:
    """Everything wrong is reported in one go; each error names file, line, key and fix."""
    text = """\
gateway: GW 1
sites: demo
buffer:
  limit_mb: lots
buses:
  - name: one
    driver: scripted
    pionts: 3
  - name: one
    driver: scripted
    devices: 0
  - name: three
    driver: bacnett
  - driver: [1]
  - just text
detectors: none
"""
    said = problems(tmp_path, text)
    expected = [
        ("edge.yaml:8: buses[0].pionts: is no known key", "did you mean `points`?"),
        ("edge.yaml:11: buses[1].devices: input should be greater than or equal to 1, not 0", ""),
        ("edge.yaml:13: buses[2].driver: there is no driver 'bacnett'", "choose one of: agent, bacnet"),
        ("edge.yaml:14: buses[3]: names no driver", "add `driver:`, one of:"),
        ("edge.yaml:15: buses[4]: must be a mapping", "`name:`"),
        ("edge.yaml:9: buses[1].name: another entry of buses is called 'one'", "rename one"),
        ("edge.yaml:16: detectors: must be a list", "- name:"),
        ("edge.yaml:1: gateway: must be 8 to 40 lower-case letters", "correct the value"),
        ("edge.yaml: site: is missing", "add `site:`"),
        ("edge.yaml:4: buffer.limit_mb: must be a whole number, not 'lots'", "correct the value"),
        ("edge.yaml:2: sites: is no known key", "did you mean `site`?"),
    ]
    assert len(said) == len(expected)
    for (start, fix), line in zip(expected, said, strict=True):
        assert line.startswith(start)
        assert fix in line


def test_keys_deep_inside_a_bus_are_named(tmp_path: Path) -> None:
    """An error in a device of a bus names its index and suggests that device's own keys."""
    text = """\
gateway: gw-demo-0001
site: s
buses:
  - name: meters
    driver: modbus
    host: 127.0.0.1
    devices:
      - {name: a, unit: 1, profile: meter/eastron-sdm630}
      - {name: b, unti: 2, profile: meter/eastron-sdm630}
"""
    said = problems(tmp_path, text)
    assert "edge.yaml:9: buses[0].devices[1].unti: is no known key; did you mean `unit`?" in said


def test_an_unlikely_key_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    """Where nothing is near, all keys of that place are listed."""
    (said,) = problems(tmp_path, GOOD.replace("commit_ms: 100", "zzz: 1"))
    assert said == (
        "edge.yaml:4: buffer.zzz: is no known key; known keys here: aud_percent, cmd_percent,"
        " commit_ms, evt_percent, flash_mb_per_day, limit_mb, retain_hours"
    )


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    """YAML would silently keep the last of two; we do not."""
    (said,) = problems(tmp_path, GOOD + "site: other\n")
    assert said == "edge.yaml:11: site: stands twice; keep one of them"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("gateway: [", "edge.yaml:1: it is no valid YAML"),
        ("- a\n- b\n", "it must be a mapping"),
        ("", "it must be a mapping"),
        ("a: !!python/object:os.system {}", "it is no valid YAML"),
        ("a: 2020-99-99", "it is no valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_told_so(text: str, what: str, tmp_path: Path) -> None:
    """Broken YAML is reported with its line; nothing in it is executed."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert what in str(caught.value)


def test_a_file_that_is_not_there_names_the_command_that_makes_one(tmp_path: Path) -> None:
    """A missing file is answered with how to write one; an unreadable one with the reason."""
    with pytest.raises(ConfigError, match="plantroom-edge init"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"site: caf\xe9")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "latin.yaml")


def test_anchors_and_their_aliases_have_lines_too(tmp_path: Path) -> None:
    """A repeated part of the file is checked at each place where it is used."""
    text = """\
gateway: gw-demo-0001
site: s
buses:
  - &bus {name: a, driver: scripted, pionts: 1}
  - *bus
"""
    said = problems(tmp_path, text)
    assert sum("is no known key" in line for line in said) == 2
    assert all(line.startswith("edge.yaml:") for line in said)


def test_the_starter_file_is_valid(tmp_path: Path) -> None:
    """What `init` writes can be loaded as it stands, and with its comments taken away."""
    text = STARTER.format(name="x.yaml", gateway="gw-site-0001", site="my-site", cloud=CLOUD)
    assert load(write(tmp_path, text)).buses == ()
    for name in ("ca.pem", "gateway.pem", "gateway.key"):
        (tmp_path / "certs").mkdir(exist_ok=True)
        (tmp_path / "certs" / name).write_text("x")
    # Prose stands behind "# ", what can be switched on behind "#" alone.
    used = re.sub(r"^#(?! \S)", "", text, flags=re.MULTILINE)
    config = load(write(tmp_path, used))
    assert config.cloud is not None
    assert [bus.driver for bus in config.buses] == ["bacnet", "modbus", "agent"]
    assert isinstance(config.buses[1], ModbusBus)
    assert load_profile(config.buses[1].devices[0].profile).points
    assert [entry.detector for entry in config.detectors] == ["pca"]


def test_paths_read_as_people_write_them() -> None:
    """Indices stand in brackets, keys behind dots."""
    assert dotted(("buses", 1, "devices", 0, "unit")) == "buses[1].devices[0].unit"
    assert dotted(()) == ""


class _Deep(BaseModel):
    a: dict[str, list[int]]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    )
)
def test_no_content_makes_the_check_fall_over(content: object) -> None:
    """Whatever a file holds, the answer is a config or errors, never a crash."""
    import tempfile

    import yaml

    with tempfile.TemporaryDirectory() as folder:
        document = {"gateway": "gw-demo-0001", "site": "s", "buses": content, "buffer": content}
        file = Path(folder) / "edge.yaml"
        file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        said = ""
        try:
            load(file)
        except ConfigError as error:
            said = str(error)
        assert said == "" or str(file) in said


def test_errors_without_a_place_are_explained_all_the_same() -> None:
    """A path that leads through no data still gives an error with file and key."""
    detail = {"type": "missing", "loc": ("a", 0, "b"), "msg": "Field required", "input": {}}
    document = Document(Path("f.yaml"), {"a": 5})
    error = explain(document, detail, _Deep)  # type: ignore[arg-type] # what pydantic would say
    assert error.file == "f.yaml"
    assert error.key == "a"
