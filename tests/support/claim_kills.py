"""A device that is killed at a step of its own, and a cloud that can be killed while it claims."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from demo.processes import Child, free_port, python
from plantroom_cloud.gateways.pki import Authority, server_context
from plantroom_edge.claiming import flow
from plantroom_edge.claiming.cloud import ProvisionClient
from plantroom_edge.claiming.files import Folder
from plantroom_edge.claiming.keys import DeviceKey
from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import AgentConfig, load
from plantroom_edge.sync_tls import tls_context
from plantroom_shared.claiming import read_code
from plantroom_shared.clock import SystemClock
from support.claim_site import provisioned

COMPANIES = ("acme", "bolt")
PATIENCE = 300.0
"""Seconds that the cloud may take to start on a machine that has other things to do."""


class Killer:
    """Kills this process before, or right after, the step with a number."""

    def __init__(self, at: int) -> None:
        self._left = at

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return `step` with a chance to die before and after it."""

        def stepping(*arguments: Any, **named: Any) -> Any:
            self._count()
            done = step(*arguments, **named)
            self._count()
            return done

        return stepping

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def forked(at: int, run: Callable[[], Any], during: Callable[[], Any] | None = None) -> int:
    """Run in a child that is killed at its step `at`; return the child's exit: 0, or -9.

    Args:
        at: counts requests to the cloud, syncs, renames and deletions, before and after each; 0: never.
        run: what the child does.
        during: what is done here in the meantime.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            killer = Killer(at)
            for owner, name in (
                (ProvisionClient, "post"),
                (os, "fsync"),
                (Path, "replace"),
                (Path, "unlink"),
            ):
                setattr(owner, name, killer.around(getattr(owner, name)))
            run()
            code = 0
        except BaseException:  # noqa: BLE001 -- told here: a fork must not go on as its parent would
            traceback.print_exc()
        finally:
            os._exit(code)
    if during is not None:
        try:
            during()
        except BaseException:
            os.kill(pid, signal.SIGKILL)  # it would wait for a cloud that does not come
            os.waitpid(pid, 0)
            raise
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


class Machine1970:
    """A machine without a battery: its clock says that it was made just now, in 1970."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def now_us(self) -> int:
        """Return microseconds since 1970, as the machine has them."""
        return round((time.monotonic() - self._started) * 1e6)

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()


def clock_of_1970() -> EdgeClock:
    """Return the clock of a gateway that nobody has told the time."""
    return EdgeClock(Machine1970(), synced=lambda: False)


