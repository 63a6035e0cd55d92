"""``plantroom-cloud config``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from plantroom_cloud.config import load_settings
from plantroom_shared.errors import ConfigError

config_app = typer.Typer(help="Desired configurations of gateways.", no_args_is_help=True)
Company = Annotated[str, typer.Option(help="The company's slug.")]
Why = Annotated[str, typer.Option(help="Why, for whoever asks later.")]
Force = Annotated[
    bool, typer.Option("--force", help="Also if a fifth of the points goes away, or all writes.")
]


def _show(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2))


@config_app.command("show")
def show(context: typer.Context, gateway: str, company: Company = "default") -> None:
    """What a gateway is to run, what it runs, and what stands between, as JSON."""
    from plantroom_cloud.configuration import by_hand  # noqa: PLC0415 - loads the database layer

    _show(by_hand.show(load_settings(context.obj), company, gateway))


@config_app.command("versions")
def versions(context: typer.Context, gateway: str, company: Company = "default") -> None:
    """The last versions of a gateway, the newest first, a line each."""
    from plantroom_cloud.configuration import by_hand  # noqa: PLC0415 - as above

    for one in by_hand.versions(load_settings(context.obj), company, gateway):
        typer.echo(
            "\t".join(str(one[key]) for key in ("number", "created", "actor", "origin", "why"))
        )


@config_app.command("get")
def get(
    context: typer.Context,
    gateway: str,
    which: Annotated[str, typer.Argument(help="Number of a version, or `running`.")] = "running",
    company: Company = "default",
) -> None:
    """Print a version's document, or what the gateway runs, as YAML: edit it and `put` it."""
    from plantroom_cloud.configuration import by_hand  # noqa: PLC0415 - as above

    document = by_hand.get(load_settings(context.obj), company, gateway, which)
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


@config_app.command("put")
def put(
    context: typer.Context, gateway: str, file: Path, company: Company = "default", why: Why = ""
) -> None:
    """Keep the sections of a YAML file as a new version, and print its number."""
    from plantroom_cloud.configuration import by_hand  # noqa: PLC0415 - as above

    document = by_hand.read_document(file)
    typer.echo(by_hand.put(load_settings(context.obj), company, gateway, document, why))


@config_app.command("diff")
def diff(
    context: typer.Context,
    gateway: str,
    old: Annotated[str, typer.Argument(help="Number of a version, or `running`.")],
    new: Annotated[str, typer.Argument(help="The same.")],
    company: Company = "default",
) -> None:
    """What lies between two versions, in words of the field."""
    from plantroom_cloud.configuration import by_hand  # noqa: PLC0415 - as above

    settings = load_settings(context.obj)
    found, dropped, of = by_hand.diff(settings, company, gateway, old, new)
    for one in found:
        words = f": {one['words']}" if one["words"] else ""
        typer.echo(f"{one['kind']} {one['name']} {one['what']}{words}")
    if not found:
        typer.echo("they are the same")
    if dropped:
        typer.echo(f"{dropped} of {of} known points would go away")


@config_app.command("stage")
def stage(
    context: typer.Context,
    gateway: str,
    version: Annotated[int, typer.Argument(min=1)],
    company: Company = "default",
    why: Why = "",
    *,
    force: Force = False,
) -> None:
    """Have a gateway get a version; a former one to go back. The running ingest signs and sends it."""
    from plantroom_cloud.configuration import by_hand  # noqa: PLC0415 - as above

    wish = by_hand.wish(why, force=force)
    _show(by_hand.stage(load_settings(context.obj), company, gateway, version, wish))


@config_app.command("rollout")
def rollout(  # noqa: PLR0917 - as above
    context: typer.Context,
    gateways: Annotated[
        list[str] | None, typer.Argument(help="In their order; none: all of the company.")
    ] = None,
    company: Company = "default",
    copy: Annotated[
        str, typer.Option(help="GATEWAY:VERSION that all get; else each its newest version.")
    ] = "",
    waves: Annotated[str, typer.Option(help="Gateways of each wave, the rest follow.")] = "1,10",
    most_failed: Annotated[
        int, typer.Option(min=0, max=10_000, help="Halt if more have failed.")
    ] = 0,
    patience: Annotated[
        int, typer.Option(min=0, max=2_592_000, help="Seconds to wait for who is away.")
    ] = 3600,
    why: Why = "",
    *,
    force: Force = False,
) -> None:
    """Stage a change for several gateways, wave by wave."""
    from plantroom_cloud.configuration import by_hand  # noqa: PLC0415 - as above
    from plantroom_cloud.configuration.rollout_service import Waves  # noqa: PLC0415 - as above

    source = _source(copy)
    plan = Waves(_sizes(waves), most_failed, patience)
    wish = by_hand.wish(why, force=force)
    settings = load_settings(context.obj)
    _show(by_hand.roll_out(settings, company, gateways or [], wish, plan, source))


@config_app.command("rollout-show")
def rollout_show(context: typer.Context, rollout_id: str, company: Company = "default") -> None:
    """A rollout with its gateways, as JSON."""
    from plantroom_cloud.configuration import by_hand  # noqa: PLC0415 - as above

    _show(by_hand.rollout(load_settings(context.obj), company, rollout_id))


def _source(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    gateway, _, number = text.rpartition(":")
    if not gateway or not number.isdecimal():
        what = f"{text!r} names no version"
        raise ConfigError(what, key="--copy", fix="write it as GATEWAY:3")
    return gateway, int(number)


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        what = f"{text!r} are no sizes"
        raise ConfigError(what, key="--waves", fix="write them as 1,5,20")
    return tuple(int(part) for part in parts)
