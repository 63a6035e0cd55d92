"""``plantroom-edge claim``: have this gateway claimed, or see that it is."""

from __future__ import annotations

import hashlib
import platform
import shutil
import socket
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from plantroom_edge.cli_common import AsJson, console, hint, print_json, safe
from plantroom_edge.clock import EdgeClock
from plantroom_shared.claiming import qr_text, show_code, show_fingerprint
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError

_SERIALS: Final = (
    "/sys/firmware/devicetree/base/serial-number",
    "/sys/class/dmi/id/product_serial",
    "/sys/class/dmi/id/board_serial",
)
_MODELS: Final = ("/sys/firmware/devicetree/base/model", "/sys/class/dmi/id/product_name")


def claim(
    config: Annotated[Path, typer.Argument(help="The agent's YAML file; made if missing.")] = Path(
        "plantroom-edge.yaml"
    ),
    *,
    cloud: Annotated[str, typer.Option(help="Address of the cloud.", metavar="URL")] = "",
    ca: Annotated[
        Path | None, typer.Option(help="PEM file of its authority, if it is a private one.")
    ] = None,
    certificates: Annotated[
        Path | None, typer.Option(help="Folder for key and certificate.", metavar="DIR")
    ] = None,
    token: Annotated[str, typer.Option(help="Enrolment token: nobody has to claim then.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="A file that holds the token.")] = None,
    serial: Annotated[str, typer.Option(help="Serial number, if the machine has none.")] = "",
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget who this gateway was: key, buffer and all.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --reset: do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have this gateway claimed: it makes its key, shows a code, and waits for its certificate.

    Somebody with the right to claim types the code, or scans it, in the cloud and compares the
    fingerprint. The key never leaves this machine. Stopped at any time, it goes on where it was.

    \b
    Examples:
      plantroom-edge claim edge.yaml --cloud https://cloud.example.com
      plantroom-edge claim edge.yaml --cloud https://10.1.2.3:8080 --ca ca.pem
      plantroom-edge claim edge.yaml --cloud https://cloud.example.com --token-file /media/usb/token
      plantroom-edge claim edge.yaml --reset       before it goes to another owner
    """  # noqa: D301 -- typer reads \b
    # Imported here: what signs is only needed by those who claim.
    from plantroom_edge.claiming import cloud as asking  # noqa: PLC0415
    from plantroom_edge.claiming import flow  # noqa: PLC0415
    from plantroom_edge.claiming.files import Folder  # noqa: PLC0415

    folder = Folder((certificates or config.absolute().parent / "certs").absolute())
    if reset:
        _reset(config, folder.path, sure=yes)
        return
    if name := flow.claimed_as(folder):
        typer.echo(f"this gateway is claimed, as {name}; --reset forgets that")
        return
    if not cloud:
        fix = "add --cloud https://..., the address of your cloud"
        what = "nobody has said where the cloud is"
        raise ConfigError(what, key="--cloud", fix=fix)
    trusted = ca.absolute() if ca else None
    given = token or (_token_in(token_file) if token_file else "")
    asked = flow.Asked(config.absolute(), folder, cloud, trusted, given, _facts(serial))
    clock = EdgeClock(SystemClock(), folder.path / "clock.json")
    client = asking.ProvisionClient(cloud, trusted, clock)
    told = flow.Claim(asked, client, _show_json if as_json else _show).run()
    if as_json:
        print_json({"state": "claimed", **told._asdict()})
        return
    typer.echo(f"claimed by {told.company}: {told.gateway} of site {told.site}; wrote {config}")
    hint(f"plantroom-edge run {config}")


def _show(code: str, fingerprint: str) -> None:
    """Print what a person needs to claim this gateway."""
    import segno  # noqa: PLC0415 -- only a terminal needs pictures

    to = console()
    qr: Any = segno.make(qr_text(code, fingerprint), error="m")
    qr.terminal(compact=True)
    to.print(f"Code         [bold]{show_code(code)}[/]")
    to.print(f"Fingerprint  {show_fingerprint(fingerprint)}", soft_wrap=True)
    to.print("Waiting until somebody claims it in the cloud; Ctrl-C and start again as you like.")


def _show_json(code: str, fingerprint: str) -> None:
    print_json({"state": "waiting", "code": code, "fingerprint": fingerprint})


def _token_in(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = f"the token cannot be read: {error}"
        raise ConfigError(what, file=str(file), key="--token-file", fix="check the path") from error


def _facts(serial: str) -> dict[str, str]:
    """Return what this machine says of itself; short, and without anything secret."""
    facts = {
        "serial": serial or _first(_SERIALS) or _machine(),
        "model": _first(_MODELS),
        "hostname": socket.gethostname(),
        "machine": platform.machine(),
        "agent": version("plantroom"),
    }
    plain = {name: "".join(filter(str.isprintable, text))[:128] for name, text in facts.items()}
    return {name: text for name, text in plain.items() if text}


def _first(paths: tuple[str, ...]) -> str:
    for path in paths:
        try:
            text = Path(path).read_bytes()[:128].decode(errors="replace").strip("\0 \n")
        except OSError:
            continue
        if text:
            return text
    return ""


def _machine() -> str:
    """Return a name made of the machine's id, which itself is nobody's business."""
    try:
        content = Path("/etc/machine-id").read_bytes()
    except OSError:
        return ""
    return "m-" + hashlib.sha256(b"plantroom " + content).hexdigest()[:16]


def _reset(config: Path, folder: Path, *, sure: bool) -> None:
    """Forget key, certificate and all that was read: what the next owner must not find."""
    from plantroom_edge.config import load  # noqa: PLC0415 -- a broken file must not stop a reset

    gone = [folder]
    try:
        gone.append(load(config).data)
    except ConfigError as error:
        console(stderr=True).print(f"the data folder stays: {safe(error)}", soft_wrap=True)
    if not sure:
        names = ", ".join(map(str, gone))
        typer.confirm(f"Delete {names}, with the key and all rows not sent?", abort=True)
    for path in gone:
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            what = f"it cannot be deleted: {error}"
            raise ConfigError(what, file=str(path), fix="stop the agent, then try again") from error
    typer.echo("this gateway is nobody's; `plantroom-edge claim` gives it a new identity")
