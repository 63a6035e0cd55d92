"""Hostile names in every text of every route: nothing breaks, nothing is executed, no log is forged."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from plantroom_shared.log import _JsonFormatter, _PlainFormatter
from support.api_fuzz import World, world
from support.api_hostile import NAMES, Asked, hostile


@contextmanager
def logged() -> Iterator[dict[str, io.StringIO]]:
    """Yield what is logged meanwhile, by everybody: as JSON, and as on a terminal."""
    out = {"json": io.StringIO(), "plain": io.StringIO()}
    root, handlers = logging.getLogger(), []
    for kind, formatter in (("json", _JsonFormatter()), ("plain", _PlainFormatter())):
        handler = logging.StreamHandler(out[kind])
        handler.setFormatter(formatter)
        handlers.append(handler)
        root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    try:
        yield out
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)


def trouble(here: World, asked: Asked) -> str:
    """Make the request; return what is wrong with the answer, or nothing."""
    answer = here.ask(
        "company_admin",
        asked.route.method,
        f"http://api{asked.url}",
        headers=asked.headers,
        content=asked.content,
    )
    kind = answer.headers.get("content-type", "")
    wrong = ""
    # The provider of the tests' settings is in trouble: that alone may be said by a 502.
    elsewhere = answer.status_code == 502 and asked.route.path == "/v1/me/identities"
    if answer.status_code >= 500 and not elsewhere:
        wrong = f"{answer.status_code} {answer.text[:200]}"
    elif "x-injected" in answer.headers:
        wrong = "a header was injected"
    elif "html" in kind:
        wrong = "the answer is HTML"
    elif answer.content and answer.headers.get("x-content-type-options") != "nosniff":
        wrong = "a browser may take the answer for HTML"
    elif "json" in kind and "text/csv" not in kind:
        try:
            answer.json()
        except ValueError:
            wrong = f"no JSON: {answer.text[:200]!r}"
    return wrong and f"{asked.route.method} {asked.route.path} {asked.about}: {wrong}"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_hostile_names_in_every_text(database_url: str) -> None:
    """0 server errors, 0 injected headers, 0 answers that are HTML, one line per log record.

    On PostgreSQL, which is the stricter: it takes no NUL and no number beyond its columns.
    """
    with world(database_url) as here, logged() as out:
        document = here.app.openapi()
        told, found = Counter[str](), []
        for route in here.routes:
            if not (route.path.startswith("/v1/") or route.path == "/oauth/token"):
                continue
            for asked in hostile(document, route, here.tenant):
                told[asked.about.rpartition(": ")[2]] += 1
                if wrong := trouble(here, asked):
                    found.append(wrong)
                    print(wrong, flush=True)
        print(f"{told.total()} requests: {dict(told)}")
    assert found == []
    assert set(told) == set(NAMES)
    lines = out["json"].getvalue().splitlines()
    assert [line for line in lines if not line.startswith('{"ts"')] == []
    assert all(json.loads(line).get("event") != "forged" for line in lines)
    assert not any(
        line.startswith(("X-Injected", "{")) for line in out["plain"].getvalue().split("\n")
    )
