"""The whole stack around a ledger site, made to be tormented, and its judgement afterwards."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import yaml
from sqlalchemy import make_url

from demo.processes import Child, python, wait_for
from demo.site.ledger import TURN, ledger_parse
from demo.site.manifest import agent_config
from demo.stack import COMPANY, Stack
from plantroom_cloud.db import as_login
from support import servers
from support.fault_case import Setting
from support.fault_checker import Connection, Judgement, judge
from support.fault_report import Figure


def past_the_wall(url: str) -> str:
    """Return `url` for psycopg, as who sees the rows of all companies: a judge does."""
    plain = as_login(make_url(url)).set(drivername="postgresql")
    return plain.render_as_string(hide_password=False)


@dataclass
class Rig:
    """A ledger site, its agent, a broker and the ingest, as processes; `start` starts them.

    Args:
        folder: all files go here.
        database: URL of the cloud's database; empty means SQLite.
        engine: of the broker.
        points: of the site.
        interval: seconds between two reads of a point.
    """

    folder: Path
    database: str = ""
    engine: str = "mosquitto"
    points: int = 60
    interval: float = 0.2
    stack: Stack = field(init=False)
    manifest: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stack = Stack(self.folder, database=self.database, engine=self.engine)

    def start(self, *, agent_port: int = 0, **agent: Any) -> None:
        """Start everything; the agent connects to `agent_port` where that is given.

        Args:
            agent_port: of a proxy in front of the broker.
            agent: more sections of the agent's configuration.
        """
        self.start_cloud()
        self.configure_agent(agent_port=agent_port, **agent)
        self.start_agent()

    def start_cloud(self) -> None:
        """Start the site, the broker and the ingest."""
        stack = self.stack
        self.manifest = stack.start_site("--ledger", "--ledger-points", str(self.points))
        stack.write_cloud_config()
        stack.provision(companies=(COMPANY,))
        stack.start_broker()
        self.start_ingest()

    def start_ingest(self) -> Child:
        """Start the ingest."""
        return self.stack.child("ingest", *self.stack.cloud("ingest"))

    def configure_agent(self, *, agent_port: int = 0, **agent: Any) -> None:
        """Write the agent's configuration."""
        every = self.interval
        buses = agent_config(self.manifest, bacnet_interval=every, modbus_interval=every)
        self.stack.write_agent_config(buses["buses"], [], **agent)
        if agent_port:
            document = yaml.safe_load(self.stack.agent_config.read_text())
            document["cloud"]["port"] = agent_port
            self.stack.agent_config.write_text(yaml.safe_dump(document, sort_keys=False))

    def start_agent(self) -> Child:
        """Start the agent."""
        return self.stack.start_agent()

    # ------------------------------------------------------------ what the edge says

    @property
    def buffer_file(self) -> Path:
        """The agent's buffer."""
        return self.folder / "agent" / "buffer.db"

    def accepted(self) -> dict[str, int]:
        """Return how many samples each epoch has accepted, oldest epoch first."""
        return {ep: accepted for ep, accepted, _ in self._positions()}

    def _positions(self) -> list[tuple[str, int, list[list[int]]]]:
        sql = (
            "SELECT ep, accepted, done FROM epoch JOIN position ON position.epoch = epoch.id"
            " WHERE stream = 'tel' ORDER BY epoch.id"
        )
        with contextlib.suppress(sqlite3.Error):
            uri = f"file:{self.buffer_file}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
                return [(ep, n, json.loads(done)) for ep, n, done in db.execute(sql)]
        return []

    def polling(self, after: str = "") -> bool:
        """Say whether an epoch later than `after` has accepted rows."""
        newest = list(self.accepted().items())[-1:]
        return any(ep != after and accepted for ep, accepted in newest)

    def epoch(self) -> str:
        """Return the newest epoch; empty where there is none."""
        return next(reversed(self.accepted()), "")

    def total(self) -> int:
        """Return how many samples were accepted in all epochs that are remembered."""
        return sum(self.accepted().values())

    def drain(self, seconds: float = 120) -> None:
        """Wait until the cloud has confirmed all that was accepted up to now, in every epoch."""
        before = self.total()
        wait_for(lambda: self.total() > before, what="polling again", seconds=60)
        goal = self.accepted()

        def waiting() -> list[str]:
            return [
                ep for ep, _, done in self._positions() if _confirmed_up_to(done) < goal.get(ep, 0)
            ]

        wait_for(lambda: not waiting(), what="the backlog draining", seconds=seconds)

    def agent_says(self) -> dict[str, Any]:
        """Return the stopped agent's own account, from its buffer."""
        done = subprocess.run(
            python("-m", "plantroom_edge", "status", str(self.stack.agent_config), "--json"),
            capture_output=True,
            text=True,
            check=True,
        )
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    # ------------------------------------------------------------ judgement

    @contextmanager
    def cloud_database(self) -> Iterator[Connection]:
        """Open the cloud's database with nothing of Plantroom in between."""
        if not self.database:
            path = self.folder / "cloud" / "plantroom.db"
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as lite:
                yield lite
        else:
            with psycopg.connect(past_the_wall(self.database)) as postgres:
                yield postgres

    def stored(self) -> int:
        """Return how many samples the cloud has stored."""
        with self.cloud_database() as db:
            ((count,),) = db.execute("SELECT count(*) FROM sample")
            return int(count)

    def whole(self) -> bool:
        """Say whether the cloud has no hole between the rows that it has."""
        with self.cloud_database() as db:
            sql = "SELECT min(lo), count(*) FROM stream_range WHERE stream='tel' GROUP BY epoch"
            return all(tuple(row) == (1, 1) for row in db.execute(sql))

    def finish(self) -> tuple[Judgement, dict[str, Any]]:
        """Drain, stop everything but the database, and judge.

        What the agent reads while it stops may still be on the edge: then it starts and stops again.
        """
        for _ in range(3):
            self.drain()
            agent = self.stack.children["agent"]
            code = agent.stop()
            assert code == 0, f"the agent ended with {code}:\n{agent.log_end()}"
            account = self.agent_says()
            if not account["on_edge"]:
                break
            self.stack.children["agent"].start()
        self.stack.stop("agent")
        self.stack.stop("ingest")
        return self.verdict(), account

    def verdict(self) -> Judgement:
        """Judge what the cloud's database holds now."""
        with self.cloud_database() as db:
            return judge(db, self.manifest["ledger"], ledger_parse, turn=TURN)


