"""Profiles: what their files may say, and that a wrong one is named with file, key and fix."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from plantroom_shared import profiles
from plantroom_shared.errors import ConfigError
from plantroom_shared.profiles import Profile, list_profiles, load_profile, parse_profile

ROOT = Path(__file__).parents[2]
HEAD: dict[str, Any] = {"profile": 1, "vendor": "V", "model": "M", "source": "S"}


def _parse(registers: Any, **more: Any) -> Profile:
    text = yaml.safe_dump(HEAD | {"registers": registers} | more)
    return parse_profile(text.encode(), "x.yaml")


def _register(**keys: Any) -> dict[str, Any]:
    return {"id": "a", "name": "A", "address": 0} | keys


def test_defaults_apply_where_a_register_is_silent() -> None:
    """Space, type, order and sentinel come from the defaults; what a register says wins."""
    defaults = {"space": "input", "type": "int32", "order": "CDAB", "sentinel": {"int32": [-1]}}
    plain, own, coil = _parse(
        [
            _register(),
            _register(id="b", space="holding", type="uint16", order="ABCD"),
            _register(id="c", space="coil"),
        ],
        defaults=defaults,
    ).registers
    assert (plain.space, plain.type, plain.order, plain.sentinel) == (
        "input",
        "int32",
        "CDAB",
        (-1,),
    )
    assert (own.space, own.type, own.order, own.sentinel) == ("holding", "uint16", "ABCD", ())
    assert (coil.space, coil.type) == ("coil", "bool")


@pytest.mark.parametrize(
    ("keys", "key", "what"),
    [
        ({"adress": 1}, "registers[0] (a).adress", "no such key"),
        ({"address": 65536}, "registers[0] (a).address", "less than or equal to 65535"),
        ({"address": "one"}, "registers[0] (a).address", "integer"),
        ({"type": "int8"}, "registers[0] (a).type", "'int16'"),
        ({"address": 65535, "type": "uint32"}, "registers[0] (a)", "last address"),
        ({"type": "bool"}, "registers[0] (a)", "write `bit: 0` to 15"),
        ({"bit": 3}, "registers[0] (a)", "only `type: bool`"),
        ({"space": "coil", "bit": 3}, "registers[0] (a)", "remove `bit`"),
        ({"space": "coil", "type": "uint16"}, "registers[0] (a)", "write `type: bool`"),
        ({"length": 4}, "registers[0] (a)", "only `type: string`"),
        ({"type": "string", "scale": 2}, "registers[0] (a)", "is not scaled"),
        ({"type": "string", "expect": 2}, "registers[0] (a)", "cannot be expected"),
        ({"scale": 0}, "registers[0] (a)", "loses the value"),
        ({"scale": float("nan")}, "registers[0] (a).scale", "finite"),
        ({"range": [5, 1]}, "registers[0] (a)", "must not be above"),
        ({"sentinel": [70000]}, "registers[0] (a)", "does not fit uint16"),
        ({"sf": "b"}, "", "no register 'b'"),
        ({"sf": "a"}, "", "make it a plain int16"),
        ({"enos": "no point"}, "registers[0] (a).enos", "pattern"),
        ({"id": "a:b"}, "registers[0] (a:b).id", "pattern"),
        ({"id": "a\n"}, "registers[0] (a\n).id", "pattern"),
        ({"bits": [3, 16]}, "registers[0] (a)", "from 0 to 15"),
        ({"bits": [3, 2]}, "registers[0] (a)", "from 0 to 15"),
        ({"bits": [0, 1], "type": "int16"}, "registers[0] (a)", "uint16, uint32 or uint64"),
        ({"type": "bitfield16", "states": {16: "X"}}, "registers[0] (a)", "its bits, from 0 to 15"),
        ({"type": "bitfield16", "scale": 2}, "registers[0] (a)", "not scaled or ranged"),
        ({"type": "bitfield16", "write": {}}, "registers[0] (a)", "a bool with `bit`"),
        ({"order": "EFGHABCD"}, "registers[0] (a)", "write `order: EFGH`"),
        ({"encoding": "latin-1"}, "registers[0] (a)", "only `type: string`"),
        ({"hidden": True, "write": {}}, "registers[0] (a)", "is not written"),
        ({"rollover": 10}, "registers[0] (a)", "write `counter: true`"),
        ({"type": "string", "counter": True}, "registers[0] (a)", "does not count"),
        ({"deadband": "a lot%"}, "registers[0] (a).deadband", "pattern"),
        ({"write": {"min": 2, "max": 1}}, "registers[0] (a).write", "must not be above"),
        ({"write": {"min": 0, "max": 9, "step": 0}}, "(a).write.step", "greater than 0"),
        ({"range": [0, 5], "write": {"min": 0, "max": 9}}, "(a)", "beyond its `range`"),
        ({"space": "input", "write": {"min": 0, "max": 9}}, "(a)", "is not written"),
        ({"type": "string", "write": {}}, "(a)", "a string is never written"),
        ({"write": {"min": 0, "max": 9, "function": 5}}, "(a)", "6 or 16 does"),
        ({"space": "coil", "write": {"function": 6}}, "(a)", "5 or 15 does"),
        ({"space": "coil", "write": {"min": 0}}, "(a)", "only a number has `min`"),
        ({"type": "bool", "bit": 1, "write": {"function": 5}}, "(a)", "6 or 16 or 22 does"),
        (
            {"type": "uint32", "write": {"min": 0, "max": 9, "function": 6}},
            "(a)",
            "function 6 writes one register",
        ),
    ],
)
def test_a_wrong_key_is_named(keys: dict[str, Any], key: str, what: str) -> None:
    """The error says which file, which register and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        _parse([_register(**keys)])
    text = str(caught.value)
    assert re.match(r"x\.yaml:\d+: ", text)
    assert key in text
    assert what in text
    assert "firmware_profiles/README.md" in text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"profile: [", "no valid YAML"),
        (b"\xff\xfe\x00", "no valid YAML"),
        (b"a: 1\na: 2", "the key 'a' stands twice"),
        (b"a: &x [1]\nb: *x", "an alias"),
        (b"[" * 5000, "no valid YAML"),
        (b"", "valid dictionary"),
        (b"- 1", "valid dictionary"),
        (b"profile: 1\nregisters: 5", "and"),
        (b"profile: 1\ndefaults: 5\nregisters: [5, {id: [1]}]", "and"),
        (b"? [1, 2]\n: 3", "no valid YAML"),
        (b"#" * 1_000_001, "larger than 1000000 bytes"),
        (b"!!python/object/apply:os.system ['true']", "no valid YAML"),
    ],
)
def test_a_file_that_is_no_profile(text: bytes, what: str) -> None:
    """Broken or hostile YAML is an error with the file's name, and runs nothing."""
    with pytest.raises(ConfigError, match=what) as caught:
        parse_profile(text, "broken.yaml")
    assert str(caught.value).startswith("broken.yaml")


