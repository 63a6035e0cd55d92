"""What the commands have in common: their arguments, and how they print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

Config = Annotated[
    Path, typer.Argument(help="The agent's YAML file.", metavar="CONFIG", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")]


def print_json(document: Any) -> None:
    """Print a document for a program."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode())


def console(*, stderr: bool = False) -> Console:
    """Return a console: no guessing of what a word means, no pictures for ``:battery:``."""
    return Console(stderr=stderr, highlight=False, emoji=False)


def safe(text: object) -> str:
    """Return text from the field for a table: no markup, and nothing that moves the cursor."""
    plain = "".join(one if one.isprintable() else "\ufffd" for one in str(text))
    return escape(plain)


def hint(text: str) -> None:
    """Say what to do next, on standard error: what is piped on is free of it."""
    console(stderr=True).print(f"[dim]next:[/] {safe(text)}", soft_wrap=True)


def print_table(
    to: Console, headings: Sequence[str], rows: Iterable[Sequence[str]], title: str = ""
) -> None:
    """Print a table on a terminal; elsewhere a line for each row, its cells parted by tabs.

    Cells may carry markup; whoever makes them sends what comes from the field through `safe`.
    """
    if not to.is_terminal:
        typer.echo("\t".join(headings))
        for row in rows:
            cells = (Text.from_markup(one, emoji=False).plain for one in row)
            typer.echo("\t".join(one.replace("\n", "; ") for one in cells))
        return
    table = Table(title=title or None, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    to.print(table)
