"""``plantroom-edge writes`` and ``write``: the switch on site, and writing by hand."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plantroom_edge import status
from plantroom_edge.commands.moments import Now, boot_id
from plantroom_edge.commands.spool import VALID, Spool, whoami
from plantroom_edge.commands.switch import Position, Switch
from plantroom_edge.config import AgentConfig, load
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Unavailable

app = typer.Typer(
    help="Writes to devices: the switch on this gateway, and what stands.", no_args_is_help=True
)

Config = Annotated[Path, typer.Argument(help="The agent's YAML file.", metavar="CONFIG")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]

_POLL: Final = 0.1


@app.command()
def off(config: Config) -> None:
    """Refuse every write from now on and take back all values; it stays so until `writes on`.

    The agent heeds it within a second, or when it starts. The cloud cannot undo it.
    """
    _turn(load(config), off=True)
    typer.echo("writes are off; what stands is taken back")


@app.command()
def on(config: Config) -> None:
    """Let writes happen again, as far as the configuration allows them."""
    settings = load(config)
    _turn(settings, off=False)
    rest = "" if settings.writes.enabled else "; the configuration has them off all the same"
    typer.echo(f"writes are on{rest}")


@app.command("release-all")
def release_all(config: Config) -> None:
    """Take back every value that was written and still stands; further writes are not refused."""
    settings = load(config)
    switch = _switch(settings)
    before = switch.read()
    switch.set(_signed(before.model_copy(update={"release": before.release + 1})))
    typer.echo("every value is taken back; `plantroom-edge writes status` shows what still stands")


@app.command("status")
def show(config: Config, *, as_json: AsJson = False) -> None:
    """Show the switch, the values that stand and the last commands, whether the agent runs or not."""
    settings = load(config)
    position = _switch(settings).read()
    document = {
        "enabled": settings.writes.enabled,
        "off": position.off,
        "switched_by": position.by,
        "running": status.is_running(status.read(settings.status_file)),
        **_journal(settings),
    }
    if as_json:
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(Console(), document)


def write(
    config: Config,
    point: Annotated[str, typer.Argument(help="Key of the point.")],
    value: Annotated[str, typer.Argument(help="In the point's unit: 21.5, true, or a text.")],
    *,
    lease: Annotated[float, typer.Option(help="Seconds until it is taken back.")] = 60.0,
    priority: Annotated[int | None, typer.Option(help="BACnet priority.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, write nothing.")] = False,
) -> None:
    """Have the running agent write a point: same limits, journal and audit as a command of the cloud."""
    settings = load(config)
    if not status.is_running(status.read(settings.status_file)):
        what = "the agent does not run, and nobody else may write"
        raise ConfigError(what, file=str(config), fix="start it with `plantroom-edge run`")
    wanted = {"point": point, "value": _value(value), "priority": priority}
    spool = Spool(settings.writes_folder / "spool")
    kind = "dry_run" if dry_run else "write"
    ident = spool.put(settings.gateway, _now(), kind=kind, writes=[wanted], lease_s=lease)
    state, reason = _outcome(settings, ident)
    typer.echo(f"{ident}: {state}{f' ({reason})' if reason else ''}")
    if state not in {"executed", "checked"}:
        raise typer.Exit(1)


def _outcome(settings: AgentConfig, ident: str) -> tuple[str, str]:
    """Wait until the agent has done it, or will not any more."""
    deadline = time.monotonic() + VALID + 45
    state, reason = "not-taken", "the agent has not taken it: are writes enabled there?"
    while time.monotonic() < deadline:
        with _reading(settings) as db:
            row = db.execute("SELECT state, reason FROM command WHERE id=?", (ident,)).fetchone()
        if row:
            state, reason = row
            if state != "intent":
                break
        elif time.monotonic() > deadline - 45:
            break
        time.sleep(_POLL)
    return state, reason


def _journal(settings: AgentConfig) -> dict[str, Any]:
    try:
        with _reading(settings) as db:
            holds = db.execute(
                "SELECT point, priority, written, restore, command FROM hold ORDER BY point"
            ).fetchall()
            last = db.execute(
                "SELECT id, actor, kind, state, reason, at_us FROM command ORDER BY at_us DESC LIMIT 20"
            ).fetchall()
    except Unavailable as error:
        return {"holds": [], "commands": [], "problem": str(error)}
    return {
        "holds": [
            {"point": point, "priority": slot or None, "value": json.loads(written)[-1],
             "restore": json.loads(restore), "command": command}
            for point, slot, written, restore, command in holds
        ],
        "commands": [
            dict(zip(("id", "actor", "kind", "state", "reason", "at_us"), row, strict=True))
            for row in last
        ],
    }  # fmt: skip


@contextlib.contextmanager
def _reading(settings: AgentConfig) -> Iterator[sqlite3.Connection]:
    file = settings.writes_folder / "commands.db"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            yield db
    except sqlite3.Error as error:
        msg = f"there is no journal of commands at {file} that can be read: {error}"
        raise Unavailable(msg) from error


def _print(console: Console, document: dict[str, Any]) -> None:
    enabled = "enabled" if document["enabled"] else "not enabled in the configuration"
    switch = "[red]off[/]" if document["off"] else "on"
    console.print(f"writes are {enabled}; the switch here is {switch}")
    if problem := document.get("problem"):
        console.print(escape(str(problem)))
    holds = Table("point", "priority", "value", "comes back", "command", title="values that stand")
    for hold in document["holds"]:
        holds.add_row(*(escape(str("" if one is None else one)) for one in hold.values()))
    console.print(holds)
    last = Table("command", "who", "kind", "state", "reason", title="last commands")
    for each in document["commands"]:
        last.add_row(*(escape(str(one)) for one in list(each.values())[:5]))
    console.print(last)


def _turn(settings: AgentConfig, *, off: bool) -> None:
    switch = _switch(settings)
    switch.set(_signed(switch.read().model_copy(update={"off": off})))


def _signed(position: Position) -> Position:
    return position.model_copy(update={"by": whoami(), "at_us": SystemClock().now_us()})


def _switch(settings: AgentConfig) -> Switch:
    return Switch(settings.writes_folder / "switch.json")


def _now() -> Now:
    clock = SystemClock()
    return Now(clock.now_us(), round(clock.monotonic() * 1e6), boot=boot_id())


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text
