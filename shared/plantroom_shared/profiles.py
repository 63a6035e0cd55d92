"""Profiles: YAML files that turn what a device model has into points.

The keys are described in ``firmware_profiles/README.md``. A profile is found in a folder of the
user's, in ``firmware_profiles/`` of a checkout, or among the data of the installed package.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from plantroom_shared.errors import ConfigError
from plantroom_shared.profile_bacnet import BacnetObject, BacnetProfile
from plantroom_shared.profile_modbus import Defaults, Limits, Profile
from plantroom_shared.profile_parts import Head
from plantroom_shared.profile_register import Register, RegisterWrite
from plantroom_shared.profile_yaml import explain, read_yaml

__all__ = [
    "AnyProfile",
    "BacnetObject",
    "BacnetProfile",
    "Defaults",
    "Limits",
    "Profile",
    "Register",
    "RegisterWrite",
    "bacnet_profiles",
    "json_schema",
    "list_profiles",
    "load_bacnet_profile",
    "load_profile",
    "parse_any_profile",
    "parse_bacnet_profile",
    "parse_profile",
    "profile_faults",
    "profile_file",
]

AnyProfile = Profile | BacnetProfile
_P = TypeVar("_P", bound=Head)

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*")
_BACNET = re.compile(rb"^protocol:[ \t]*[\"']?bacnet\b", re.MULTILINE)
_MODELS: dict[str, type[AnyProfile]] = {"modbus": Profile, "bacnet": BacnetProfile}


def load_profile(name: str, folder: Path | None = None) -> Profile:
    """Return the profile `name` of a Modbus device.

    Args:
        name: ``class/vendor-model``: ``meter/schneider-pm5560``.
        folder: a folder of the user's own profiles, which come first.

    Raises:
        ConfigError: there is no such profile, or its file is wrong; says where and how to fix it.
    """
    path = profile_file(name, folder, "modbus")
    return parse_profile(path.read_bytes(), str(path))


def load_bacnet_profile(name: str, folder: Path | None = None) -> BacnetProfile:
    """Return the profile `name` of a BACnet device; ConfigError as in `load_profile`."""
    path = profile_file(name, folder, "bacnet")
    return parse_bacnet_profile(path.read_bytes(), str(path))


def bacnet_profiles(folder: Path | None = None) -> Iterator[tuple[str, BacnetProfile]]:
    """Yield every BACnet profile by its name; ConfigError for the first wrong file.

    A device is of the first one whose `matches` says so.
    """
    for name in list_profiles(folder, "bacnet"):
        yield name, load_bacnet_profile(name, folder)


def profile_file(name: str, folder: Path | None = None, protocol: str = "") -> Path:
    """Return the file of the profile `name`; ConfigError if there is none for that protocol."""
    if _NAME.fullmatch(name):
        for root in _roots(folder):
            path = root / f"{name}.yaml"
            if path.is_file() and protocol in {"", _protocol(path)}:
                return path
    known = ", ".join(list_profiles(folder, protocol))
    fix = f"choose one of: {known}; or put your own as <class>/<vendor>-<model>.yaml into a folder"
    what = f"there is no profile {name!r}" + (f" for {protocol}" if protocol else "")
    raise ConfigError(what, key="profile", fix=fix)


def list_profiles(folder: Path | None = None, protocol: str = "") -> list[str]:
    """Return the names of all profiles, or of those for ``modbus`` or ``bacnet``, sorted."""
    paths = chain.from_iterable(
        ((root, path) for path in root.glob("*/*.yaml")) for root in _roots(folder)
    )
    return sorted(
        {
            path.relative_to(root).with_suffix("").as_posix()
            for root, path in paths
            if protocol in {"", _protocol(path)}
        }
    )


def parse_profile(text: bytes, file: str) -> Profile:
    """Return the Modbus profile in `text`; ConfigError names `file`, the key and the fix."""
    return _parse(text, file, Profile)


def parse_bacnet_profile(text: bytes, file: str) -> BacnetProfile:
    """Return the BACnet profile in `text`; ConfigError names `file`, the key and the fix."""
    return _parse(text, file, BacnetProfile)


def parse_any_profile(text: bytes, file: str) -> AnyProfile:
    """Return the profile in `text`, whatever its protocol; ConfigError as in `parse_profile`."""
    data = read_yaml(text, file)
    return _validate(data, text, file, _model(data))


def profile_faults(text: bytes, file: str) -> list[ConfigError]:
    """Return everything that is wrong with a profile, in the order of the file."""
    try:
        data = read_yaml(text, file)
        _model(data).model_validate(data)
    except ConfigError as error:
        return [error]
    except ValidationError as error:
        return explain(error, data, text, file)
    return []


def _model(data: Any) -> type[AnyProfile]:
    said = data.get("protocol", "modbus") if isinstance(data, dict) else "modbus"
    return _MODELS.get(str(said), Profile)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a profile: what ``firmware_profiles/schema.json`` holds."""
    schema = TypeAdapter(AnyProfile).json_schema()
    bacnet = {"required": ["protocol"], "properties": {"protocol": {"const": "bacnet"}}}
    # Rather than `anyOf`: an editor then complains of the one kind of profile that is meant.
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Device profile",
        "$defs": schema["$defs"],
        "type": "object",
        "if": bacnet,
        "then": {"$ref": "#/$defs/BacnetProfile"},
        "else": {"$ref": "#/$defs/Profile"},
    }


def _parse(text: bytes, file: str, model: type[_P]) -> _P:
    return _validate(read_yaml(text, file), text, file, model)


def _validate(data: Any, text: bytes, file: str, model: type[_P]) -> _P:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise explain(error, data, text, file, most=1)[0] from error


def _protocol(path: Path) -> str:
    """Return the protocol of a file without reading all of its YAML."""
    return "bacnet" if _BACNET.search(path.read_bytes()) else "modbus"


def _roots(folder: Path | None) -> list[Path]:
    """Return the folders to look in, first come first served."""
    roots = [folder] if folder is not None else []
    checkout = Path(__file__).resolve().parents[2] / "firmware_profiles"
    if (checkout / "schema.json").is_file():
        return [*roots, checkout]
    # By name only: shared imports nothing of the edge.
    spec = importlib.util.find_spec("plantroom_edge")
    packages = spec.submodule_search_locations if spec is not None else None
    return [*roots, *(Path(one) / "firmware_profiles" for one in packages or ())]
