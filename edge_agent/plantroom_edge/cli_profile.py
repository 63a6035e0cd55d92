"""``plantroom-edge profile``: write device profiles, check them, and try them without the device."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plantroom_shared import profiles
from plantroom_shared.errors import ConfigError
from plantroom_shared.profile_yaml import key_of, line_of, read_yaml, tree
from plantroom_shared.profiles import AnyProfile, Profile

app = typer.Typer(
    help="Write device profiles, check them, and try them without the device.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(help="A file, or a name such as meter/acme-m1.", show_default=False)
]
Folder = Annotated[
    Path | None, typer.Option("--dir", help="A folder of your own profiles; they come first.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="class/vendor-model, such as meter/acme-m1.")],
    *,
    vendor: Annotated[str, typer.Option(help="Who makes it, as he writes it.")],
    model: Annotated[str, typer.Option(help="The model, as the vendor writes it.")],
    bacnet: Annotated[bool, typer.Option("--bacnet", help="It is a BACnet device.")] = False,
    source: Annotated[str, typer.Option(help="The document the facts come from.")] = "",
    from_csv: Annotated[
        Path | None, typer.Option(help="A register list: address, name, type, unit, scale ...")
    ] = None,
    base: Annotated[
        int, typer.Option(help="What the list calls the first register: 0, 1, 30001, 40001.")
    ] = 0,
    folder: Annotated[Path, typer.Option("--dir", help="The folder to write to.")] = Path(
        "profiles"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented profile to start from, or one made from a vendor's register list.

    Edit it, `check` it, and try it with `simulate`.
    """
    from plantroom_edge import profile_new  # noqa: PLC0415 - the agent itself needs none of it

    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*", name):
        what = f"{name!r} is no name of a profile"
        raise ConfigError(what, fix="write class/vendor-model in lower case: meter/acme-m1")
    file = folder / f"{name}.yaml"
    if file.exists() and not force:
        what = "the file exists already"
        raise ConfigError(what, file=str(file), fix="choose another name, or use --force")
    rows = ""
    if from_csv is not None:
        listed = _bytes(from_csv)
        rows = profile_new.rows_from_csv(listed, str(from_csv), bacnet=bacnet, base=base)
    text = profile_new.skeleton(str(file), vendor, model, bacnet, source, rows)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise ConfigError(what, file=str(file)) from error
    typer.echo(f"wrote {file}; next: edit it, then `plantroom-edge profile check {file}`")


