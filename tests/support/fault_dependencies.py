"""What the cloud depends on, stopped and restarted one by one while everything runs."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvicorn
import yaml
from redis import Redis as RedisClient

from demo.processes import free_port, wait_for
from demo.stack import COMPANY
from support import servers
from support.fault_case import Setting, case
from support.fault_report import Figure
from support.fault_rig import Rig, judged, past_the_wall
from support.mapping_llm_stub import LlmStub, choose, data_of
from support.mapping_llm_stub import make_app as make_llm
from support.redis_server import Redis, running_redis

LIMIT = 5.0
"""Seconds after which all must be well again."""
_NAME = "dependencies"
_OUTAGE = (0.5, 3.0)
_PATIENCE = 180.0
_START = 300.0


@dataclass
class Load:
    """Clients that ask the API all the time, and what they were told.

    Args:
        url: of the API.
        key: of a company.
    """

    url: str
    key: str
    wrong: list[str] = field(default_factory=list)
    """Answers that were neither right nor a 503 that says when to come again."""
    answers: int = 0
    refused: int = 0
    right_at: dict[str, float] = field(default_factory=dict)
    """Path → when it was last answered well."""

    PATHS = ("/v1/sites", "/v1/thing-models", "/v1/latest?limit=5", "/readyz")

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._truth = {path: self._body(path) for path in self.PATHS[:2]}
        self._threads = [threading.Thread(target=self._ask, args=(p,)) for p in self.PATHS]

    def _client(self) -> httpx.Client:
        head = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=head, timeout=60, trust_env=False)

    def _body(self, path: str) -> Any:
        with self._client() as client:
            return client.get(path).raise_for_status().json()

    def _ask(self, path: str) -> None:
        with self._client() as client:
            while not self._stop.wait(0.05):
                try:
                    answer = client.get(path)
                except httpx.HTTPError as error:
                    self.wrong.append(f"{path}: {type(error).__name__}: {error}")
                    continue
                self.answers += 1
                self._judge(path, answer)

    def _judge(self, path: str, answer: httpx.Response) -> None:
        if answer.status_code == 200:
            if path in self._truth and answer.json() != self._truth[path]:
                self.wrong.append(f"{path}: another answer than before")
            self.right_at[path] = time.monotonic()
        elif answer.status_code == 503 and answer.json()["code"] == "unavailable":
            self.refused += 1
            if "retry-after" not in answer.headers:
                self.wrong.append(f"{path}: 503 without Retry-After")
        else:
            self.wrong.append(f"{path}: {answer.status_code} {answer.text[:200]}")

    def well_since(self, moment: float) -> bool:
        """Say whether every path was answered well after `moment`."""
        return all(self.right_at.get(path, 0.0) > moment for path in self.PATHS)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


class Llm:
    """An LLM endpoint on a port of its own, in a thread, that can be stopped and started."""

    def __init__(self) -> None:
        self.port = free_port()
        self.stub = LlmStub(choose(lambda point: point["choices"][0]))
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve."""
        listener = socket.create_server(("127.0.0.1", self.port))
        config = uvicorn.Config(make_llm(self.stub), log_level="critical", lifespan="off")
        server = self._server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined] # not our main thread

        def run() -> None:
            asyncio.run(server.serve(sockets=[listener]))

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        wait_for(lambda: server.started, what="the start of the LLM")

    def stop(self) -> None:
        """End at once; whoever is connected is cut off."""
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(30)


