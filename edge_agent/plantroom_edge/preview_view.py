"""The live table of values: what is shown of them, and what keys do to it. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from plantroom_edge.cli_common import safe
from plantroom_edge.values import Row

SORTS: Final = ("place", "name", "value", "age", "quality")
_COLOURS: Final = {"good": "green", "uncertain": "yellow", "bad": "red", "": "dim"}
_RANK: Final = {"bad": 0, "uncertain": 1, "": 2, "good": 3}
KEYS: Final = (
    "[b]/[/] filter  [b]↑↓[/] move  [b]s[/] sort  [b]b[/] only bad  [b]g[/] group  [b]q[/] quit"
)


@dataclass(slots=True)
class View:
    """What a person looks at."""

    rows: list[Row] = field(default_factory=list)
    now_us: int = 0
    source: str = ""
    """Where the values come from, for a person."""
    filter: str = ""
    typing: bool = False
    """Whether keys go to the filter."""
    only_bad: bool = False
    by_equipment: bool = False
    sort: str = "place"
    top: int = 0
    ended: bool = False
    trouble: str = ""
    _before: dict[str, Any] = field(default_factory=dict)
    _changed: dict[str, float] = field(default_factory=dict)

    def take(self, rows: list[Row], now_us: int, trouble: str = "") -> None:
        """Take new values; note which have changed."""
        now = time.monotonic()
        for row in rows:
            key, value = row["point"], row["value"]
            if key in self._before and self._before[key] != value:
                self._changed[key] = now
            self._before[key] = value
        self.rows, self.now_us, self.trouble = rows, now_us, trouble

    def press(self, key: str, page: int = 20) -> None:
        """Do what a key means."""
        if self.typing:
            self._type(key)
            return
        moves = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -page, "page down": page}
        moves |= {"home": -len(self.rows), "end": len(self.rows)}
        if key in moves:
            self.top = max(0, self.top + moves[key])
        elif key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        elif key == "b":
            self.only_bad, self.top = not self.only_bad, 0
        elif key == "g":
            self.by_equipment = not self.by_equipment
        elif key in ("/", "escape"):
            self.typing, self.filter = key == "/", ""
        elif key == "q":
            self.ended = True

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self.typing = False
            self.filter = "" if key == "escape" else self.filter
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1:
            self.filter += key
        self.top = 0

    def shown(self) -> list[Row]:
        """Return the rows that pass the filter, in order."""
        words = self.filter.lower().split()
        rows = [
            row
            for row in self.rows
            if not (self.only_bad and row["quality"] == "good")
            and all(word in _haystack(row) for word in words)
        ]
        if self.sort != "place":
            rows.sort(key=lambda row: _sort_key(row, self.sort))
        elif self.by_equipment:
            rows.sort(key=lambda row: (not row.get("equipment"), str(row.get("equipment", ""))))
        return rows

    # ------------------------------------------------------------ on the screen

    def render(self, width: int, height: int) -> RenderableType:
        """Return the screen."""
        rows = self.shown()
        room = max(height - 4, 1)
        # Headings may take every other line: the last rows are reached all the same.
        most = len(rows) - (room if len(rows) <= room else max(room // 2, 1))
        self.top = max(0, min(self.top, most))
        bad = sum(row["quality"] == "bad" for row in self.rows)
        title = Text.assemble(
            (" plantroom ", "bold reverse"),
            f" {self.source}  {len(rows)} of {len(self.rows)} points  ",
            (f"{bad} bad", "bold red" if bad else "green"),
            f"  sorted by {self.sort}" + ("  only bad" if self.only_bad else ""),
        )
        title.truncate(width)
        table = Table(box=None, pad_edge=False, expand=True, show_edge=False)
        table.add_column("point", ratio=5, no_wrap=True)
        table.add_column("value", ratio=2, justify="right", no_wrap=True)
        table.add_column("unit", ratio=2, no_wrap=True)
        table.add_column("quality", ratio=2, no_wrap=True)
        table.add_column("age", justify="right", width=7, no_wrap=True)
        for cells in self._lines(rows, room):
            table.add_row(*cells)
        return Group(title, table, Text.from_markup(self._foot(), emoji=False, overflow="ellipsis"))

    def _lines(self, rows: Sequence[Row], room: int) -> Iterable[tuple[str, ...]]:
        """Yield the lines that fit, with a heading where a new device or equipment begins."""
        group, left = None, room
        for row in rows[self.top :]:
            here = self._group(row)
            if self.sort == "place" and here != group and room > 2:
                if left < 2:
                    return
                yield (f"[bold cyan]{safe(here)}[/]", "", "", "", "")
                group, left = here, left - 1
            if left < 1:
                return
            yield self._cells(row)
            left -= 1

    def _group(self, row: Row) -> str:
        if self.by_equipment:
            return str(row.get("equipment") or "no equipment")
        return f"{row['device_name']}  ({row['device']})"

    def _cells(self, row: Row) -> tuple[str, ...]:
        colour = _COLOURS.get(row["quality"], "dim")
        fresh = time.monotonic() - self._changed.get(row["point"], float("-inf")) < 1.5
        value = safe(value_text(row))
        quality = row["reason"] or row["quality"]
        return (
            f"  {safe(row['name'] or row['point'])}",
            f"[bold]{value}[/]" if fresh else value,
            safe(row["unit"]),
            f"[{colour}]{safe(quality)}[/]",
            age_text(row, self.now_us),
        )

    def _foot(self) -> str:
        if self.typing:
            return f"[bold]/{safe(self.filter)}▏[/]  enter keeps it, escape drops it"
        trouble = f"[red]{safe(self.trouble[:60])}[/]  " if self.trouble else ""
        filtered = f"[bold]/{safe(self.filter)}[/]  " if self.filter else ""
        return f"{trouble}{filtered}{KEYS}"


def _haystack(row: Row) -> str:
    keys = (
        "point",
        "name",
        "device_name",
        "unit",
        "quality",
        "reason",
        "bus",
        "equipment",
        "class",
    )
    return " ".join(str(row.get(key, "")) for key in keys).lower()


def _sort_key(row: Row, sort: str) -> tuple[Any, ...]:
    value = row["value"]
    if sort == "value":
        number = isinstance(value, int | float)
        return (not number, -value if number else 0, str(value))
    if sort == "age":
        return (row["ts"] is not None, row["ts"] or 0)
    if sort == "quality":
        return (_RANK.get(row["quality"], 2), row["name"])
    return (row["name"].lower(), row["point"])


def value_text(row: Row) -> str:
    """Return a value as a person reads it: the text of a state, a number without noise."""
    value, states, kind = row["value"], row.get("states") or (), row.get("type", "")
    if value is None:
        return "-"
    # BACnet numbers its binary states from 0 and its multi-states from 1.
    first = {"binary": 0, "multi-state": 1}.get(kind.rpartition("-")[0])
    if first is not None and isinstance(value, int) and 0 <= value - first < len(states):
        return str(states[value - first])
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def age_text(row: Row, now_us: int) -> str:
    """Return how old a value is."""
    if row["ts"] is None:
        return "-"
    seconds = max(0.0, (now_us - row["ts"]) / 1e6)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
