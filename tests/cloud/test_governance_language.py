"""The language of rules: what it can say, what it refuses, and that nothing makes it fail."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantroom_cloud.governance.expressions import (
    MAX_FACT,
    MAX_NODES,
    MAX_TEXT,
    BadExpression,
    compiled,
    fact,
    used,
)
from plantroom_cloud.governance.patterns import like

FACTS: dict[str, Any] = {
    "name": "AHU-01-SAT",
    "unit": "",
    "age_days": 40.0,
    "days": 30,
    "confidence": None,
    "missing": ("a", "b"),
    "online": True,
    "state": "proposed",
}


def value(text: str) -> Any:
    return compiled(text, FACTS)(FACTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('unit == "" and name != ""', True),
        ("age_days > days", True),
        ("20 < age_days <= 40", True),
        ("20 < age_days < 40", False),
        ("age_days - days * 2 / 3 + 1", 21.0),
        ("-age_days", -40.0),
        ("not online or len(missing) == 2", True),
        ('"a" in missing and "c" not in missing', True),
        ('"AHU" in name', True),
        ('state in ["proposed", "rejected"]', True),
        ('state in ("accepted",)', False),
        ('"old" if age_days > days else "new"', "old"),
        ('like(name, "ahu-##-*") and starts(name, "AHU") and ends(name, "SAT")', True),
        ('any_like(name, ["VAV*", "AHU-??-@@@"])', True),
        ('lower(name) == "ahu-01-sat"', True),
        ("min(age_days, days, 50) + max(1, 2)", 32.0),
        ("abs(-3) == 3.0", True),
        ("default(confidence, 0.5) == 0.5", True),
        ("confidence is None and confidence == None", True),
        # What does not fit is no error.
        ("confidence < 0.5 or confidence >= 0.5", False),
        ("name > 3", False),
        ("name + 1", None),
        ("age_days / 0", None),
        (" * ".join(["1e15"] * 22), None),
        ("online == 1", False),
        ("online + 1", None),
        ("name in age_days", False),
        ("len(age_days)", None),
        ("like(age_days, name)", None),
        ("min(name, 1)", None),
        ("any_like(name, name)", None),
        ("abs(name)", None),
    ],
)  # fmt: skip
def test_what_expressions_say(text: str, expected: Any) -> None:
    """Comparisons, logic, numbers, lists and functions; what does not fit is None or false."""
    found = value(text)
    assert (found, type(found)) == (expected, type(expected))


HOSTILE = [
    "name.upper()", "name.__class__", "().__class__.__bases__[0].__subclasses__()", "missing[0]",
    "__import__('os').system('id')", "open('/etc/passwd')", "getattr(name, 'x')", "eval('1')",
    "lambda: 1", "(lambda x: x)(1)", "[x for x in missing]", "{x for x in missing}", "{1: 2}",
    "(x for x in missing)", "f'{name}'", "name := 1", "(y := 1)", "await name", "yield name",
    "*missing", "len(*missing)", "len(x=name)", "2 ** 9", "9 % 2", "9 // 2", "1 << 9", "1 | 2",
    "~days", "+days", "1j", "b'x'", "...", "print(name)", "len(name, name)", "len()",
    "like(name, lower)", "lower", "nothing", "__builtins__", "name; name", "import os", "",
    "[[1]]", "[(1,)]", "1e16", "1e999", "-1e999", "like(name, '" + "*" * 150 + "' '" + "a" * 60 + "')",
    "'" + "a" * 201 + "'", "name == '\0'", "(" * 300 + "1" + ")" * 300, "-" * 900 + "1",
    "not " * 240 + "online", "[" + "1," * 51 + "]", "+".join(["1"] * 300), "1" * 500,
    "name if online", "name = 1", "@name", "name\nname", "len.x(name)", "len(name)(name)",
    "1 if 1 else " * 60 + "1", "max(" * 40 + "1,1" + ")" * 40, "a" * 1001, "name <> 1", "`name`",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_not_of_the_language_is_refused(text: str) -> None:
    """Attributes, subscripts, loops, foreign calls, powers and whatever is too large."""
    with pytest.raises(BadExpression) as caught:
        compiled(text, FACTS)
    assert len(str(caught.value)) < 600


_ATOMS = st.sampled_from([*FACTS, "1", "0", "-2.5", "None", "True", '"AHU-#*"', "[1, name]", "[]"])
_TEXTS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda p: f"({' '.join(p)})"),
        st.tuples(
            inner, st.sampled_from(["<", "==", "!=", "in", "not in", ">=", "and"]), inner
        ).map(lambda p: f"({' '.join(p)})"),
        st.tuples(st.sampled_from(["len", "lower", "abs"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["like", "default", "min", "any_like"]), inner, inner).map(
            lambda p: f"{p[0]}({p[1]}, {p[2]})"
        ),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
    ),
    max_leaves=12,
)
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text(max_size=3))
)


@settings(max_examples=60)
@given(_TEXTS, st.fixed_dictionaries(dict.fromkeys(FACTS, _VALUES)))
def test_nothing_raises_once_it_is_compiled(text: str, facts: dict[str, Any]) -> None:
    """Whatever the facts are, an expression has a value, and always the same."""
    try:
        condition = compiled(text, FACTS)
    except BadExpression:
        return
    seen = {name: fact(one) for name, one in facts.items()}
    assert condition(seen) == condition(seen)
    condition({})


@settings(max_examples=60)
@given(st.text(max_size=60))
def test_any_text_is_refused_or_compiled(text: str) -> None:
    """No text does anything else than to be compiled or refused."""
    try:
        compiled(text, FACTS)({})
    except BadExpression:
        return


def test_the_work_is_bounded_by_the_text() -> None:
    """The costliest pattern over the longest fact ends: texts are cut, patterns go back one star only."""
    pattern = '"' + "*a" * 12 + 'b"'
    patterns = ", ".join([pattern] * 30)
    text = f"any_like(name, [{patterns}])"
    assert len(text) <= MAX_TEXT
    condition, facts = compiled(text, FACTS), {"name": fact("a" * 10**6)}
    assert condition(facts) is False
    assert len(facts["name"]) == MAX_FACT


def test_facts_are_cut() -> None:
    """Long texts and lists are cut, numbers without end are unknown, other things are texts."""
    assert fact([1, [2], "x"]) == (1, "x")
    assert len(fact(["x"] * 5000)) == MAX_FACT
    assert fact(10**400) is None
    assert fact(float("nan")) is None
    assert fact({"a": 1}) == "{'a': 1}"


def test_names_in_an_expression() -> None:
    """The facts that an expression uses are known without its functions."""
    assert used("len(missing) > days") == {"missing", "days"}
    assert MAX_NODES >= 100


@pytest.mark.parametrize(
    ("text", "pattern", "fits"),
    [
        ("AHU-01-SAT", "ahu-##-*", True),
        ("AHU-1-SAT", "ahu-##-*", False),
        ("x", "?", True),
        ("", "*", True),
        ("", "", True),
        ("a", "", False),
        ("abc", "a*c", True),
        ("abcd", "a*c", False),
        ("aXbXc", "*b*c", True),
        ("VAV", "@@@", True),
        ("V4V", "@@@", False),
        ("Straße 5", "STRASSE #", True),
    ],
)
def test_patterns(text: str, pattern: str, fits: bool) -> None:
    """Stars, single characters, digits and letters; the whole text counts, capitals do not."""
    assert like(text, pattern) is fits
