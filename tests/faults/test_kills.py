"""The promise under kill -9: every accepted sample is stored exactly once, with the right value."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.processes import python, wait_for
from demo.site.ledger import ledger_parse
from demo.site.manifest import agent_config
from demo.stack import COMPANY, Stack
from plantroom_edge.config import load
from plantroom_edge.status import books
from support.fault_checker import Connection, Judgement, judge
from support.nemesis import Victim, torment

KILLS = int(os.environ.get("PLANTROOM_KILLS", "20"))
POINTS = 60


@contextmanager
def database(url: str, folder: Path) -> Iterator[Connection]:
    """Open the cloud's database with nothing of Plantroom in between."""
    if not url:
        path = folder / "cloud" / "plantroom.db"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as lite:
            yield lite
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as postgres:
            yield postgres


def agent_says(stack: Stack) -> dict[str, Any]:
    """Return the stopped agent's own account, from its buffer."""
    done = subprocess.run(
        python("-m", "plantroom_edge", "status", str(stack.agent_config), "--json"),
        capture_output=True,
        text=True,
        check=True,
    )
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def start(stack: Stack) -> dict[str, Any]:
    """Start a small ledger site and everything up to the cloud's database."""
    manifest = stack.start_site("--ledger", "--ledger-points", str(POINTS))
    stack.write_cloud_config()
    stack.provision(companies=(COMPANY,))
    stack.start_broker()
    stack.child("ingest", *stack.cloud("ingest"))
    config = agent_config(manifest, bacnet_interval=0.2, modbus_interval=0.2)
    stack.write_agent_config(config["buses"], [])
    stack.start_agent()
    return manifest


def victims(stack: Stack) -> dict[str, Victim]:
    """Return the three processes to kill, and how each shows that it serves."""
    buffer = load(stack.agent_config).buffer_file

    def has_accepted() -> bool:
        """Say whether the agent of now has rows in its epoch: only those can be lost."""
        if stack.agent_status().get("pid") != stack.children["agent"].pid:
            return False
        return bool(books(buffer)["epochs"][-1]["accepted"]["tel"])

    def is_ready(name: str) -> bool:
        return (stack.folder / f"{name}.ready").exists()

    return {
        "agent": Victim(stack.children["agent"], has_accepted),
        "ingest": Victim(stack.children["ingest"], lambda: is_ready("ingest")),
        "broker": Victim(stack.children["broker"], lambda: is_ready("broker")),
    }


def drain(stack: Stack) -> None:
    """Wait until the cloud has confirmed all that was accepted up to now, in every epoch.

    A message that went down with the ingest is sent again after a while, behind newer ones: how
    much is held says nothing about which rows are.
    """
    buffer = load(stack.agent_config).buffer_file
    before = accepted(stack)
    wait_for(lambda: accepted(stack) > before, what="polling again", seconds=60)
    goal = {epoch["epoch"]: epoch["accepted"]["tel"] for epoch in books(buffer)["epochs"]}

    def waiting() -> list[str]:
        return [
            f"{epoch['epoch']}: {ranges}"
            for epoch in books(buffer)["epochs"]
            if (ranges := epoch["held"].get("tel")) and ranges[0][0] <= goal.get(epoch["epoch"], 0)
        ]

    wait_for(lambda: not waiting(), what="the backlog draining", seconds=120)


def accepted(stack: Stack) -> int:
    """Return how many samples the running agent says it has accepted."""
    buffer = stack.agent_status().get("buffer", {})
    return int(buffer.get("accepted", {}).get("tel", 0))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kind", "engine"),
    [("sqlite", "embedded"), ("postgresql", "mosquitto")],
    ids=["sqlite-embedded-broker", "postgresql-mosquitto"],
)
def test_nothing_accepted_is_lost_doubled_or_wrong(
    kind: str, engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Kills of agent, ingest and broker at random moments leave no trace in the data."""
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else ""
    stack = Stack(tmp_path, database=url, engine=engine)
    seed = int(os.environ.get("PLANTROOM_SEED", random.SystemRandom().randrange(10**6)))
    try:
        manifest = start(stack)
        tormented = victims(stack)
        torment(tormented, kills=KILLS, seed=seed, longest=2.0, limit=420)
        drain(stack)
        assert stack.children["agent"].stop() == 0
        account = agent_says(stack)
        stack.stop("ingest")
        with database(url, tmp_path) as db:
            verdict = judge(db, manifest["ledger"], ledger_parse)
    finally:
        stack.stop()
    _report(verdict, account)
    assert verdict.clean, verdict
    assert account["on_edge"] == 0
    assert verdict.accepted == account["accepted"] == verdict.samples
    assert verdict.epochs >= tormented["agent"].served > 0


def _report(verdict: Judgement, account: dict[str, Any]) -> None:
    print(
        f"{verdict.samples} samples of {verdict.epochs} epochs, {account['accepted']} accepted, "
        f"{verdict.unread} reads never accepted"
    )
