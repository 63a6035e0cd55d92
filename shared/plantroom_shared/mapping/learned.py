"""What people decided, and the rules that follow from it: text that can be read and edited. Pure.

A rule is one line::

    in VAV: "ZN-T" means Zone_Air_Temperature_Sensor
    in AHU: "STS" with type "binary-input" means Fan_On_Off_Status
    anywhere: "OAT" with unit "degF" means Outside_Air_Temperature_Sensor

It speaks of the point's own part of the name, whatever separators and letter case it is written
in; ``#`` stands for a number. Decisions of people come before their rules, their rules before what
was learned, and all of these before guesses.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from plantroom_shared.mapping.classes import canonical, is_equip_class, is_point_class
from plantroom_shared.mapping.names import RUN, clean, fold, lower, word_edges
from plantroom_shared.mapping.template import Template, read_key
from plantroom_shared.units import parse_unit

ANYWHERE: Final = "*"
CONDITIONS: Final = ("unit", "type", "description")
"""What a rule may ask for beside the name, in the order in which it is written."""
MAX_LINE: Final = 1200
"""Characters of a line: every quote of the longest names written as two."""
SHORT: Final = {
    "AHU": "Air_Handling_Unit",
    "CRAC": "Computer_Room_Air_Conditioning",
    "DOAS": "Dedicated_Outdoor_Air_System_Unit",
    "FCU": "Fan_Coil_Unit",
    "HX": "Heat_Exchanger",
    "MAU": "Makeup_Air_Unit",
    "RTU": "Rooftop_Unit",
    "VAV": "Variable_Air_Volume_Box",
    "VFD": "Variable_Frequency_Drive",
}
"""Short names of equipment classes, as people say them."""
_LONG: Final = {name: short for short, name in SHORT.items()}
_NOWHERE: Final = "no equipment"
_TEXT: Final = r'"((?:[^"\\]|\\.)*)"'
_ASKED: Final = rf"\s+(with|and)\s+(unit|type|description)\s+{_TEXT}"
_LINE: Final = re.compile(
    rf"(?:(?P<any>anywhere)|in\s+(?P<where>[^\s:\"][^:\"]*?))\s*:\s*{_TEXT.replace('(', '(?P<name>', 1)}"
    rf"(?P<asked>(?:{_ASKED})*)\s+means\s+(?P<means>\S+)",
    re.IGNORECASE,
)
_CONDITION: Final = re.compile(_ASKED, re.IGNORECASE)
_COMMENT: Final = re.compile(r"\s*(?:#.*)?", re.DOTALL)


class RuleError(ValueError):
    """A line that is no rule; the text says what is wrong and what to write."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: points whose own part of the name is this mean that."""

    name: str
    """The point's own part of the name; ``#`` for a number."""
    point_class: str
    equip_class: str = ANYWHERE
    """Brick class of the equipment; empty for points without one, `ANYWHERE` for all."""
    unit: str = ""
    type: str = ""
    description: str = ""
    """Empty: any."""

    @property
    def text(self) -> str:
        """The line, as it is shown and edited."""
        where = _LONG.get(self.equip_class, self.equip_class) or _NOWHERE
        said = [f"{name} {_quoted(value)}" for name in CONDITIONS if (value := getattr(self, name))]
        only = f" with {' and '.join(said)}" if said else ""
        place = "anywhere" if self.equip_class == ANYWHERE else f"in {where}"
        return f"{place}: {_quoted(self.name)}{only} means {self.point_class}"

    @property
    def says_of(self) -> tuple[str, ...]:
        """What it speaks of: two rules of the same would contradict each other."""
        asked = (folded(self.name), self.unit, self.type, folded(self.description))
        return (self.equip_class, *asked)

    def holds(self, template: Template) -> bool:
        """Tell whether it speaks of a template."""
        return (
            self.equip_class in {ANYWHERE, template.equip_class}
            and folded(self.name) == folded(template.suffix)
            and (not self.unit or self.unit == clean(template.unit))
            and (not self.type or self.type.casefold() == clean(template.object_type).casefold())
            and (not self.description or folded(self.description) == folded(template.description))
        )


