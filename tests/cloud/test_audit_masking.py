"""No secret gets into the audit, however careless whoever records is."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import select

from plantroom_cloud import audit
from plantroom_cloud.audit.canonical import clean_text, document, to_json
from plantroom_cloud.db import Database
from plantroom_cloud.identity.keys import new_key
from plantroom_cloud.identity.setup import add_company, find_company
from plantroom_cloud.tables import AuditRow
from support.api_world import Stopped
from support.servers import as_owner

_HIDDEN_NAMES = st.sampled_from(
    [
        "password", "new_password", "Passwd", "secret", "app_secret", "client-secret", "token",
        "refresh_token", "api_key", "apiKey", "private_key", "Authorization", "cookie",
        "credentials", "access.key", "signing_key", "claim_code", "otp", "plain_key", "jwt",
    ]
)  # fmt: skip
_TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
_DOCUMENTS = st.recursive(
    _LEAVES | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=20,
)
_MARK = "Zq7tooManySecretsZq7"


def _shapes() -> list[str]:
    """Texts of every kind that is a secret by its look."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return [
        new_key().plain,
        f"whsec_{secrets.token_urlsafe(24)}",
        f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.{secrets.token_urlsafe(64)}",
        pem.decode(),
        f"Bearer {secrets.token_urlsafe(32)}",
        f"$argon2id$v=19$m=65536,t=3,p=4${secrets.token_urlsafe(16)}${secrets.token_urlsafe(32)}",
        f"postgresql+psycopg://user:{secrets.token_urlsafe(12)}@host/name",
        f"password={secrets.token_urlsafe(12)}",
    ]


def _essence(secret: str) -> str:
    """Return the part of a text that must not be seen anywhere."""
    for start in ("Bearer ", "user:", "password="):
        if start in secret:
            return secret.split(start, 1)[1].split("@", maxsplit=1)[0]
    return secret.splitlines()[1] if secret.startswith("-----") else secret


@given(_DOCUMENTS, _HIDDEN_NAMES, st.lists(st.text(max_size=5), max_size=4), _TEXT)
def test_what_stands_under_the_name_of_a_secret_is_hidden(
    around: Any, name: str, path: list[str], text: str
) -> None:
    """At any depth, as text, list or mapping, beside anything."""
    for value in (_MARK + text, [_MARK], {"inner": _MARK}, (text, {_MARK})):
        inner: Any = {name: value, "beside": around}
        for step in path:
            inner = {step: [inner]}
        assert _MARK not in to_json(document({"doc": inner}))


@given(_DOCUMENTS, _TEXT, _TEXT, st.sampled_from(range(8)))
def test_what_looks_like_a_secret_is_hidden(
    around: Any, before: str, after: str, which: int
) -> None:
    """Wherever it stands in a text, as a value or as a name."""
    secret = _shapes()[which]
    essence = _essence(secret)
    text = f"{before} {secret} {after}"
    told = to_json(document({"a": text, "b": [around, text], text: 1}))
    assert essence not in told
    assert essence not in clean_text(text)


@given(_DOCUMENTS)
def test_any_document_becomes_one_canonical_text(around: Any) -> None:
    """Whatever is recorded is JSON in ASCII without loss of form, and the same every time."""
    plain = document({"doc": around})
    text = to_json(plain)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == plain
    assert to_json(document({"doc": around})) == text
    text.encode()


def test_huge_and_deep_documents_are_bounded() -> None:
    """What is too large is named by its digest, what is too deep is cut."""
    deep: Any = "end"
    for _ in range(100):
        deep = {"a": deep}
    assert "nested too deeply" in to_json(document({"a": deep}))
    large = document({"rows": ["x" * 100] * 1000})
    assert large["too_large"]["keys"] == ["rows"]
    assert len(to_json(large)) < 300
    assert len(to_json(document({"n": 10**9000, "f": float("nan")}))) < 100


def test_numbers_and_flags_are_shown() -> None:
    """A count of tokens is no token; a PIN is a secret though it is a number."""
    told = document({"tokens": 12, "has_password": True, "pin": 1234, "secret": None})
    assert told == {"tokens": 12, "has_password": True, "pin": "***", "secret": None}
    assert document({"given": SecretStr("hush")}) == {"given": "**********"}
    assert document({"key": "bacnet:1:analog-input:3"}) == {"key": "bacnet:1:analog-input:3"}


async def test_a_secret_in_any_part_of_a_record_is_hidden(sqlite_database: Database) -> None:
    """Subject, name, request id and source are cleaned like the documents."""
    key = new_key().plain
    async with as_owner(sqlite_database).write() as session:
        await add_company(session, Stopped(), "acme")
        scope = await find_company(session, "acme")
        audit.record(
            session,
            scope,
            who=f"cli:{key}",
            action="key.add",
            subject=f"key/{key}\0\ud800",
            after={"said": f"use {key}"},
            request_id=key,
        )
    async with as_owner(sqlite_database).read() as session:
        rows = (await session.execute(select(AuditRow))).scalars().all()
    assert len(rows) == 2
    for row in rows:
        assert not any(key in str(getattr(row, name)) for name in row.__table__.columns.keys())  # noqa: SIM118 - a collection of columns, no dict


@pytest.mark.parametrize("text", ["pk_short", "the token ring", "http://host/path", "AHU-1.Pin"])
def test_harmless_text_stays(text: str) -> None:
    """Names of points and plain words are not taken for secrets."""
    assert clean_text(text) == text
