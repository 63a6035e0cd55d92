"""``plantroom-cloud map``: point lists in, mapped points out, without a database.

Cells of the output are written exactly as they were read, so that the result can be joined with
its input. A spreadsheet may read a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a
formula; ``--spreadsheet`` puts an apostrophe before such cells for people who open the file there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from plantroom_cloud.mapping.pointlist import Counted, read_lists, write_mapped
from plantroom_shared.errors import ConfigError
from plantroom_shared.mapping import map_points, promise

__all__ = ["map_points_command"]


def map_points_command(
    sources: Annotated[
        list[Path],
        typer.Argument(help="CSV files, or folders of them; only `point_name` is required."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the result.")],
    *,
    spreadsheet: Annotated[
        bool,
        typer.Option(help="Put an apostrophe before cells that a spreadsheet takes for formulas."),
    ] = False,
) -> None:
    """Map the points of CSV lists to equipment and Brick classes."""
    console = Console(stderr=True)
    counted = Counted()
    try:
        buildings = read_lists(sources, counted)
        mapped = {
            building: map_points([row.point for row in rows])
            for building, rows in track(
                buildings.items(), description="mapping", console=console, transient=True
            )
        }
        write_mapped(out, buildings, mapped, spreadsheet=spreadsheet)
    except ConfigError as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(2) from error
    classed = sum(bool(item.point_class) for items in mapped.values() for item in items)
    console.print(
        f"{counted.points} points of {len(buildings)} buildings, {classed} with a class, "
        f"{counted.long} names cut for matching, {counted.bad} bad rows left out → {out}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    made = promise([item.confidence for items in mapped.values() for item in items])
    least = (
        "" if made.min_confidence is None else f", confidence {made.min_confidence:.2f} and above"
    )
    console.print(f"to be accepted: {made}{least}", markup=False, highlight=False, soft_wrap=True)
