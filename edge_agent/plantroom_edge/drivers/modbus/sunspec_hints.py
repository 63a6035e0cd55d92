"""Brick classes and EnOS points of the common SunSpec points: a table, read when it is needed."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import resources
from typing import Any

import yaml


@functools.cache
def _table() -> tuple[dict[int, dict[str, tuple[str, str]]], dict[int, str]]:
    file = resources.files("plantroom_edge.drivers.modbus") / "sunspec_hints.yaml"
    data: list[dict[str, Any]] = yaml.safe_load(file.read_text("utf-8"))
    points: dict[int, dict[str, tuple[str, str]]] = {}
    equipment: dict[int, str] = {}
    for family in data:
        given = {name: _pair(words) for name, words in family["points"].items()}
        for number in family["models"]:
            points.setdefault(number, {}).update(given)
            if "equip_class" in family:
                equipment[number] = family["equip_class"]
    return points, equipment


def _pair(words: str) -> tuple[str, str]:
    """Return the Brick class and the EnOS point, which has a slash."""
    parts = words.split()
    brick = next((part for part in parts if "/" not in part), "")
    return brick, next((part for part in parts if "/" in part), "")


def hint(number: int, point: str) -> tuple[str, str]:
    """Return the Brick class and the EnOS point of a model's point; empty where there is none."""
    return _table()[0].get(number, {}).get(point, ("", ""))


def equip_class(numbers: Iterable[int]) -> str:
    """Return the Brick class of a device with these models: the first that says one."""
    equipment = _table()[1]
    return next((equipment[number] for number in numbers if number in equipment), "")