@dataclass
class Office:
    """The API as a process of its own, with TLS, and an engineer of each of two companies."""

    folder: Path
    keys: dict[str, str] = field(default_factory=dict)
    url: str = ""
    child: Child = field(init=False)

    def __post_init__(self) -> None:
        port, config = free_port(), self.folder / "cloud.yaml"
        settings = {
            "data": str(self.folder / "cloud"),
            "api_port": port,
            "mqtt": {"host": "127.0.0.1", "port": 8883},
            "claim": {"tls": True, "begins_per_hour": 100_000},
        }
        config.write_text(yaml.safe_dump(settings))
        self.keys = provisioned(config, *COMPANIES)
        self.url, ready = f"https://127.0.0.1:{port}", self.folder / "api.ready"
        command = python("-m", "plantroom_cloud", "--config", str(config), "api")
        self.child = Child("api", [*command, "--ready-file", str(ready)], self.folder, ready=ready)

    @property
    def ca(self) -> Path:
        """Whom everybody here trusts."""
        return self.folder / "cloud" / "pki" / "ca.pem"

    def ask(self, company: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask as a person does: again, while there is no answer."""
        trusted = ssl.create_default_context(cafile=str(self.ca))
        headers = {"Authorization": f"Bearer {self.keys[company]}"}
        end = time.monotonic() + PATIENCE
        while True:
            try:
                url = f"{self.url}{path}"
                answer = httpx.request(method, url, verify=trusted, headers=headers, **more)
            except httpx.TransportError:
                if time.monotonic() > end:
                    raise
            else:
                if answer.status_code < 500 or time.monotonic() > end:
                    return answer
            time.sleep(0.1)

    def gateways(self, company: str) -> set[str]:
        """Return the ids of all gateways that a company has."""
        found, path = set[str](), "/v1/gateways?limit=100"
        while path:
            page = self.ask(company, "GET", path).json()
            found |= {one["id"] for one in page["items"]}
            after = page.get("next")
            path = f"/v1/gateways?limit=100&after={after}" if after else ""
        return found

    def fingerprint(self, company: str, gateway: str) -> str:
        """Return the key for which a company's gateway got its newest certificate; empty: it has none."""
        answer = self.ask(company, "GET", f"/v1/gateways/{gateway}/certificates")
        if answer.status_code != 200:
            return ""
        listed: Sequence[dict[str, Any]] = answer.json()["certificates"]
        return str(listed[0]["fingerprint"]) if listed else ""

    def shake_hands(self, config: AgentConfig) -> str:
        """Return the name under which a broker would know this gateway; ssl.SSLError if it would not."""
        assert config.cloud is not None
        authority = Authority(self.folder / "cloud" / "pki")
        own = server_context(authority.files("server"), authority.crl_file)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = own.wrap_bio(to_server, to_client, server_side=True)
        theirs = tls_context(config.cloud)
        client = theirs.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
        for end in (client, server, client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
        subject: Any = (server.getpeercert() or {}).get("subject", ())
        names = dict(pair for parts in subject for pair in parts)
        return str(names.get("commonName", ""))


@dataclass
class Unit:
    """A device, its files, and whose it is to be."""

    office: Office
    folder: Path
    company: str
    in_1970: bool
    renewals: int = 0

    @property
    def asked(self) -> flow.Asked:
        """What is claimed."""
        certs = Folder(self.folder / "certs")
        return flow.Asked(self.folder / "edge.yaml", certs, self.office.url, self.office.ca)

    @property
    def name(self) -> str:
        """Its id; empty as long as it is not claimed."""
        return flow.claimed_as(self.asked.folder)

    @property
    def config(self) -> AgentConfig:
        """What it would run with."""
        return load(self.asked.config)

    def claim(self) -> None:
        """Go the whole way, or what is left of it; whoever sees the code claims at once."""
        clock = clock_of_1970() if self.in_1970 else EdgeClock(SystemClock())
        client = ProvisionClient(self.office.url, self.office.ca, clock)
        flow.Claim(self.asked, client, self._shown, lambda _: time.sleep(0.02)).run()

    def _shown(self, code: str, fingerprint: str) -> None:
        body = {"code": read_code(code), "fingerprint": fingerprint, "site": "tower"}
        answer = self.office.ask(self.company, "POST", "/v1/gateways/claim", json=body)
        # 409: what was said before a kill of the cloud had gone through.
        assert answer.status_code in {200, 409}, answer.text

    def fault(self) -> str:
        """Return what is wrong with the gateway that it has become; empty if nothing is."""
        name, office = self.name, self.office
        key = DeviceKey(self.asked.folder.key.read_bytes()).fingerprint
        other = next(each for each in COMPANIES if each != self.company)
        checks: tuple[tuple[Callable[[], bool], str], ...] = (
            (lambda: bool(name), "it is not claimed"),
            (lambda: self.config.gateway == name, "its file names another gateway"),
            (lambda: office.fingerprint(self.company, name) == key, "its owner knows another key"),
            (lambda: not office.fingerprint(other, name), "a stranger has it"),
            (lambda: office.shake_hands(self.config) == name, "no broker would take it"),
        )
        for holds, what in checks:
            try:
                if not holds():
                    return what
            except (OSError, ssl.SSLError) as error:
                return f"{what}: {error}"
        return ""