@app.command()
def check(
    target: Annotated[str, typer.Argument(help="A file, a folder, or the name of a profile.")],
    *,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Check profiles: what is wrong, what is doubtful, and what reading the device costs.

    Ends with code 2 if one of them is wrong; doubts do not count.
    """
    path = Path(target)
    files = sorted(path.rglob("*.yaml")) if path.is_dir() else [_file(target, folder)]
    if not files:
        what = "there is no profile (*.yaml) in it"
        raise ConfigError(what, file=target, fix="name a file or another folder")
    results = {str(file): _judge(file) for file in files}
    if as_json:
        typer.echo(orjson.dumps(results, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console(highlight=False, soft_wrap=True)
        for file, result in results.items():
            _print_result(console, file, result)
    if any(result["errors"] for result in results.values()):
        raise typer.Exit(2)


def _judge(file: Path) -> dict[str, Any]:
    """Return errors, doubts and rounds of a file."""
    # It brings the words of the mapper: the agent itself needs none of it.
    from plantroom_edge import profile_check  # noqa: PLC0415

    text = _bytes(file)
    errors = profiles.profile_faults(text, str(file))
    if errors:
        return {"errors": [str(error) for error in errors], "warnings": [], "rounds": []}
    profile = profiles.parse_any_profile(text, str(file))
    data, root = read_yaml(text, str(file)), tree(text)
    warnings = [
        str(
            ConfigError(
                doubt.what,
                file=f"{file}:{line_of(root, doubt.place)}",
                key=key_of(doubt.place, data),
                fix=doubt.fix,
            )
        )
        for doubt in profile_check.doubts(profile)
    ]
    rounds = [
        {
            "interval": one.interval,
            "points": one.points,
            "requests": one.requests,
            "registers": one.registers,
            "bytes": one.size,
        }
        for one in profile_check.rounds(profile)
    ]
    return {"errors": [], "warnings": warnings, "rounds": rounds}


def _print_result(console: Console, file: str, result: dict[str, Any]) -> None:
    verdict = "[red]wrong[/]" if result["errors"] else "[green]good[/]"
    console.print(f"{escape(file)}: {verdict}")
    for text in result["errors"]:
        console.print(f"  [bold red]error:[/] {escape(text)}")
    for text in result["warnings"]:
        console.print(f"  [yellow]doubtful:[/] {escape(text)}")
    for one in result["rounds"]:
        every = f"every {one['interval']:g} s" if one["interval"] else "a round"
        cost = f"{one['points']} points, {one['requests']} requests"
        if one["registers"]:
            cost += f", {one['registers']} registers, {one['bytes']} bytes"
        console.print(f"  {every}: {cost}")


@app.command()
def simulate(
    target: Name,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    unit: Annotated[int, typer.Option(min=0, max=4_194_302, help="Unit, or instance.")] = 1,
    seed: Annotated[int, typer.Option(help="Devices with another one show other values.")] = 0,
    folder: Folder = None,
) -> None:
    """Serve a device made from a profile until Ctrl-C, to try a configuration with.

    Its values move within their range; what is written to it stays.
    """
    file = _file(target, folder)
    profile = profiles.parse_any_profile(_bytes(file), str(file))
    asyncio.run(_simulate(file, profile, (host, port), unit, seed))


async def _simulate(
    file: Path, profile: AnyProfile, place: tuple[str, int], unit: int, seed: int
) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    started = loop.time()
    async with _device(profile, place, unit, seed, lambda: loop.time() - started) as at:
        typer.echo(f"# {profile.vendor} {profile.model}, simulated; end it with Ctrl-C")
        typer.echo(_configuration(file, profile, (place[0], at), unit))
        await ended.wait()


def _device(
    profile: AnyProfile,
    place: tuple[str, int],
    unit: int,
    seed: int,
    seconds: Callable[[], float],
) -> AbstractAsyncContextManager[int]:
    host, port = place
    # Imported here: servers are needed by nobody else.
    from plantroom_edge.simulation import bacnet_device, modbus_server  # noqa: PLC0415
    from plantroom_edge.simulation.image import render  # noqa: PLC0415
    from plantroom_edge.simulation.motion import Motion  # noqa: PLC0415

    motion = Motion(profile, seed)
    if not isinstance(profile, Profile):
        return bacnet_device.serving(
            profile, lambda: motion.values(seconds()), instance=unit, host=host, port=port
        )
    if unit > 255:
        what = f"{unit} is no unit id"
        raise ConfigError(what, key="--unit", fix="name one from 0 to 255")

    def picture() -> dict[str, dict[int, int]]:
        return render(profile, motion.values(seconds()), motion.exponents)

    made = modbus_server.unit_of(profile, picture(), picture)
    return modbus_server.serving({unit: made}, host, port)


def _configuration(file: Path, profile: AnyProfile, place: tuple[str, int], unit: int) -> str:
    """Return what the agent's configuration has to say to read the device."""
    host, port = place
    if not isinstance(profile, Profile):
        return (
            "buses:\n  - name: simulated\n    driver: bacnet\n    bind: 127.0.0.1:0\n"
            f"    who_is: ['{host}:{port}']"
        )
    name = f"{file.parent.name}/{file.stem}"
    return (
        f"buses:\n  - name: simulated\n    driver: modbus\n    host: {host}\n    port: {port}\n"
        f"    devices:\n      - name: simulated\n        unit: {unit}\n        profile: {name}\n"
        f"        profile_dir: {file.parent.parent}"
    )


@app.command("list")
def list_all(*, folder: Folder = None, as_json: AsJson = False) -> None:
    """List the profiles there are."""
    rows = []
    for name in profiles.list_profiles(folder):
        file = profiles.profile_file(name, folder)
        profile = profiles.parse_any_profile(_bytes(file), str(file))
        rows.append(
            {
                "name": name,
                "protocol": profile.protocol,
                "vendor": profile.vendor,
                "model": profile.model,
                "points": len(profile.points),
                "writable": sum(one.write is not None for one in profile.points),
            }
        )
    if as_json:
        typer.echo(orjson.dumps({"profiles": rows}, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("profile", "protocol", "vendor", "model", "points", "writable")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row.values()))
    Console().print(table)


@app.command()
def show(target: Name, *, folder: Folder = None, as_json: AsJson = False) -> None:
    """Show the points of a profile, and where its facts come from."""
    file = _file(target, folder)
    profile = profiles.parse_any_profile(_bytes(file), str(file))
    if as_json:
        typer.echo(profile.model_dump_json(indent=2))
        return
    console = Console(highlight=False)
    console.print(f"[bold]{escape(f'{profile.vendor} {profile.model}')}[/] {escape(str(file))}")
    console.print(f"source: {escape(profile.source)}")
    table = Table("id", "name", "where", "unit", "range", "class", "write")
    for one in profile.points:
        span = f"{one.range[0]:g} to {one.range[1]:g}" if one.range else ""
        write = one.write.model_dump(exclude_none=True) if one.write is not None else None
        limits = ", ".join(f"{key} {value}" for key, value in (write or {}).items())
        writable = "" if write is None else limits or "yes"
        cells = (one.id, one.name, _where(one), one.unit, span, one.point_class, writable)
        table.add_row(*map(escape, cells))
    console.print(table)


@app.command()
def schema() -> None:
    """Print the JSON Schema of profiles, for editors."""
    document = orjson.dumps(profiles.json_schema(), option=orjson.OPT_INDENT_2)
    typer.echo(document.decode())


def _where(one: Any) -> str:
    if isinstance(one, profiles.BacnetObject):
        found = [] if one.instance is None else [str(one.instance)]
        return ":".join([one.type, *found, *([repr(one.object_name)] if one.object_name else [])])
    bit = "" if one.bit is None else f".{one.bit}"
    return f"{one.space}:{one.address}{bit} {one.type}"


def _file(target: str, folder: Path | None) -> Path:
    """Return the file that `target` names: itself, or the profile of that name."""
    path = Path(target)
    if path.suffix == ".yaml" or path.is_file():
        return path
    return profiles.profile_file(target, folder)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        what = f"it cannot be read: {error.strerror or error}"
        fix = "name a file, or a profile of `plantroom-edge profile list`"
        raise ConfigError(what, file=str(file), fix=fix) from error
