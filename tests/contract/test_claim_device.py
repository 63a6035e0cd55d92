"""The device's end of a claim: what it believes, what it keeps, and what it asks again."""

from __future__ import annotations

import http.server
import json
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.gateways.pki import Authority
from plantroom_edge import cli, cli_claim
from plantroom_edge.claiming import files, flow, keys, renewal
from plantroom_edge.claiming.cloud import ProvisionClient, Refused, check_url
from plantroom_edge.claiming.files import Folder
from plantroom_edge.claiming.keys import DeviceKey, check_grant
from plantroom_edge.claiming.renewer import Renewer
from plantroom_edge.claiming.settle import settle
from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import CloudConfig, load
from plantroom_edge.credentials import Credentials
from plantroom_shared import claiming
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Rejected, Unavailable
from support.claim_device import Device
from support.edge_time import VirtualTime

GATEWAY = "gw-tower-0001"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The cloud's authority."""
    made = Authority(tmp_path_factory.mktemp("pki"))
    made.prepare()
    return made


def grant_of(authority: Authority, key: DeviceKey, **change: Any) -> dict[str, Any]:
    """Return what the cloud sends to the holder of `key`, some of it changed."""
    import base64

    public: Any = load_pem_public_key(Device(key=key).public_pem.encode())
    binding = {
        "gateway": GATEWAY,
        "company": "acme",
        "site": "tower",
        "fingerprint": key.fingerprint,
    }
    said = json.dumps(binding | change.pop("binding", {}))
    signature = base64.b64encode(authority.sign(claiming.binding_message(said))).decode()
    grant = {
        "certificate": authority.certify(GATEWAY, public).certificate.decode(),
        "ca": authority.ca_pem.decode(),
        "brokers": ["broker.example:8883"],
        "binding": said,
        "binding_signature": signature,
    }
    return grant | change


