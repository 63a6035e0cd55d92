"""The terminal reviewer: what is on the screen, and what keys ask for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plantroom_shared.mapping.classes import point_classes

_CLASS_NAMES: Final = 12
"""Classes that a search shows, at most."""
HELP: Final = (
    ("enter", "accept"),
    ("1-9", "choose"),
    ("/", "search a class"),
    ("x", "reject"),
    ("d", "defer"),
    ("space", "mark"),
    ("*", "mark all alike"),
    ("A", "accept all sure"),
    ("u", "undo"),
    ("R", "rules"),
    ("e", "edit rules"),
    ("H", "history"),
    ("q", "quit"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a key asks for that the screen cannot do by itself."""

    kind: str
    """answer, accept_all, undo, rules, edit, history, look, quit."""
    templates: tuple[str, ...] = ()
    action: str = ""
    point_class: str = ""


@dataclass(slots=True)
class View:
    """What a person reviews: the queue, the template under the cursor, and why it is so."""

    site: str
    overview: Mapping[str, Any] = field(default_factory=dict)
    queue: Sequence[Mapping[str, Any]] = ()
    why: Mapping[str, Any] = field(default_factory=dict)
    at: int = 0
    top: int = 0
    marked: set[str] = field(default_factory=set)
    mode: str = "queue"
    """``queue``, ``search``, ``sure`` (a question) or ``pages`` (text to be read)."""
    typed: str = ""
    chosen: int = 0
    pages: Sequence[str] = ()
    heading: str = ""
    told: str = ""
    """What the last request did."""
    trouble: str = ""

    # ------------------------------------------------------------ what comes in

    def take(self, overview: Mapping[str, Any], queue: Sequence[Mapping[str, Any]]) -> None:
        """Take a new queue; the cursor stays where it was."""
        self.overview, self.queue = overview, queue
        there = {row["template"] for row in queue}
        self.marked &= there
        self.at = max(0, min(self.at, len(queue) - 1))

    def did(self, done: Mapping[str, Any]) -> None:
        """Say what a request did."""
        parts = [f"{done['changed']} points changed"]
        if done["undone"]:
            parts.insert(0, "taken back")
        elif done["decided"]:
            parts.insert(0, f"{done['decided']} decided")
        if done["learned"]:
            more = f" and {len(done['learned']) - 1} more" if len(done["learned"]) > 1 else ""
            parts.append(f"learned: {done['learned'][0]}{more}")
        if done["forgotten"]:
            parts.append(f"{len(done['forgotten'])} rules gone")
        self.told, self.trouble = " · ".join(parts), ""
        if not done["undone"]:
            self.marked.clear()

    def read(self, heading: str, lines: Sequence[str]) -> None:
        """Show text to be read."""
        self.mode, self.heading, self.pages, self.top = "pages", heading, lines, 0

    # ------------------------------------------------------------ what is under the cursor

    @property
    def current(self) -> Mapping[str, Any] | None:
        """The template under the cursor."""
        return self.queue[self.at] if self.queue else None

    @property
    def choices(self) -> list[str]:
        """Classes under the keys 1 to 9."""
        row = self.current
        if row is None or self.why.get("template", {}).get("template") != row["template"]:
            return []
        names = dict.fromkeys([row["point_class"], *row["also"], *self.why["candidates"]])
        return [name for name in names if name][:9]

    @property
    def found(self) -> list[str]:
        """Classes whose names hold every word that was typed, the nearest first."""
        words = self.typed.lower().replace("_", " ").split()
        names = [*self.choices, *sorted(point_classes())] if words else self.choices
        spoken = {name: name.lower().replace("_", " ") for name in dict.fromkeys(names)}
        fits = [name for name, text in spoken.items() if all(word in text for word in words)]
        near = self.choices
        fits.sort(key=lambda name: near.index(name) if name in near else len(near) + len(name))
        return fits[:_CLASS_NAMES]

    @property
    def sure(self) -> Mapping[str, Any] | None:
        """The promise that ``A`` accepts: what can be taken at 95 %, None where nothing can."""
        promises = self.overview.get("promises", ())
        fits = [one for one in promises if one["precision"] == 0.95 and one["points"]]
        return fits[0] if fits else None

    @property
    def _meant(self) -> tuple[str, ...]:
        """The templates that an answer is for: those marked, else the one under the cursor."""
        if self.marked:
            return tuple(row["template"] for row in self.queue if row["template"] in self.marked)
        return (self.current["template"],) if self.current is not None else ()

    # ------------------------------------------------------------ keys

    def press(self, key: str, page: int = 10) -> Wish | None:
        """Do what a key means; return what is to be done elsewhere."""
        if not key:
            return None
        self.trouble = ""
        handler = {"search": self._search, "sure": self._sure, "pages": self._pages}.get(self.mode)
        return handler(key, page) if handler else self._queue(key, page)

    def _queue(self, key: str, page: int) -> Wish | None:
        moves = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -page, "page down": page}
        moves |= {"home": -len(self.queue), "end": len(self.queue)}
        if key in moves:
            self.at = max(0, min(self.at + moves[key], len(self.queue) - 1))
            return Wish("look")
        plain = {"u": "undo", "R": "rules", "e": "edit", "H": "history"}
        plain |= {"q": "quit", "escape": "quit"}
        if key in plain:
            return Wish(plain[key])
        if key == "A":
            self._ask_sure()
        elif self.current is not None:
            return self._decide(key)
        return None

    def _decide(self, key: str) -> Wish | None:
        row = self.current
        assert row is not None  # noqa: S101 -- asked just before
        if key in {"enter", "a"}:
            return self._accept()
        if key in {"x", "d"}:
            action = {"x": "reject", "d": "defer"}[key]
            return Wish("answer", self._meant, action)
        if key.isdecimal() and len(key) == 1 and 0 < int(key) <= len(self.choices):
            return Wish("answer", self._meant, "correct", self.choices[int(key) - 1])
        if key == " ":
            self.marked ^= {row["template"]}
            self.at = min(self.at + 1, len(self.queue) - 1)
            return Wish("look")
        if key == "*":
            name = row["point_class"]
            self.marked |= {one["template"] for one in self.queue if one["point_class"] == name}
        elif key == "/":
            self.mode, self.typed, self.chosen = "search", "", 0
        return None

    def _accept(self) -> Wish | None:
        classes = {row["template"]: row["point_class"] for row in self.queue}
        if not all(classes[template] for template in self._meant):
            self.trouble = "nothing is proposed here: choose a class with 1-9 or /"
            return None
        return Wish("answer", self._meant, "accept")

    def _ask_sure(self) -> None:
        if self.sure is None:
            self.trouble = "nothing is sure enough to be accepted unseen; answer a few first"
        else:
            self.mode = "sure"

    def _sure(self, key: str, _page: int) -> Wish | None:
        self.mode = "queue"
        return Wish("accept_all") if key in {"y", "Y", "enter"} else None

    def _search(self, key: str, _page: int) -> Wish | None:
        found = self.found
        if key == "escape":
            self.mode = "queue"
        elif key == "enter" and found:
            self.mode = "queue"
            name = found[min(self.chosen, len(found) - 1)]
            return Wish("answer", self._meant, "correct", name)
        elif key in {"up", "down"}:
            step = -1 if key == "up" else 1
            self.chosen = max(0, min(self.chosen + step, len(found) - 1))
        elif key == "backspace":
            self.typed, self.chosen = self.typed[:-1], 0
        elif len(key) == 1:
            self.typed, self.chosen = self.typed + key, 0
        return None

    def _pages(self, key: str, page: int) -> Wish | None:
        moves = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -page, "page down": page}
        if key in moves:
            self.top = max(0, min(self.top + moves[key], max(0, len(self.pages) - page)))
            return None
        if key == "e" and self.heading == "rules":
            self.mode = "queue"
            return Wish("edit")
        if key in {"q", "escape", "enter", "R", "H"}:
            self.mode = "queue"
        return None
