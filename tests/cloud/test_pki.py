"""The private authority: what it makes, keeps to itself, renews and refuses."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plantroom_cloud.gateways import certificates as parts
from plantroom_cloud.gateways import pki
from plantroom_cloud.gateways.pki import (
    CLOUD,
    LIFE,
    RESERVED,
    Authority,
    TlsFiles,
    client_context,
    server_context,
    write_private,
)
from plantroom_shared.errors import ConfigError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that has just been made."""
    made = Authority(tmp_path / "pki")
    made.prepare(("broker.example", "10.1.2.3"))
    return made


def load(path: Path) -> x509.Certificate:
    """Return the certificate in `path`."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def common_name(certificate: x509.Certificate) -> str:
    """Return the one common name."""
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def test_first_start_makes_everything_for_its_owner_only(authority: Authority) -> None:
    """Keys are 0600 in a folder that is 0700."""
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
    for name in ("ca", "issuing", "service", "server", "cloud"):
        assert stat.S_IMODE((authority.folder / f"{name}.key").stat().st_mode) == 0o600
    assert common_name(load(authority.folder / "cloud.pem")) == CLOUD


def test_two_installations_share_no_secret(authority: Authority, tmp_path: Path) -> None:
    """Each first start makes its own keys."""
    other = Authority(tmp_path / "other")
    other.prepare()
    for name in ("ca.key", "server.key", "cloud.key", "ca.pem"):
        assert (authority.folder / name).read_bytes() != (other.folder / name).read_bytes()


def test_second_start_changes_nothing(authority: Authority) -> None:
    """What is good stays, even where a start names fewer hosts than an earlier one."""
    before = {path.name: path.read_bytes() for path in authority.folder.iterdir()}
    authority.prepare(("broker.example",))
    authority.prepare()
    assert {path.name: path.read_bytes() for path in authority.folder.iterdir()} == before


def test_new_host_name_renews_the_server_certificate(authority: Authority) -> None:
    """The broker can be reached by every name it is given."""
    authority.prepare(("other.example",))
    names = load(authority.folder / "server.pem").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "other.example" in names.value.get_values_for_type(x509.DNSName)
    assert "localhost" in names.value.get_values_for_type(x509.DNSName)


def test_gateway_certificate(authority: Authority) -> None:
    """Its common name is the id, it is for clients only, and for ninety days."""
    issued = authority.issue_gateway("gw-north-0001")
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    assert common_name(certificate) == "gw-north-0001"
    assert f"{certificate.serial_number:x}" == issued.serial
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert LIFE - dt.timedelta(minutes=1) < left <= LIFE
    issuing = load(authority.folder / "issuing.pem")
    certificate.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(load(authority.folder / "ca.pem"))
    assert issued.certificate.endswith((authority.folder / "issuing.pem").read_bytes())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "short",
        "+",
        "#",
        "gw-a/up-0001",
        "Gw-North-0001",
        "gw-north-0001\n",
        "gw north 0001",
        "-gw-north-0001",
        "gw-nörth-0001",
        "g" * 41,
        "g" * 65536,
        *RESERVED,
    ],
)
def test_hostile_names_get_no_certificate(authority: Authority, name: str) -> None:
    """Nobody becomes the cloud, the broker, a wildcard or a path."""
    with pytest.raises(ConfigError, match="a-z"):
        authority.issue_gateway(name)


def test_certificates_near_their_end_are_renewed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first start in the last third of their life."""
    before = (authority.folder / "cloud.pem").read_bytes()
    real = dt.datetime.now(dt.UTC)

    class Later(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Later:
            return cls.fromtimestamp((real + dt.timedelta(days=500)).timestamp(), tz)

    monkeypatch.setattr(pki, "datetime", Later)
    authority.prepare()
    assert (authority.folder / "cloud.pem").read_bytes() != before


def test_foreign_or_damaged_certificates_are_replaced(authority: Authority, tmp_path: Path) -> None:
    """A file of another authority, or no certificate at all, is made anew."""
    other = Authority(tmp_path / "other")
    other.prepare()
    (authority.folder / "server.pem").write_bytes((other.folder / "server.pem").read_bytes())
    (authority.folder / "cloud.pem").write_text("rubbish")
    authority.prepare()
    for name in ("server", "cloud"):
        load(authority.folder / f"{name}.pem").verify_directly_issued_by(
            load(authority.folder / "service.pem")
        )


def test_a_start_cut_short_is_finished_with_the_same_key(authority: Authority) -> None:
    """A key without its certificate gets one, and what was issued before stays worth something."""
    issuing = load(authority.folder / "issuing.pem")
    (authority.folder / "ca.pem").unlink()
    authority.prepare()
    issuing.verify_directly_issued_by(load(authority.folder / "ca.pem"))


@pytest.mark.parametrize("damage", ["", "rubbish"])
def test_a_lost_authority_is_an_error_not_a_new_one(authority: Authority, damage: str) -> None:
    """A new key would silently make every gateway's certificate worthless."""
    (authority.folder / "service.key").write_text(damage)
    (authority.folder / "cloud.pem").unlink()
    with pytest.raises(ConfigError, match="restore it from a backup"):
        authority.prepare()


def test_a_key_of_another_kind_is_an_error(authority: Authority) -> None:
    """It was not made here."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (authority.folder / "issuing.key").write_bytes(key)
    with pytest.raises(ConfigError, match="not a key that was made here"):
        authority.issue_gateway("gw-north-0001")


async def test_handshake_is_mutual(authority: Authority) -> None:
    """Both contexts together make TLS 1.2 or newer with a name on either side."""
    seen: list[object] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peercert"))
        writer.write(b"hi")
        writer.close()

    context = server_context(authority.files("server"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    for name in ("127.0.0.1", "localhost", "broker.example", "10.1.2.3"):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(authority.files("cloud")), server_hostname=name
        )
        assert await reader.read() == b"hi"
        assert writer.get_extra_info("ssl_object").version() in {"TLSv1.2", "TLSv1.3"}
        writer.close()
    assert len(seen) == 4
    server.close()


def test_missing_tls_files_say_what_to_do(tmp_path: Path) -> None:
    """The folder is named with the command that fills it."""
    files = TlsFiles(tmp_path / "ca.pem", tmp_path / "x.pem", tmp_path / "x.key")
    with pytest.raises(ConfigError, match=f"{tmp_path}.*serve"):
        client_context(files)


def test_writing_replaces_whole_files(tmp_path: Path) -> None:
    """A draft left by a crash is no obstacle, and none is left."""
    path = tmp_path / "secret"
    for content in (b"one", b"two"):
        write_private(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- the offline root


def test_the_authority_of_gateways_can_vouch_for_no_server(authority: Authority) -> None:
    """Whoever steals its key cannot be a broker: it may sign clients, and no host name at all."""
    issuing = load(authority.folder / "issuing.pem").extensions
    uses = issuing.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    hosts = issuing.get_extension_for_class(x509.NameConstraints)
    assert hosts.critical
    assert x509.DNSName("") in (hosts.value.excluded_subtrees or [])
    for name in ("issuing", "service"):
        limits = load(authority.folder / f"{name}.pem").extensions
        assert limits.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


async def test_a_broker_of_the_gateways_authority_is_refused(authority: Authority) -> None:
    """Clients look at what the authority that signed a server may sign."""
    signing = authority._issuer("issuing")
    key = parts.new_key()
    made = parts.leaf(signing, "x", key.public_key(), dt.timedelta(days=1), ("localhost",))
    files = authority.files("false")
    write_private(files.certificate, parts.pem_of(made) + authority.issuer_pem)
    write_private(files.key, parts.pem_of(key))
    context = server_context(files)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=client_context(authority.files("cloud")),
            server_hostname="localhost",
        )
    server.close()


def test_with_the_root_offline_everything_goes_on(authority: Authority, tmp_path: Path) -> None:
    """Gateways and servers are signed without it; only what is missing below it needs it back."""
    key = authority._load_key("ca")
    authority.root_key_file.unlink()
    (authority.folder / "cloud.pem").unlink()
    authority.prepare()
    assert authority.issue_gateway("gw-north-0001").serial
    before = load(authority.folder / "issuing.pem")
    with pytest.raises(ConfigError, match=r"not the key of ca\.pem"):
        authority.certify_issuers(parts.new_key())
    authority.certify_issuers(key)
    after = load(authority.folder / "issuing.pem")
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
    (authority.folder / "issuing.pem").unlink()
    with pytest.raises(ConfigError, match="root's key is not here"):
        authority.prepare()


def test_an_authority_of_an_older_version_stays(tmp_path: Path) -> None:
    """Its root signs by itself, as its gateways expect; lists of what is revoked it makes, too."""
    authority = Authority(tmp_path / "pki")
    authority.folder.mkdir()
    key = parts.new_key()
    name = parts.common_name("Plantroom private CA")
    made = (
        parts.builder(name, name, key.public_key(), dt.timedelta(days=3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(parts.usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(authority.folder / "ca.key", parts.pem_of(key))
    write_private(authority.folder / "ca.pem", parts.pem_of(made))
    authority.prepare()
    assert authority.is_old
    assert not (authority.folder / "issuing.pem").exists()
    issued = x509.load_pem_x509_certificate(authority.issue_gateway("gw-north-0001").certificate)
    issued.verify_directly_issued_by(made)
    authority.write_crl([(issued.serial_number, dt.datetime.now(dt.UTC))])
    assert parts.read_revocations(authority.crl_file.read_bytes()).revoked[0][0] == (
        issued.serial_number
    )


def test_old_lists_are_made_anew_with_what_is_in_them(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start is enough, though nobody can say what is revoked then; damaged ones are an error."""
    authority.write_crl([(7, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))])
    before = authority.crl_file.read_bytes()
    authority.prepare()
    assert authority.crl_file.read_bytes() == before
    real = dt.datetime.now(dt.UTC)

    class Later(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Later:
            return cls.fromtimestamp((real + dt.timedelta(days=2)).timestamp(), tz)

    monkeypatch.setattr(pki, "datetime", Later)
    authority.prepare()
    assert authority.crl_file.read_bytes() != before
    assert parts.read_revocations(authority.crl_file.read_bytes()).revoked[0][0] == 7
    authority.crl_file.write_text("rubbish")
    with pytest.raises(ConfigError, match="crl"):
        authority.prepare()
