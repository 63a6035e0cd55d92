"""Where a name names its equipment.

Work is done per template: a template says where in its names the equipment stands (`Place`), the
names then only fill in their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from plantroom_shared.mapping.lexicon import Piece, parse
from plantroom_shared.mapping.mentions import LOOPS, NOWHERE, PARTS, VAGUE, Place, mentions

_PUMPED: Final = ("Chilled", "Condenser", "Hot")
_STRONG: Final = frozenset("./:'")
"""What separates levels where there are too few names to tell."""
_SHORT: Final = 2
"""Letters of a word that means too many things to be found anywhere in a name."""


def place(
    template: str, skip: int = 0, tree: str = "", single: frozenset[str] = frozenset()
) -> Place:
    """Return where `template` names its equipment.

    Args:
        template: a folded name.
        skip: characters of a prefix that every name of the site shares.
        tree: what separates levels at this site; empty where nothing does.
        single: words that at this site have one number: the next one is about the point.
    """
    pieces = [piece for piece in parse(template) if piece.start >= skip]
    found = list(mentions(pieces, tree, single))
    best = _choose(found)
    if best is None or best.kind == "unknown":
        system = _system(pieces, tree)
        # `CHW-SYS.P1` is a part of the system, but `AHU.AC2` is one of the air handlers.
        if system and (best is None or system.equip_class.endswith("_System")):
            best = system
        best = best or _medium(pieces, tree)
    weak = [mention for mention in found if mention.kind == "word"]
    best = best or (weak[0] if weak else None)
    if best is None:
        return NOWHERE
    best = _complete(best, template, pieces, tree, found)
    if best.kind in {"unknown", "word"}:
        weak = [mention for mention in found if mention.kind == best.kind]
        rivals = tuple(_complete(mention, template, pieces, tree, found) for mention in weak)
        return best._replace(rivals=rivals)
    return best


def _complete(
    best: Place, template: str, pieces: list[Piece], tree: str, found: list[Place]
) -> Place:
    """Add what stands around a mention: its branch, its path, its parent."""
    before = [piece for piece in pieces if piece.end <= best.start]
    best = _with_branch(best, template, pieces, tree)
    if best.kind == "unknown":
        best = best._replace(equip_class=_heading(before))
    if best.equip_class == "Pump":
        best = best._replace(equip_class=_pump(before))
    named = best.kind != "space" and any(piece.is_id for piece in before)
    loop = _within(template, best, tree)
    parent = loop or _above(best, found, pieces, tree)
    return best._replace(path=named and _foreign(before), parent=parent, vague=loop is not None)


def _with_branch(best: Place, template: str, pieces: list[Piece], tree: str) -> Place:
    """Say where its branch ends: that may name it whole, as ``VAV Corridor 8100 West/``."""
    leaf = template.find(tree, best.end) if tree else -1
    between = [piece for piece in pieces if best.end <= piece.start < leaf]
    if leaf <= best.end or not between or any(p.entry and p.entry.equip for p in between):
        return best
    about_it = all(p.entry and p.entry.words and not p.entry.space for p in between)
    return best._replace(branch=leaf, leaf=0 if about_it else leaf)


def _heading(before: list[Piece]) -> str:
    """Return the class that heads a path: ``AHU`` in ``AHU.AC2``."""
    for piece in reversed(before):
        if piece.entry and piece.entry.equip and piece.entry.equip not in PARTS:
            return piece.entry.equip
    return ""


def _pump(before: list[Piece]) -> str:
    """Return which pump it is by the medium of what stands before it."""
    said = words_of(before) | {word for p in before if p.entry for word in p.entry.equip.split("_")}
    return next((f"{medium}_Water_Pump" for medium in _PUMPED if medium in said), "Pump")


def _above(
    best: Place, found: list[Place], pieces: list[Piece], tree: str
) -> tuple[int, int, str, str] | None:
    """Return the equipment that stands before it in the name."""
    for mention in reversed(found):
        if mention.end <= best.start and mention.kind in {"equipment", "loop"}:
            return (mention.start, mention.end, mention.equip_class, mention.kind)
    for piece in pieces:
        if piece.end <= best.start and piece.entry and piece.entry.equip.endswith("_System"):
            return (piece.start, piece.end, piece.entry.equip, "plant")
    head = _medium(pieces, tree)
    if head is not None and head.end <= best.end and head.start <= best.start and head != best:
        return (head.start, head.end, head.equip_class, head.kind)
    return None


def _foreign(before: list[Piece]) -> bool:
    """Tell whether numbers before it belong to something that is no equipment: a building, a wing."""
    return not any(
        piece.entry and (piece.entry.equip or piece.entry.space or piece.entry.words in LOOPS)
        for piece in before
    )


def _choose(found: list[Place]) -> Place | None:
    """Return the mention that is the equipment: the innermost, but no part of another."""
    strong = [mention for mention in found if mention.kind == "equipment"]
    spaces = [mention for mention in found if mention.kind == "space"]
    if spaces and (not strong or spaces[-1].start > strong[-1].end):
        return spaces[-1]
    if strong:
        return strong[-1]
    for kind in ("loop", "part", "unknown"):
        of_kind = [mention for mention in found if mention.kind == kind]
        if of_kind:
            return of_kind[0]
    return None


def _system(pieces: list[Piece], tree: str) -> Place | None:
    """Return equipment named without a number: ``Chilled Water Plant …``, ``CWPFlow``."""
    inside = None
    for index, piece in enumerate(pieces):
        entry = piece.entry
        if entry is None or not entry.equip or entry.equip in PARTS | VAGUE:
            continue
        if entry.words and index > 0:
            continue
        found = Place(piece.start, piece.end, entry.equip, "system", word=piece.text)
        if (index == 0 and len(pieces) > 1) or _ends_path(pieces, index, tree):
            return found
        joined = all(not before.sep for before in pieces[1 : index + 1])
        ahead = pieces[index + 1].entry if index + 1 < len(pieces) else None
        if joined or (len(piece.text) > _SHORT and not (ahead and ahead.space)):
            inside = inside or found._replace(whole=True)
    return inside


def _ends_path(pieces: list[Piece], index: int, tree: str) -> bool:
    """Tell whether all before it is a path: in a tree its level ends here, else it says ``system``."""
    if index + 1 >= len(pieces):
        return False
    if tree:
        return tree in pieces[index + 1].sep
    spoken = pieces[index].entry
    system = spoken is not None and spoken.equip.endswith("_System")
    return system and not any(
        p.entry and p.entry.words and not (p.entry.space or p.entry.storey) for p in pieces[:index]
    )


def _medium(pieces: list[Piece], tree: str) -> Place | None:
    """Return a loop that heads a path by its medium alone: ``CHW.Supply Temp``."""
    if len(pieces) < 2 or pieces[0].entry is None:
        return None
    first, sep = pieces[0], pieces[1].sep
    if tree not in sep if tree else sep[:1] not in _STRONG:
        return None
    equip_class = LOOPS.get(pieces[0].entry.words, "")
    if not equip_class:
        return None
    return Place(first.start, first.end, equip_class, "system", word=first.text)


def _within(template: str, best: Place, tree: str) -> tuple[int, int, str, str] | None:
    """Return the loop that is the first half of a joined word: the ``CHW`` of ``CHW.Pump1``."""
    at = template.find(tree, best.start, best.end) if tree else -1
    head = parse(template[best.start : at]) if at > best.start else ()
    entry = head[0].entry if len(head) == 1 else None
    equip_class = LOOPS.get(entry.words, "") if entry else ""
    return (best.start, at, equip_class, "system") if equip_class else None


def label_after(template: str, end: int) -> tuple[str, int]:
    """Return the word behind `end` that may tell machines apart, and where it ends; else empty."""
    after = [piece for piece in parse(template) if piece.start >= end][:2]
    if len(after) < 2 or after[0].is_id or not after[1].sep:
        return "", 0
    entry = after[0].entry
    known = entry is not None and not (entry.space or entry.storey)
    return ("", 0) if known else (after[0].text, after[0].end)


def words_of(pieces: Iterable[Piece]) -> set[str]:
    """Return the Brick words that pieces are known to mean."""
    return {word for piece in pieces if piece.entry for word in piece.entry.words}
