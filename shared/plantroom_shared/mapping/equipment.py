"""Which equipment a name belongs to: the grammar of a building's names.

Work is done per template: a template says where in its names the equipment stands (`Place`), the
names then only fill in their numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from plantroom_shared.mapping.lexicon import Piece, parse
from plantroom_shared.mapping.names import fold

PARTS: Final = frozenset(
    {
        "Fan",
        "Supply_Fan",
        "Return_Fan",
        "Exhaust_Fan",
        "Variable_Frequency_Drive",
        "Humidifier",
        "Radiator",
    }
)
"""Equipment that is part of what it stands in; by itself only where nothing else is named."""
_VAGUE: Final = frozenset({"Pump", "Meter", "Battery", "Fan", "Photovoltaic_Inverter", "Lighting"})
"""Words too common to name equipment without a number."""
_ID_SEPARATORS: Final = frozenset({"", " ", "-", "_", ".", " - ", "#", " #", ":", "/"})
_LOOPS: Final = {"Chilled Water": "Chilled_Water_System", "Hot Water": "Hot_Water_System"}
_TREE: Final = "/"
_PREFIX_SHARE, _PREFIX_MIN, _PREFIX_ROUNDS = 0.6, 5, 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a template names its equipment."""

    start: int
    end: int
    """The name up to here is the equipment and its path; the rest is about the point."""
    equip_class: str
    """Brick class by its word; empty for a space or an unknown word."""
    kind: str
    """``equipment``, ``space``, ``part``, ``unknown``, ``system`` or ``none``."""
    path: bool = False
    """The path before it tells it apart from its namesakes."""
    whole: bool = False
    """The point's words stand before it too: ``HourCWP``."""

    @property
    def cut(self) -> int:
        """Where the words about the point begin."""
        return 0 if self.whole else self.end


NOWHERE: Final = Place(0, 0, "", "none")


@lru_cache(maxsize=65536)
def place(template: str, skip: int = 0) -> Place:
    """Return where `template` names its equipment.

    Args:
        template: a folded name.
        skip: characters of a prefix that every name of the site shares.
    """
    pieces = [piece for piece in parse(template) if piece.start >= skip]
    found = list(_mentions(pieces))
    best = _choose(found)
    if best is None:
        best = _system(pieces) or _medium(pieces)
    if best is None:
        return NOWHERE
    before = [piece for piece in pieces if piece.end <= best.start]
    tree = any(_TREE in piece.sep for piece in [*before[1:], *_at(pieces, best.start)])
    leaf = template.find(_TREE, best.end) if tree else -1
    if leaf > 0:
        # In a tree of places the whole branch names it: `/VAV Corridor 8100 West/`.
        best = replace(best, end=leaf)
    named = any(piece.is_id for piece in before) and best.kind != "space"
    return replace(best, path=bool(before) and (tree or (named and _foreign(before))))


def _at(pieces: list[Piece], start: int) -> list[Piece]:
    return [piece for piece in pieces if piece.start == start][:1]


def _foreign(before: list[Piece]) -> bool:
    """Tell whether numbers before it belong to something that is no equipment: a building, a wing."""
    return not any(piece.entry and (piece.entry.equip or piece.entry.space) for piece in before)


def _mentions(pieces: list[Piece]) -> Iterable[Place]:
    for index, piece in enumerate(pieces):
        if piece.is_id and (index == 0 or not _is_code_start(pieces, index)):
            continue
        code_at = _code_after(pieces, index)
        if code_at is None:
            continue
        end_index = _code_end(pieces, code_at)
        kind, equip_class = _kind(pieces, index)
        last = end_index == len(pieces) - 1
        if not kind or (last and kind == "unknown" and index > 0):
            continue
        yield Place(piece.start, pieces[end_index].end, equip_class, kind)


def _is_code_start(pieces: list[Piece], index: int) -> bool:
    """A number that starts a code by itself (``4FS8``) after a separator."""
    follows = index + 1 < len(pieces) and not pieces[index + 1].sep
    return (
        bool(pieces[index].sep) and follows and index + 2 < len(pieces) and pieces[index + 2].is_id
    )


def _kind(pieces: list[Piece], index: int) -> tuple[str, str]:
    piece = pieces[index]
    entry = piece.entry
    if piece.is_id:
        return "unknown", ""
    if entry is None:
        return ("unknown", "") if len(piece.text) <= 12 else ("", "")
    if entry.equip:
        return ("part" if entry.equip in PARTS else "equipment"), entry.equip
    if entry.space:
        return "space", ""
    return "", ""


