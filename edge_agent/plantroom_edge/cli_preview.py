"""``plantroom-edge preview``: what every point says now, as a live table."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from plantroom_edge.cli_common import AsJson, Config, hint, print_json, print_table, safe
from plantroom_edge.cli_common import console as make_console
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.preview_source import Meanings, Source, source
from plantroom_edge.preview_view import View, age_text, value_text
from plantroom_shared.errors import Unavailable
from plantroom_shared.terminal import keys

_LOOK_EVERY = 1.0
"""Seconds between two looks at the values."""
_FIRST_EVERY = 0.2
"""Seconds between two looks while nothing has been read yet."""


def preview(
    config: Config,
    *,
    seconds: Annotated[
        float, typer.Option(help="Without a terminal: wait so long for all values.", min=0.1)
    ] = 15.0,
    filter_: Annotated[str, typer.Option("--filter", help="Only points with these words.")] = "",
    only_bad: Annotated[bool, typer.Option("--only-bad", help="Only what is not good.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what every point says now: value, unit, quality, age; live on a terminal.

    Where the agent runs, the values come from it and no bus is asked anything more; where it does
    not, the buses are opened and polled as the agent would. Nothing is stored or sent.

    Keys: / filter, arrows and page keys move, s sort, b only bad, g by equipment, q quit. Piped or
    with --json it prints every point once, when all have been read or --seconds are over.

    \b
    Examples:
      plantroom-edge preview edge.yaml
      plantroom-edge preview edge.yaml --filter "chiller temp"
      plantroom-edge preview edge.yaml --only-bad | cut -f1,5
      plantroom-edge preview edge.yaml --json
    """  # noqa: D301 -- typer reads \b
    logging.getLogger("plantroom_edge").setLevel(logging.CRITICAL)  # the table says it
    settings = load(config)
    if not settings.buses:
        hint(f"no bus is configured yet: plantroom-edge scan {config}")
        return
    view = View(filter=filter_, only_bad=only_bad)
    console = make_console()
    if as_json or not (console.is_terminal and sys.stdin.isatty()):
        asyncio.run(_once(settings, view, seconds))
        _print(console, view, as_json=as_json)
    else:
        asyncio.run(_live(settings, view, console))
    hint(f"plantroom-edge run {config}, or apply it where the agent runs")


async def _once(config: AgentConfig, view: View, seconds: float) -> None:
    """Fill the view when everything has been read once."""
    meanings = Meanings()
    async with source(config) as values:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await _look(values, view, meanings)
                    if values.ready(view.rows):
                        return
                    await asyncio.sleep(_FIRST_EVERY)
        except TimeoutError:
            return  # what has not answered until now is shown as it is: not read


def _print(console: Console, view: View, *, as_json: bool) -> None:
    shown = view.shown()
    if as_json:
        document = {"now_us": view.now_us, "source": view.source, "trouble": view.trouble}
        print_json({**document, "points": shown})
        return
    headings = ("point", "name", "value", "unit", "quality", "age", "equipment")
    rows = [
        (
            row["point"],
            row["name"],
            value_text(row),
            row["unit"],
            row["reason"] or row["quality"],
            age_text(row, view.now_us),
            row.get("equipment", ""),
        )
        for row in shown
    ]
    if view.trouble:
        make_console(stderr=True).print(f"[red]{safe(view.trouble)}[/]", soft_wrap=True)
    print_table(console, headings, [tuple(map(safe, row)) for row in rows])


async def _live(config: AgentConfig, view: View, console: Console) -> None:
    meanings = Meanings()
    with (
        keys(sys.stdin.fileno()) as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        async with source(config) as values:
            looking = asyncio.create_task(_keep_looking(values, view, meanings))
            try:
                while not view.ended:
                    live.update(view.render(*console.size), refresh=True)
                    await _next(pressed, view, console.height)
            finally:
                looking.cancel()


async def _keep_looking(values: Source, view: View, meanings: Meanings) -> None:
    while True:
        try:
            await _look(values, view, meanings)
        except Unavailable as error:
            view.trouble = str(error)
        await asyncio.sleep(_LOOK_EVERY if view.rows else _FIRST_EVERY)


async def _look(values: Source, view: View, meanings: Meanings) -> None:
    found, now_us = await values.look()
    meanings.put(found)
    view.source = values.name
    view.take(found, now_us, values.trouble())


async def _next(pressed: asyncio.Queue[str], view: View, height: int) -> None:
    """Return after a key, or when it is time to draw again."""
    try:
        async with asyncio.timeout(0.25):
            view.press(await pressed.get(), max(height - 5, 1))
    except TimeoutError:
        return
    while not pressed.empty():
        view.press(pressed.get_nowait(), max(height - 5, 1))
