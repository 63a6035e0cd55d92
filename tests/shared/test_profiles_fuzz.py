"""Whatever stands in a profile file, it is read or told what is wrong: never anything else."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_shared.errors import ConfigError
from plantroom_shared.profiles import parse_any_profile, profile_faults

FOLDER = Path(__file__).parents[2] / "firmware_profiles"
KEYS = st.sampled_from(
    [
        "profile", "protocol", "vendor", "model", "source", "firmware", "registers", "objects",
        "match", "identify", "factory", "limits", "defaults", "id", "name", "type", "address",
        "instance", "object_name", "write", "min", "max", "states", "range", "bits", "sentinel",
        "deadband", "device_id", "values", "text", "x",
    ]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-70000, 70000), st.floats(), st.text(max_size=8),
    st.sampled_from(["modbus", "bacnet", "uint16", "string", "analog-input", "1%", "*"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.integers(0, 9), inner, max_size=6)
    ),
    max_leaves=25,
)


def _either(text: bytes) -> None:
    faults = profile_faults(text, "f.yaml")
    assert all(str(fault).startswith("f.yaml") for fault in faults)
    if faults:
        with pytest.raises(ConfigError):
            parse_any_profile(text, "f.yaml")
    else:
        assert parse_any_profile(text, "f.yaml").points is not None


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=8))
def test_any_tree_is_read_or_told(tree: dict[str, Any]) -> None:
    """A tree of known keys with any content is a profile, or has faults with a place."""
    _either(yaml.safe_dump(tree).encode())


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_profile_is_read_or_told(seed: int) -> None:
    """One value of a real profile replaced by something else: read, or told where."""
    rng = random.Random(seed)
    files = sorted(path for path in FOLDER.glob("*/*.yaml") if path.stat().st_size < 4000)
    file = rng.choice(files)
    data = yaml.safe_load(file.read_bytes())
    for _ in range(5):
        row = rng.choice(data["objects" if "objects" in data else "registers"])
        holder = rng.choice([data, row])
        key = rng.choice(sorted(holder))
        kept = holder[key]
        holder[key] = rng.choice([None, 5, -1.5, "x", [], {}, [{}], {"a": 1}, [1, 2, 3], True])
        _either(yaml.safe_dump(data).encode())
        holder[key] = kept
