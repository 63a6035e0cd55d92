"""``plantroom-cloud replay``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["replay_command"]


def replay_command(  # noqa: PLR0917 - typer gives each by its name
    context: typer.Context,
    site: Annotated[str, typer.Option(help="The site's slug.")],
    start: Annotated[str, typer.Option("--from", help="RFC 3339 or seconds since 1970.")],
    end: Annotated[str, typer.Option("--to", help="Exclusive; now where left out.")] = "",
    company: Annotated[str, typer.Option(help="Needed where several have such a site.")] = "",
    to_file: Annotated[Path | None, typer.Option(help="Append JSON lines to this file.")] = None,
    to_topic: Annotated[str, typer.Option(help="Publish on this MQTT topic.")] = "",
    broker: Annotated[str, typer.Option(help="mqtt://host:port or mqtts://host:port.")] = "",
    ca: Annotated[Path | None, typer.Option(help="PEM: who vouches for the broker.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM: our own certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM: its key.")] = None,
    client_id: Annotated[str, typer.Option(help="Of the MQTT client.")] = "",
    username: Annotated[
        str, typer.Option(help="The password comes from PLANTROOM_REPLAY_PASSWORD.")
    ] = "",
    speed: Annotated[
        float | None, typer.Option(help="Times real time; as fast as possible where left out.")
    ] = None,
    consumer: Annotated[str, typer.Option(help="Name under which the position is kept.")] = "",
    *,
    restart: Annotated[bool, typer.Option(help="Forget the consumer's position first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Replay a site's samples and findings in order, once per consumer position."""
    from plantroom_cloud.replay.by_hand import (  # noqa: PLC0415 - loads the web stack
        Command,
        replay_by_hand,
        told,
    )

    asked = Command(
        site=site,
        company=company,
        start=start,
        end=end,
        to_file=to_file,
        to_topic=to_topic,
        broker=broker,
        ca=ca,
        certificate=certificate,
        key=key,
        client_id=client_id,
        username=username,
        speed=speed,
        consumer=consumer,
        restart=restart,
    )
    outcome = replay_by_hand(context.obj, asked)
    typer.echo(json.dumps(asdict(outcome)) if as_json else told(outcome))
