"""``plantroom-cloud audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plantroom_cloud.config import load_settings
from plantroom_shared.errors import ConfigError

audit_app = typer.Typer(help="The audit: who did what.", no_args_is_help=True)

Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", help="PEM of a public key that has signed heads, beside our own."),
]


@audit_app.command("key")
def key(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Write the public half to this file.")] = None,
) -> None:
    """Show the key that signs heads, made where there is none: its name and public half."""
    from plantroom_cloud.audit.heads import make_head_key  # noqa: PLC0415 - loads cryptography

    signer = make_head_key(load_settings(context.obj).data)
    if out is not None:
        try:
            out.write_text(signer.public_pem)
        except OSError as error:
            what = f"cannot be written: {error.strerror or error}"
            raise ConfigError(what, file=str(out), fix="choose another file") from error
    typer.echo(f"{signer.id}\n{signer.public_pem}", nl=False)


@audit_app.command("verify")
def verify(
    context: typer.Context,
    company: Annotated[str, typer.Option(help="Slug; of all companies unless said.")] = "",
    heads: Annotated[
        Path | None, typer.Option(help="Signed heads that were kept elsewhere.")
    ] = None,
    keys: Keys = None,
    most: Annotated[int, typer.Option(help="Findings to print of a company.")] = 100,
) -> None:
    """Look at every row; exit with 1 where something was edited, removed, moved or put in."""
    from plantroom_cloud.audit import by_hand  # noqa: PLC0415 - loads the database layer

    reports = by_hand.verify(load_settings(context.obj), company, heads, keys or [])
    for report in reports:
        typer.echo(report.line)
        for finding in report.findings[:most]:
            typer.echo(f"  {finding}")
        if len(report.findings) > most:
            typer.echo(f"  and {len(report.findings) - most} more")
    if any(report.findings for report in reports):
        raise typer.Exit(1)


@audit_app.command("sign")
def sign(context: typer.Context) -> None:
    """Sign the ends of all chains now, as the worker does every hour."""
    from plantroom_cloud.audit import by_hand  # noqa: PLC0415 - as above

    typer.echo(f"{by_hand.sign(load_settings(context.obj))} heads signed")


@audit_app.command("export")
def export(context: typer.Context, out: Path, company: str = "default", after: int = 0) -> None:
    """Write a company's rows after number AFTER, with the proof, as NDJSON."""
    from plantroom_cloud.audit import by_hand  # noqa: PLC0415 - as above

    rows = by_hand.export(load_settings(context.obj), company, out, after)
    typer.echo(f"{rows} rows in {out}")