def parse_rule(line: str) -> Rule:
    """Return the rule that a line says; what follows it after ``#`` is a comment.

    Raises:
        RuleError: the line is none, or names a class that Brick does not have.
    """
    match = _LINE.match(line.strip()) if len(line) <= MAX_LINE else None
    if match is None or not _COMMENT.fullmatch(line.strip()[match.end() :]):
        msg = f'write it as: in VAV: "ZN-T" means Zone_Air_Temperature_Sensor; not: {line[:80]}'
        raise RuleError(msg)
    name = plain(_unquoted(match["name"]))
    if not name:
        msg = f"between the quotes stands the point's part of the name; it is empty in: {line[:80]}"
        raise RuleError(msg)
    where = ANYWHERE if match["any"] else _equipment(match["where"].strip())
    return Rule(name, _meaning(match["means"]), where, **_conditions(match["asked"], line))


def parse_rules(text: str) -> list[Rule]:
    """Return the rules of a text, a line each; empty lines and comments are passed over.

    Raises:
        RuleError: as `parse_rule`, with the number of the line; or two lines contradict each other.
    """
    rules: dict[tuple[str, ...], Rule] = {}
    for number, line in enumerate(text.replace("\r", "\n").split("\n"), 1):
        if _COMMENT.fullmatch(line):
            continue
        try:
            rule = parse_rule(line)
        except RuleError as error:
            msg = f"line {number}: {error}"
            raise RuleError(msg) from None
        if rules.setdefault(rule.says_of, rule).point_class != rule.point_class:
            msg = f"line {number} contradicts another: {rule.text}; leave one of them"
            raise RuleError(msg)
    return list(rules.values())


@lru_cache(maxsize=65536)
def folded(text: str) -> str:
    """Return a name as rules compare it: its words, whatever separates them."""
    cleaned = clean(text)
    return " ".join(_words(cleaned)) or cleaned.casefold()


def _words(cleaned: str) -> Iterator[str]:
    for run in RUN.findall(cleaned):
        edges = sorted(word_edges(run))
        yield from (lower(run[start:end]) for start, end in itertools.pairwise(edges))


def plain(text: str) -> str:
    """Return what somebody wrote of a name as templates have it: cleaned, every number a ``#``."""
    # Twice: what stood around a removed character may come together to one letter.
    return "#".join(fold(part)[0] for part in clean(clean(text)).split("#")).strip()


# ---------------------------------------------------------------- learning


def induced(answers: Mapping[str, str], known: Iterable[Template] = ()) -> list[Rule]:
    """Return the rules that follow from answers: each answer, for its name within its equipment class.

    A rule asks for no more than is needed: for unit, type or description only where templates of
    the same name differ so much in it that one answer cannot be for all, or where answers did
    differ. Answers that no condition tells apart make no rule. A name that was answered the same
    in two equipment classes, and otherwise in none, means the same anywhere.

    Args:
        answers: template key → point class, as people have answered.
        known: the templates of the site, also those that nobody was asked about.
    """
    told: dict[tuple[str, str], dict[Template, str]] = defaultdict(dict)
    for key, name in sorted(answers.items()):
        template = read_key(key)
        if template is None or not plain(template.suffix) or not is_point_class(name):
            continue
        if not template.equip_class or is_equip_class(template.equip_class):
            told[template.equip_class, folded(template.suffix)][template] = canonical(name)
    others: dict[tuple[str, str], list[Template]] = defaultdict(list)
    for template in known:
        place = (template.equip_class, folded(template.suffix))
        if place in told and template not in told[place]:
            others[place].append(template)
    rules = [
        rule for place, own in sorted(told.items()) for rule in _of_one_name(own, others[place])
    ]
    return [*rules, *_anywhere(rules)]


def _of_one_name(own: Mapping[Template, str], others: Sequence[Template]) -> list[Rule]:
    """Return the rules of one name in one equipment class, with as few conditions as will do."""
    for asked in ((), ("description",), ("unit",), ("type",), ("unit", "type"), CONDITIONS):
        rules: dict[tuple[str, ...], Rule] = {}
        sound = True
        for template, name in own.items():
            rule = _rule(template, name, asked)
            sound &= rules.setdefault(rule.says_of, rule).point_class == name
            sound &= all(akin(template, other) for other in others if rule.holds(other))
        if sound:
            return list(rules.values())
    return []


