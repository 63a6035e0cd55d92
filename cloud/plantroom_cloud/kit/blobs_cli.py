"""``plantroom-cloud blobs``, and exports that go there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from plantroom_cloud.config import CloudSettings, load_settings
from plantroom_cloud.kit.blobs import Blobs, NoSuchBlob
from plantroom_cloud.kit.blobs_opening import file_pieces, opened_blobs
from plantroom_shared.errors import ConfigError, Unavailable

T = TypeVar("T")

BLOBS: Final = "blobs:"
"""How the name of an output begins that goes to the blobs."""

blobs_app = typer.Typer(
    help="Files that the service keeps: in a folder or in S3 (`blobs`).", no_args_is_help=True
)
Key = Annotated[str, typer.Argument(help="Such as exports/acme/tower/x.parquet.")]


@blobs_app.command("list")
def list_command(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(help="Such as exports/acme/; all where left out.")] = "",
) -> None:
    """Show what is there: bytes and key."""

    async def show(blobs: Blobs) -> None:
        async for found in blobs.list(folder):
            typer.echo(f"{found.size:>14} {found.key}")

    _with_blobs(context, show)


@blobs_app.command("get")
def get_command(
    context: typer.Context,
    key: Key,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    sha256: Annotated[str, typer.Option(help="What its content must be.")] = "",
) -> None:
    """Write a blob to a file; it appears under its name when it is whole."""

    async def copy(blobs: Blobs) -> int:
        draft, size = out.with_name(f"{out.name}.part"), 0
        try:
            with draft.open("wb") as file:
                async for piece in blobs.get(key, sha256=sha256):
                    size += file.write(piece)
            draft.replace(out)
        except OSError as error:
            what = f"cannot be written: {error.strerror}"
            raise ConfigError(what, key="--out", fix="name a file in a folder of yours") from error
        finally:
            draft.unlink(missing_ok=True)
        return size

    typer.echo(f"{_with_blobs(context, copy)} bytes in {out}")


@blobs_app.command("put")
def put_command(
    context: typer.Context,
    key: Key,
    file: Annotated[Path, typer.Argument(help="The file to keep.")],
) -> None:
    """Keep a file, and show the hash of its content."""

    async def keep(blobs: Blobs) -> str:
        try:
            kept = await blobs.put(key, file_pieces(file))
        except FileNotFoundError as error:
            what = f"there is no file {file}"
            raise ConfigError(what, key="FILE", fix="name one that is there") from error
        return f"{kept.size} bytes in {kept.key}, SHA-256 {kept.sha256}"

    typer.echo(_with_blobs(context, keep))


@blobs_app.command("delete")
def delete_command(context: typer.Context, key: Key) -> None:
    """Forget a blob."""
    _with_blobs(context, lambda blobs: blobs.delete(key))


@dataclass(frozen=True, slots=True)
class Made:
    """A file that was made for somebody."""

    told: str
    """What is in it."""
    path: Path
    company_id: int


async def export_to(
    settings: CloudSettings, out: str, write: Callable[[Path], Awaitable[Made]]
) -> str:
    """Have `write` write a file where `out` says; return what is where.

    Args:
        settings: of the service.
        out: a file, a folder, or ``blobs:``, with a key or without.
        write: given a file or a folder, writes one file.
    """
    if not out.startswith(BLOBS):
        made = await write(Path(out))
        return f"{made.told} in {made.path}"
    with tempfile.TemporaryDirectory(prefix="plantroom-export-") as scratch:
        made = await write(Path(scratch))
        key = out.removeprefix(BLOBS) or f"exports/{made.company_id}/{made.path.name}"
        async with opened_blobs(settings) as blobs:
            kept = await blobs.put(key, file_pieces(made.path))
    return f"{made.told} in {BLOBS}{kept.key}, SHA-256 {kept.sha256}"


def _with_blobs(context: typer.Context, action: Callable[[Blobs], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened_blobs(load_settings(context.obj)) as blobs:
            return await action(blobs)

    try:
        return asyncio.run(run())
    except NoSuchBlob as error:
        msg = f"{error}; see `plantroom-cloud blobs list`"
        raise Unavailable(msg) from error
