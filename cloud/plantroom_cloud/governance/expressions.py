"""The language of rules: conditions over plain facts, written as in Python, and nothing to run away with.

::

    unit == "" and class_dimension != None
    like(name, "AHU-##-*") or starts(name, "spare")
    age_days > days if state == "proposed" else confidence < 0.5

Names stand for facts, and each fact is a number, a text, true, false, ``None`` or a list of these.
There are comparisons, ``and``, ``or``, ``not``, ``in``, ``+ - * /`` with numbers, ``a if b else c``,
lists, and the functions of `FUNCTIONS`. There are no attributes, no subscripts, no loops and no
names beyond the facts: the work is bounded by the text. The language is total: what does not fit
(a text compared with a number, a division by zero, a fact that is not known) is ``None`` or false,
and nothing raises once `compiled` has returned.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

from plantroom_cloud.governance.patterns import MAX_PATTERN, like

MAX_TEXT: Final = 1000
"""Characters of an expression."""
MAX_NODES: Final = 200
MAX_DEPTH: Final = 24
MAX_LITERAL: Final = 200
"""Characters of a text in it."""
MAX_NUMBER: Final = 1e15
MAX_ITEMS: Final = 50
"""Entries of a list in it."""
MAX_FACT: Final = 1000
"""Characters of a fact, and entries of a list, that an expression sees."""

Value: TypeAlias = Any
"""None, bool, float, int, str, or a tuple of these."""
Facts: TypeAlias = Mapping[str, Value]
Condition: TypeAlias = Callable[[Facts], Value]


class BadExpression(ValueError):
    """An expression is none of this language; the text says what is wrong and what to write."""


def compiled(text: str, names: Collection[str]) -> Condition:
    """Return what computes an expression from facts; it never raises.

    Args:
        text: the expression.
        names: the facts that there are.

    Raises:
        BadExpression: it is none, names a fact that there is not, or is too large.
    """
    return _Compiler(names).whole(_parsed(text))


def holds(value: Value) -> bool:
    """Say whether a value counts as true: neither None nor false, 0, an empty text or list."""
    return bool(value)


def used(text: str) -> frozenset[str]:
    """Return the names in an expression; BadExpression if it cannot be read."""
    tree = _parsed(text)
    calls = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = (n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in calls)
    return frozenset(name.id for name in names)


def _parsed(text: str) -> ast.expr:
    if len(text) > MAX_TEXT:
        msg = f"an expression has at most {MAX_TEXT} characters: make two rules of it"
        raise BadExpression(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `1 is 1` is refused below; no need to tell the log
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        msg = f"cannot be read near character {error.offset or 1}: {error.msg}"[:200]
        raise BadExpression(msg) from None
    except (ValueError, RecursionError, MemoryError):
        msg = "cannot be read: it holds a NUL or is nested too deeply"
        raise BadExpression(msg) from None
    if (
        sum(1 for _ in ast.walk(tree)) > 4 * MAX_NODES
    ):  # contexts and operators are nodes there, too
        msg = f"has more than {MAX_NODES} parts: make two rules of it"
        raise BadExpression(msg)
    return tree


# ---------------------------------------------------------------- values


def _number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Value) -> str:
    return "number" if _number(value) else type(value).__name__


def _same(left: Value, right: Value) -> bool:
    return _kind(left) == _kind(right) and bool(left == right)


def _ordered(left: Value, right: Value, sign: Callable[[Any, Any], bool]) -> bool:
    fits = (_number(left) and _number(right)) or (isinstance(left, str) and isinstance(right, str))
    return fits and sign(left, right)


def _within(item: Value, whole: Value) -> bool:
    if isinstance(whole, tuple):
        return any(_same(item, one) for one in whole)
    return isinstance(item, str) and isinstance(whole, str) and item in whole


_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Value, Value], bool]]] = {
    ast.Eq: _same,
    ast.NotEq: lambda left, right: not _same(left, right),
    ast.Is: _same,
    ast.IsNot: lambda left, right: not _same(left, right),
    ast.Lt: lambda left, right: _ordered(left, right, lambda a, b: a < b),
    ast.LtE: lambda left, right: _ordered(left, right, lambda a, b: a <= b),
    ast.Gt: lambda left, right: _ordered(left, right, lambda a, b: a > b),
    ast.GtE: lambda left, right: _ordered(left, right, lambda a, b: a >= b),
    ast.In: _within,
    ast.NotIn: lambda left, right: not _within(left, right),
}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _calculated(sign: type[ast.operator], left: Value, right: Value) -> float | None:
    if not (_number(left) and _number(right)):
        return None
    a, b = float(left), float(right)  # never a whole number without end
    if sign is ast.Add:
        return _finite(a + b)
    if sign is ast.Sub:
        return _finite(a - b)
    if sign is ast.Mult:
        return _finite(a * b)
    return _finite(a / b) if b else None


_CALCULATE: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div)


def _text(do: Callable[..., Value], *parts: Value) -> Value:
    return do(*parts) if all(isinstance(part, str) for part in parts) else None


def _any_like(text: Value, patterns: Value) -> Value:
    if not isinstance(patterns, tuple):
        return None
    return any(_text(like, text, one) for one in patterns)


def _of_numbers(do: Callable[[Sequence[float]], float], *parts: Value) -> Value:
    return do(parts) if all(map(_number, parts)) else None


FUNCTIONS: Final[Mapping[str, tuple[int, int, Callable[..., Value]]]] = {
    "len": (1, 1, lambda x: len(x) if isinstance(x, str | tuple) else None),
    "lower": (1, 1, lambda x: _text(str.lower, x)),
    "starts": (2, 2, lambda x, part: _text(str.startswith, x, part)),
    "ends": (2, 2, lambda x, part: _text(str.endswith, x, part)),
    "like": (2, 2, lambda x, pattern: _text(like, x, pattern)),
    "any_like": (2, 2, _any_like),
    "abs": (1, 1, lambda x: abs(x) if _number(x) else None),
    "min": (2, 10, lambda *x: _of_numbers(min, *x)),
    "max": (2, 10, lambda *x: _of_numbers(max, *x)),
    "default": (2, 2, lambda x, other: other if x is None else x),
}
"""Name → fewest and most arguments, and what it does."""


# ---------------------------------------------------------------- from the tree to a function


class _Compiler:
    """One function per node; whatever node is not named here is refused."""

    def __init__(self, names: Collection[str]) -> None:
        self._names, self._nodes = frozenset(names), 0

    def whole(self, tree: ast.expr) -> Condition:
        return self._of(tree, 0)

    def _of(self, node: ast.expr, depth: int) -> Condition:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            msg = f"has more than {MAX_NODES} parts, or is nested deeper than {MAX_DEPTH}: make two rules of it"
            raise BadExpression(msg)
        make = getattr(self, f"_{type(node).__name__.lower()}", None)
        if make is None:
            msg = f"{_called(node)} is not part of the language; there are comparisons, and, or, not, in, + - * /, if else and {', '.join(FUNCTIONS)}"
            raise BadExpression(msg)
        made: Condition = make(node, depth + 1)
        return made

    def _constant(self, node: ast.Constant, _: int) -> Condition:
        value: Value = node.value
        if isinstance(value, str) and len(value) > MAX_LITERAL:
            msg = f"a text in an expression has at most {MAX_LITERAL} characters"
            raise BadExpression(msg)
        if _number(value):
            if not abs(value) <= MAX_NUMBER:
                msg = f"a number in an expression is at most {MAX_NUMBER:g}"
                raise BadExpression(msg)
        elif not (value is None or isinstance(value, bool | str)):
            msg = f"{str(value)[:40]!r} is no number, text, True, False or None"
            raise BadExpression(msg)
        return lambda _: value

    def _name(self, node: ast.Name, _: int) -> Condition:
        name = node.id
        if name not in self._names:
            known = ", ".join(sorted(self._names))
            msg = f"there is no fact {name[:60]!r} here; there are: {known}"
            raise BadExpression(msg)
        return lambda facts: facts.get(name)

    def _boolop(self, node: ast.BoolOp, depth: int) -> Condition:
        parts = [self._of(value, depth) for value in node.values]
        if isinstance(node.op, ast.And):
            return lambda facts: all(part(facts) for part in parts)
        return lambda facts: any(part(facts) for part in parts)

    def _unaryop(self, node: ast.UnaryOp, depth: int) -> Condition:
        part = self._of(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return lambda facts: not part(facts)
        if isinstance(node.op, ast.USub):
            return lambda facts: _calculated(ast.Sub, 0, part(facts))
        msg = f"{_called(node.op)} is not part of the language; there are `not` and `-`"
        raise BadExpression(msg)

    def _binop(self, node: ast.BinOp, depth: int) -> Condition:
        sign = type(node.op)
        if sign not in _CALCULATE:
            msg = f"{_called(node.op)} is not part of the language; there are + - * /"
            raise BadExpression(msg)
        left, right = self._of(node.left, depth), self._of(node.right, depth)
        return lambda facts: _calculated(sign, left(facts), right(facts))

    def _compare(self, node: ast.Compare, depth: int) -> Condition:
        parts = [self._of(part, depth) for part in (node.left, *node.comparators)]
        signs = [_COMPARE[type(sign)] for sign in node.ops]
        if len(signs) == 1:
            (sign,), (left, right) = signs, parts
            return lambda facts: sign(left(facts), right(facts))

        def chained(facts: Facts) -> bool:
            values = [part(facts) for part in parts]
            return all(map(lambda sign, a, b: sign(a, b), signs, values, values[1:]))

        return chained

    def _ifexp(self, node: ast.IfExp, depth: int) -> Condition:
        test, then = self._of(node.test, depth), self._of(node.body, depth)
        other = self._of(node.orelse, depth)
        return lambda facts: then(facts) if test(facts) else other(facts)

    def _list(self, node: ast.List | ast.Tuple, depth: int) -> Condition:
        if len(node.elts) > MAX_ITEMS:
            msg = f"a list in an expression has at most {MAX_ITEMS} entries"
            raise BadExpression(msg)
        if any(isinstance(part, ast.List | ast.Tuple) for part in node.elts):
            msg = "a list in an expression holds no lists"
            raise BadExpression(msg)
        parts = [self._of(part, depth) for part in node.elts]
        return lambda facts: tuple([part(facts) for part in parts])

    _tuple = _list

    def _call(self, node: ast.Call, depth: int) -> Condition:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS:
            msg = f"only these can be called: {', '.join(FUNCTIONS)}"
            raise BadExpression(msg)
        fewest, most, do = FUNCTIONS[name]
        if node.keywords or not fewest <= len(node.args) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            msg = f"{name} takes {wanted} arguments, without names"
            raise BadExpression(msg)
        self._check_pattern(name, node.args)
        parts = [self._of(part, depth) for part in node.args]
        return lambda facts: do(*[part(facts) for part in parts])

    @staticmethod
    def _check_pattern(name: str, args: Sequence[ast.expr]) -> None:
        last = args[-1]
        if name == "like" and isinstance(last, ast.Constant) and len(str(last.value)) > MAX_PATTERN:
            msg = f"a pattern has at most {MAX_PATTERN} characters"
            raise BadExpression(msg)


def _called(node: ast.AST) -> str:
    """Return what people call a part of Python that the language has not."""
    names = {"Attribute": "a dot", "Subscript": "[ ]", "Lambda": "lambda", "Starred": "*"}
    names |= {
        "ListComp": "a loop",
        "GeneratorExp": "a loop",
        "SetComp": "a loop",
        "DictComp": "a loop",
    }
    names |= {"JoinedStr": "f'...'", "NamedExpr": ":=", "Pow": "**", "Mod": "%", "FloorDiv": "//"}
    kind = type(node).__name__
    return names.get(kind, kind)


def fact(value: Any) -> Value:
    """Return a value as expressions may see it: cut to `MAX_FACT`, lists as tuples of scalars."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) <= 1e300 else None
    if isinstance(value, str):
        return value[:MAX_FACT]
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(
            [fact(one) for one in list(value)[:MAX_FACT] if not isinstance(one, list | tuple)]
        )
    return str(value)[:MAX_FACT]
