"""Faults 12, 17 and 18: a gateway restored or cloned, certificates that are wrong, clocks that jump."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from demo.processes import Child, python, wait_for
from support import fault_agent
from support.fault_case import Setting, case
from support.fault_cloud import alarms, wait_for_alarm
from support.fault_network import proxied, seconds_until
from support.fault_report import Figure
from support.fault_rig import Rig, rigged


def _verdict(name: str, rig: Rig, setting: Setting, *, lost: bool = True) -> list[Figure]:
    """Return what the judge says; the restored edge itself no longer knows what it accepted."""
    rig.drain()
    rig.stack.stop("agent", "ingest")
    verdict, runs, seed = rig.verdict(), setting.count, setting.seed
    for text in [*verdict.lost, *verdict.doubled][:10]:
        setting.say(text)
    figures = [Figure(name, "doubled in the store", runs, len(verdict.doubled), seed=seed)]
    if lost:
        figures.append(Figure(name, "accepted samples lost", runs, len(verdict.lost), seed=seed))
    return [
        *figures,
        Figure(name, "samples stored", runs, verdict.samples, 1, least=True, seed=seed),
    ]


def _copy(folder: Path, image: Path) -> None:
    """Copy a gateway's folder as an image of its disk does: without the sockets in it."""
    shutil.copytree(folder, image, ignore=shutil.ignore_patterns("*.sock"))


@case("edge-restored", faults="12", pr=2, full=25)
def edge_restored(setting: Setting) -> Sequence[Figure]:
    """The gateway's folder is replaced by an older copy, `count` times: no number is used twice."""
    name, slowest = "12 edge restored", 0.0
    with rigged(setting) as rig:
        rig.start()
        agent, folder = rig.stack.children["agent"], rig.folder / "agent"
        for _ in range(setting.count):
            image = rig.folder / "image"
            rig.drain()
            agent.kill()
            _copy(folder, image)
            agent.start()
            last = rig.epoch()
            wait_for(lambda: rig.polling(last), what="polling", seconds=60)  # noqa: B023 -- at once
            time.sleep(1)
            rig.drain()
            agent.kill()
            shutil.rmtree(folder)
            image.rename(folder)
            agent.start()
            slowest = max(slowest, wait_for_alarm(rig, {"restored", "stream_fork"}, 45))
        figures = _verdict(name, rig, setting)
    return [
        *figures,
        Figure(
            name, "alarm after the start of the old image", setting.count, slowest, 30, unit="s"
        ),
    ]


@case("edge-cloned", faults="12", pr=1, full=25)
def edge_cloned(setting: Setting) -> Sequence[Figure]:
    """A twin with the same folder and certificate runs beside the gateway: an alarm, and no mixture."""
    name = "12 edge cloned"
    with rigged(setting) as rig:
        rig.start()
        rig.drain()
        slowest = 0.0
        for number in range(setting.count):
            agent = rig.stack.children["agent"]
            agent.kill()
            home = rig.folder / f"twin-{number}"
            _copy(rig.folder / "agent", home)
            document = yaml.safe_load(rig.stack.agent_config.read_text())
            document["data"] = str(home)
            config = rig.folder / f"twin-{number}.yaml"
            config.write_text(yaml.safe_dump(document))
            command = python("-m", "plantroom_edge", "run", str(config))
            twin = Child(f"twin-{number}", command, rig.folder)
            rig.stack.children[f"twin-{number}"] = twin
            agent.start()
            twin.start()
            slowest = max(slowest, wait_for_alarm(rig, {"duplicate_identity", "stream_fork"}, 45))
            twin.stop()
        figures = _verdict(name, rig, setting, lost=False)
    return [
        *figures,
        Figure(name, "alarm after the twin's start", setting.count, slowest, 30, unit="s"),
    ]


# ---------------------------------------------------------------- TLS

_DAY = dt.timedelta(days=1)


