"""Where equipment ends in a name and its point begins, as far as only the other names can tell.

Three questions, one kind of answer: a machine is a code below which the same points recur, and no
machine has two points of one name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from plantroom_shared.mapping.equipment import label_after
from plantroom_shared.mapping.mentions import NOWHERE, Place
from plantroom_shared.mapping.rows import Row, spelled, stretch
from plantroom_shared.model import Device

_MOST, _FEW = 0.5, 0.2
_SAVING: Final = 0.7
"""Machines and points that a doubtful code may need per name it explains."""


def choose(rows: list[Row], devices: Mapping[str, Device]) -> None:
    """Choose, where no word says which of several codes is the machine, what explains most with least.

    A machine is a code below which the same points recur: of all ways to cut a name the one
    wins that needs the fewest machines and points to tell all its names. What saves nothing is no
    machine: numbered points of the device that serves them, or of none.
    """
    machines: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    suffixes: dict[tuple[str, str], set[str]] = defaultdict(set)
    told: Counter[tuple[str, str]] = Counter()
    open_ = [row for row in rows if _is_open(row, devices)]
    for row in open_:
        for rival in row.where.rivals:
            head = _head(row, rival, devices)
            machines[head].add(row.runs[: head[1].count("#")])
            suffixes[head].add(stretch(row, rival.end, len(row.template)))
            told[head] += 1
    cost = {head: (len(machines[head]) + len(suffixes[head])) / told[head] for head in told}
    for row in open_:
        found = [(cost[_head(row, rival, devices)], rival) for rival in row.where.rivals]
        least, best = min(found, key=lambda item: item[0])
        doubtful = best.kind == "word" or row.point.device in devices
        row.where = NOWHERE if doubtful and least > _SAVING else best


def _is_open(row: Row, devices: Mapping[str, Device]) -> bool:
    if not row.where.rivals:
        return False
    return len(row.where.rivals) > 1 or row.where.kind == "word" or row.point.device in devices


def _head(row: Row, rival: Place, devices: Mapping[str, Device]) -> tuple[str, str]:
    """Return what machines of one kind share: on a device of their own, that too."""
    return row.point.device if row.point.device in devices else "", row.template[: rival.end]


def letter(rows: list[Row]) -> None:
    """Tell machines apart by a word where no number does: ``AHU East``, ``Chiller B``.

    A word is a label if what follows it also follows other words at the same place.
    """
    told: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    ends: dict[str, tuple[str, int]] = {}
    for row in rows:
        if row.where.kind == "system" and not row.where.whole and row.template not in ends:
            label, end = label_after(row.template, row.where.end)
            ends[row.template] = (label, end)
            if label:
                told[row.where.word][spelled(row.template[end:])].add(label)
    labels = {
        word: {label for own in rest.values() if len(own) > 1 for label in own}
        for word, rest in told.items()
    }
    for row in rows:
        label, end = ends.get(row.template, ("", 0))
        if label and row.where.kind == "system" and label in labels[row.where.word]:
            row.where = row.where._replace(end=end, kind="equipment")


def branch_out(rows: list[Row]) -> None:
    """Take the whole branch as the name where its code alone names none, or would name two machines.

    ``RM12_MIX.Temp`` beside ``RM12.Temp`` is another machine; ``HX1-PID.Gain`` is the same, as
    ``HX1`` has no gain of its own.
    """
    if not any(row.where.branch for row in rows):
        return
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.where.kind != "none":
            told[_short(row)].add(_branch(row))
    alone = Counter(row.where.word for row in rows if not row.where.branch)
    longer = Counter(row.where.word for row in rows if row.where.branch)
    always = {word for word, count in longer.items() if alone[word] < _FEW * count}
    votes: dict[object, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        if row.where.branch:
            # By its words, and for this one machine: rooms are called alike, but few are split.
            for key in (_branch(row), (_short(row)[0], _branch(row))):
                votes[key][0] += 1
                votes[key][1] += len(told[_short(row)]) > 1
    for row in rows:
        if row.where.branch:
            own = votes[_short(row)[0], _branch(row)]
            if row.where.word in always or _won(own) or _won(votes[_branch(row)]):
                row.where = row.where._replace(end=row.where.branch)


def _short(row: Row) -> tuple[str, str]:
    """Return the machine without its branch, and what the name says of its point."""
    leaf = row.template[max(row.where.branch, row.where.end) :]
    return stretch(row, 0, row.where.end), leaf


def _branch(row: Row) -> str:
    return row.template[row.where.start : max(row.where.branch, row.where.end)]


def namesakes(rows: list[Row]) -> set[str]:
    """Return the words whose machines are told apart only by what stands before them.

    A machine under two paths is two if both have a point of the same name.
    """
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    words: dict[str, str] = {}
    for row in rows:
        if row.where.kind != "none" and row.where.start and not row.where.path:
            path = stretch(row, 0, row.where.start)
            seen[row.equipment][spelled(path)].add(spelled(row.template[row.where.end :]))
            words[row.equipment] = row.where.word
    votes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for key, paths in seen.items():
        if len(paths) > 1:
            vote = votes[words[key]]
            vote[0] += 1
            vote[1] += overlap(paths.values())
    return {word for word, vote in votes.items() if _won(vote)}


def overlap(groups: Collection[set[str]]) -> bool:
    """Tell whether two of the groups have something in common."""
    return len(set().union(*groups)) < sum(map(len, groups))


def _won(vote: Sequence[int]) -> bool:
    return bool(vote[0]) and vote[1] >= _MOST * vote[0]
