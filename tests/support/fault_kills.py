"""Faults 1, 8 and 9: kill -9 of the agent, the broker and the ingest, at random moments, all at once."""

from __future__ import annotations

from collections.abc import Sequence

from support.fault_case import Setting, case
from support.fault_report import Figure, percentile
from support.fault_rig import Rig, judged, rigged
from support.nemesis import Victim, torment

_LONGEST = 1.5
"""Seconds that a process may serve before it is killed."""


@case("kills-sqlite", faults="1, 8, 9", pr=25, full=500)
def kills_sqlite(setting: Setting) -> Sequence[Figure]:
    """SQLite, and the embedded broker that speaks MQTT 3.1.1."""
    with rigged(setting, engine="embedded") as rig:
        return _kills(setting, rig, "kills, sqlite")


@case("kills-postgresql", faults="1, 8, 9", pr=25, full=500)
def kills_postgresql(setting: Setting) -> Sequence[Figure]:
    """PostgreSQL and Mosquitto."""
    with rigged(setting, postgres=True) as rig:
        return _kills(setting, rig, "kills, postgresql")


def _kills(setting: Setting, rig: Rig, name: str) -> list[Figure]:
    """Kill the agent `count` times, the ingest half and the broker a fifth as often."""
    rig.start()
    children = rig.stack.children
    last = [""]  # the epoch of the life before

    def dead() -> None:
        last[0] = rig.epoch()

    few = setting.count
    wanted = {
        "agent": few,
        "ingest": max(few // 2, min(few, 15)),
        "broker": max(few // 5, min(few, 8)),
    }
    tormented = {
        "agent": Victim(
            children["agent"], lambda: rig.polling(last[0]), wanted["agent"], killed=dead
        ),
        "ingest": Victim(
            children["ingest"], (rig.folder / "ingest.ready").exists, wanted["ingest"]
        ),
        "broker": Victim(
            children["broker"], (rig.folder / "broker.ready").exists, wanted["broker"]
        ),
    }
    limit = 240 + 15.0 * setting.count
    torment(tormented, seed=setting.seed, longest=_LONGEST, limit=limit, say=setting.say)
    runs = sum(victim.kills for victim in tormented.values())
    figures, verdict = judged(name, rig, setting.seed, runs=runs)
    agent = tormented["agent"]
    return [
        *(
            Figure(name, f"kills of {who}", each.kills, each.kills, None)
            for who, each in tormented.items()
        ),
        *figures,
        Figure(
            name, "epochs fewer than lives that polled", runs, max(0, agent.served - verdict.epochs)
        ),
        Figure(
            name,
            "agent: start to polling, p50",
            len(agent.restarts),
            percentile(agent.restarts, 0.5),
            None,
            unit="s",
        ),
        Figure(
            name,
            "agent: start to polling, p99",
            len(agent.restarts),
            percentile(agent.restarts, 0.99),
            5.0,
            unit="s",
            timing=True,
        ),
    ]
