"""Mosquitto as the broker: its configuration is made anew at every start, then we become it.

There is no process of ours beside it: whoever stops or kills the process that was started stops or
kills the broker. Started by root, we give that up before, so that Mosquitto never is root.
"""

from __future__ import annotations

import logging
import os
import pwd
import resource
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from plantroom_cloud.broker import denied, text
from plantroom_cloud.broker.rules import READS, ROOTS, WRITES
from plantroom_cloud.gateways.pki import CLOUDS, Authority, write_private
from plantroom_shared.errors import ConfigError
from plantroom_shared.wire import MAX_WIRE

log = logging.getLogger(__name__)

USER = "mosquitto"
_FILES = {"ca.pem": 0o644, "crl.pem": 0o644, "server.pem": 0o644, "server.key": 0o600}
_SPARE = 64
"""Descriptors that connections may not use up: what is reloaded must be opened."""
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is needed to become Mosquitto."""

    binary: Path
    config: Path
    user: str = ""
    """The system user to become first; empty: stay who we are."""

    @property
    def command(self) -> list[str]:
        """The command line."""
        return [str(self.binary), "-c", str(self.config)]


def find() -> Path | None:
    """Return Mosquitto's binary, or None where it is not installed."""
    # Debian puts it where the PATH of an ordinary user does not look.
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_FOLDERS))
    found = shutil.which("mosquitto", path=path)
    return Path(found) if found else None


def prepare(binary: Path, folder: Path, authority: Authority, host: str, port: int) -> Plan:
    """Write configuration, ACL and copies of the certificates into `folder`; return the plan."""
    folder = folder.resolve()
    if not f"{folder}{host}".isprintable():
        what = "a path with control characters cannot stand in Mosquitto's configuration"
        raise ConfigError(what, key="data", fix="use a folder with a plain name")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, mode in _FILES.items():
        write_private(folder / name, (authority.folder / name).read_bytes(), mode=mode)
    gateways = denied.read(authority).gateways
    write_private(folder / "acl", acl(gateways).encode())
    config = folder / "mosquitto.conf"
    user = _user_for(folder)
    lines = configuration(folder, host, port)
    if os.geteuid() == 0 and not user:
        # Else Mosquitto itself would give up root, and then not reach the same files.
        lines.append(("user", "root"))
    write_private(config, text.settings(lines).encode())
    if user:
        account = pwd.getpwnam(user)
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    return Plan(binary, config, user)


def acl(gateways: Iterable[str]) -> str:
    """Return who may do what; `gateways` are revoked and may do nothing.

    ``%u`` is the common name of the certificate. What is denied to one user is asked first.
    """
    users: dict[str, list[tuple[str, str]]] = {
        name: [("readwrite", f"{root}/#") for root in ROOTS] for name in CLOUDS
    }
    users |= {name: [("deny", "#")] for name in sorted(gateways) if name not in CLOUDS}
    patterns = [("write", topic) for topic in WRITES] + [("read", topic) for topic in READS]
    return text.rules(patterns, users)


def running(folder: Path) -> int | None:
    """Return the process id of the Mosquitto that runs in `folder`, or None."""
    try:
        pid = int((folder / "pid").read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if name == "mosquitto" else None


def most_connections() -> int:
    """Return how many clients still leave descriptors for the files that a reload opens."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, soft - _SPARE) if soft > 0 else -1


def configuration(folder: Path, host: str, port: int) -> list[tuple[str, object]]:
    """Return Mosquitto's configuration: mutual TLS only, nothing anonymous, nothing kept."""
    lines: dict[str, object] = {
        "listener": f"{port} {host}",
        "cafile": folder / "ca.pem",
        # Whoever is on the list is refused, and everybody is once the list is too old.
        "crlfile": folder / "crl.pem",
        "certfile": folder / "server.pem",
        "keyfile": folder / "server.key",
        "tls_version": "tlsv1.2",
        "require_certificate": "true",
        "use_identity_as_username": "true",
        # A client cannot choose the id of another and so throw it out.
        "use_username_as_clientid": "true",
        "acl_file": folder / "acl",
        "allow_anonymous": "false",
        # The edge keeps every row until the cloud has acknowledged it: the broker is a relay.
        "persistence": "false",
        "retain_available": "false",
        # Room for the topic and MQTT's own head beside the largest message of ours.
        "max_packet_size": MAX_WIRE + 8192,
        # By default it drops QoS 1 messages of a slow ingest beyond a thousand. 0 (no limit) would
        # make 2.0.11 cut off whoever publishes where it may not, instead of only refusing that.
        "max_queued_messages": 100_000,
        "max_queued_bytes": 256 * 1024 * 1024,
        "max_inflight_messages": 64,
        "max_keepalive": 120,
        "max_connections": most_connections(),
        "set_tcp_nodelay": "true",
        "connection_messages": "false",
        "log_dest": "stderr",
        "log_timestamp_format": "%H:%M:%S",
    }
    return [*lines.items(), ("log_type", "error"), ("log_type", "warning")]


def _user_for(folder: Path) -> str:
    """Return the user Mosquitto shall run as: its own where we are root and it can get there."""
    if os.geteuid() != 0:
        return ""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return ""
    if closed := [path for path in folder.parents if not path.stat().st_mode & 0o001]:
        extra = {"folder": str(closed[-1]), "fix": f"chmod o+x {closed[-1]}"}
        log.warning("the broker stays root: its own user cannot reach its files", extra=extra)
        return ""
    return USER


def become(plan: Plan, last: Callable[[], None] | None = None) -> None:
    """Replace this process by Mosquitto; does not return.

    Args:
        plan: from `prepare`.
        last: called when this process is who Mosquitto will be, right before it is.

    Raises:
        ConfigError: it cannot be started.
    """
    if plan.user:
        account = pwd.getpwnam(plan.user)
        os.initgroups(plan.user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if last is not None:
        last()
    (plan.config.parent / "pid").write_text(f"{os.getpid()}\n")  # we become it
    try:
        os.execv(plan.binary, plan.command)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        what = f"Mosquitto cannot be started: {error}"
        fix = "use --engine embedded or install it again"
        raise ConfigError(what, file=str(plan.binary), fix=fix) from error
