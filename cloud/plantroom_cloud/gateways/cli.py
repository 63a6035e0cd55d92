"""``plantroom-cloud account``."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["account_command"]


def account_command(
    context: typer.Context,
    gateway: Annotated[str, typer.Argument(help="Only this one; all where left out.")] = "",
    site: Annotated[str, typer.Option(help="Only of this site: its slug.")] = "",
    company: Annotated[str, typer.Option(help="Needed where several have such a site.")] = "",
    stream: Annotated[
        str, typer.Option(help="tel (samples), evt (findings), aud (audit), cmd (commands).")
    ] = "tel",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the loss account of gateways; exit code 1 if one does not balance."""
    from plantroom_cloud.gateways.by_hand import show_accounts  # noqa: PLC0415 - loads the web stack

    balanced = show_accounts(context.obj, gateway, site, company, stream=stream, as_json=as_json)
    raise typer.Exit(0 if balanced else 1)