@dataclass
class World:
    """Everything, as it runs."""

    rig: Rig
    postgres: servers.Postgres
    redis: Redis
    llm: Llm
    load: Load
    probes: str
    added: int = 0
    stored_after: float = 0.0
    """Seconds until samples came again after the broker did: an agent paces its tries."""

    def probe(self) -> bool:
        """Say whether the process says that it is ready."""
        try:
            return httpx.get(f"{self.probes}/readyz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def rows(self, statement: str) -> list[Any]:
        """Return what the database says to whoever sees everything."""
        with psycopg.connect(past_the_wall(self.rig.database), autocommit=True) as db:
            return db.execute(statement).fetchall()

    def add_odd_points(self, count: int = 3) -> None:
        """Add points whose names mean nothing: an LLM is asked about them."""
        for _ in range(count):
            self.added += 1
            name = "Qxzw " + "".join("qxzjkvwh"[int(d)] for d in f"{self.added:05o}"[-5:])
            with psycopg.connect(past_the_wall(self.rig.database), autocommit=True) as db:
                db.execute(
                    "INSERT INTO point (company_id, site_id, gateway_id, device_id, key, name,"
                    " description, unit, object_type, states, writable, hints, changed_us)"
                    " SELECT company_id, site_id, gateway_id, device_id, %s, %s, '', '', '', '[]',"
                    " NULL, '{}', (extract(epoch FROM now()) * 1000000)::bigint"
                    " FROM point ORDER BY id LIMIT 1",
                    (f"odd:{self.added}", name),
                )

    def odd(self) -> dict[str, str]:
        """Return how each of these points is mapped: name → source."""
        return dict(
            self.rows(
                "SELECT p.name, coalesce(m.source, '') FROM point p LEFT JOIN mapping m"
                " ON m.point_id = p.id WHERE p.key LIKE 'odd:%'"
            )
        )

    def stores(self) -> Callable[[], bool]:
        """Return a condition: more samples are stored than now."""
        before = self.rig.stored()
        return lambda: self.rig.stored() > before


@contextmanager
def world(setting: Setting) -> Iterator[World]:
    """Start everything and yield it; stop it afterwards."""
    with ExitStack() as ending:
        postgres = ending.enter_context(servers.start_postgres())
        postgres.run("ALTER SYSTEM SET synchronous_commit = on")
        postgres.run("SELECT pg_reload_conf()")
        redis, llm = ending.enter_context(running_redis()), Llm()
        llm.start()
        ending.callback(llm.stop)
        rig = Rig(setting.folder, database=ending.enter_context(postgres.database()))
        stack = rig.stack
        ending.callback(stack.stop)
        rig.manifest = stack.start_site("--ledger", "--ledger-points", str(rig.points))
        stack.write_cloud_config()
        _configure(stack.cloud_config, redis, llm)
        (key,) = stack.provision(companies=(COMPANY,))
        stack.start_broker()
        stack.child("serve", *stack.cloud("serve"), seconds=_START)
        facts = json.loads((setting.folder / "serve.ready").read_text())
        rig.configure_agent()
        stack.start_agent(seconds=_START)
        wait_for(lambda: rig.stored() > 0, what="the first samples", seconds=_PATIENCE)
        made = World(rig, postgres, redis, llm, Load(facts["api"], key), facts["probes"])
        made.add_odd_points()
        wait_for(lambda: set(made.odd().values()) == {"llm"}, what="an LLM", seconds=_PATIENCE)
        yield made


def _configure(file: Path, redis: Redis, llm: Llm) -> None:
    settings = yaml.safe_load(file.read_text())
    settings |= {
        "cache": "redis",
        "redis": redis.url,
        "watching": {"listen": f"127.0.0.1:{free_port()}"},
        "llm": {"base_url": f"http://127.0.0.1:{llm.port}/v1", "api_key": "k", "model": "m"},
        "api": {"per_key": None, "per_company": None, "per_address": None},
    }
    file.write_text(yaml.safe_dump(settings))


def _until(condition: Callable[[], bool], what: str) -> float:
    """Return the seconds until `condition` holds."""
    began = time.monotonic()
    wait_for(condition, what=what, seconds=_PATIENCE)
    return time.monotonic() - began


def _postgresql(made: World, pause: float) -> float:
    made.postgres.stop(signal.SIGQUIT)
    time.sleep(pause)
    assert not made.probe()
    made.postgres.start()
    began, more = time.monotonic(), made.stores()
    return _until(lambda: made.load.well_since(began) and more(), "all after PostgreSQL")


def _broker(made: World, pause: float) -> float:
    child = made.rig.stack.children["broker"]
    child.kill()
    time.sleep(pause)
    child.start()
    child.wait_ready()
    began, more = time.monotonic(), made.stores()
    seconds = _until(made.probe, "the ingest after the broker")
    wait_for(more, what="samples after the broker", seconds=_PATIENCE)
    made.stored_after = max(made.stored_after, time.monotonic() - began)
    return seconds


def _redis(made: World, pause: float) -> float:
    made.redis.kill()
    time.sleep(pause)
    made.redis.start()
    with RedisClient.from_url(made.redis.url) as client:
        return _until(
            lambda: bool(client.keys("plantroom:cache:thing-models:*")), "Redis in use again"
        )


def _llm(made: World, pause: float) -> float:
    made.llm.stop()
    made.add_odd_points()
    wait_for(lambda: "" not in made.odd().values(), what="the offline mapping", seconds=_PATIENCE)
    away = [
        source for source in made.odd().values() if source not in {"llm", "offline", "fallback"}
    ]
    assert not away, away
    time.sleep(pause)
    made.llm.start()
    return _until(lambda: set(made.odd().values()) == {"llm"}, "the LLM's answers")


OUTAGES: dict[str, Callable[[World, float], float]] = {
    "PostgreSQL": _postgresql,
    "broker": _broker,
    "Redis": _redis,
    "LLM": _llm,
}


@case(_NAME, faults="32", pr=1, full=10, alone=True)
def dependencies(setting: Setting) -> Sequence[Figure]:
    """PostgreSQL, broker, Redis and LLM are stopped and restarted, `count` times each, under load."""
    dice, took = setting.dice(_NAME), dict.fromkeys(OUTAGES, 0.0)
    with world(setting) as made:
        with made.load.running():
            for number in range(setting.count):
                for name, outage in OUTAGES.items():
                    seconds = outage(made, dice.uniform(*_OUTAGE))
                    setting.say(f"  {name} {number + 1}: well again after {seconds:.1f} s")
                    took[name] = max(took[name], seconds)
        load, asked = made.load, len([r for r in made.llm.stub.requests if data_of(r)])
        for text in load.wrong[:20]:
            setting.say(f"  wrong: {text}")
        made.rig.stack.children["ingest"] = made.rig.stack.children.pop("serve")
        figures, _ = judged(f"32 {_NAME}", made.rig, setting.seed, runs=4 * setting.count)
    told = f"32 {_NAME}"
    figures += [
        Figure(told, f"{name}: well again", setting.count, seconds, LIMIT, unit="s", timing=True)
        for name, seconds in took.items()
    ]
    samples = Figure(
        told,
        "broker: samples again",
        setting.count,
        made.stored_after,
        LIMIT,
        unit="s",
        timing=True,
    )
    figures.append(samples)
    runs = load.answers
    figures.append(Figure(told, "answers wrong, or neither right nor a 503", runs, len(load.wrong)))
    figures.append(Figure(told, "answers refused meanwhile", runs, load.refused, None))
    figures.append(Figure(told, "calls of the LLM", setting.count, asked, None))
    return figures
