"""The private authority: what it makes, keeps to itself, renews and refuses."""

from __future__ import annotations

import asyncio
import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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
    for name in ("ca", "server", "cloud"):
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
    certificate.verify_directly_issued_by(load(authority.folder / "ca.pem"))


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
            load(authority.folder / "ca.pem")
        )


def test_a_start_cut_short_is_finished_with_the_same_key(authority: Authority) -> None:
    """A key without its certificate gets one, and what was issued before stays worth something."""
    issued = x509.load_pem_x509_certificate(authority.issue_gateway("gw-north-0001").certificate)
    (authority.folder / "ca.pem").unlink()
    authority.prepare()
    issued.verify_directly_issued_by(load(authority.folder / "ca.pem"))


@pytest.mark.parametrize("damage", ["", "rubbish"])
def test_a_lost_authority_is_an_error_not_a_new_one(authority: Authority, damage: str) -> None:
    """A new key would silently make every gateway's certificate worthless."""
    (authority.folder / "ca.key").write_text(damage)
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
    (authority.folder / "ca.key").write_bytes(key)
    with pytest.raises(ConfigError, match="ca"):
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