class Played:
    """A cloud that answers from a list; each answer is a document, or an error to be raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, dict[str, Any]]]()

    def _answer(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((what, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, Any] = answer() if callable(answer) else answer
        return found

    def begin(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._answer("begin", body)

    def poll(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._answer("poll", body)


def standing(state: str, **more: Any) -> dict[str, Any]:
    """Return how a claim stands."""
    told = {"state": state, "pending": "A" * 22, "challenge": "0" * 64, "poll_after": 5}
    return told | {"grant": None} | more


class Try:
    """One device in a folder, and a cloud that is played."""

    def __init__(self, folder: Path, *answers: Any) -> None:
        self.cloud, self.codes = Played(*answers), list[str]()
        self.pauses = list[float]()
        self.folder = Folder(folder / "certs")
        self.asked = flow.Asked(folder / "edge.yaml", self.folder, "https://cloud.example")

    @property
    def key(self) -> DeviceKey:
        """Its key."""
        return DeviceKey(self.folder.key.read_bytes())

    def run(self) -> Any:
        """Claim."""
        client: Any = self.cloud
        show: Callable[[str, str], None] = lambda code, _: self.codes.append(code)  # noqa: E731 -- one line
        return flow.Claim(self.asked, client, show, self.pauses.append).run()


def test_the_way_of_a_claim(authority: Authority, tmp_path: Path) -> None:
    """It waits as the cloud says, shows its code once, and keeps what it gets for its owner only."""
    one = Try(tmp_path)
    one.cloud.answers = [
        Unavailable("busy", retry_after=7.0),
        standing("waiting"),
        standing("challenge"),
        standing("waiting"),
        lambda: standing("claimed", grant=grant_of(authority, one.key)),
    ]
    assert one.run() == (GATEWAY, "acme", "tower")
    assert len(one.codes) == 1
    assert one.pauses[0] >= 5.6
    assert stat.S_IMODE(one.folder.key.stat().st_mode) == 0o600
    assert not one.folder.claim.exists()
    config = load(one.asked.config)
    assert config.gateway == GATEWAY
    assert config.cloud is not None
    assert (config.cloud.host, config.cloud.port) == ("broker.example", 8883)
    assert config.cloud.provision == "https://cloud.example"
    assert flow.claimed_as(one.folder) == GATEWAY


def test_a_locked_or_forgotten_code_is_replaced(authority: Authority, tmp_path: Path) -> None:
    """The key stays; the next code is another one."""
    one = Try(tmp_path)
    one.cloud.answers = [
        standing("waiting"),
        standing("locked"),
        standing("waiting"),
        Refused("gone", reason="not_found"),
        standing("waiting"),
        lambda: standing("claimed", grant=grant_of(authority, one.key)),
    ]
    one.run()
    assert len(set(one.codes)) == 3
    begun = [body["code_hash"] for what, body in one.cloud.asked if what == "begin"]
    assert begun == [claiming.hash_code(code) for code in one.codes]


@pytest.mark.parametrize(
    ("answers", "error", "says"),
    [
        ([Refused("no", reason="revoked")], Refused, "no"),
        ([standing("waiting"), Refused("no", reason="revoked")], Refused, "no"),
        ([standing("challenge")] * 9, Rejected, "no signature"),
        ([{"x": 1}], Rejected, "cannot be understood"),
        ([standing("claimed")], Rejected, "cannot be understood"),
        ([standing("claimed", grant={"certificate": ""})], Rejected, "cannot be understood"),
    ],
)
def test_what_ends_a_claim(
    tmp_path: Path, answers: list[Any], error: type[Exception], says: str
) -> None:
    """A refusal, and answers that mean nothing."""
    with pytest.raises(error, match=says):
        Try(tmp_path, *answers).run()


def test_only_what_is_for_this_key_is_believed(authority: Authority, tmp_path: Path) -> None:
    """A certificate of another key, authority or chain, or another's word, is refused."""
    key, other = DeviceKey.new(), DeviceKey.new()
    good = grant_of(authority, key)
    foreign = Authority(tmp_path / "foreign")
    foreign.prepare()
    theirs = grant_of(foreign, key)
    for change in (
        {"certificate": grant_of(authority, other)["certificate"]},
        {"certificate": theirs["certificate"]},
        {"certificate": "rubbish"},
        {"certificate": authority.files("cloud").certificate.read_text()},
        {"ca": theirs["ca"]},
        {"ca": ""},
        {"binding_signature": theirs["binding_signature"]},
        {"binding_signature": "!"},
        {"binding": "[]"},
        grant_of(authority, key, binding={"fingerprint": other.fingerprint}),
        grant_of(authority, key, binding={"gateway": "gw-other-0001"}),
    ):
        one = good | change
        names = ("certificate", "ca", "binding", "binding_signature")
        with pytest.raises(Rejected):
            check_grant(key, *(one[name] for name in names))
    assert check_grant(key, *(good[name] for name in names)).gateway == GATEWAY


