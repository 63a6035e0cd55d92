"""``plantroom-edge doctor``: how the gateway is, what is wrong, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from plantroom_edge import control_client, doctor, status
from plantroom_edge.cli_common import AsJson, Config, Verbose, hint, print_json, print_table, safe
from plantroom_edge.cli_common import console as make_console
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.control_client import NotRunning
from plantroom_edge.doctor import Ailment, Facts, Health
from plantroom_edge.starts import config_hash
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Rejected, Unavailable

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def doctor_command(config: Config, *, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Look at everything: devices, buses, buffer, clock, cloud, certificate, files.

    Each finding says what to do. The figures come from the running agent where there is one, so
    that no bus is asked anything more; else from the files it has left. -v also shows the requests
    of a round, device by device.

    Exit codes: 0 nothing is wrong, 1 something is, 2 the configuration is.

    \b
    Examples:
      plantroom-edge doctor edge.yaml
      plantroom-edge doctor edge.yaml -v              with each device's request plan
      plantroom-edge doctor edge.yaml --json | jq .findings
    """  # noqa: D301 -- typer reads \b
    settings = load(config)
    facts = asyncio.run(gather(config, settings))
    found = doctor.examine(facts)
    if as_json:
        print_json(doctor.document(facts))
    else:
        _print(make_console(), facts, found, plans=verbose)
    failed = any(one.severity == "error" for one in found)
    if not failed:
        hint(f"plantroom-edge preview {config}, plantroom-edge status {config}")
    raise typer.Exit(1 if failed else 0)


async def gather(file: Path, config: AgentConfig) -> Facts:
    """Return what can be known of a gateway, from its agent or from its files."""
    report = status.report(config)
    facts = Facts(
        now_us=SystemClock().now_us(),
        running=bool(report["running"]),
        config_file=str(file),
        config_hash=config_hash(config),
        report=report,
        cloud=config.cloud is not None,
        files=list(_files(file, config)),
    )
    try:
        answer = await control_client.ask(config, "status")
    except NotRunning:
        pass
    except (Unavailable, Rejected) as error:
        facts.files.append(Ailment("warning", "agent", str(error)))
    else:
        facts.running = facts.answers = True
        facts.running_hash = str(answer["config"])
        facts.traffic, facts.clock = answer["traffic"], str(answer["clock"])
        facts.report = {**report, "agent": answer["status"]}
    if config.cloud:
        _look_at_certificate(facts, report["certificate"])
    return facts


def _look_at_certificate(facts: Facts, told: dict[str, Any]) -> None:
    if problem := told.get("problem"):
        fix = "put the gateway's PEM file there"
        facts.files.append(Ailment("error", "certificate", problem, fix))
        return
    facts.cert_days, facts.cert_renews = told["days"], told["renews"]


def _files(file: Path, config: AgentConfig) -> Iterator[Ailment]:
    """Yield what is wrong with files and their rights."""
    if config.cloud:
        mode = config.cloud.key.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            what = f"others may read the private key {config.cloud.key}"
            yield Ailment("error", "files", what, f"chmod 600 {config.cloud.key}")
    if file.stat().st_mode & stat.S_IWOTH:
        yield Ailment("error", "files", f"anybody may write {file}", f"chmod o-w {file}")
    if not config.data.exists():
        return
    if not os.access(config.data, os.W_OK):
        fix = "run this as the agent's user, or give it the folder: chown"
        yield Ailment("warning", "files", f"you may not write to {config.data}", fix)
    free = shutil.disk_usage(config.data).free
    used = _size(config.buffer_file)
    wanted = config.buffer.limit_mb * 1024 * 1024 - used
    if free < wanted:
        what = f"{free / 1e6:.0f} MB are free, the buffer may want {wanted / 1e6:.0f} more"
        yield Ailment("warning", "disk", what, "make room, or lower buffer.limit_mb")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


# ---------------------------------------------------------------- printing


def _print(console: Console, facts: Facts, found: list[Ailment], *, plans: bool) -> None:
    told = doctor.devices(facts)
    if told:
        headings = (
            "device",
            "bus",
            "answers",
            "points",
            "polls",
            "last",
            "errors",
            "ms",
            "max ms",
            "bus time",
        )
        print_table(console, headings, map(_row, told), title="devices")
    if plans:
        for health in told:
            for line in health.plan:
                console.print(f"{safe(health.device)}: {safe(line)}", soft_wrap=True)
    _print_rest(console, facts)
    for one in found:
        style = _COLOURS[one.severity]
        fix = f" [dim]→[/] {safe(one.fix)}" if one.fix else ""
        what = f"{safe(one.about)}: {safe(one.what)}"
        console.print(f"[{style}]{one.severity}[/] {what}{fix}", soft_wrap=True)
    if not any(one.severity != "note" for one in found):
        console.print("[green]nothing is wrong[/]")


def _row(health: Health) -> tuple[str, ...]:
    answers = "[green]yes[/]" if health.answers else "[red]no[/]"
    rate = None if health.error_rate is None else f"{health.error_rate:.1%}"
    share = None if health.bus_share is None else f"{health.bus_share:.1%}"
    last = None if health.quiet_s is None else f"{health.quiet_s:.0f} s ago"
    rest = (last, rate, health.latency_ms, health.latency_max_ms, share)
    counts = (str(health.points), str(health.polls))
    shown = ("-" if one is None else str(one) for one in rest)
    return (safe(health.device), safe(health.bus), answers, *counts, *shown)


def _print_rest(console: Console, facts: Facts) -> None:
    report: dict[str, Any] = doctor.document(facts)
    a_day = report["flash_bytes_per_day"]
    skew = report["clock_skew_us"]
    rows = [
        ("agent", "running" if facts.running else "not running"),
        ("room without the cloud", _or(report["autonomy_hours"], "{} h")),
        ("written to the disk", _or(None if a_day is None else round(a_day / 1e6), "{} MB a day")),
        ("clock", f"{report['clock'] or '-'}{'' if skew is None else f', {skew / 1e6:+.3f} s'}"),
        ("cloud", "connected" if report["connected"] else "not connected"),
        ("certificate", _or(report["certificate_days"], "ends in {} days")),
        ("waiting for the cloud", _or(report["on_edge"], "{} samples")),
    ]
    print_table(console, ("what", "how"), rows, title="gateway")


def _or(value: Any, text: str) -> str:
    return "-" if value is None else text.format(value)
