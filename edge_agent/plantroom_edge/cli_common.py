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

Config = Annotated[
    Path, typer.Argument(help="The agent's YAML file.", metavar="CONFIG", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")]


def print_json(document: Any) -> None:
    """Print a document for a program."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode())


def hint(text: str) -> None:
    """Say what to do next, on standard error: what is piped on is free of it."""
    Console(stderr=True, highlight=False).print(f"[dim]next:[/] {escape(text)}", soft_wrap=True)


def print_table(
    console: Console, headings: Sequence[str], rows: Iterable[Sequence[str]], title: str = ""
) -> None:
    """Print a table on a terminal; elsewhere a line for each row, its cells parted by tabs.

    Cells may carry markup; whoever makes them escapes what comes from the field.
    """
    if not console.is_terminal:
        plain = Console(file=console.file, highlight=False, soft_wrap=True)
        plain.print("\t".join(headings))
        for row in rows:
            plain.print("\t".join(one.replace("\t", " ").replace("\n", "; ") for one in row))
        return
    table = Table(title=title or None, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
