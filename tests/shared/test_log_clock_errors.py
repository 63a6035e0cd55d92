"""Logs that cannot be forged, time that can be handed in, errors that say what to do."""

from __future__ import annotations

import io
import json
import logging
import sys
import time
from collections.abc import Iterator

import pytest

from plantroom_shared import log
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, PlantroomError, Rejected, Unavailable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_machines_get_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An event with its fields is one JSON object; errors bring their trace along."""
    log.configure()
    logger = logging.getLogger("plantroom_edge.x")
    logger.info("line\nbreak", extra={"device": "a\nb", "odd": object()})
    try:
        raise ValueError("boom")  # noqa: TRY301, EM101 -- to be logged
    except ValueError:
        logger.exception("failed")
    logger.debug("too much")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["device"], first["level"]) == ("line\nbreak", "a\nb", "info")
    assert first["log"] == "plantroom_edge.x"
    assert "ValueError: boom" in second["error"]


def test_people_get_a_line_nobody_can_forge(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, names from the field cannot break the line or colour the screen."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    log.configure(verbose=True)
    logger = logging.getLogger("plantroom_cloud.x")
    logger.debug("evil \x1b[31m event", extra={"point": "a\n12:00:00 INFO forged"})
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line
    assert "\\x1b" in line
    assert "point=a\\x0a12:00:00 INFO forged" in line
    try:
        raise ValueError("boom")  # noqa: TRY301, EM101 -- to be logged
    except ValueError:
        logger.exception("failed")
    assert "ValueError: boom" in stream.getvalue()


def test_other_libraries_only_speak_up_when_something_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Third-party logs below warning are not shown; ours from info on are."""
    log.configure()
    logging.getLogger("sqlalchemy").info("chatter")
    logging.getLogger("pymodbus").error("hex dump")
    logging.getLogger("mqtt").warning("pending publish")
    logging.getLogger("plantroom_shared").info("ours")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["ours"]


def test_the_systems_clock_is_the_systems() -> None:
    """Wall time is in microseconds since 1970; monotonic time never falls."""
    clock = SystemClock()
    before = time.time_ns() // 1000
    assert before <= clock.now_us() <= time.time_ns() // 1000
    first = clock.monotonic()
    assert clock.monotonic() >= first


def test_errors_say_where_and_what_to_do() -> None:
    """A configuration error names file, key and fix, as far as there are any."""
    full = ConfigError("is missing", file="a.yaml:3", key="cloud.host", fix="add it")
    assert str(full) == "a.yaml:3: cloud.host: is missing; add it"
    assert str(ConfigError("is missing", key="site")) == "site: is missing"
    assert str(ConfigError("it is empty")) == "it is empty"
    away = Unavailable("gone", retry_after=2.5)
    assert (str(away), away.retry_after) == ("gone", 2.5)
    refused = Rejected("no", reason="schema", indices=(1, 2))
    assert (str(refused), refused.reason, refused.indices) == ("no", "schema", (1, 2))
    assert all(isinstance(error, PlantroomError) for error in (full, away, refused))
