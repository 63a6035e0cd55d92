"""The format of profiles and what is written about it: README.md and schema.json say the same."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from plantroom_shared.mapping import is_equip_class, is_point_class, model_point
from plantroom_shared.profiles import (
    AnyProfile,
    BacnetProfile,
    Profile,
    json_schema,
    list_profiles,
    parse_any_profile,
    profile_file,
)
from plantroom_shared.units import parse_unit

FOLDER = Path(__file__).parents[2] / "firmware_profiles"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """Return a model and those its fields are made of."""
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for part in _parts(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    _models(part, seen)
    return seen


def _parts(annotation: Any) -> list[Any]:
    inner = [part for one in typing.get_args(annotation) for part in _parts(one)]
    return [annotation, *inner]


def _keys() -> set[str]:
    models = _models(Profile, set()) | _models(BacnetProfile, set())
    return {key for model in models for key in model.model_fields}


def test_every_key_is_in_the_readme() -> None:
    """firmware_profiles/README.md defines every key that a profile can have."""
    assert {key for key in _keys() if f"`{key}`" not in README} == set()


def test_the_readme_has_no_key_that_is_none() -> None:
    """The first cell of each row of its tables names keys of the format."""
    cells = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    named = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    assert named - _keys() == set()
    assert len(named) > 40


@pytest.mark.parametrize("index", [0, 1])
def test_the_examples_of_the_readme_are_profiles(index: int) -> None:
    """Who copies an example has a profile that is read."""
    text = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[index]
    assert len(parse_any_profile(text.encode(), "README.md").points) >= 3


def test_the_schema_is_that_of_the_models() -> None:
    """schema.json is what `plantroom-edge profile schema` prints: what the files are read with."""
    assert json.loads((FOLDER / "schema.json").read_text(encoding="utf-8")) == json_schema()


def _entries(profile: AnyProfile) -> list[Any]:
    return list(profile.registers if isinstance(profile, Profile) else profile.objects)


@pytest.mark.parametrize("name", list_profiles())
def test_classes_units_and_models_are_known(name: str) -> None:
    """What a profile says of meaning is in the words of Brick, of EnOS and of units.py."""
    path = profile_file(name)
    profile = parse_any_profile(path.read_bytes(), str(path))
    assert is_equip_class(profile.equip_class)
    unknown = []
    for one in _entries(profile):
        if one.unit and parse_unit(one.unit) is None:
            unknown.append(f"{one.id}: unit {one.unit}")
        if one.point_class and not is_point_class(one.point_class):
            unknown.append(f"{one.id}: point_class {one.point_class}")
        if one.enos and model_point(*one.enos.split("/")) is None:
            unknown.append(f"{one.id}: enos {one.enos}")
    assert unknown == []


@pytest.mark.parametrize("name", list_profiles())
def test_a_file_says_where_it_is_from(name: str) -> None:
    """The name is the path, in lower case; vendor, model and source are said in full."""
    path = profile_file(name)
    data = yaml.safe_load(path.read_bytes())
    assert path.parent.parent == FOLDER
    assert re.fullmatch(r"[a-z0-9-]+/[a-z0-9]+(-[a-z0-9]+)+", name)
    assert len(data["source"]) > 20
