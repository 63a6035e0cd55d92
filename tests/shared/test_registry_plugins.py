"""Plug-ins register themselves, once, by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plantroom_shared.errors import ConfigError
from plantroom_shared.registry import Registry


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    """A family whose package has two plug-ins."""
    package = tmp_path / "fruit_family"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from plantroom_shared.registry import Registry\n"
        "fruits: Registry[str] = Registry('fruit', 'fruit_family')\n"
    )
    for name in ("pear", "apple"):
        (package / f"{name}.py").write_text(
            f"from fruit_family import fruits\nfruits.register('{name}')('a {name}')\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("fruit_family")]:
        monkeypatch.delitem(sys.modules, name)
    import fruit_family  # type: ignore[import-not-found] # made above

    return fruit_family.fruits  # type: ignore[no-any-return] # its module is made above


def test_asking_loads_the_whole_family(family: Registry[str]) -> None:
    """A plug-in is found without anybody having imported it; all come in order of their names."""
    assert family.get("pear") == "a pear"
    assert list(family) == [("apple", "a apple"), ("pear", "a pear")]


def test_an_unknown_name_is_answered_with_the_known_ones(family: Registry[str]) -> None:
    """The error says which names there are."""
    with pytest.raises(ConfigError, match=r"no fruit 'plum'; choose one of: apple, pear"):
        family.get("plum")


def test_a_name_is_taken_once(family: Registry[str]) -> None:
    """Two plug-ins of one name are a defect, found at import."""
    family.load()
    with pytest.raises(ValueError, match="'apple' is registered twice"):
        family.register("apple")("another apple")
