"""Gap records carry the gateway's signature, whatever kind of key it was issued."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519

from plantroom_edge.buffer_db import Frame
from plantroom_edge.config import CloudConfig
from plantroom_edge.gap_key import GapKey
from plantroom_edge.gap_signer import GapSigner
from plantroom_shared.errors import ConfigError
from plantroom_shared.wire import Gap, decode, encode

GATEWAY = "gw-test-0001"
EP = "a" * 16


def certificate(key: Any, signer: Any = None, *, padding_bytes: int = 0) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, GATEWAY)])
    signer = signer or key
    plain = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    if padding_bytes:
        oid = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
        noise = x509.UnrecognizedExtension(oid, b"\x04\x82" + b"x" * padding_bytes)
        builder = builder.add_extension(noise, critical=False)
    return builder.sign(signer, None if plain else hashes.SHA256())


def issued(folder: Path, key: Any, leaf: x509.Certificate) -> CloudConfig:
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    other = certificate(ec.generate_private_key(ec.SECP256R1()))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    (folder / "cert.pem").write_bytes(leaf.public_bytes(pem) + other.public_bytes(pem))
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    return CloudConfig.model_validate({"host": "127.0.0.1", **files})


def lost(kind: str = "gap", blob: bytes | None = None) -> Frame:
    gap = Gap(ep=EP, st="tel", s0=11, n=90, gap="quota", from_us=5, to_us=6)
    return Frame(EP, 1, "tel", 11, 90, 0, blob or encode(gap), kind, "quota")


Verify = Callable[[Any, bytes, bytes], None]


@pytest.mark.parametrize(
    ("key", "verify"),
    [
        (
            ec.generate_private_key(ec.SECP256R1()),
            lambda public, sig, data: public.verify(sig, data, ec.ECDSA(hashes.SHA256())),
        ),
        (
            rsa.generate_private_key(65537, 2048),
            lambda public, sig, data: public.verify(sig, data, padding.PKCS1v15(), hashes.SHA256()),
        ),
        (ed25519.Ed25519PrivateKey.generate(), lambda public, sig, data: public.verify(sig, data)),
    ],
    ids=["ec", "rsa", "ed25519"],
)
def test_a_gap_is_signed_with_the_key_of_the_certificate(
    tmp_path: Path, key: Any, verify: Verify
) -> None:
    """The signature holds for this gateway's gap, and for no other."""
    signer = GapSigner(GATEWAY, issued(tmp_path, key, certificate(key)))
    frame = signer.signed(lost())
    gap = decode(Gap, frame.blob)
    assert (gap.s0, gap.n, gap.gap, gap.from_us, gap.to_us) == (11, 90, "quota", 5, 6)
    assert (frame.s0, frame.last, frame.kind) == (11, 100, "gap")
    public = x509.load_pem_x509_certificate(signer.certificate.encode()).public_key()
    signature = base64.b64decode(gap.sig)
    verify(public, signature, gap.signed_part(GATEWAY))
    with pytest.raises(InvalidSignature):
        verify(public, signature, gap.signed_part("gw-test-0002"))


def test_data_goes_as_it_is(tmp_path: Path) -> None:
    """Only gaps are signed; a gap that cannot be read is left to the cloud to refuse."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = GapSigner(GATEWAY, issued(tmp_path, key, certificate(key)))
    for frame in (lost("data"), lost(blob=b"rubbish")):
        assert signer.signed(frame) is frame


def test_a_certificate_too_long_for_a_hello_is_left_out(tmp_path: Path) -> None:
    """The hello stays small enough; gaps are then signed all the same."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = GapSigner(GATEWAY, issued(tmp_path, key, certificate(key, padding_bytes=9000)))
    assert signer.certificate == ""
    assert decode(Gap, signer.signed(lost()).blob).sig


