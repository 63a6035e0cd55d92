"""``plantroom-cloud user``: people, by whoever runs the service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.db import Database, open_database
from plantroom_cloud.identity import by_hand
from plantroom_cloud.identity.passwords import weakness
from plantroom_cloud.identity.signing import SigningKeys
from plantroom_cloud.identity.users import email_of
from plantroom_cloud.migrations import migrate
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

T = TypeVar("T")

user_app = typer.Typer(help="Users: people who log in.", no_args_is_help=True)
Company = Annotated[str, typer.Option(help="The company's slug.")]
Role = Annotated[str, typer.Option(help="company_admin, engineer, operator, installer or viewer.")]
Email = Annotated[str, typer.Argument(help="Its address, with which it logs in.")]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


@user_app.command("add")
def add(
    context: typer.Context,
    email: Email,
    company: Company = "default",
    role: Role = "viewer",
    name: Annotated[str, typer.Option(help="What it is called.")] = "",
    *,
    password_stdin: FromInput = False,
) -> None:
    """Add a user, or make one a member of a further company; print the password if it is new."""
    address, plain = _address(email), _given(password_stdin)

    async def work(session: AsyncSession) -> str:
        return await by_hand.add(session, company, address, role, name=name, password=plain)

    made = _run(context, work)
    typer.echo(f"user {address}: {role} of company {company}")
    if made and not plain:
        typer.echo(f"password, shown only now: {made}")


@user_app.command("list")
def show(context: typer.Context, company: Company = "default") -> None:
    """Show the members of a company."""

    async def work(session: AsyncSession) -> list[tuple[str, ...]]:
        return await by_hand.members(session, company)

    for row in _run(context, work):
        typer.echo("  ".join(row))


@user_app.command("role")
def role(context: typer.Context, email: Email, role: str, company: Company = "default") -> None:
    """Give a member another role; effective within seconds."""
    address = _address(email)

    async def work(session: AsyncSession) -> None:
        await by_hand.set_role(session, company, address, role)

    _run(context, work)
    typer.echo(f"user {address}: {role} of company {company}")


@user_app.command("disable")
def disable(
    context: typer.Context,
    email: Email,
    *,
    off: Annotated[bool, typer.Option("--off", help="Let it in again.")] = False,
) -> None:
    """Let a user in nowhere any more, at no company; effective within seconds."""
    address = _address(email)

    async def work(session: AsyncSession) -> None:
        await by_hand.disable(session, address, disabled=not off)

    _run(context, work)
    typer.echo(f"user {address}: {'let in again' if off else 'disabled'}")


@user_app.command("password")
def password(context: typer.Context, email: Email, *, password_stdin: FromInput = False) -> None:
    """Give a user another password and end all its sessions; print it if it is new."""
    address, plain = _address(email), _given(password_stdin)

    async def work(session: AsyncSession) -> str:
        return await by_hand.set_password(session, address, plain)

    made = _run(context, work)
    typer.echo(f"user {address}: another password; every session of it has ended")
    if not plain:
        typer.echo(f"password, shown only now: {made}")


@user_app.command("invite")
def invite(
    context: typer.Context, email: Email, company: Company = "default", role: Role = "viewer"
) -> None:
    """Invite somebody and print the token by which that one signs up."""
    address, days = _address(email), load_settings(context.obj).identity.invitation_days

    async def work(session: AsyncSession) -> str:
        return await by_hand.invite(session, company, address, role, days)

    typer.echo(_run(context, work))


@user_app.command("new-signing-key")
def new_signing_key(context: typer.Context) -> None:
    """Void every access token now: a new key signs. For when the old one may be known to others."""
    settings = load_settings(context.obj)

    async def work(database: Database) -> str:
        keys = SigningKeys(database, SystemClock(), settings.identity, settings.data)
        return await keys.replace()

    typer.echo(f"key {_in(settings, work)} signs; every process knows it within seconds")


def _address(email: str) -> str:
    if (found := email_of(email)) is None:
        what = f"{email[:80]!r} is no e-mail address"
        raise ConfigError(what, key="email", fix="write it as ann@example.org")
    return found


def _given(wanted: bool) -> str:
    """Return the password that stands on the standard input; empty where none is wanted."""
    if not wanted:
        return ""
    plain = sys.stdin.readline().rstrip("\r\n")
    if weak := weakness(plain):
        what = "the password will not do"
        raise ConfigError(what, key="password", fix=weak)
    return plain


def _run(context: typer.Context, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Do `work` in one transaction of the migrated database."""

    async def within(database: Database) -> T:
        async with database.write(None) as session:
            return await work(session)

    return _in(load_settings(context.obj), within)


def _in(settings: CloudSettings, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        database = open_database(settings)
        try:
            await migrate(database)
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())
