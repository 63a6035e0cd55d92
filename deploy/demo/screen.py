"""The demo's live status: a table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from demo.assembly import Demo, Look

Show = Callable[["Look"], None]
PLAIN_EVERY = 5.0


@contextmanager
def screen(demo: Demo) -> Iterator[Show]:
    """Yield a function that shows one look at the demo, on standard error."""
    if not sys.stderr.isatty():
        yield _plain()
        return
    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield lambda look: live.update(_table(demo, look))


def _plain() -> Show:
    last = 0.0

    def show(look: Look) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_EVERY:
            last = time.monotonic()
            words = (f"{name} {value}" for name, value in look.facts())
            print("plantroom: " + ", ".join(words), file=sys.stderr, flush=True)

    return show


def _table(demo: Demo, look: Look) -> Table:
    table = Table(title="Plantroom", title_justify="left", show_header=False, expand=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in look.facts():
        table.add_row(name, str(value))
    table.add_section()
    table.add_row("API", f"{demo.api_url}/docs")
    table.add_row("key", f"in {demo.key_file}")
    table.add_row("EnOS (simulated)", demo.enos_url)
    table.add_row("", "Ctrl-C ends it in order")
    return table