def broker_certificate(authority: Path, out: Path, kind: str) -> tuple[Path, Path]:
    """Write a broker's certificate that must be refused; return its files.

    Args:
        authority: the folder of the cloud's own authority.
        out: where to.
        kind: ``expired``, ``not yet`` (what all are to a clock in 1970), ``other authority`` or
            ``other name``.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    ca = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    if kind == "other authority":
        signer = ec.generate_private_key(ec.SECP256R1())
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    now = dt.datetime.now(dt.UTC)
    begin = {"expired": now - 9 * _DAY, "not yet": now + 9 * _DAY}.get(kind, now - _DAY)
    name = "elsewhere.invalid" if kind == "other name" else "127.0.0.1"
    known: list[x509.GeneralName] = (
        [x509.DNSName(name)]
        if kind == "other name"
        else [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(name))]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + 2 * _DAY)
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .sign(signer, hashes.SHA256())
    )
    files = out / "wrong.pem", out / "wrong.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


class Impostor:
    """A server with a wrong certificate: counts who comes, and who would talk to it."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.came = 0
        self.talked = 0
        """Clients that sent application data after all."""
        self.plain = 0
        """Clients that did not begin with TLS."""

    @contextlib.contextmanager
    def running(self) -> Iterator[Impostor]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                self.came += 1
                sock.settimeout(5)
                with contextlib.suppress(OSError), sock:
                    self.plain += sock.recv(1, socket.MSG_PEEK) != b"\x16"
                    with self._context.wrap_socket(sock, server_side=True) as tls:
                        self.talked += bool(tls.recv(1))


KINDS = ("expired", "other authority", "not yet", "other name")


@case("tls", faults="17", pr=4, full=8)
def tls(setting: Setting) -> Sequence[Figure]:
    """The broker shows a wrong certificate: refused, buffered, and well again once it is right."""
    name, came, talked, plain = "17 TLS", 0, 0, 0
    slowest = 0.0
    with proxied(setting) as (rig, proxy):
        right = rig.stack.broker_port
        for number in range(setting.count):
            kind = KINDS[number % len(KINDS)]
            files = broker_certificate(rig.folder / "cloud" / "pki", rig.folder, kind)
            with Impostor(*files).running() as impostor:
                proxy.target = ("127.0.0.1", impostor.port)
                proxy.reset()
                accepted = rig.total()
                wait_for(lambda: impostor.came >= 2, what="two attempts", seconds=60)
                wait_for(lambda: rig.total() > accepted, what="buffering", seconds=30)  # noqa: B023 -- at once
                came, talked = came + impostor.came, talked + impostor.talked
                plain += impostor.plain
            proxy.target = ("127.0.0.1", right)
            stored = rig.stored()
            took = seconds_until(
                lambda: rig.stored() > stored,  # noqa: B023 -- called at once
                what="recovery",
                limit=90,
            )
            slowest = max(slowest, took)
        figures = _verdict(name, rig, setting)
    return [
        *figures,
        Figure(name, "connections with a wrong certificate", setting.count, came, 2, least=True),
        Figure(name, "of these, plain text or talked to", came, talked + plain),
        Figure(name, "storing again after it was put right", setting.count, slowest, 60, unit="s"),
    ]


# ---------------------------------------------------------------- clocks

HOUR_US = 3_600_000_000
STEPS = (
    HOUR_US,
    -HOUR_US,
    -10 * 365 * 24 * HOUR_US,
    10 * 365 * 24 * HOUR_US,
    -56 * 365 * 24 * HOUR_US,
    3_000_000,
)


@case("clock-steps", faults="18", pr=6, full=60)
def clock_steps(setting: Setting) -> Sequence[Figure]:
    """The gateway's wall clock jumps by hours and years, forth and back, and once starts in 1970."""
    name, dice = "18 clock steps", setting.dice("clock")
    began = time.time_ns() // 1000
    with rigged(setting) as rig:
        offset = rig.folder / "clock-offset"
        offset.write_text("0")
        rig.start_cloud()
        rig.configure_agent()
        command = python(fault_agent.__file__, str(rig.folder), "run", str(rig.stack.agent_config))
        rig.stack.children["agent"] = agent = Child("agent", command, rig.folder)
        agent.start()
        wait_for(lambda: rig.stored() > 0, what="the first samples", seconds=60)
        for number in range(setting.count):
            step = STEPS[number % len(STEPS)]
            accepted = rig.total()
            if number % 3 == 2:  # a start with a wrong clock, as without a battery
                agent.kill()
                offset.write_text(str(step))
                agent.start()
            else:
                offset.write_text(str(step))
            wait_for(lambda: rig.total() > accepted, what="accepting", seconds=60)  # noqa: B023 -- at once
            time.sleep(dice.uniform(1, 3))
            offset.write_text("0")
            time.sleep(dice.uniform(1, 3))
        figures = _verdict(name, rig, setting)
        ended = time.time_ns() // 1000
        with rig.cloud_database() as db:
            sql = (
                f"SELECT count(*) FROM sample WHERE ts_us < {began - 2_000_000}"
                f" OR ts_us > {ended + 2_000_000}"
            )
            ((off,),) = db.execute(sql)
        seen = alarms(rig)
    return [
        *figures,
        Figure(name, "samples stored with a time outside of the run", setting.count, off, 0),
        Figure(name, "alarms of skew", setting.count, float("clock_skew" in seen), None),
    ]
