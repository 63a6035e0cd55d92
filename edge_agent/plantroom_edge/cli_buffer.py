"""``plantroom-edge buffer``: look into the buffer file; nothing here changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plantroom_edge import buffer_account as account
from plantroom_edge import status
from plantroom_edge.config import load
from plantroom_shared.wire import STREAMS

app = typer.Typer(help="Look into the buffer file; nothing here changes it.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="The agent's YAML file.", metavar="CONFIG")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@app.command()
def stats(config: Config, *, as_json: AsJson = False) -> None:
    """Show what was accepted, what is still held and what was declared lost, by epoch.

    An epoch is one start of the agent; its rows are numbered from 1.
    """
    books = status.books(load(config).buffer_file)
    if as_json:
        _print_json(books)
        return
    table = Table(
        "epoch", *STREAMS, title="rows accepted (not yet confirmed)", title_justify="left"
    )
    for epoch in books["epochs"]:
        accepted, held = epoch["accepted"], epoch["held_rows"]
        cells = (f"{accepted.get(s, 0):,} ({held.get(s, 0):,})" for s in STREAMS)
        table.add_row(epoch["epoch"], *cells)
    console = Console()
    console.print(table)
    retained = sum(stream["retained"] for stream in books["streams"].values())
    console.print(f"{books['used_bytes'] / 1e6:.1f} MB; {retained:,} confirmed rows are retained")
    for cause, count in books["lost"].items():
        console.print(f"declared lost ({escape(cause)}): {count:,}")


@app.command("list")
def list_frames(
    config: Config,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many messages to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the oldest messages that wait for the cloud, the most urgent stream first."""
    with account.reading(load(config).buffer_file) as db:
        rows = list(islice(_held(db), limit))
    if as_json:
        _print_json({"messages": rows})
        return
    table = Table("epoch", "stream", "rows", "kind", "bytes")
    for row in rows:
        span = f"{row['s0']}..{row['s0'] + row['n'] - 1}"
        kind = f"{row['kind']} ({row['cause']})" if row["cause"] else row["kind"]
        table.add_row(row["epoch"], row["stream"], span, kind, str(row["bytes"]))
    Console().print(table)


@app.command()
def check(config: Config, *, as_json: AsJson = False) -> None:
    """Check that every accepted row is in exactly one place and that every message is whole.

    Ends with code 1 if something is wrong; the agent repairs it when it starts.
    """
    with account.reading(load(config).buffer_file) as db:
        problems = account.problems(db)
    if as_json:
        _print_json({"ok": not problems, "problems": problems})
    else:
        for problem in problems:
            typer.echo(problem)
        typer.echo("the buffer is sound" if not problems else f"{len(problems)} problems")
    if problems:
        raise typer.Exit(1)


def _held(db: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Yield what is known of each message that is not confirmed."""
    # Imported here: it brings its own command line and is needed by nobody else.
    import sqlite_utils  # noqa: PLC0415

    sql = (
        "SELECT e.ep AS epoch, f.stream, f.s0, f.n, f.kind, f.cause, f.accepted_us,"
        " length(f.blob) AS bytes FROM frame f INDEXED BY frame_order"
        " JOIN epoch e ON e.id = f.epoch"
        " WHERE f.stream=? AND f.epoch=? AND f.s0 BETWEEN ? AND ? ORDER BY f.s0"
    )
    places = sorted(account.positions(db), key=lambda key: (STREAMS.index(key[1]), key[0]))
    for epoch, stream in places:
        for lo, hi in account.held(db, epoch, stream):
            yield from sqlite_utils.Database(db).query(sql, (stream, epoch, lo, hi))


def _print_json(document: Any) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode())