@pytest.mark.parametrize(
    "key",
    [
        ed448.Ed448PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
    ],
    ids=["ed448", "x25519", "dsa"],
)
def test_a_key_that_the_cloud_cannot_check_is_a_configuration_error(
    tmp_path: Path, key: Any
) -> None:
    """It is found at the start, named with its file, and said what to do."""
    cloud = issued(tmp_path, key, certificate(key, ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ConfigError) as caught:
        GapSigner(GATEWAY, cloud)
    assert caught.value.key == "cloud.key"
    assert str(cloud.key) in caught.value.what
    assert "EC, Ed25519 or RSA" in caught.value.fix


def test_a_signature_must_fit_into_a_gap_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest there may be fits; with a longer RSA key no gap record could ever be delivered."""
    key = ec.generate_private_key(ec.SECP256R1())
    cloud = issued(tmp_path, key, certificate(key))
    monkeypatch.setattr(GapKey, "sign", lambda *_: bytes(6144 // 8))
    assert len(decode(Gap, GapSigner(GATEWAY, cloud).signed(lost()).blob).sig) == 1024
    monkeypatch.setattr(GapKey, "sign", lambda *_: bytes(6144 // 8 + 1))
    with pytest.raises(ConfigError, match="at most 6144 bits"):
        GapSigner(GATEWAY, cloud)


def apart(code: str, cloud: CloudConfig) -> str:
    """Run `code` in an interpreter that has imported no cryptography; return what it prints."""
    files = {name: str(getattr(cloud, name)) for name in ("ca", "cert", "key")}
    given = json.dumps({"host": "127.0.0.1", **files})
    done = subprocess.run(
        [sys.executable, "-c", APART + code, GATEWAY, given],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.strip()


APART = """
import json, sys
from plantroom_edge import gap_signer
from plantroom_edge.config import CloudConfig
from plantroom_shared.errors import ConfigError
cloud = CloudConfig.model_validate(json.loads(sys.argv[2]))
def look():
    return gap_signer.GapSigner(sys.argv[1], cloud)
"""


def test_a_key_is_looked_at_without_carrying_what_that_takes(tmp_path: Path) -> None:
    """The agent knows its certificate, and has no cryptography before the first gap."""
    key = ec.generate_private_key(ec.SECP256R1())
    cloud = issued(tmp_path, key, certificate(key))
    code = """
from plantroom_edge.buffer_db import Frame
def carried():
    return "cryptography" in sys.modules
one, data, gap = look(), Frame("", 1, "tel", 1, 1, 0, b"", "data", ""), Frame("", 1, "tel", 1, 1, 0, b"", "gap", "")
print(one.lacks_key([data]), one.lacks_key([data, gap]), carried())
one.load()
print(one.lacks_key([data, gap]), carried())
print(one.certificate)
"""
    said = apart(code, cloud).split("\n", 2)
    assert said[:2] == ["False True False", "False True"]
    assert said[2].strip() == GapSigner(GATEWAY, cloud).certificate.strip()


def test_a_key_that_is_none_is_found_from_apart(tmp_path: Path) -> None:
    """What the other process says of a broken file is told as if it was found here."""
    key = ec.generate_private_key(ec.SECP256R1())
    cloud = issued(tmp_path, key, certificate(key))
    cloud.key.write_text("no key")
    code = """
try:
    look()
except ConfigError as error:
    print(error.key, "cryptography" in sys.modules, error.what)
"""
    said = apart(code, cloud)
    assert said.startswith("cloud.key False ")
    assert "are no certificate and its key: " in said


@pytest.mark.parametrize("other", ["/nowhere/python", "/bin/false", "/bin/true"])
def test_where_no_other_process_can_look_the_agent_does(tmp_path: Path, other: str) -> None:
    """No interpreter, one that fails or says nothing: the key is looked at here, and good."""
    key = ec.generate_private_key(ec.SECP256R1())
    cloud = issued(tmp_path, key, certificate(key))
    code = f"""
gap_signer._APART = ({other!r},)
print(look().certificate)
"""
    assert apart(code, cloud) == GapSigner(GATEWAY, cloud).certificate.strip()


def test_files_that_hold_no_key_are_a_configuration_error(tmp_path: Path) -> None:
    """Missing and broken files are named with their key."""
    key = ec.generate_private_key(ec.SECP256R1())
    cloud = issued(tmp_path, key, certificate(key))
    cloud.key.write_text("no key")
    with pytest.raises(ConfigError, match=r"cloud\.key: .*no certificate and its key"):
        GapSigner(GATEWAY, cloud)
    cloud.key.unlink()
    with pytest.raises(ConfigError, match=r"cloud\.key: .*No such file"):
        GapSigner(GATEWAY, cloud)
