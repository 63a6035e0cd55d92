"""The kit's own reader takes what the codec writes, and nothing that the specification forbids."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.conformance import shapes
from plantroom_cloud.conformance.checks import Check
from plantroom_cloud.conformance.signature import signature_trouble, signed_text
from plantroom_shared import wire
from plantroom_shared.errors import Rejected
from plantroom_shared.wire import expand_points
from support import golden

CHECKS: dict[str, Check] = {
    "Hello": shapes.HELLO,
    "Resume": shapes.RESUME,
    "Dictionary": shapes.DICTIONARY,
    "State": shapes.STATE,
    "Flow": shapes.FLOW,
    "Command": shapes.COMMAND,
    "Configuration": shapes.CONFIGURATION,
    "snapshot": shapes.snapshot_of,
    "rows": lambda document: shapes.rows_of(document)[1],
    "reply": lambda document: (shapes.NACK if "nack" in document else shapes.ACK)(document),
}
DAMAGED = ("samples-bad-rows", "samples-lost-delta")
GOOD = [name for name in golden.CASES if name not in DAMAGED]


def document(name: str) -> tuple[str, dict[str, Any]]:
    kind, make = golden.CASES[name]
    return kind, shapes.unpack(make())


@pytest.mark.parametrize("name", GOOD)
def test_every_golden_message_is_as_specified(name: str) -> None:
    """Two readers that share no code agree on every message."""
    kind, content = document(name)
    assert CHECKS[kind](content) == ""
    assert shapes.unpack(shapes.pack(content)) == content


@pytest.mark.parametrize("name", DAMAGED)
def test_bad_rows_are_not(name: str) -> None:
    """What the cloud quarantines row by row is no message that a gateway may send."""
    kind, content = document(name)
    assert CHECKS[kind](content) != ""


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("hello", {"session": "0011"}),
        ("hello", {"session": "00112233445566AA"}),
        ("hello", {"agent": 5}),
        ("hello", {"epochs": {}}),
        ("hello", {"epochs": [{"accepted": {}}]}),
        ("hello", {"epochs": [{"ep": golden.EP, "held": {"tel": [[5, 1]]}}]}),
        ("hello", {"epochs": [{"ep": golden.EP, "accepted": [1]}]}),
        ("hello", {"clock": "wrong"}),
        ("state", {"online": 1}),
        ("state", {"at": True}),
        ("state", {"counters": {"a": "b"}}),
        ("state", {"oldest_us": -1}),
        ("samples", {"v": True}),
        ("samples", {"n": 12}),
        ("samples", {"n": 0}),
        ("samples", {"dv": 3}),
        ("samples", {"dt": [1] * 13}),
        ("samples", {"q": {"13": [2, "x"]}}),
        ("samples", {"q": {"01": [2, "x"]}}),
        ("samples", {"q": {"1": [0, "x"]}}),
        ("samples", {"p": [[0, 0]]}),
        ("samples", {"p": [[0, 13, 1]]}),
        ("samples", {"x": [[1]] * 13}),
        ("samples", {"x": ["x" * 4097] * 13}),
        ("findings", {"n": 3}),
        ("records-audit", {"rc": [{"at": 1, "kind": "Bad"}] * 2}),
        ("gap", {"gap": ""}),
        ("gap", {"n": 2**31 + 1}),
        ("flow", {"window": 65}),
        ("flow", {"pause_ms": 600_001}),
        ("ack", {"ranges": [[1, 2, 3]]}),
        ("nack-fork", {"nack": "never"}),
        ("resume", {"takes": "fill"}),
    ],
)
def test_what_is_not_specified_is_named(name: str, changes: dict[str, Any]) -> None:
    """A value outside its type or range is told apart, and the trouble says where."""
    kind, content = document(name)
    assert CHECKS[kind]({**content, **changes}) != ""
    assert CHECKS[kind]({}) != ""


def test_what_is_no_object_is_named() -> None:
    """Where an object is due, nothing else will do."""
    found: Any
    for found in (None, 5, "text", []):
        assert shapes.HELLO(found) != ""
        assert shapes.COUNTS(found) != ""


@pytest.mark.parametrize(
    ("payload", "limit"),
    [
        (b"", False),
        (b"plain", False),
        (gzip.compress(b"[1]"), False),
        (gzip.compress(b'{"v":NaN}'), False),
        (gzip.compress(b"{")[:-4], False),
        (gzip.compress(b"[" * 100_000), False),
        (bytes(shapes.MAX_WIRE + 1), True),
        (gzip.compress(bytes(shapes.MAX_PLAIN + 1)), True),
    ],
    ids=["nothing", "plain", "list", "nan", "cut", "deep", "long", "bomb"],
)
def test_what_is_no_message_is_told_from_what_is_too_big(payload: bytes, limit: bool) -> None:
    """Two assertions speak of packing: form and size."""
    with pytest.raises(shapes.Unreadable) as caught:
        shapes.unpack(payload)
    assert caught.value.limit is limit
    with pytest.raises(Rejected):
        wire.unpack(payload)


@given(st.binary(max_size=200))
def test_no_bytes_bring_the_reader_down(payload: bytes) -> None:
    """Whatever comes, it is a message or unreadable."""
    with pytest.raises(shapes.Unreadable):
        shapes.unpack(payload)


@pytest.mark.parametrize("name", ["samples", "samples-32-bit", "samples-full"])
def test_values_mean_the_same_to_both(name: str) -> None:
    """The kit and the codec undo the shortening of 32-bit floats to the same values."""
    rows = wire.decode_rows(golden.CASES[name][1]())
    assert isinstance(rows, wire.Samples)
    assert shapes.values(document(name)[1]) == rows.batch.values


@given(st.lists(st.one_of(st.integers(0, 9), st.lists(st.integers(1, 5), min_size=2, max_size=2))))
def test_runs_of_aliases_mean_the_same_to_both(column: list[Any]) -> None:
    """The kit and the codec expand a column of aliases to the same rows."""
    rows = shapes.aliases(column)
    if rows:
        assert expand_points(column, len(rows)) == rows


# ---------------------------------------------------------------- signatures


def _ecdsa() -> tuple[Any, Callable[[bytes], bytes]]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, lambda text: key.sign(text, ec.ECDSA(hashes.SHA256()))


def _rsa() -> tuple[Any, Callable[[bytes], bytes]]:
    key = rsa.generate_private_key(65537, 2048)
    return key, lambda text: key.sign(text, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("make", [_ecdsa, _rsa])
def test_each_kind_of_key_can_sign(make: Callable[[], tuple[Any, Any]]) -> None:
    """Elliptic curves and RSA sign as the specification says."""
    key, sign = make()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, golden.GATEWAY)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 9, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    _, gap = document("gap")
    gap["sig"] = base64.b64encode(sign(signed_text(gap, golden.GATEWAY))).decode()
    assert signature_trouble(gap, golden.GATEWAY, {"certificate": certificate}) == ""
    gap["s0"] += 1
    assert signature_trouble(gap, golden.GATEWAY, {"certificate": certificate}) != ""


def test_a_key_that_cannot_sign_is_named() -> None:
    """A certificate of an exchange key is no ground for a signature."""
    key = x25519.X25519PrivateKey.generate().public_key()
    signer = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, golden.GATEWAY)])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, key, 9, now, now + timedelta(days=1))
    pem = built.sign(signer, None).public_bytes(Encoding.PEM).decode()
    _, gap = document("gap-signed")
    assert "cannot sign" in signature_trouble(gap, golden.GATEWAY, {"certificate": pem})


def test_a_golden_signature_is_verified_from_the_specification() -> None:
    """The bytes that are signed are those that the document describes."""
    _, gap = document("gap-signed")
    hello = {"certificate": golden.certificate()}
    assert signature_trouble(gap, golden.GATEWAY, hello) == ""
    assert "something else" in signature_trouble(gap, "gw-other-0001", hello)
    assert "something else" in signature_trouble({**gap, "n": 5}, golden.GATEWAY, hello)
    assert "not signed" in signature_trouble({**gap, "sig": ""}, golden.GATEWAY, hello)
    assert "cannot be read" in signature_trouble({**gap, "sig": "*"}, golden.GATEWAY, hello)
    assert "no certificate" in signature_trouble(gap, golden.GATEWAY, {})
    text = wire.decode(wire.Gap, golden.CASES["gap-signed"][1]()).signed_part(golden.GATEWAY)
    assert signed_text(gap, golden.GATEWAY) == text
