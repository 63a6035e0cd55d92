"""How a building writes its names: what all names begin with, and what separates levels from words.

Learned from the names themselves. Which character is used does not matter, only where it stands:
a building that writes ``_`` where another writes ``.`` has the same grammar.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from plantroom_shared.mapping.lexicon import parse
from plantroom_shared.mapping.mentions import continues
from plantroom_shared.mapping.names import fold

_PREFIX_SHARE, _PREFIX_MIN, _PREFIX_ROUNDS = 0.6, 5, 4
_TREE_SHARE, _TREE_MIN = 0.8, 5
_PATH: Final = "/"
"""What separates levels by convention, where too few names show it."""
_FAN_OUT: Final = 2.5
"""Points that an average branch of a tree has at least: words of a phrase branch less."""
_LEAF_IDS: Final = 0.3
"""Share of leaves that may hold a number: with more, the last level is no point."""
_SAMPLE: Final = 4000
"""Names that are looked at; a grammar shows in fewer."""
_SEGMENT: Final = re.compile(r"[^\W_]+(?:[\W_]+|(?=$))")
_SEPARATOR: Final = re.compile(r"[\W_]")


def site_prefix(names: Sequence[str]) -> str:
    """Return what most of these cleaned names begin with and which says nothing: the site."""
    some = names[:: len(names) // _SAMPLE + 1]
    length = shared_prefix(some)
    return Counter(name[:length] for name in some).most_common(1)[0][0] if length else ""


def shared_prefix(names: Sequence[str]) -> int:
    """Return how many leading characters say nothing, since most names share them.

    Only whole segments that hold no equipment word count, and no word whose number comes next.
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
    """Return the next segment with what ends it, a number that follows a bare word included.

    Empty at the end of a name, and before a number: what stands there is what it numbers.
    """
    match = _SEGMENT.match(name, skip)
    if match is None:
        return ""
    end = match.end()
    ahead = _SEGMENT.match(name, end)
    if ahead and ahead[0][0].isdigit() and not any(map(str.isdigit, match[0])):
        end = ahead.end()
    return name[skip:end] if end < len(name) and not name[end].isdigit() else ""


def _says_something(head: str) -> bool:
    pieces = parse(fold(head)[0])
    entries = [piece.entry for piece in pieces if piece.entry is not None]
    return any(e.equip or e.space or (e.words and not e.storey) for e in entries)


def level_separator(templates: Sequence[str]) -> str:
    """Return the character that stands between the levels of a tree; empty where there is none.

    It stands in nearly all names, what follows its last is a point (no number, and the same for
    many branches), and a branch has several such points. The separator of words has none of
    these: ``Zone Air Temp`` and ``Zone Air Flow`` are no branches of ``Zone Air``.
    """
    templates = templates[:: len(templates) // _SAMPLE + 1]
    seen = Counter(char for text in templates for char in set(_SEPARATOR.findall(text)) - {"#"})
    usual = [char for char, count in seen.items() if count >= _TREE_SHARE * len(templates)]
    scored = [(_fan_out(templates, char), seen[char], char) for char in usual]
    best = max(scored, default=(0.0, 0, ""))
    if best[0] >= _FAN_OUT and len(templates) >= _TREE_MIN:
        return best[2]
    return _PATH if _PATH in usual else ""


def _fan_out(templates: Iterable[str], char: str) -> float:
    """Return how many points a branch has on average, were `char` what separates levels."""
    branches: dict[str, set[str]] = defaultdict(set)
    count = with_id = 0
    for template in templates:
        branch, found, leaf = template.rpartition(char)
        if found and branch and leaf:
            branches[branch].add(leaf)
            count += 1
            with_id += "#" in leaf
    if not count or with_id > _LEAF_IDS * count:
        return 0.0
    return count / len(branches)


def single_numbers(templates: Mapping[str, int]) -> frozenset[str]:
    """Return the words that mostly have one number, not a number of several parts.

    Where ``AH`` is followed by ``3_SAT`` more often than by ``3_12_SAT``, the 12 is about the point.

    Args:
        templates: template → how many points have it.
    """
    several = {text: count for text, count in templates.items() if text.count("#") > 1}
    if not any(joined for _, joined in _numbered(several).values()):
        return frozenset()
    votes = _numbered(templates)
    return frozenset(word for word, (all_, joined) in votes.items() if 0 < joined < 0.5 * all_)


def _numbered(templates: Mapping[str, int]) -> dict[str, list[int]]:
    """Return word → how often a number follows it, and how often one of several parts."""
    seen: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for template, count in templates.items():
        pieces = parse(template) if "#" in template else ()
        for at, (word, number) in enumerate(pairwise(pieces)):
            if number.is_id and not word.is_id:
                next_is_number = at + 2 < len(pieces) and pieces[at + 2].is_id
                vote = seen[word.text]
                vote[0] += count
                vote[1] += count * (next_is_number and continues(pieces, at + 2))
    return seen
