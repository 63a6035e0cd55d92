"""Faults 10, 11 and 19: the cloud's database restarts, is restored from a backup, or is slow."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml

from demo.processes import Child, ProcessFailedError, python, wait_for
from support import servers
from support.fault_case import Setting, case
from support.fault_report import Figure
from support.fault_rig import Rig, judged, past_the_wall, rigged


@contextmanager
def safe_postgres() -> Iterator[servers.Postgres]:
    """Yield a PostgreSQL that keeps what it has committed when it is stopped without a word."""
    with servers.start_postgres() as postgres:
        postgres.run("ALTER SYSTEM SET synchronous_commit = on")
        postgres.run("SELECT pg_reload_conf()")
        yield postgres


def resident_mb(pid: int) -> float:
    """Return the memory that process `pid` holds, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@case("postgres-restart", faults="10", pr=5, full=50)
def postgres_restart(setting: Setting) -> Sequence[Figure]:
    """PostgreSQL is stopped as by a crash and comes back, `count` times, while everything runs."""
    name, dice = "10 PostgreSQL restart", setting.dice("restart")
    with safe_postgres() as postgres, postgres.database() as url:
        rig = Rig(setting.folder, database=url)
        try:
            rig.start()
            for _ in range(setting.count):
                stored = rig.stored()
                wait_for(lambda: rig.stored() > stored, what="storing", seconds=60)  # noqa: B023 -- at once
                time.sleep(dice.uniform(0, 2))
                postgres.stop(signal.SIGQUIT)  # what `pg_ctl stop -m immediate` does
                time.sleep(dice.uniform(0, 2))
                postgres.start()
            figures, _ = judged(name, rig, setting.seed, runs=setting.count)
        finally:
            rig.stack.stop()
    return figures


@case("cloud-restored", faults="11", pr=1, full=5)
def cloud_restored(setting: Setting) -> Sequence[Figure]:
    """The cloud's database is replaced by an older copy: all that was confirmed since comes again."""
    name = "11 cloud restored"
    with rigged(setting) as rig:
        rig.start()
        path = rig.folder / "cloud" / "plantroom.db"
        for _ in range(setting.count):
            stored = rig.stored()
            wait_for(lambda: rig.stored() > stored + 300, what="storing", seconds=60)  # noqa: B023 -- at once
            backup = rig.folder / "backup.db"
            with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(backup)) as copy:
                now.backup(copy)
            stored = rig.stored()
            wait_for(lambda: rig.stored() > stored + 600, what="storing more", seconds=60)  # noqa: B023 -- at once
            rig.stack.stop("ingest")
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            shutil.copy(backup, path)
            rig.start_ingest()
            stored = rig.stored()
            wait_for(lambda: rig.stored() > stored, what="storing again", seconds=60)  # noqa: B023 -- at once
            # The edge took these for confirmed; the next hello tells it that they are not.
            wait_for(rig.whole, what="what was confirmed before coming again", seconds=120)
        figures, verdict = judged(name, rig, setting.seed, runs=setting.count)
    kept = [each for each in figures if "lost" not in each.what]
    return [
        *kept,
        Figure(
            name,
            "rows neither stored nor declared nor on the edge",
            setting.count,
            len(verdict.lost),
            seed=setting.seed,
        ),
    ]


_SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep({pause}); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION slow();
"""


@case("slow-database", faults="19", pr=20, full=120)
def slow_database(setting: Setting) -> Sequence[Figure]:
    """Every statement that stores samples takes longer, for `count` seconds: memory stays flat."""
    name, most = "19 slow database", 0.0
    with rigged(setting, postgres=True, interval=0.1) as rig:
        rig.start()
        wait_for(lambda: rig.stored() > 0, what="the first samples")
        with psycopg.connect(past_the_wall(rig.database), autocommit=True) as db:
            db.execute(_SLOW.format(pause=1.0, table="stream_range"))
            pid, end = rig.stack.children["ingest"].pid, time.monotonic() + setting.count
            while time.monotonic() < end:
                most = max(most, resident_mb(pid))
                time.sleep(0.2)
            db.execute("DROP TRIGGER slow ON stream_range")
        figures, _ = judged(name, rig, setting.seed, runs=1)
    return [*figures, Figure(name, "memory of the ingest", 1, most, 300, unit="MB")]


def _shared_ingest(rig: Rig, instance: int) -> Child:
    """Start an ingest that shares the subscriptions with others."""
    settings = yaml.safe_load(rig.stack.cloud_config.read_text())
    settings["mqtt"]["instance"] = instance
    config = rig.folder / f"cloud-{instance}.yaml"
    config.touch(mode=0o600)
    config.write_text(yaml.safe_dump(settings))
    command = python("-m", "plantroom_cloud", "--config", str(config), "ingest")
    return rig.stack.child(f"ingest-{instance}", *command)


@case("two-ingests", faults="9", pr=10, full=100)
def two_ingests(setting: Setting) -> Sequence[Figure]:
    """Two ingest processes share the subscriptions, and each is killed `count` times."""
    name, dice = "9 two ingests", setting.dice("two")
    with rigged(setting, postgres=True) as rig:
        rig.start()
        stack = rig.stack
        stack.stop("ingest")
        both = [_shared_ingest(rig, instance) for instance in (1, 2)]
        for number in range(2 * setting.count):
            stored = rig.stored()
            wait_for(lambda: rig.stored() > stored, what="storing", seconds=60)  # noqa: B023 -- at once
            time.sleep(dice.uniform(0, 1))
            both[number % 2].kill()
            time.sleep(dice.uniform(0, 0.5))
            both[number % 2].start()
            both[number % 2].wait_ready()
        alive = sum(each.running for each in both)
        figures, _ = judged(name, rig, setting.seed, runs=2 * setting.count)
        stack.stop("ingest-1", "ingest-2")
    return [*figures, Figure(name, "ingests that serve", 1, alive, 2, least=True)]


def alarms(rig: Rig) -> set[str]:
    """Return the kinds of alarm that stand in the cloud's database."""
    with contextlib.suppress(sqlite3.Error, psycopg.Error), rig.cloud_database() as db:
        return {str(row[0]) for row in db.execute("SELECT kind FROM delivery_alarm")}
    return set()


def wait_for_alarm(rig: Rig, kinds: set[str], limit: float) -> float:
    """Return the seconds until one of `kinds` stands; more than `limit` if none comes."""
    began = time.monotonic()
    with contextlib.suppress(ProcessFailedError):
        wait_for(lambda: bool(alarms(rig) & kinds), what=f"alarm {kinds}", seconds=limit)
        return time.monotonic() - began
    print(f"no alarm {kinds}; there are {alarms(rig)}")
    return limit + 1


__all__: list[Any] = ["alarms", "resident_mb", "safe_postgres", "wait_for_alarm"]
