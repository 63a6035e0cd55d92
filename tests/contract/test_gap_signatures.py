"""What a gateway signs with the key it was issued, the cloud verifies: one kind of key like another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from plantroom_cloud.gateways.pki import Authority
from plantroom_cloud.gateways.signing import Trust, is_signed
from plantroom_edge.buffer_db import Frame
from plantroom_edge.config import CloudConfig
from plantroom_edge.gap_signer import GapSigner
from plantroom_shared import wire
from plantroom_shared.errors import Rejected

GATEWAY = "gw-north-0001"
EPOCH = "00000000000000aa"
GAP = wire.Gap(ep=EPOCH, st="tel", s0=3, n=6, gap="quota", from_us=5, to_us=9)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority."""
    made = Authority(tmp_path_factory.mktemp("pki"))
    made.prepare()
    return made


def issued(authority: Authority, key: Any, folder: Path) -> CloudConfig:
    """Write the files of a gateway that brought a key of its own; return its settings."""
    signing = authority._issuer("issuing")
    ca_key, ca = signing.key, signing.certificate
    now = datetime.now(UTC)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, GATEWAY)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(11)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(ca_key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    (folder / "cert.pem").write_bytes(leaf.public_bytes(pem))
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    return CloudConfig.model_validate({"host": "127.0.0.1", **files})


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["p256", "p384", "rsa", "ed25519"],
)
def test_the_cloud_verifies_what_the_gateway_signs(
    authority: Authority, tmp_path: Path, key: Any
) -> None:
    """The certificate is trusted, the signature is good for this gap and for nothing else."""
    signer = GapSigner(GATEWAY, issued(authority, key, tmp_path))
    frame = signer.signed(Frame(EPOCH, 1, "tel", 3, 6, 0, wire.encode(GAP), "gap", "quota"))
    gap = wire.decode(wire.Gap, frame.blob)
    assert Trust(authority.issuer_pem).serial(GATEWAY, signer.certificate) == "b"
    assert is_signed(signer.certificate, GAP.signed_part(GATEWAY), gap.sig)
    other = GAP.model_copy(update={"n": 7}).signed_part(GATEWAY)
    assert not is_signed(signer.certificate, other, gap.sig)
    assert not is_signed(signer.certificate, GAP.signed_part(GATEWAY), gap.sig[:-8])


def test_a_key_of_another_kind_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    """Its certificate is refused like a foreign one, and nothing counts as signed by it."""
    config = issued(authority, ed448.Ed448PrivateKey.generate(), tmp_path)
    pem = config.cert.read_text()
    with pytest.raises(Rejected, match="not one of"):
        Trust(authority.issuer_pem).serial(GATEWAY, pem)
    assert not is_signed(pem, b"", "AAAA")
