"""Where a name mentions something that may be equipment: a word and its number, or a bare code.

Separators are weak evidence: which of them stands between a word and its number, or within a
number, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from plantroom_shared.mapping.lexicon import Piece

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
TERMINALS: Final = frozenset(
    {
        "Variable_Air_Volume_Box",
        "Variable_Air_Volume_Box_With_Reheat",
        "Constant_Air_Volume_Box",
        "Fan_Coil_Unit",
        "Terminal_Unit",
        "Chilled_Beam",
        "Radiator",
        "Induction_Unit",
    }
)
"""Equipment that serves one space and is often numbered as the space is."""
VAGUE: Final = frozenset({"Pump", "Meter", "Battery", "Fan", "Photovoltaic_Inverter", "Lighting"})
"""Words too common to name equipment without a number."""
LOOPS: Final[dict[tuple[str, ...], str]] = {
    ("Chilled", "Water"): "Chiller",
    ("Hot", "Water"): "Hot_Water_System",
}
"""A loop named by its medium alone stands for what makes it cold; a hot one has many makers."""
_COUNTERS: Final = frozenset({"号", "號"})
_ORDINALS: Final = frozenset({"st", "nd", "rd", "th"})
_CODE: Final = 12
"""Letters of a word that may be a code: longer ones are words of a sentence."""


class Place(NamedTuple):
    """Where a template names its equipment."""

    start: int
    end: int
    """The name up to here is the equipment and its path; the rest is about the point."""
    equip_class: str
    """Brick class by its word; empty for a space or an unknown word."""
    kind: str
    """``equipment``, ``space``, ``loop``, ``part``, ``system``, ``unknown``, ``word`` (a word
    about points: a machine only if that explains the names) or ``none``."""
    path: bool = False
    """The path before it tells it apart from its namesakes."""
    whole: bool = False
    """The point's words stand before it too: ``HourCWP``."""
    word: str = ""
    """The word that its number follows, in small letters: equal words name equal machines."""
    branch: int = 0
    """Where the branch ends that it begins, if further on: ``VAV Room 12 Office/``; else 0."""
    leaf: int = 0
    """Where the words about the point begin, if not at once: ``Office`` is none; else 0."""
    rivals: tuple[Place, ...] = ()
    """All mentions it was chosen from, where no word says which is right."""
    vague: bool = False
    """Only its parent makes clear what it is: ``Pump1`` below ``CHW``."""
    parent: tuple[int, int, str, str] | None = None
    """What stands above it in the name: start, end, class and kind."""

    @property
    def cut(self) -> int:
        """Where the words about the point begin."""
        return 0 if self.whole else max(self.end, self.leaf)


NOWHERE: Final = Place(0, 0, "", "none")


def mentions(pieces: list[Piece], tree: str, single: frozenset[str]) -> Iterator[Place]:
    """Yield what the pieces of a name mention, in order.

    Args:
        pieces: the name without its site.
        tree: what separates levels at this site; empty where nothing does.
        single: words that have one number at this site.
    """
    for index, piece in enumerate(pieces):
        if piece.is_id:
            counted = _counted(pieces, index)
            if counted is not None:
                yield counted
                continue
            if index and not _is_code_start(pieces, index):
                continue
        code_at = _code_after(pieces, index, tree)
        if code_at is None:
            continue
        end_index = _code_end(pieces, code_at, joins=piece.text not in single)
        kind, equip_class = _kind(pieces, index, code_at)
        last = end_index == len(pieces) - 1
        weak = kind in {"unknown", "loop", "word"} or equip_class in VAGUE
        if not kind or (last and weak and (index > 0 or kind == "word")):
            continue
        yield Place(piece.start, pieces[end_index].end, equip_class, kind, word=piece.text)


def _counted(pieces: list[Piece], index: int) -> Place | None:
    """Return equipment whose number comes first: ``1号冷水机组``, ``2# Boiler``."""
    at = index + 1
    while at < len(pieces) and pieces[at].text in _COUNTERS:
        at += 1
    if at >= len(pieces) or (at + 1 < len(pieces) and pieces[at + 1].is_id):
        return None
    noun, before = pieces[at], pieces[index - 1] if index else None
    entry = noun.entry
    spoken = at > index + 1 or not noun.text.isascii()
    claimed = before is not None and (
        not pieces[index].sep
        or (before.entry and (before.entry.equip or before.entry.space or before.entry.storey))
    )
    if entry is None or not entry.equip or noun.sep not in {"", " "} or (claimed and not spoken):
        return None
    if not spoken and index:
        return None
    kind = "part" if entry.equip in PARTS else "equipment"
    return Place(pieces[index].start, noun.end, entry.equip, kind, word=noun.text)


def _is_code_start(pieces: list[Piece], index: int) -> bool:
    """A number that starts a code by itself (``4FS8``) after a separator."""
    follows = index + 1 < len(pieces) and not pieces[index + 1].sep
    return (
        bool(pieces[index].sep) and follows and index + 2 < len(pieces) and pieces[index + 2].is_id
    )


def _kind(pieces: list[Piece], index: int, code_at: int) -> tuple[str, str]:
    piece = pieces[index]
    entry = piece.entry
    if piece.is_id:
        return ("unknown", "") if index else ("word", "")
    if entry is None:
        return ("unknown", "") if len(piece.text) <= _CODE else ("word", "")
    if entry.equip:
        return ("part" if entry.equip in PARTS else "equipment"), entry.equip
    if entry.space:
        return "space", ""
    if entry.words in LOOPS and code_at == index + 1 and not pieces[code_at].sep:
        return "loop", LOOPS[entry.words]
    return "word", ""


def _code_after(pieces: list[Piece], index: int, tree: str) -> int | None:
    """Return where the number of the word at `index` stands: next, or behind a letter or a room word."""
    if pieces[index].is_id:
        return index
    entry = pieces[index].entry
    named = entry is not None and bool(entry.equip)
    serving = entry is not None and entry.equip in TERMINALS
    for at in range(index + 1, min(index + 4, len(pieces))):
        piece = pieces[at]
        if piece.is_id:
            return at
        letter = len(piece.text) == 1 and at + 1 < len(pieces) and not pieces[at + 1].sep
        room = serving and piece.entry is not None and piece.entry.space
        label = named and piece.entry is None and (not tree or tree not in piece.sep)
        if not piece.sep or not (letter or room or label):
            return None
    return None


def _code_end(pieces: list[Piece], at: int, *, joins: bool) -> int:
    """Return the last piece of the code that begins with the number at `at`: ``1-2-91``, ``2150A``."""
    while at + 1 < len(pieces):
        ahead = pieces[at + 1]
        behind = pieces[at + 2] if at + 2 < len(pieces) else None
        if ahead.is_id:
            more = joins and continues(pieces, at + 1)
        else:
            letter = len(ahead.text) == 1 and (behind is None or bool(behind.sep))
            code = behind is not None and behind.is_id and not behind.sep and len(ahead.text) <= 2
            more = not ahead.sep and (letter or code) and _is_letters(ahead)
        if not more:
            break
        at += 1
    return at


def _is_letters(piece: Piece) -> bool:
    """Tell letters of a code from a word: one sign is a word in some scripts."""
    return piece.entry is None or (piece.text.isascii() and not piece.entry.equip)


def continues(pieces: Sequence[Piece], at: int) -> bool:
    """Tell whether the number at `at` may belong to the one before it.

    A number that ends the name tells points apart, not machines; nor does `1st`.
    """
    return at + 1 < len(pieces) and pieces[at + 1].text not in _ORDINALS
