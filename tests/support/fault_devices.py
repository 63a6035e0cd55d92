"""Faults 22 to 24: devices that answer rubbish or not at all, and defects in a poll."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from demo.processes import Child, python, wait_for
from support import fault_agent
from support.fault_case import Setting, case
from support.fault_report import Figure
from support.fault_rig import Rig, judged, rigged
from support.proxy import Proxy


def _beside(setting: Setting, name: str, **weather: Any) -> Sequence[Figure]:
    """Spoil the Modbus device for `count` seconds; the BACnet device beside it must not notice."""
    with rigged(setting) as rig:
        rig.start_cloud()
        bus = rig.manifest["modbus"][0]
        with Proxy(bus["host"], bus["port"], seed=setting.seed).running() as proxy:
            bus["port"] = proxy.port
            rig.configure_agent()
            rig.start_agent()
            wait_for(lambda: rig.stored() > 0, what="the first samples", seconds=60)
            proxy.down.__setattr__(*next(iter(weather.items())))
            began = time.time()
            time.sleep(setting.count)
            share = _on_time(rig, began, setting.count)
            alive = rig.stack.children["agent"].running
            proxy.weather()
            proxy.reset()
            before = rig.total()
            wait_for(lambda: rig.total() > before + 200, what="recovery", seconds=120)
            rig.drain()
            epochs = len(rig.accepted())
    return [
        Figure(
            name,
            "due polls of the healthy device on time",
            setting.count,
            share,
            99,
            least=True,
            unit="%",
            timing=True,
        ),
        Figure(name, "agents that ended", 1, float(not alive)),
        Figure(name, "starts more than one", 1, epochs - 1),
    ]


def _on_time(rig: Rig, began: float, seconds: float) -> float:
    """Return the share of due reads of the BACnet device that were accepted, percent."""
    time.sleep(2)
    begin, end = int(began * 1e6), int((began + seconds) * 1e6)
    key = next(key for key in rig.manifest["ledger"] if key.startswith("bacnet:"))
    sql = (
        "SELECT count(*) FROM sample JOIN point ON point.id = sample.point_id"
        f" WHERE point.key = '{key}' AND quality = 0 AND ts_us BETWEEN {begin} AND {end}"
    )
    with rig.cloud_database() as db:
        ((reads,),) = db.execute(sql)
    return 100 * int(reads) * rig.interval / seconds


@case("rubbish-device", faults="22", pr=20, full=600)
def rubbish_device(setting: Setting) -> Sequence[Figure]:
    """Nine of ten replies of the Modbus device have a flipped bit, in any field."""
    return _beside(setting, "22 malformed replies", corrupt=0.9)


@case("dead-device", faults="23", pr=20, full=300)
def dead_device(setting: Setting) -> Sequence[Figure]:
    """Half of the devices take requests and never answer."""
    return _beside(setting, "23 half of the devices dead", held=True)


@case("poll-defects", faults="24", pr=20, full=300)
def poll_defects(setting: Setting) -> Sequence[Figure]:
    """One read in fifty raises what nobody expects, for `count` seconds."""
    name = "24 defects in a poll"
    with rigged(setting) as rig:
        rig.start_cloud()
        rig.configure_agent()
        command = python(fault_agent.__file__, str(rig.folder), "run", str(rig.stack.agent_config))
        rig.stack.children["agent"] = agent = Child("agent", command, rig.folder)
        agent.start()
        wait_for(lambda: rig.stored() > 0, what="the first samples", seconds=60)
        (rig.folder / "raise").write_text("0.02")
        time.sleep(setting.count)
        (rig.folder / "raise").write_text("0")
        time.sleep(6)  # a breaker that three defects in a row have opened closes again within three
        figures, _ = judged(name, rig, setting.seed, runs=setting.count)
        pause, silent = _pauses(rig)
        hit = _spoilt(rig)
        lives = len(rig.accepted())
    return [
        *figures,
        Figure(name, "longest pause of a point", setting.count, pause, 5, unit="s", timing=True),
        Figure(name, "rows that say that a read was a defect", setting.count, hit, 1, least=True),
        Figure(name, "points that never came back", setting.count, silent),
        Figure(name, "starts more than one", 1, lives - 1),
    ]


def _spoilt(rig: Rig) -> int:
    """Return how many rows say that the driver failed."""
    with rig.cloud_database() as db:
        ((rows,),) = db.execute("SELECT count(*) FROM sample WHERE reason = 'driver-error'")
    return int(rows)


def _pauses(rig: Rig) -> tuple[float, int]:
    """Return the longest pause between two good reads of a point, and how many points ended early."""
    with rig.cloud_database() as db:
        rows = list(
            db.execute(
                "SELECT point_id, ts_us FROM sample WHERE quality = 0 ORDER BY point_id, ts_us"
            )
        )
    longest, last = 0, dict[int, int]()
    for point, ts in rows:
        longest = max(longest, ts - last.get(point, ts))
        last[point] = ts
    newest = max(last.values())
    return longest / 1e6, sum(newest - ts > 5_000_000 for ts in last.values())
