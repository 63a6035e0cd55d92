"""The whole OpenAPI document, asked rightly and wrongly as each role: the answers are those it names."""

from __future__ import annotations

import os

import pytest

from plantroom_cloud.identity.permissions import ROLES
from support.api_fuzz import Fuzz, world
from support.api_world import ONE_ENGINE

EXAMPLES = int(os.environ.get("PLANTROOM_FUZZ_EXAMPLES", "3"))
"""Of each operation, said rightly and said wrongly; a night may take hundreds."""


@ONE_ENGINE
@pytest.mark.timeout(0)
def test_answers_are_those_of_the_document(database_url: str) -> None:
    """No server error; status, headers, type and shape of every answer are documented."""
    with world(database_url) as here:
        fuzz = Fuzz(here, EXAMPLES)
        fuzz.run()
        print(f"{here.asked.total()} requests: {dict(here.asked)}")
    if fuzz.found:
        pytest.fail("\n".join(f"{kind}: {how}" for kind, how in fuzz.found.items()))
    assert set(here.asked) == set(ROLES)