def test_ids_stand_once() -> None:
    """Two registers with one id would be one point."""
    with pytest.raises(ConfigError, match="ids a are used twice"):
        _parse([_register(), _register(address=1)])


def test_a_string_fits_one_request() -> None:
    """A value that no request can fetch whole is refused."""
    long = _register(type="string", length=20)
    with pytest.raises(ConfigError, match=r"a is longer than limits\.max_registers"):
        _parse([long], limits={"max_registers": 10})


def test_an_unknown_profile_names_those_there_are() -> None:
    """The message lists what can be chosen; a path is no name."""
    for name in ("meter/none", "../../etc/passwd", "meter/../meter/schneider-pm5560", "/etc", ""):
        with pytest.raises(ConfigError, match=r"choose one of: .*meter/schneider-pm5560"):
            load_profile(name)


def test_the_users_folder_comes_first(tmp_path: Path) -> None:
    """A profile in the user's own folder is found, listed, and wins over the product's."""
    mine = tmp_path / "meter"
    mine.mkdir()
    text = yaml.safe_dump(HEAD | {"registers": [_register()]})
    (mine / "schneider-pm5560.yaml").write_text(text)
    (mine / "my-own.yaml").write_text(text)
    assert load_profile("meter/schneider-pm5560", tmp_path).vendor == "V"
    assert load_profile("meter/schneider-pm5560").vendor == "Schneider Electric"
    assert load_profile("meter/my-own", tmp_path).model == "M"
    assert set(list_profiles(tmp_path)) == {*list_profiles(), "meter/my-own"}


def test_an_installed_package_has_its_profiles(tmp_path: Path) -> None:
    """Without a checkout the profiles are among the data of plantroom_edge."""
    shutil.copytree(ROOT / "shared" / "plantroom_shared", tmp_path / "plantroom_shared")
    edge = tmp_path / "plantroom_edge"
    edge.mkdir()
    (edge / "__init__.py").touch()
    shutil.copytree(ROOT / "firmware_profiles", edge / "firmware_profiles")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from plantroom_shared import profiles\n"
        "print(profiles.__file__, *profiles.list_profiles())\n"
    )
    # The copy is not the package: coverage must not count it.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=plain,
    )
    assert done.stdout.split() == [
        str(tmp_path / "plantroom_shared" / "profiles.py"),
        *list_profiles(),
    ]


def test_without_any_profiles_the_users_own_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a checkout nor installed with any: only the user's folder counts."""
    monkeypatch.setattr(profiles, "__file__", str(tmp_path / "a" / "b" / "profiles.py"))
    assert list_profiles() == []
    mine = tmp_path / "meter"
    mine.mkdir()
    (mine / "my-own.yaml").write_text(yaml.safe_dump(HEAD | {"registers": [_register()]}))
    assert list_profiles(tmp_path) == ["meter/my-own"]


def test_encode_and_decode_are_inverse() -> None:
    """What a simulated device is made to show is what its register says, and None where it cannot."""
    profile = _parse(
        [
            _register(id="w", type="int16", sf="f", scale=0.5, offset=10, sentinel=[0x8000]),
            _register(id="f", type="int16", address=1, hidden=True),
            _register(id="s", type="string", address=2, length=3),
            _register(id="b", type="bool", address=5, bit=9),
            _register(id="x", type="float64", address=6),
            _register(id="n", address=10),
        ]
    )
    one = profile.by_id
    assert one["w"].encode(35.0, -1) == [500]
    assert one["w"].decode([500], -1) == (35.0, "")
    assert one["w"].encode(110.0, 1) == [20]
    assert one["w"].decode([20], 1) == (110.0, "")
    assert one["w"].encode(None) == [0x8000]
    assert one["s"].decode(one["s"].encode("A1")) == ("A1", "")
    assert one["b"].encode(True) == [0x0200]
    assert one["b"].decode([0x0200]) == (True, "")
    assert one["x"].decode(one["x"].encode(None)) == (None, "not-available")
    assert one["n"].decode([7]) == (7, "")
    assert [register.id for register in profile.points] == ["w", "s", "b", "x", "n"]
    with pytest.raises(ValueError, match="n has no sentinel"):
        one["n"].encode(None)