def _rule(template: Template, name: str, asked: Sequence[str]) -> Rule:
    values = {
        "unit": clean(template.unit),
        "type": clean(template.object_type),
        "description": plain(template.description),
    }
    only = {condition: values[condition] for condition in asked}
    return Rule(plain(template.suffix), name, template.equip_class, **only)


def akin(one: Template, other: Template) -> bool:
    """Tell whether two templates of one name may mean the same, by all that is known beside it."""
    one_kind, other_kind = _kind(one), _kind(other)
    return (
        _same(folded(one.description), folded(other.description))
        and _same(_quantity(one.unit), _quantity(other.unit))
        and (not one_kind or not other_kind or one_kind == other_kind)
    )


def _same(one: str, other: str) -> bool:
    return not one or not other or one == other


@lru_cache(maxsize=4096)
def _quantity(unit: str) -> str:
    found = parse_unit(unit) if unit else None
    return found.quantity if found else unit


def _kind(template: Template) -> tuple[bool, bool] | None:
    """Return (is it of states, does it go out) of an object type; None where it does not say."""
    text = template.object_type.casefold()
    if not text:
        return None
    states = text.startswith(("binary", "coil", "discrete", "bool", "multi"))
    return states, "output" in text or text.startswith("coil")


def _anywhere(rules: Sequence[Rule]) -> Iterator[Rule]:
    """Yield the rules that hold everywhere: the same in two equipment classes, and in none otherwise."""
    by_name: dict[tuple[str, ...], list[Rule]] = defaultdict(list)
    meanings: dict[str, set[str]] = defaultdict(set)
    for rule in rules:
        by_name[rule.says_of[1:]].append(rule)
        meanings[folded(rule.name)].add(rule.point_class)
    for own in by_name.values():
        if len(own) > 1 and len(meanings[folded(own[0].name)]) == 1:
            yield replace(own[0], equip_class=ANYWHERE)


# ---------------------------------------------------------------- applying


class Rulebook:
    """Rules, ready to be asked: people's own first, then those that ask for most, then the earlier.

    Args:
        own: rules that somebody wrote or changed.
        learned: rules that follow from answers.
    """

    def __init__(self, own: Iterable[Rule] = (), learned: Iterable[Rule] = ()) -> None:
        self._by_name: dict[str, list[Rule]] = defaultdict(list)
        for rules in (own, learned):
            for rule in sorted(rules, key=_weight, reverse=True):
                self._by_name[folded(rule.name)].append(rule)

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values()))

    def find(self, template: Template) -> Rule | None:
        """Return the rule that decides about a template; None where there is none."""
        own = self._by_name.get(folded(template.suffix), ())
        return next((rule for rule in own if rule.holds(template)), None)


def _weight(rule: Rule) -> tuple[bool, int]:
    asked = sum(bool(getattr(rule, name)) for name in CONDITIONS)
    return rule.equip_class != ANYWHERE, asked


# ---------------------------------------------------------------- reading and writing lines


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _equipment(text: str) -> str:
    if text.casefold() == _NOWHERE:
        return ""
    name = canonical(SHORT.get(text.upper(), text))
    if not is_equip_class(name):
        msg = (
            f"there is no equipment class {text[:60]!r}; "
            f"write a Brick class, {', '.join(SHORT)}, or 'anywhere:'"
        )
        raise RuleError(msg)
    return name


def _meaning(text: str) -> str:
    if not is_point_class(text):
        msg = f"there is no point class {text[:60]!r}; write a Brick 1.4 class"
        raise RuleError(msg)
    return canonical(text)


def _conditions(text: str, line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _CONDITION.finditer(text):
        name, joint = match[2].lower(), "and" if found else "with"
        value = _unquoted(match[3])
        value = plain(value) if name == "description" else clean(clean(value))
        if match[1].lower() != joint or name in found or not value:
            msg = f'write conditions as: with unit "degF" and type "analog-input"; not: {line[:80]}'
            raise RuleError(msg)
        found[name] = value
    return found
