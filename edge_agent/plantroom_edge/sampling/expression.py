"""The language of derived points: from text to a small tree; bounded, pure, nothing to run away with.

::

    choice      = or ["if" or "else" choice]
    or, and     = operands between "or", "and";  "not" before one
    comparison  = sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum         = product {("+" | "-") product}
    product     = sign {("*" | "/") sign}
    sign        = ["-"] atom
    atom        = number ["[" unit "]"] | "true" | "false" | name | 'point key' | "point key"
                | function "(" choice {"," choice} ")" | "(" choice ")"

There are no powers, no strings, no attributes and no loops: the work is bounded by the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_TEXT: Final = 2000
MAX_NODES: Final = 200
MAX_DEPTH: Final = 24

FUNCTIONS: Final = {
    "min": (1, 50),
    "max": (1, 50),
    "sum": (1, 50),
    "avg": (1, 50),
    "abs": (1, 1),
    "sqrt": (1, 1),
    "clamp": (3, 3),
    "hysteresis": (3, 3),
    "delta": (1, 1),
    "rate": (1, 1),
    "kelvin": (1, 1),
}
"""Name → fewest and most arguments."""

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |"(?P<key2>[^"]+)"|'(?P<key1>[^']+)'
    |\[(?P<unit>[^\]]*)\]
    |(?P<sign><=|>=|==|!=|[-+*/<>(),]))""",
    re.VERBOSE,
)
_WORDS: Final = {"if", "else", "and", "or", "not", "true", "false"}
_COMPARE: Final = {"<", "<=", ">", ">=", "==", "!="}


class BadExpression(ValueError):
    """An expression is none; the text says where and what to write."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number, with a unit if one was given."""

    value: float
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """A point: by its key, or by a short name of the derived point's `operands`."""

    name: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or a function, and what it is applied to."""

    name: str
    parts: tuple[Node, ...]


Node = Number | Ref | Call


def parse(text: str) -> Node:
    """Return the tree of an expression.

    Raises:
        BadExpression: it is none, or is longer or deeper than allowed.
    """
    if len(text) > MAX_TEXT:
        msg = f"an expression has at most {MAX_TEXT} characters: split it into derived points"
        raise BadExpression(msg)
    return _Parser(text).whole()


def refs(node: Node) -> Iterator[Ref]:
    """Yield the points that `node` needs, as they stand in it."""
    if isinstance(node, Ref):
        yield node
    elif isinstance(node, Call):
        for part in node.parts:
            yield from refs(part)


class _Parser:
    """Recursive descent with a limit to the depth."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = self._depth = self._nodes = 0

    def whole(self) -> Node:
        node = self._choice()
        if self._peek():
            msg = f"{self._here()} is not expected there"
            raise BadExpression(msg)
        return node

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            msg = f"nested deeper than {MAX_DEPTH}: split it into derived points"
            raise BadExpression(msg)
        node = self._logic(("or", "and"))
        if self._take("if"):
            condition = self._logic(("or", "and"))
            self._must("else", "a value for the other case: `x if condition else y`")
            node = self._call("if", condition, node, self._choice())
        self._depth -= 1
        return node

    def _logic(self, words: tuple[str, ...]) -> Node:
        if not words:
            return (
                self._call("not", self._comparison()) if self._take("not") else self._comparison()
            )
        node = self._logic(words[1:])
        while self._take(words[0]):
            node = self._call(words[0], node, self._logic(words[1:]))
        return node

    def _comparison(self) -> Node:
        node = self._sum()
        sign = self._peek()
        if sign in _COMPARE:
            self._at += 1
            node = self._call(sign, node, self._sum())
        return node

    def _sum(self) -> Node:
        node = self._product()
        while (sign := self._peek()) in {"+", "-"}:
            self._at += 1
            node = self._call(sign, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._signed()
        while (sign := self._peek()) in {"*", "/"}:
            self._at += 1
            node = self._call(sign, node, self._signed())
        return node

    def _signed(self) -> Node:
        negative = self._take("-")
        atom = self._atom()
        return self._call("neg", atom) if negative else atom

    def _atom(self) -> Node:
        if self._at >= len(self._tokens):
            msg = "ends where a value belongs"
            raise BadExpression(msg)
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return self._number(text)
        if kind == "key":
            return self._count(Ref(text, quoted=True))
        if kind == "name" and text in {"true", "false"}:
            return self._count(Call(text, ()))
        if kind == "name" and text not in _WORDS:
            return self._function(text) if self._take("(") else self._count(Ref(text, quoted=False))
        if text == "(":
            node = self._choice()
            self._must(")", "`)`")
            return node
        self._at -= 1
        msg = f"{self._here()} stands where a value belongs"
        raise BadExpression(msg)

    def _number(self, text: str) -> Node:
        value = float(text)
        if not math.isfinite(value):
            msg = f"{text[:40]} is too large"
            raise BadExpression(msg)
        unit = None
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "unit":
            unit = self._tokens[self._at][1].strip()
            self._at += 1
        return self._count(Number(value, unit))

    def _function(self, name: str) -> Node:
        if name not in FUNCTIONS:
            msg = f"there is no function {name[:40]!r}; there are {', '.join(FUNCTIONS)}"
            raise BadExpression(msg)
        parts = [self._choice()]
        while self._take(","):
            parts.append(self._choice())
        self._must(")", "`,` or `)`")
        fewest, most = FUNCTIONS[name]
        if not fewest <= len(parts) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            msg = f"{name} takes {wanted} arguments, not {len(parts)}"
            raise BadExpression(msg)
        return self._call(name, *parts)

    def _call(self, name: str, *parts: Node) -> Node:
        return self._count(Call(name, parts))

    def _count(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            msg = f"has more than {MAX_NODES} parts: split it into derived points"
            raise BadExpression(msg)
        return node

    def _peek(self) -> str:
        """Return the word or sign that comes next; empty at the end, one that fits nothing else."""
        if self._at >= len(self._tokens):
            return ""
        kind, text = self._tokens[self._at]
        return text if kind in {"name", "sign"} else f"<{kind}>"

    def _take(self, text: str) -> bool:
        if self._peek() != text:
            return False
        self._at += 1
        return True

    def _must(self, text: str, what: str) -> None:
        if not self._take(text):
            msg = f"{self._here()}: {what} belongs there"
            raise BadExpression(msg)

    def _here(self) -> str:
        if self._at >= len(self._tokens):
            return "the end"
        return repr(self._tokens[self._at][1][:40])


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            msg = f"{text[at : at + 20].strip()!r} is nothing known: numbers, names, 'point keys', + - * /"
            raise BadExpression(msg)
        kind = str(match.lastgroup)
        yield ("key" if kind.startswith("key") else kind), match[kind]
        at = match.end()
