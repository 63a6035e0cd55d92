"""What the commands print: tables for people, documents for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from plantroom_edge.cli_common import safe
from plantroom_edge.drivers import Inventory
from plantroom_edge.sampling.explaining import words


def discovery_document(
    found: Mapping[str, Inventory], mapped: Mapping[str, Any], sampled: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what was found on the buses as plain values."""
    return {
        "buses": {
            name: {
                "devices": [device.model_dump() for device in inventory.devices],
                "points": [
                    point.model_dump()
                    | _mapping(mapped.get(point.key))
                    | ({"sampling": sampled[point.key]} if point.key in sampled else {})
                    for point in inventory.points
                ],
                "missing": list(inventory.missing),
            }
            for name, inventory in found.items()
        },
        "devices": sum(len(inventory.devices) for inventory in found.values()),
        "points": sum(len(inventory.points) for inventory in found.values()),
    }


def _mapping(entry: Any) -> dict[str, Any]:
    if entry is None:
        return {}
    keys = ("equipment", "equip_class", "point_class", "model_id", "model_point", "confidence")
    return {"mapping": {key: getattr(entry, key) for key in keys}}


def print_discovery(
    console: Console,
    found: Mapping[str, Inventory],
    mapped: Mapping[str, Any],
    sampled: Mapping[str, Any],
) -> None:
    """Print a table of devices and one of points for each bus."""
    for name, inventory in found.items():
        devices = Table(title=f"{name}: {len(inventory.devices)} devices", title_justify="left")
        for heading in ("device", "name", "vendor", "model", "address", "points"):
            devices.add_column(heading)
        for device in inventory.devices:
            count = sum(point.device == device.key for point in inventory.points)
            row = (device.key, device.name, device.vendor, device.model, device.address, str(count))
            devices.add_row(*map(safe, row))
        console.print(devices)
        _print_points(console, inventory, mapped, sampled)
        for target in inventory.missing:
            console.print(f"[yellow]no answer:[/] {safe(target)}")
    if not found:
        console.print("no buses are configured: add one under `buses:`")


def _print_points(
    console: Console,
    inventory: Inventory,
    mapped: Mapping[str, Any],
    sampled: Mapping[str, Any],
) -> None:
    points = Table(title=f"{len(inventory.points)} points", title_justify="left")
    headings = ["point", "name", "unit", "type"]
    if mapped:
        headings += ["equipment", "class", "point class", "EnOS point", "confidence"]
    if sampled:
        headings += ["deadband", "counter"]
    for heading in headings:
        points.add_column(heading, overflow="fold")
    for point in inventory.points:
        row = [point.key, point.name, point.unit, point.object_type]
        entry = mapped.get(point.key)
        if entry is not None:
            enos = f"{entry.model_id}/{entry.model_point}" if entry.model_point else ""
            row += [str(entry.equipment or ""), str(entry.equip_class or "")]
            row += [str(entry.point_class or ""), enos, f"{entry.confidence or 0:.2f}"]
        if point.key in sampled:
            row += [""] * (len(headings) - 2 - len(row))
            row += words(sampled[point.key], point.unit)
        points.add_row(*map(safe, row))
    console.print(points)


def print_status(console: Console, report: Mapping[str, Any]) -> None:
    """Print an agent's status as tables."""
    said: Mapping[str, Any] = report.get("agent") or {}
    running = "[green]running[/]" if report["running"] else "[yellow]not running[/]"
    console.print(f"[bold]{safe(report['gateway'])}[/] at {safe(report['site'])}: {running}")
    if report.get("problem"):
        console.print(f"[yellow]{safe(report['problem'])}[/]")
    rows = Table("rows", "accepted", "on edge", title="buffer", title_justify="left")
    rows.add_row("samples", f"{report['accepted']:,}", f"{report['on_edge']:,}")
    rows.add_row("findings", f"{report['findings_accepted']:,}", f"{report['findings_on_edge']:,}")
    for stream, name in (("cmd", "commands"), ("aud", "audit")):
        counts = (report.get("streams") or {}).get(stream, {"accepted": 0, "on_edge": 0})
        rows.add_row(name, f"{counts['accepted']:,}", f"{counts['on_edge']:,}")
    console.print(rows)
    if report.get("lag_s") is not None:
        console.print(f"the oldest row that waits for the cloud is {_span(report['lag_s'])} old")
    for cause, count in (report.get("lost") or {}).items():
        console.print(f"[yellow]declared lost ({safe(str(cause))}):[/] {count:,}")
    _print_certificate(console, report.get("certificate"), said.get("certificate"))
    if not report["running"]:
        return
    _print_health(console, report)
    sync = said.get("sync") or {}
    link = "connected" if said.get("connected") else "not connected"
    console.print(
        f"{link}, MQTT {safe(str(sync.get('protocol') or '-'))},"
        f" last ack {sync.get('last_ack_age')} s ago, {said.get('samples_per_second')} samples/s,"
        f" room for {said.get('autonomy_hours')} h without the cloud"
    )
    _print_devices(console, said)


def _print_certificate(
    console: Console, told: Mapping[str, Any] | None, said: Mapping[str, Any] | None
) -> None:
    """Print how long the certificate lasts, and what became of its renewal."""
    if told is None:
        return
    if problem := told.get("problem"):
        console.print(f"[red]{safe(str(problem))}[/]", soft_wrap=True)
        return
    ends = "[red]has ended[/]" if told["days"] <= 0 else f"ends in {told['days']} days"
    line = f"the certificate {ends} ({told['until']})"
    if told["waiting"]:
        line += ", a renewed one is about to be used"
    elif told["renews"]:
        line += ", and is renewed by itself"
    console.print(line, soft_wrap=True)
    if fault := (said or {}).get("fault"):
        console.print(f"[yellow]it could not be renewed:[/] {safe(str(fault))}", soft_wrap=True)


def _print_health(console: Console, report: Mapping[str, Any]) -> None:
    """Print how the disk is and what the agent does about it."""
    if report.get("safe_mode"):
        console.print("[red]safe mode[/] after failed starts: no detectors, no sinks")
    if problem := (report.get("agent") or {}).get("buffer_problem"):
        console.print(f"[red]rows are refused:[/] {safe(str(problem))}")
    if report.get("full_since_us"):
        console.print("[red]the disk is full:[/] the oldest samples are given up for new ones")
    how = {"thinned": "thinned to one reading in 15 minutes", "quota": "dropped"}
    if report.get("giving_up") in how:
        console.print(f"[yellow]the oldest samples are {how[report['giving_up']]}[/]")
    disk = f"{(report.get('disk_bytes') or 0) / 1e6:.1f} MB"
    line = f"{disk} of {report['limit_bytes'] / 1e6:.0f} MB on the disk"
    if a_day := report.get("flash_bytes_per_day"):
        over = a_day > report["flash_budget_bytes"]
        line += f", {a_day / 1e6:.0f} MB written a day{' [red](over budget)[/]' if over else ''}"
    console.print(line)


def _span(seconds: float) -> str:
    """Return a length of time as a person says it."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _print_devices(console: Console, said: Mapping[str, Any]) -> None:
    table = Table(
        "device", "bus", "answers", "points", "polls", title="devices", title_justify="left"
    )
    for bus, state in (said.get("buses") or {}).items():
        for key, device in state.get("devices", {}).items():
            alive = "yes" if device["alive"] else f"[red]no[/] ({device['failures']} times)"
            counts = (str(device["points"]), str(device["polls"]))
            table.add_row(safe(key), safe(bus), alive, *counts)
    console.print(table)
