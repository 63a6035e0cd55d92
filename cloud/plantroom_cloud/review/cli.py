"""``plantroom-cloud review``: what points mean, decided template by template."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from rich.console import Console
from rich.live import Live

from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_shared.errors import ConfigError
from plantroom_shared.terminal import keys

if TYPE_CHECKING:
    from plantroom_cloud.review.desk import Desk
    from plantroom_cloud.review.view import View, Wish

__all__ = ["review_command"]

_COLUMNS = (
    "template", "points", "worth", "name", "equip_class", "point_class", "confidence", "source",
    "state", "example",
)  # fmt: skip


def review_command(  # noqa: PLR0917 - typer gives each by its name
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="The site's slug.")],
    company: Annotated[str, typer.Option(help="Needed where several have such a site.")] = "",
    state: Annotated[str, typer.Option(help="open, deferred, decided or all.")] = "open",
    rules: Annotated[
        Path | None, typer.Option(help="Take the rules from this file, and show what that did.")
    ] = None,
    accept_from: Annotated[
        float | None, typer.Option(min=0, max=1, help="Accept all from this confidence on.")
    ] = None,
    *,
    show_rules: Annotated[bool, typer.Option("--show-rules", help="Print the rules.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Print who decided what.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last request back.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Review what a site's points mean: accept, correct, reject, template by template.

    The template with the most points expected to be wrong comes first, one answer decides all its
    points, and what follows from it is applied at once. Stop and go on whenever you like.

    Keys: enter accepts, 1-9 choose another class, / searches one, x rejects, d puts off, space
    marks several, A accepts all that is sure, u takes back, R rules, e edits them, q quits. Piped
    or with --json the queue is printed.

    \b
    Examples:
      plantroom-cloud review tower
      plantroom-cloud review tower | head -20
      plantroom-cloud review tower --show-rules > rules.txt
      plantroom-cloud review tower --rules rules.txt
    """  # noqa: D301 -- typer reads \b
    if state not in {"open", "deferred", "decided", "all"}:
        what = f"there is no state {state[:40]!r}"
        raise ConfigError(what, key="--state", fix="use open, deferred, decided or all")
    settings = load_settings(context.obj)

    def run(do: Callable[[Desk], Awaitable[Any]]) -> Any:
        return asyncio.run(_at_desk(settings, site, company, do))

    if undo or accept_from is not None or rules is not None:
        text = _text_of(rules) if rules else ""
        _print_done(run(lambda own: _act(own, text, accept_from, undo=undo)), as_json=as_json)
    elif show_rules:
        found = run(lambda own: own.rules())
        typer.echo(json.dumps(found) if as_json else found["text"], nl=as_json)
    elif history:
        _print_history(run(lambda own: own.history()), as_json=as_json)
    elif as_json or not (Console().is_terminal and sys.stdin.isatty()):
        _print_queue(*run(lambda own: own.look(state, 1_000_000)), as_json=as_json)
    else:
        _interactive(run, site)


async def _at_desk(
    settings: CloudSettings, site: str, company: str, do: Callable[[Desk], Awaitable[Any]]
) -> Any:
    from plantroom_cloud.kit.problems import ApiError  # noqa: PLC0415 - loads the web stack
    from plantroom_cloud.review.desk import desk  # noqa: PLC0415 - as above

    async with desk(settings, site, company) as own:
        try:
            return await do(own)
        except ApiError as error:
            raise ConfigError(error.detail, key="review", fix="look again and repeat") from error


async def _act(own: Desk, rules: str, accept_from: float | None, *, undo: bool) -> dict[str, Any]:
    if undo:
        return await own.undo()
    if accept_from is not None:
        return await own.accept_from(accept_from)
    return await own.set_rules(rules)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read: {error}"
        raise ConfigError(what, file=str(path), fix="give a UTF-8 text file of rules") from error


# ---------------------------------------------------------------- plain


def _print_done(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(done))
        return
    back = f"{done['undone']} taken back, " if done["undone"] else ""
    typer.echo(
        f"{back}{done['decided']} decided, {done['changed']} points changed, "
        f"{done['open']} templates open"
    )
    for sign, lines in (("+", done["learned"]), ("-", done["forgotten"])):
        for line in lines:
            typer.echo(f"{sign} {line}")


