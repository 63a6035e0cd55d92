"""``plantroom-cloud alarm``: the alarms of a company, for whoever runs the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["alarm_app"]

alarm_app = typer.Typer(help="Alarms.", no_args_is_help=True)
rule_app = typer.Typer(help="What is an alarm.", no_args_is_help=True)
receiver_app = typer.Typer(help="Who is told.", no_args_is_help=True)
alarm_app.add_typer(rule_app, name="rule")
alarm_app.add_typer(receiver_app, name="receiver")

Company = Annotated[str, typer.Option(help="The company's slug.")]
Ids = Annotated[list[int], typer.Argument(metavar="ALARM...", help="See 'alarm list'.")]
Id = Annotated[int, typer.Argument(metavar="ALARM")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Because = Annotated[str, typer.Option(help="For the history.")]
Why = Annotated[str, typer.Option(help="Why; it stays with the alarm.")]
File = Annotated[Path, typer.Argument(help="JSON, as the API takes it; '-' reads the input.")]


def _print(rows: list[dict[str, Any]], names: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table(*names)
    for row in rows:
        table.add_row(*(str("" if row[name] is None else row[name]) for name in names))
    Console().print(table)


@alarm_app.command("list")
def list_command(
    context: typer.Context,
    company: Company = "default",
    state: Annotated[str, typer.Option(help="Only in this state.")] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that are normal, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List alarms that are not normal, the most urgent first; the first 1,000."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - loads the web stack

    wanted = state or ("all" if everything else "")
    names = ("id", "priority", "state", "changed", "calls", "assignee", "title")
    _print(by_hand.alarms(context.obj, company, wanted), names, as_json=as_json)


@alarm_app.command("show")
def show_command(context: typer.Context, alarm: Id, company: Company = "default") -> None:
    """Show an alarm with its history, as JSON."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    typer.echo(json.dumps(by_hand.alarm(context.obj, company, alarm), indent=2, ensure_ascii=False))


def _act(context: typer.Context, company: str, act: str, alarms: list[int], **more: Any) -> None:
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    for row in by_hand.act(context.obj, company, act, alarms, **more):
        typer.echo(f"alarm {row['id']} is {row['state'].replace('_', ' ')}: {row['title']}")


@alarm_app.command("ack")
def ack_command(
    context: typer.Context, alarms: Ids, company: Company = "default", note: Because = ""
) -> None:
    """Acknowledge alarms."""
    _act(context, company, "acknowledge", alarms, reason=note)


@alarm_app.command("reset")
def reset_command(
    context: typer.Context, alarms: Ids, company: Company = "default", note: Because = ""
) -> None:
    """Reset latched alarms."""
    _act(context, company, "reset", alarms, reason=note)


@alarm_app.command("shelve")
def shelve_command(
    context: typer.Context,
    alarms: Ids,
    minutes: Annotated[float, typer.Option(min=1, help="For how long.")],
    reason: Why,
    company: Company = "default",
) -> None:
    """Put alarms away for a time."""
    _act(context, company, "shelve", alarms, reason=reason, seconds=minutes * 60)


@alarm_app.command("unshelve")
def unshelve_command(
    context: typer.Context, alarms: Ids, company: Company = "default", note: Because = ""
) -> None:
    """Take alarms off the shelf."""
    _act(context, company, "unshelve", alarms, reason=note)


@alarm_app.command("remove")
def remove_command(
    context: typer.Context, alarms: Ids, reason: Why, company: Company = "default"
) -> None:
    """Take alarms out of service."""
    _act(context, company, "remove", alarms, reason=reason)


@alarm_app.command("restore")
def restore_command(
    context: typer.Context, alarms: Ids, company: Company = "default", note: Because = ""
) -> None:
    """Bring alarms back into service."""
    _act(context, company, "restore", alarms, reason=note)


@alarm_app.command("assign")
def assign_command(
    context: typer.Context,
    alarms: Ids,
    to: Annotated[str, typer.Option(help="Who looks after them; empty: nobody.")],
    company: Company = "default",
    note: Because = "",
) -> None:
    """Say who looks after alarms."""
    _act(context, company, "assign", alarms, to=to, reason=note)


@alarm_app.command("note")
def note_command(
    context: typer.Context, alarm: Id, text: str, company: Company = "default"
) -> None:
    """Add words to the history of an alarm."""
    _act(context, company, "note", [alarm], text=text)


@alarm_app.command("figures")
def figures_command(
    context: typer.Context,
    company: Company = "default",
    hours: Annotated[float, typer.Option(min=1, max=744, help="How far back.")] = 24,
    operators: Annotated[int, typer.Option(min=1, help="Who share the alarms.")] = 1,
) -> None:
    """Print how well people are served by their alarms, as JSON."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    found = by_hand.figures_of(context.obj, company, hours, operators)
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


@alarm_app.command("keep")
def keep_command(
    context: typer.Context,
    company: Company = "default",
    days: Annotated[int | None, typer.Option(help="0 is for ever; at least 30.")] = None,
    *,
    inherit: Annotated[bool, typer.Option("--inherit", help="As the service has set.")] = False,
) -> None:
    """Show or set for how long the history of alarms is kept; what is older goes within minutes."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    kept, begins = by_hand.keep(context.obj, company, days, inherit=inherit)
    begin = f"; it begins at {begins}" if begins else ""
    typer.echo((f"{kept} days" if kept else "for ever") + begin)


@rule_app.command("list")
def rules_command(
    context: typer.Context, company: Company = "default", *, as_json: AsJson = False
) -> None:
    """List the rules."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    names = ("id", "kind", "priority", "enabled", "name")
    _print(by_hand.rules(context.obj, company), names, as_json=as_json)


@rule_app.command("add")
def add_rule_command(context: typer.Context, file: File, company: Company = "default") -> None:
    """Add a rule and print its number."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    typer.echo(by_hand.add_rule(context.obj, company, file))


@rule_app.command("delete")
def delete_rule_command(context: typer.Context, rule: int, company: Company = "default") -> None:
    """Delete a rule; the history of its alarms stays."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    by_hand.delete_rule(context.obj, company, rule)
    typer.echo(f"rule {rule} is deleted")


@receiver_app.command("list")
def receivers_command(
    context: typer.Context, company: Company = "default", *, as_json: AsJson = False
) -> None:
    """List who is told."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    names = ("id", "kind", "name", "target", "told", "failures", "last_error")
    _print(by_hand.receivers(context.obj, company), names, as_json=as_json)


@receiver_app.command("add")
def add_receiver_command(context: typer.Context, file: File, company: Company = "default") -> None:
    """Add a receiver and print its number, and the secret of a webhook, once."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    number, secret = by_hand.add_receiver(context.obj, company, file)
    typer.echo(f"{number} {secret}".strip())


@receiver_app.command("delete")
def delete_receiver_command(
    context: typer.Context, receiver: int, company: Company = "default"
) -> None:
    """Tell a receiver no more."""
    from plantroom_cloud.alarms import by_hand  # noqa: PLC0415 - as above

    by_hand.delete_receiver(context.obj, company, receiver)
    typer.echo(f"receiver {receiver} is deleted")