def test_a_grant_of_an_authority_without_intermediates(tmp_path: Path) -> None:
    """A root that signs by itself is a chain of one."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    from plantroom_cloud.gateways import certificates as parts

    old = Authority(tmp_path / "pki")
    old.folder.mkdir()
    key = parts.new_key()
    name = parts.common_name("Plantroom private CA")
    made = (
        parts.builder(name, name, key.public_key(), timedelta(days=3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(parts.usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    files.write(old.folder / "ca.key", parts.pem_of(key))
    files.write(old.folder / "ca.pem", parts.pem_of(made))
    old.prepare()
    device = DeviceKey.new()
    grant = grant_of(old, device)
    names = ("certificate", "ca", "binding", "binding_signature")
    assert check_grant(device, *(grant[name] for name in names)).site == "tower"


def test_keys_that_are_none() -> None:
    """Rubbish, and kinds that the cloud does not take, are named."""
    other = ed25519.Ed25519PrivateKey.generate()
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"rubbish", pem):
        with pytest.raises(Rejected, match="key"):
            DeviceKey(content)
    for look in (keys.life_of, keys.leaf_pem):
        with pytest.raises(Rejected, match="certificate"):
            look("rubbish")


# ---------------------------------------------------------------- what both ends agree on


@given(st.text(max_size=80))
def test_any_text_is_a_code_or_none(text: str) -> None:
    """What is read as a code reads the same when it is shown."""
    code = claiming.read_code(text)
    assert not code or claiming.read_code(claiming.show_code(code)) == code
    assert claiming.read_qr(text) is None or ":" in text


def test_codes_are_read_as_people_write_them() -> None:
    """Case, blanks and dashes count for nothing; I, L and O are read as what they look like."""
    assert claiming.read_code(" ab3de-fgh1o ") == "AB3DEFGH10"
    assert claiming.read_code("ABIDE-FGHL0") == "AB1DEFGH10"
    assert claiming.read_code("ABUDE-FGHL0") == ""
    code = claiming.new_code()
    assert claiming.read_qr(claiming.qr_text(code, "ab" * 32)) == (code, "ab" * 32)
    assert claiming.read_qr(claiming.qr_text(code, "ab")) is None
    assert claiming.show_fingerprint("0" * 64) == " ".join(["0000"] * 16)


# ---------------------------------------------------------------- the configuration


TOLD = {"gateway": GATEWAY, "site": "tower", "host": "broker.example", "port": 8883}
TOLD["provision"] = "https://cloud.example"


def _folder(tmp_path: Path, authority: Authority) -> Folder:
    folder = Folder(tmp_path / "certs")
    issued = authority.issue_gateway(GATEWAY)
    files.write(folder.ca, authority.ca_pem)
    files.write(folder.cert, issued.certificate)
    files.write(folder.key, issued.key)
    return folder


_CLOUD = "cloud:\n  host: x.example\n  ca: a\n  cert: b\n  key: c\n  mqtt: 5\n"


@pytest.mark.parametrize(
    "text",
    [
        "gateway: gw-site-0001  # a note\nsite: old\nbuses:\n# nothing yet\n",
        "# head\nsite: 'old one'\ngateway: \"gw-site-0001\"\n" + _CLOUD,
        "gateway: gw-site-0001\nsite: old\ncloud:\n",
        "gateway: gw-site-0001\r\nsite: old\r\n",
    ],
)
def test_only_what_was_claimed_is_changed(text: str, authority: Authority, tmp_path: Path) -> None:
    """Comments, order and everything else stay; done twice it is the same."""
    folder, config = _folder(tmp_path, authority), tmp_path / "edge.yaml"
    config.write_bytes(text.encode())
    settle(config, folder, TOLD | {"provision_ca": str(folder.ca)})
    once = config.read_bytes()
    settle(config, folder, TOLD | {"provision_ca": str(folder.ca)})
    assert config.read_bytes() == once
    read = load(config)
    assert (read.gateway, read.site) == (GATEWAY, "tower")
    assert read.cloud is not None
    assert read.cloud.provision_ca == folder.ca
    for note in ("# a note", "# head", "# nothing yet", "mqtt: 5"):
        assert (note in text) == (note in once.decode())


def test_a_file_that_cannot_be_changed_is_left_alone(authority: Authority, tmp_path: Path) -> None:
    """And the error says what to write by hand."""
    folder, config = _folder(tmp_path, authority), tmp_path / "edge.yaml"
    text = "gateway: &a gw-site-0001\nsite: *a\n"
    config.write_text(text)
    with pytest.raises(ConfigError):
        settle(config, folder, TOLD)
    assert config.read_text() == text
    config.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="readable"):
        settle(config, folder, TOLD)


# ---------------------------------------------------------------- the line to the cloud


@contextmanager
def serving(
    answer: tuple[int, bytes, dict[str, str]], authority: trustme.CA | None = None
) -> Iterator[str]:
    """Serve one answer to every request; with TLS where there is an authority."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answer[0])
            for name, value in answer[2].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def clock_of_1970() -> EdgeClock:
    """Return the clock of a machine that has just started and never knew the time."""
    time = VirtualTime()
    time.wall_offset_us = 0
    return EdgeClock(time, None, synced=lambda: False)


