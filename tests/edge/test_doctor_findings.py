"""What the doctor makes of plain facts."""

from __future__ import annotations

from typing import Any

import pytest

from plantroom_edge.doctor import Facts, devices, document, examine

NOW = 1_800_000_000_000_000


def device(**more: Any) -> dict[str, Any]:
    plain = {"alive": True, "failures": 0, "polls": 100, "last_good_us": NOW - 1_000_000}
    return {**plain, "points": 10, **more}


def facts(*, said: dict[str, Any] | None = None, **more: Any) -> Facts:
    """Return the facts of a gateway with which nothing is wrong, but for what is given."""
    agent = {
        "connected": True,
        "sync": {"clock": "sync", "clock_skew_us": 1000, "forks": []},
        "tasks": {},
        "buses": {
            "power": {"missing": [], "counters": {"polls": 500}, "devices": {"modbus:m": device()}}
        },
    }
    report = {"autonomy_hours": 90.0, "lost": {}, **more.pop("report", {})}
    plain: dict[str, Any] = {
        "now_us": NOW,
        "running": True,
        "answers": True,
        "config_file": "edge.yaml",
        "config_hash": "a",
        "running_hash": "a",
        "cloud": True,
        "cert_days": 80.0,
        "clock": "sync",
        "report": {**report, "agent": agent | (said or {})},
    }
    return Facts(**(plain | more))


def bus(**more: Any) -> dict[str, Any]:
    plain = {"missing": [], "counters": {"polls": 500}, "devices": {"modbus:m": device()}}
    return {"buses": {"power": plain | more}}


def told(given: Facts) -> list[tuple[str, str, str]]:
    return [(one.severity, one.about, one.what) for one in examine(given)]


def test_nothing_is_wrong_with_a_sound_gateway() -> None:
    """No finding, and the document says so."""
    assert told(facts()) == []
    assert told(facts(cert_days=29.0, cert_renews=True)) == [], "it is being renewed"
    assert document(facts())["ok"]


@pytest.mark.parametrize(
    ("given", "severity", "about", "words"),
    [
        (facts(running=False), "warning", "agent", "does not run"),
        (facts(answers=False), "warning", "agent", "control socket"),
        (facts(running_hash="b"), "warning", "configuration", "not what runs"),
        (facts(report={"safe_mode": True}), "error", "agent", "safe mode"),
        (
            facts(said={"tasks": {"bus x": {"failing": True, "error": "OSError: no"}}}),
            "error",
            "bus x",
            "OSError: no",
        ),
        (facts(said={"buffer_problem": "disk full"}), "error", "buffer", "disk full"),
        (facts(report={"full_since_us": 1}), "error", "disk", "full"),
        (facts(report={"giving_up": "thinned"}), "error", "buffer", "thinned"),
        (facts(report={"lost": {"quota": 1234}}), "note", "buffer", "1,234 rows"),
        (facts(report={"autonomy_hours": 3.5}), "warning", "buffer", "3.5 h"),
        (
            facts(report={"flash_bytes_per_day": 3e9, "flash_budget_bytes": 2e9}),
            "warning",
            "disk",
            "3000 MB",
        ),
        (facts(clock="unset"), "error", "clock", "nobody knows"),
        (facts(said={"sync": {"clock_skew_us": -7_500_000}}), "warning", "clock", "-7.5 s"),
        (facts(cloud=False), "note", "cloud", "none is configured"),
        (facts(cert_days=0.0), "error", "certificate", "has ended"),
        (facts(cert_days=12.0), "warning", "certificate", "12 days"),
        (facts(cert_days=24.0, cert_renews=True), "warning", "certificate", "24 days"),
        (
            facts(said={"certificate": {"until": 1.8e9, "fault": "it is revoked"}}),
            "warning",
            "certificate",
            "it is revoked",
        ),
        (
            facts(said={"connected": False, "tasks": {"sync": {"error": "refused"}}}),
            "error",
            "cloud",
            "refused",
        ),
        (facts(said={"sync": {"forks": ["e/tel"]}}), "error", "cloud", "e/tel"),
        (facts(said={"buses": {}}), "warning", "buses", "none is configured"),
        (facts(said=bus(missing=["b2 (host): no"])), "error", "power", "b2 (host)"),
        (facts(said=bus(counters={"polls": 90, "overruns": 10})), "warning", "power", "10 of 100"),
        (
            facts(said=bus(devices={"modbus:m": device(alive=False, failures=7)})),
            "error",
            "modbus:m",
            "7 polls",
        ),
        (
            facts(said=bus(devices={"modbus:m": device(last_good_us=0)})),
            "error",
            "modbus:m",
            "never",
        ),
    ],
)
def test_each_trouble_is_told_with_what_to_do(
    given: Facts, severity: str, about: str, words: str
) -> None:
    """One fact that is wrong gives one finding, of its severity, and a way out."""
    found = examine(given)
    assert len(found) == 1
    (one,) = found
    assert (one.severity, one.about) == (severity, about)
    assert words in one.what
    assert one.fix or severity == "note"
    assert document(given)["ok"] == (severity != "error")


def test_a_device_that_answers_again_is_not_missing() -> None:
    """What a search did not find and polling does is no finding."""
    assert told(facts(said=bus(missing=["m (10.0.0.5:502, unit 1): no answer (timeout)"]))) == []


def test_figures_of_drivers_are_weighed() -> None:
    """Failure rate, share of the bus's time and advice come from what the driver tells."""
    figures = {
        "device": "modbus:m",
        "requests": 1000,
        "failures": 100,
        "latency_ms": 90.0,
        "latency_max_ms": 400.0,
        "plan": ["holding 0-99"],
        "advice": ["registers 7-9 are refused"],
    }
    given = facts(traffic={"power": {"since_s": 100.0, "devices": [figures]}})
    (health,) = devices(given)
    assert (health.error_rate, health.bus_share, health.latency_max_ms) == (0.1, 0.9, 400.0)
    assert health.plan == ("holding 0-99",)
    assert told(given) == [
        ("warning", "power", "90% of its time is spent waiting for answers"),
        ("warning", "modbus:m", "10% of the requests fail"),
        ("note", "modbus:m", "registers 7-9 are refused"),
    ]


def test_the_worst_comes_first() -> None:
    """Errors stand before warnings, those before notes; a dead agent's devices are not judged."""
    given = facts(cloud=False, clock="unset", answers=False)
    assert [one.severity for one in examine(given)] == ["error", "warning", "note"]
    assert devices(facts(running=False)) == []
    assert examine(Facts(now_us=NOW, running=False))[0].about == "agent"
