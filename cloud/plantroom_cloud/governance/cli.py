"""``plantroom-cloud governance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plantroom_cloud.config import load_settings

governance_app = typer.Typer(
    help="Rules, checks and waivers; deletion with proof, export.", no_args_is_help=True
)
Company = Annotated[str, typer.Option(help="The company's slug.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")]


@governance_app.command("rules")
def rules() -> None:
    """Print the rules that come along."""
    from plantroom_cloud.governance.rules import builtin  # noqa: PLC0415 - reads the data

    for rule in builtin().values():
        typer.echo(f"{rule.severity:8} {rule.about:13} {rule.id}\n  {rule.when}")


@governance_app.command("check")
def check(
    context: typer.Context, site: str, company: Company = "default", *, as_json: AsJson = False
) -> None:
    """Check a site now; exit with 1 where a blocker stands."""
    from plantroom_cloud.governance import by_hand  # noqa: PLC0415 - loads the database layer

    found = by_hand.check(load_settings(context.obj), company, site)
    if as_json:
        typer.echo(by_hand.as_json(found))
    else:
        typer.echo(
            f"score {found['score']}: {found['opened']} new, {found['still']} still, {found['closed']} closed"
        )
        for one in found["findings"]:
            typer.echo(f"{one['severity']:8} {one['rule']} {one['subject']}: {one['text']}")
            typer.echo(f"         {one['fix']}")
    if any(one["severity"] == "blocker" for one in found["findings"]):
        raise typer.Exit(1)


@governance_app.command("waive")
def waive(  # noqa: PLR0917 - typer gives each by its name
    context: typer.Context,
    site: str,
    rule: str,
    subject: Annotated[str, typer.Argument(help="As the finding says it, or * for all.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    days: Annotated[float, typer.Option(help="How long.")] = 30.0,
    company: Company = "default",
) -> None:
    """Put up with what a rule finds, for a while."""
    from plantroom_cloud.governance import by_hand  # noqa: PLC0415 - as above

    settings = load_settings(context.obj)
    made = by_hand.waive(settings, company, site, rule, subject, reason, days)
    typer.echo(f"waiver {made}, for {days:g} days")


@governance_app.command("plan")
def plan(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="site, person or company.")],
    name: Annotated[str, typer.Argument(help="Slug of the site, e-mail of the person.")] = "",
    company: Company = "default",
) -> None:
    """Count what would go; nothing does."""
    from plantroom_cloud.governance import by_hand  # noqa: PLC0415 - as above

    if kind not in {"site", "person", "company"}:
        what = "say site, person or company"
        raise typer.BadParameter(what)
    found = by_hand.plan(load_settings(context.obj), company, kind, name)
    _counts(found["rows"])
    _counts(found["names"])
    typer.echo(
        f"plantroom-cloud governance delete {found['id']} {found['word']} --company {company}"
    )


@governance_app.command("delete")
def delete(
    context: typer.Context,
    deletion: str,
    word: Annotated[str, typer.Argument(help="That of the plan.")],
    company: Company = "default",
) -> None:
    """Delete what was planned, to the end. Nothing brings it back."""
    from plantroom_cloud.governance import by_hand  # noqa: PLC0415 - as above

    found = by_hand.confirm(load_settings(context.obj), company, deletion, word)
    _counts(found["gone"])
    _counts(found["rewritten"])
    typer.echo(f"{found['state']} {found['trouble']}".rstrip())
    if found["certificate"]:
        typer.echo(by_hand.as_json(found["certificate"]))


@governance_app.command("certificate")
def certificate(context: typer.Context, deletion: str, company: Company = "default") -> None:
    """Print the proof of a deletion; exit with 1 where it is not ours or was changed."""
    from plantroom_cloud.governance import by_hand  # noqa: PLC0415 - as above

    proof, genuine = by_hand.certificate(load_settings(context.obj), company, deletion)
    typer.echo(by_hand.as_json(proof))
    if not genuine:
        typer.echo("it is not signed with our key, or was changed", err=True)
        raise typer.Exit(1)


@governance_app.command("export")
def export(context: typer.Context, out: Path, company: Company = "default") -> None:
    """Write all that a company owns into the folder OUT: lines of JSON, and a manifest."""
    from plantroom_cloud.governance import by_hand  # noqa: PLC0415 - as above

    manifest = by_hand.export(load_settings(context.obj), company, out)
    rows = sum(about["rows"] for about in manifest["files"].values())
    typer.echo(f"{rows} rows of {len(manifest['files'])} tables in {out}")


def _counts(counts: dict[str, Any]) -> None:
    for name, rows in sorted(counts.items()):
        typer.echo(f"{rows:>12} {name}")