def test_a_device_in_1970_begins(tmp_path: Path) -> None:
    """The authority counts, the dates cannot: it gets through to its cloud, and to no other."""
    ours = trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    clock = clock_of_1970()
    assert clock.state == "unset"
    with serving((200, b'{"state": "waiting"}', {}), ours) as url:
        client = ProvisionClient(url, tmp_path / "ca.pem", clock)
        assert client.begin({})["state"] == "waiting"
        with pytest.raises(Unavailable, match="certificate verify failed"):
            ProvisionClient(url, None, clock).begin({})
    with serving((200, b"{}", {}), trustme.CA()) as url, pytest.raises(Unavailable):
        ProvisionClient(url, tmp_path / "ca.pem", clock).poll({})


@pytest.mark.parametrize(
    ("answer", "error", "wait"),
    [
        ((429, b'{"detail": "slow"}', {"Retry-After": "9"}), Unavailable, 9.0),
        ((503, b"<html>", {}), Unavailable, None),
        ((200, b"[]", {}), Unavailable, None),
        ((403, b'{"code": "revoked", "detail": "no"}', {}), Refused, None),
        ((404, b"", {}), Refused, None),
    ],
)
def test_answers_that_are_no_success(
    answer: tuple[int, bytes, dict[str, str]], error: type[Exception], wait: float | None
) -> None:
    """Those that pass are tried again, when they say; a no is a no, with its code."""
    with serving(answer) as url:
        client = ProvisionClient(url, None, EdgeClock(SystemClock()))
        with pytest.raises(error) as caught:
            client.begin({})
    if isinstance(caught.value, Unavailable):
        assert caught.value.retry_after == wait
    else:
        assert getattr(caught.value, "reason", "") in {"revoked", "404"}
    with pytest.raises(Unavailable):
        client.begin({})


@pytest.mark.parametrize(
    "url",
    [
        "http://cloud.example",
        "cloud.example",
        "ftp://x",
        "https://",
        "https://a:x",
        "https://u:p@h",
    ],
)
def test_addresses_that_nobody_should_trust(url: str) -> None:
    """Without TLS only this machine is asked."""
    with pytest.raises(ConfigError):
        check_url(url)
    assert check_url("http://127.0.0.1:8080").port == 8080


# ---------------------------------------------------------------- renewal


def test_a_renewal_takes_only_what_is_its_own(authority: Authority, tmp_path: Path) -> None:
    """Another's certificate, another authority's, or none: the old pair stays, and nothing waits."""
    folder = _folder(tmp_path, authority)
    end = keys.life_of(folder.cert.read_text())
    foreign = Authority(tmp_path / "foreign")
    foreign.prepare()
    late = renewal.Renewal(
        GATEWAY, folder.ca, folder.cert, folder.key, "https://x", None, _us(end.due) + 1
    )

    def waiting() -> DeviceKey:
        return DeviceKey(files.following(folder.key).read_bytes())

    for answer in (
        standing("claimed"),
        lambda: standing("claimed", grant=grant_of(foreign, waiting())),
        lambda: standing("claimed", grant=grant_of(authority, DeviceKey.new())),
    ):
        client: Any = Played(answer)
        with pytest.raises(Rejected):
            renewal.renew(late, client)
        assert not files.is_waiting(folder.cert, folder.key)
    more = authority.ca_pem.decode() + foreign.ca_pem.decode()
    client = Played(lambda: standing("claimed", grant=grant_of(authority, waiting(), ca=more)))
    assert renewal.renew(late, client)["staged"]
    assert folder.ca.read_text() == more
    assert renewal.renew(late, client)["staged"], "it waits to be tried"
    elsewhere = renewal.Renewal.of(
        {
            "gateway": "gw-other-0001",
            "url": "https://x",
            "now_us": _us(end.due) + 1,
            "ca": str(folder.ca),
            "cert": str(folder.cert),
            "key": str(folder.key),
        }
    )
    files.following(folder.cert).unlink()
    client = Played(lambda: standing("claimed", grant=grant_of(authority, waiting())))
    with pytest.raises(Rejected, match="certificate of"):
        renewal.renew(elsewhere, client)