def _confirmed_up_to(done: list[list[int]]) -> int:
    return done[0][1] if done and done[0][0] == 1 else 0


@contextmanager
def rigged(setting: Setting, *, postgres: bool = False, **more: Any) -> Iterator[Rig]:
    """Yield a rig in the setting's folder; everything it started is stopped afterwards."""
    with contextlib.ExitStack() as ending:
        if postgres:
            running = ending.enter_context(servers.start_postgres())
            more["database"] = ending.enter_context(running.database())
        rig = Rig(setting.folder, **more)
        ending.callback(rig.stack.stop)
        yield rig


def judged(
    name: str, rig: Rig, seed: int, *, runs: int, unheld: bool = True
) -> tuple[list[Figure], Judgement]:
    """Return what the judge says as figures.

    Args:
        name: of the fault.
        rig: with what was tormented.
        seed: of the run.
        runs: how many faults there were.
        unheld: whether the buffer must be empty in the end.
    """
    verdict, account = rig.finish()
    off = abs(account["accepted"] - verdict.accepted)
    figures = [
        Figure(name, "accepted samples lost", runs, len(verdict.lost), seed=seed),
        Figure(name, "doubled in the store", runs, len(verdict.doubled), seed=seed),
        Figure(name, "wrong values", runs, len(verdict.wrong), seed=seed),
        Figure(name, "accepted by the edge, not counted by the cloud", runs, off, seed=seed),
        Figure(name, "samples stored", runs, verdict.samples, 1, least=True, seed=seed),
    ]
    if unheld:
        figures.append(Figure(name, "left on the edge", runs, account["on_edge"], seed=seed))
    for text in [*verdict.lost, *verdict.doubled, *verdict.wrong][:20]:
        print(text)
    return figures, verdict
