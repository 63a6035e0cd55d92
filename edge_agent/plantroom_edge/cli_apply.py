"""``plantroom-edge apply``: the running agent goes over to another configuration, without a restart."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from plantroom_edge import control_client, files
from plantroom_edge.cli_add import print_diff
from plantroom_edge.cli_common import AsJson, Config, hint, print_json, safe
from plantroom_edge.cli_common import console as make_console
from plantroom_edge.config import load
from plantroom_edge.control_client import NotRunning
from plantroom_edge.reconfigure import ASK_FROM, compare, devices_of, removed_devices
from plantroom_edge.starts import config_hash
from plantroom_shared.errors import ConfigError, PlantroomError, Rejected

_SIGNS = {"added": "[green]+[/]", "removed": "[red]-[/]", "changed": "[yellow]~[/]"}


def apply(
    config: Config,
    new: Annotated[
        Path | None,
        typer.Argument(help="Takes the place of CONFIG.", metavar="[NEW]", show_default=False),
    ] = None,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Also if a fifth of the points goes away.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; do nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the running agent take the file as it is now, or NEW in its place.

    Only buses that differ stop and start; all others go on without a missed poll, and what was
    read waits in the buffer as before. What is the same already changes nothing. If something
    cannot change while the agent runs, it says what to do, and nothing is changed. `kill -HUP`
    does the same as `apply CONFIG`.

    \b
    Examples:
      plantroom-edge apply edge.yaml               after editing it, or after `add`
      plantroom-edge apply edge.yaml new.yaml      put NEW in its place, apply it
      plantroom-edge apply edge.yaml --dry-run     what would happen
    """  # noqa: D301 -- typer reads \b
    document = asyncio.run(_apply(config, new, yes=yes, dry_run=dry_run, quiet=as_json))
    if as_json:
        print_json(document)


async def _apply(
    config: Path, new: Path | None, *, yes: bool, dry_run: bool, quiet: bool
) -> dict[str, Any]:
    text = _read(new) if new else None
    wanted = load(config, text)  # whatever is wrong is told with its line, agent or not
    console = make_console(stderr=quiet)
    if new and not quiet:
        print_diff(console, _read(config), text or "", config.name)
    try:
        async with control_client.connect(load(config)) as line:
            answer = await line.ask("plan", text=text)
            _tell(console, answer)
            _check(answer["plan"]["refused"])
            doing = not answer["plan"]["unchanged"] and not dry_run
            if doing:
                yes = _confirm(answer["points_dropped"], answer["points"], "points", yes=yes)
            if not dry_run:
                with_file = None if text is None else (config, text)
                await _commit(line, with_file, config_hash(wanted), force=yes)
            if doing:
                console.print(f"[green]applied[/] to the running agent ({answer['plan']['after']})")
                hint(f"plantroom-edge preview {config}, plantroom-edge doctor {config}")
            return {**answer, "running": True, "applied": not dry_run}
    except NotRunning:
        return _offline(console, config, text, yes=yes, dry_run=dry_run)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        what = f"it cannot be read: {error}"
        raise ConfigError(what, file=str(file)) from error


def _tell(console: Console, answer: dict[str, Any]) -> None:
    """Print what changes, in words."""
    plan = answer["plan"]
    if plan["unchanged"]:
        console.print("unchanged: the agent runs this configuration already")
    for one in plan["changes"]:
        words = f": {safe(one['words'])}" if one["words"] else ""
        where = f"{one['kind']} {safe(one['name'])} {one['what']}"
        console.print(f"{_SIGNS.get(one['what'], '~')} {where}{words}", soft_wrap=True)
    restarts = [name for name in plan["stop"] if name in plan["start"]]
    if restarts:
        console.print(f"[dim]starts anew: {safe(', '.join(restarts))}; all else goes on[/]")


def _check(refused: list[dict[str, str]]) -> None:
    if refused:
        words = "; ".join(f"`{one['key']}`: {one['instead']}" for one in refused)
        msg = "this cannot change while the agent runs, and nothing was changed"
        raise ConfigError(msg, fix=words)


def _confirm(dropped: int, of: int, what: str, *, yes: bool) -> bool:
    """Ask a person where much would go away; return whether the answer was yes."""
    if yes or not dropped or dropped < ASK_FROM * of:
        return yes
    question = f"{dropped} of {of} {what} would go away"
    if not sys.stdin.isatty():
        raise ConfigError(question, fix="if that is right, use --yes")
    if not typer.confirm(f"{question}. Apply it?"):
        msg = "nothing was changed"
        raise ConfigError(msg)
    return True


async def _commit(
    line: control_client.Line, put: tuple[Path, str] | None, expect: str, *, force: bool
) -> None:
    """Put the new file in its place and have it applied; if that is refused, the old one is back."""
    before = _read(put[0]) if put else ""
    if put and put[1] != before:
        files.replace(*put)
    try:
        await line.ask("apply", expect=expect, force=force)
    except PlantroomError as error:
        if put:
            files.replace(put[0], before)
        if isinstance(error, Rejected):
            raise ConfigError(str(error)) from error
        raise


def _offline(
    console: Console, config: Path, text: str | None, *, yes: bool, dry_run: bool
) -> dict[str, Any]:
    """Nobody runs: the file is all that there is to change."""
    plan = compare(load(config), load(config, text))
    answer = {"plan": plan.document(), "running": False, "applied": False}
    if text is not None and not plan.unchanged:
        _tell(console, answer)
        before = [name for bus in load(config).buses for name in (devices_of(bus) or [bus.name])]
        lost = removed_devices(plan)
        gone = sum(
            len(lost[bus.name]) or len(devices_of(bus)) or 1
            for bus in load(config).buses
            if bus.name in lost
        )
        _confirm(gone, len(before), "devices", yes=yes)
        if not dry_run:
            files.replace(config, text)
            answer["applied"] = True
    console.print("no agent runs with it: it is taken when one starts", soft_wrap=True)
    hint(f"plantroom-edge run {config}")
    return answer