def _print_history(events: list[dict[str, Any]], *, as_json: bool) -> None:
    from plantroom_cloud.review.screen import plain  # noqa: PLC0415 - loads the mapping

    if as_json:
        typer.echo(json.dumps(events))
        return
    for event in events:
        back = "undone" if event["undone"] else ""
        names = (event["actor"], event["action"], event["name"], event["point_class"])
        typer.echo("\t".join((event["at"], *map(plain, names), back)))


def _print_queue(overview: dict[str, Any], queue: list[dict[str, Any]], *, as_json: bool) -> None:
    from plantroom_cloud.review.screen import plain, promise_text  # noqa: PLC0415 - as above

    if as_json:
        typer.echo(json.dumps({"overview": overview, "queue": queue}))
        return
    typer.echo(
        f"{overview['decided']} of {overview['points']} points decided, "
        f"{overview['open_templates']} templates open",
        err=True,
    )
    for promise in overview["promises"]:
        if promise["points"]:
            typer.echo(f"can be accepted unseen: {promise_text(promise)}", err=True)
    typer.echo("\t".join(_COLUMNS))
    for row in queue:
        cells = ("" if row[name] is None else plain(row[name]) for name in _COLUMNS)
        typer.echo("\t".join(cells))


# ---------------------------------------------------------------- on a terminal


def _interactive(run: Callable[[Callable[[Desk], Awaitable[Any]]], Any], site: str) -> None:
    from plantroom_cloud.review.view import View  # noqa: PLC0415 - loads the mapping

    view, console = View(site), Console(highlight=False, emoji=False)
    while run(lambda own: _session(own, view, console)) == "edit":
        # Outside of the screen and the loop: an editor takes the terminal for itself.
        _edit(run, view)
    open_ = view.overview.get("open_templates", 0)
    left = f"{open_} templates are open: go on whenever you like" if open_ else "all is decided"
    typer.echo(f"{left}; --history tells who decided what, --undo takes the last back", err=True)


def _edit(run: Callable[[Callable[[Desk], Awaitable[Any]]], Any], view: View) -> None:
    before = run(lambda own: own.rules())["text"]
    text = click.edit(before, extension=".rules", require_save=False)
    if text is None or text == before:
        view.told = "the rules are as they were"
        return
    try:
        view.did(run(lambda own: own.set_rules(text)))
    except ConfigError as error:
        view.trouble = f"not taken: {error}"


async def _session(own: Desk, view: View, console: Console) -> str:
    """Review until the person quits or wants to edit the rules; return which."""
    from plantroom_cloud.review.screen import render  # noqa: PLC0415 - loads the mapping

    with (
        keys(sys.stdin.fileno()) as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        await _reload(own, view)
        while True:
            live.update(render(view, *console.size), refresh=True)
            wish = view.press(await _next(pressed), max(console.height - 8, 1))
            if wish is None:
                continue
            if wish.kind in {"quit", "edit"}:
                return wish.kind
            await _fulfil(own, view, wish)


async def _next(pressed: asyncio.Queue[str]) -> str:
    """Return the next key, or none after a moment: the window may have another size by then."""
    try:
        async with asyncio.timeout(0.5):
            return await pressed.get()
    except TimeoutError:
        return ""


async def _fulfil(own: Desk, view: View, wish: Wish) -> None:
    from plantroom_cloud.kit.problems import ApiError  # noqa: PLC0415 - loads the web stack

    try:
        if wish.kind == "look":
            await _look(own, view)
        elif wish.kind == "rules":
            view.read("rules", (await own.rules())["text"].splitlines() or ["no rules yet"])
        elif wish.kind == "history":
            view.read("who decided what, the newest first", _lines(await own.history()))
        else:
            await _decide(own, view, wish)
            await _reload(own, view)
    except ApiError as error:
        view.trouble = error.detail


async def _decide(own: Desk, view: View, wish: Wish) -> None:
    if wish.kind == "undo":
        view.did(await own.undo())
    elif wish.kind == "accept_all":
        if view.sure is not None:
            view.did(await own.accept_from(view.sure["min_confidence"]))
    else:
        view.did(await own.answer(wish.templates, wish.action, wish.point_class))


async def _reload(own: Desk, view: View) -> None:
    view.take(*await own.look())
    await _look(own, view)


async def _look(own: Desk, view: View) -> None:
    row = view.current
    view.why = await own.why(row["template"]) if row is not None else {}


def _lines(events: list[Any]) -> list[str]:
    return [
        f"{event['at'][:19]}  {event['actor']}  {event['action']}  {event['name']}  "
        f"{event['point_class']}{'  (taken back)' if event['undone'] else ''}"
        for event in events
    ] or ["nothing was decided yet"]