def _code_after(pieces: list[Piece], index: int) -> int | None:
    """Return where the number of the word at `index` stands: next, or behind one letter or room word."""
    if pieces[index].is_id:
        return index
    entry = pieces[index].entry
    named = entry is not None and bool(entry.equip)
    for ahead in (1, 2, 3):
        at = index + ahead
        if at >= len(pieces):
            return None
        piece = pieces[at]
        if piece.is_id:
            return at if piece.sep in _ID_SEPARATORS or named else None
        letter = len(piece.text) == 1 and at + 1 < len(pieces) and not pieces[at + 1].sep
        passable = piece.sep in {" ", "_", "-", "."} and (
            letter or (named and (piece.entry is None or piece.entry.space) and piece.sep == " ")
        )
        if not passable:
            return None
    return None


def _code_end(pieces: list[Piece], at: int) -> int:
    """Return the last piece of the code that begins with the number at `at`: ``1-2-91``, ``2150A``."""
    joint = pieces[at].sep if pieces[at].sep in {"_", "-", "."} else "-"
    while at + 1 < len(pieces):
        ahead = pieces[at + 1]
        ends = at + 2 == len(pieces) or bool(pieces[at + 2].sep)
        code = at + 2 < len(pieces) and pieces[at + 2].is_id and len(ahead.text) <= 2
        if (ahead.is_id and ahead.sep in {"-", joint, ""}) or (
            not ahead.sep
            and not ahead.is_id
            and ((len(ahead.text) == 1 and ends) or (code and not pieces[at + 2].sep))
        ):
            at += 1
        else:
            break
    return at


def _choose(found: list[Place]) -> Place | None:
    """Return the mention that is the equipment: the innermost, but no part of another."""
    strong = [mention for mention in found if mention.kind == "equipment"]
    spaces = [mention for mention in found if mention.kind == "space"]
    if spaces and (not strong or spaces[-1].start > strong[-1].end):
        return spaces[-1]
    if strong:
        return strong[-1]
    for kind in ("part", "unknown"):
        of_kind = [mention for mention in found if mention.kind == kind]
        if of_kind:
            return of_kind[0]
    return None


def _system(pieces: list[Piece]) -> Place | None:
    """Return equipment named without a number: ``Chilled Water Plant …``, ``CWPFlow``."""
    for index, piece in enumerate(pieces):
        entry = piece.entry
        if entry is None or not entry.equip or entry.equip in PARTS | _VAGUE:
            continue
        if entry.words and index > 0:
            continue
        if index == 0 and len(pieces) > 1:
            return Place(piece.start, piece.end, entry.equip, "system")
        after = index + 1 < len(pieces) and _TREE in pieces[index + 1].sep
        plain = all(not before.sep for before in pieces[1 : index + 1])
        if after or plain:
            return Place(piece.start, piece.end, entry.equip, "system", whole=not after)
    return None


def _medium(pieces: list[Piece]) -> Place | None:
    """Return a loop that heads a path by its medium alone: ``CHW.Supply Temp``."""
    if len(pieces) < 2 or pieces[0].entry is None or pieces[1].sep[:1] not in {".", "/", ":", "'"}:
        return None
    equip_class = _LOOPS.get(" ".join(pieces[0].entry.words), "")
    return Place(pieces[0].start, pieces[0].end, equip_class, "system") if equip_class else None


def shared_prefix(names: Sequence[str]) -> int:
    """Return how many leading characters say nothing, since most names share them.

    Only whole segments that hold no equipment word count.
    """
    skip = 0
    if len(names) < _PREFIX_MIN:
        return 0
    for _ in range(_PREFIX_ROUNDS):
        heads = Counter(_segment(name, skip) for name in names)
        head, count = heads.most_common(1)[0]
        if not head or count < _PREFIX_SHARE * len(names) or _says_something(head):
            break
        skip += len(head)
    return skip


def _segment(name: str, skip: int) -> str:
    for at in range(skip, len(name)):
        if name[at] in "./:'" or (name[at] in "_ " and at > skip):
            end = at + 1
            while end < len(name) and name[end] in "./:' _-":
                end += 1
            return name[skip:end]
    return ""


def _says_something(head: str) -> bool:
    pieces = parse(fold(head)[0])
    entries = [piece.entry for piece in pieces if piece.entry is not None]
    return any(e.equip or e.space or (e.words and not e.storey) for e in entries)