def _us(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1e6)


async def test_the_renewer(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It looks in a process of its own, says once what is wrong, and waits while the clock is unset."""
    folder = _folder(tmp_path, authority)
    paths = {"ca": folder.ca, "cert": folder.cert, "key": folder.key}
    cloud = CloudConfig.model_validate({"host": "h", "provision": "http://127.0.0.1:9", **paths})
    calls: list[int] = []

    async def staged() -> None:
        calls.append(1)

    one = Renewer(GATEWAY, cloud, EdgeClock(SystemClock()), staged, lambda: True)
    assert await one.look() > 3600
    assert one.until is not None
    assert not one.fault
    folder.cert.write_text("rubbish")
    for _ in range(2):
        await one.look()
    assert "certificate" in one.fault
    assert len([each for each in caplog.records if "renewed" in each.message]) == 1
    assert await Renewer(GATEWAY, cloud, clock_of_1970(), staged, lambda: True).look() == 60.0
    assert calls == []


async def test_a_gateway_without_time_and_connection_has_its_certificate_renewed(
    authority: Authority, tmp_path: Path
) -> None:
    """It lay in a box until the certificate was over: no broker takes it, so nobody tells the time."""
    folder = _folder(tmp_path, authority)
    paths = {"ca": folder.ca, "cert": folder.cert, "key": folder.key}
    cloud = CloudConfig.model_validate({"host": "h", "provision": "http://127.0.0.1:9", **paths})

    async def staged() -> None:
        raise AssertionError

    one = Renewer(GATEWAY, cloud, clock_of_1970(), staged, lambda: False)
    for _ in range(4):
        assert await one.look() == 60.0
        assert not one.fault
    assert await one.look() > 3000
    assert "does not answer" in one.fault, "it has asked the cloud"
    anyway = renewal.Renewal(GATEWAY, folder.ca, folder.cert, folder.key, "https://x", None, None)

    def grant() -> dict[str, Any]:
        return grant_of(authority, DeviceKey(files.following(folder.key).read_bytes()))

    client: Any = Played(lambda: standing("claimed", grant=grant()))
    assert renewal.renew(anyway, client)["staged"], "whether it is due, nobody can know"


def test_two_pairs_take_turns(authority: Authority, tmp_path: Path) -> None:
    """The renewed one is tried first, the old one next, until the cloud has answered over one."""
    folder = _folder(tmp_path, authority)
    renewed = authority.issue_gateway(GATEWAY)
    files.write(files.following(folder.key), renewed.key)
    files.write(files.following(folder.cert), renewed.certificate)
    paths = {"ca": folder.ca, "cert": folder.cert, "key": folder.key}
    cloud = CloudConfig.model_validate({"host": "h", **paths})
    one = Credentials(GATEWAY, cloud, EdgeClock(SystemClock()))
    old = one.used
    assert one.wants_try
    first, second, third = one.choose(), one.choose(), one.choose()
    assert first is third
    assert second is old
    assert first is not old
    one.choose()
    assert not one.proven(), "that connection was made with the old pair"
    one.choose()
    assert one.proven()
    assert folder.cert.read_bytes() == renewed.certificate
    assert one.choose() is first
    assert not one.proven()


def test_a_renewed_pair_that_is_none_is_dropped(authority: Authority, tmp_path: Path) -> None:
    """Half of one, or a certificate for another key, never stands in the way."""
    folder = _folder(tmp_path, authority)
    other = authority.issue_gateway(GATEWAY)
    cert, key = files.following(folder.cert), files.following(folder.key)
    cert.write_bytes(other.certificate)
    files.recover(folder.cert, folder.key)
    assert not cert.exists()
    files.write(key, DeviceKey.new().pem)
    cert.write_bytes(other.certificate)
    files.recover(folder.cert, folder.key)
    assert not cert.exists()
    assert key.exists(), "it is used for the next request"


# ---------------------------------------------------------------- the command


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["plantroom-edge", "claim", *arguments])
    return cli.main()


def test_the_command(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It shows code, fingerprint and QR code, claims, says so the next time, and can forget it all."""
    config, token = tmp_path / "edge.yaml", tmp_path / "token"
    token.write_text("pe_x\n")
    assert _run(monkeypatch, str(config)) == 2
    assert "--cloud" in capsys.readouterr().err
    where = Folder(tmp_path / "certs")
    played = Played(
        standing("waiting"),
        lambda: standing("claimed", grant=grant_of(authority, DeviceKey(where.key.read_bytes()))),
    )
    monkeypatch.setattr("plantroom_edge.claiming.cloud.ProvisionClient", lambda *_: played)
    monkeypatch.setattr("time.sleep", lambda _: None)
    ways = ("--cloud", "https://cloud.example", "--token-file", str(token), "--serial", "SN-7")
    assert _run(monkeypatch, str(config), *ways) == 0
    out = capsys.readouterr().out
    assert claiming.show_fingerprint(DeviceKey(where.key.read_bytes()).fingerprint) in out
    assert f"claimed by acme: {GATEWAY} of site tower" in out
    assert played.asked[0][1]["facts"]["serial"] == "SN-7"
    assert played.asked[0][1]["token"] == "pe_x"
    assert _run(monkeypatch, str(config)) == 0
    assert f"claimed, as {GATEWAY}" in capsys.readouterr().out
    (tmp_path / "data").mkdir()
    assert _run(monkeypatch, str(config), "--reset", "--yes") == 0
    assert not where.path.exists()
    assert not (tmp_path / "data").exists()
    assert _run(monkeypatch, str(config), "--reset", "--yes") == 0
    missing = ("--cloud", "https://x", "--token-file", str(tmp_path / "none"))
    assert _run(monkeypatch, str(config), *missing) == 2


def test_json_of_the_command(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For a program: one document with the code, one with the outcome."""
    where = Folder(tmp_path / "certs")
    played = Played(
        standing("waiting"),
        lambda: standing("claimed", grant=grant_of(authority, DeviceKey(where.key.read_bytes()))),
    )
    monkeypatch.setattr("plantroom_edge.claiming.cloud.ProvisionClient", lambda *_: played)
    monkeypatch.setattr("time.sleep", lambda _: None)
    config = str(tmp_path / "edge.yaml")
    assert _run(monkeypatch, config, "--cloud", "https://x.example", "--json") == 0
    shown = list(yaml.safe_load_all(capsys.readouterr().out.replace("}\n{", "}\n---\n{")))
    assert [one["state"] for one in shown] == ["waiting", "claimed"]
    assert claiming.read_code(shown[0]["code"])


def test_what_a_machine_says_of_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its serial number, or a name made of its id; short and printable whatever the files hold."""
    file = tmp_path / "serial"
    file.write_bytes(b"SN\x07-1\0\n")
    monkeypatch.setattr(cli_claim, "_SERIALS", (str(tmp_path / "none"), str(file)))
    assert cli_claim._facts("")["serial"] == "SN-1"
    monkeypatch.setattr(cli_claim, "_SERIALS", ())
    monkeypatch.setattr(cli_claim, "_machine", lambda: "")
    assert "serial" not in cli_claim._facts("")
    assert all(len(text) <= 128 for text in cli_claim._facts("x" * 500).values())
