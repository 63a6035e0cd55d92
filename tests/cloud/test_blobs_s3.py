"""What only a store that speaks S3 can do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.config_blobs import S3Settings
from plantroom_cloud.kit import s3 as module
from plantroom_cloud.kit.blobs import NoSuchBlob
from plantroom_cloud.kit.s3 import S3Blobs
from plantroom_cloud.kit.sigv4 import NOTHING, Signer, encoded_path, encoded_query
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import ConfigError, Unavailable
from support.s3_server import S3, running_s3

BUCKET = "plant"
WORD = st.text(st.sampled_from("abz09-_.~=+ /?&%äß😀"), max_size=12)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """A server on a socket."""
    with running_s3() as running:
        yield running


@asynccontextmanager
async def at(url: str, bucket: str = BUCKET, **more: Any) -> AsyncIterator[S3Blobs]:
    """Yield blobs at an address."""
    told = {"endpoint": url, "access_key": "a", "secret_key": "b", "timeout": 5.0} | more
    blobs = S3Blobs(bucket, "p/", S3Settings.model_validate(told), SystemClock())
    try:
        yield blobs
    finally:
        await blobs.close()


def mine(s3: S3) -> dict[str, str]:
    """Return what `at` needs for the server."""
    return s3.told | {"url": s3.url, "bucket": s3.bucket}


async def data(*pieces: bytes) -> AsyncIterator[bytes]:
    """Yield pieces."""
    for piece in pieces:
        yield piece


@given(WORD, st.dictionaries(st.text("abz-", min_size=1, max_size=5), WORD, max_size=3))
def test_we_sign_as_the_reference_does(path: str, query: dict[str, str]) -> None:
    """botocore, asked to sign the same request at the same moment, comes to the same."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    moment = datetime.now(UTC)
    mine = Signer("AK", "secret", "eu-central-1").headers(
        "PUT", "s3.example:9000", f"/b/{path}", query,
        sha256=NOTHING, now_us=int(moment.timestamp() * 1e6),
    )  # fmt: skip
    url = f"https://s3.example:9000{encoded_path(f'/b/{path}')}?{encoded_query(query)}"
    request = AWSRequest("PUT", url, headers={"X-Amz-Content-SHA256": NOTHING})
    request.context["timestamp"] = mine["x-amz-date"]
    signer = S3SigV4Auth(Credentials("AK", "secret"), "s3", "eu-central-1")
    request.headers["X-Amz-Date"] = mine["x-amz-date"]
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    assert mine["authorization"].endswith(f"Signature={signature}")


async def test_a_page_holds_a_thousand(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list goes on where the store has cut it."""
    import moto.settings

    monkeypatch.setattr(moto.settings, "get_s3_default_max_keys", lambda: 2)
    async with at(**mine(s3)) as blobs:
        for number in range(5):
            await blobs.put(f"many/{number}.txt", data(b"x"))
        found = [one.key async for one in blobs.list("many/")]
    assert found == [f"many/{number}.txt" for number in range(5)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"secret_key": "wrong"}, "check s3.access_key"),
        ({"access_key": "AKIAUNKNOWN"}, "check s3.access_key"),
        ({"bucket": "other-bucket"}, "no such bucket"),
    ],
)
async def test_a_refusal_says_what_to_check(s3: S3, change: dict[str, str], told: str) -> None:
    """Wrong keys and buckets are told as such, by the setting's name, without the secret."""
    options = mine(s3) | change
    async with at(**options) as blobs:
        for act in (blobs.put("a.txt", data(b"x")), anext(blobs.get("a.txt")), blobs.delete("a.txt"), anext(blobs.list())):  # fmt: skip
            with pytest.raises(Unavailable, match=told) as caught:
                await act
            assert options["secret_key"] not in str(caught.value)


async def test_damage_on_the_way_is_refused_by_the_store(s3: S3) -> None:
    """The hash of the content is part of what is signed, and is that of the content."""
    seen = []

    async def keep(request: Any) -> None:
        seen.append((request.headers["x-amz-content-sha256"], request.headers["content-length"]))

    async with at(**mine(s3)) as blobs:
        blobs._client.event_hooks["request"] = [keep]
        kept = await blobs.put("a.txt", data(b"abc", b"d"))
    assert seen == [(kept.sha256, "4")]


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Yield the address of a server that gives these answers, one per connection, and what it heard."""
    waiting, heard = list(answers), list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length:" in line), 0
        )  # fmt: skip
        heard.append(head.split(b"\r\n")[0] + b" " + await reader.readexactly(length))
        if waiting:
            writer.write(waiting.pop(0))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


def answer(status: int, body: bytes = b"", length: int | None = None) -> bytes:
    """Return an answer as it is on the wire."""
    size = len(body) if length is None else length
    return b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
        status, size, body,
    )  # fmt: skip


async def test_a_store_that_stumbles_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """503, then a broken line, then good: the whole content goes up each time."""
    monkeypatch.setattr(module, "_PAUSE", 0)
    async with answering(answer(503), b"", answer(200)) as (url, heard), at(url) as blobs:
        await blobs.put("a.txt", data(b"all of ", b"it"))
    assert heard == [b"PUT /plant/p/a.txt HTTP/1.1 all of it"] * 3


@pytest.mark.parametrize("first", [answer(500), b""])
async def test_a_store_that_stays_away_is_told(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three tries."""
    monkeypatch.setattr(module, "_PAUSE", 0)
    async with answering(first, first, first, answer(204)) as (url, heard), at(url) as blobs:
        with pytest.raises(Unavailable, match=r"500|not answer"):
            await blobs.delete("a.txt")
    assert len(heard) == 3


LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated>%b</ListBucketResult>"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"<html></html>", b"<ListBucketResult>", b"\xff\xfe",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + LIST % b"&a;",
        LIST % b"<Contents><Key>p/a.txt</Key><Size>many</Size></Contents>",
        LIST % b"<Contents><Key>p/a.txt</Key></Contents>",
    ],
)  # fmt: skip
async def test_what_is_no_list_is_no_list(body: bytes) -> None:
    """No entity is resolved, nothing raises but what the port names."""
    async with answering(answer(200, body)) as (url, _), at(url) as blobs:
        with pytest.raises(Unavailable, match="no list"):
            [one async for one in blobs.list()]


async def test_keys_of_others_are_not_ours() -> None:
    """What lies outside of the prefix is left out, whatever the store says."""
    mine = b"<Contents><Key>p/a.txt</Key><Size>1</Size></Contents>"
    other = b"<Contents><Key>q/a.txt</Key><Size>1</Size></Contents>"
    async with answering(answer(200, LIST % (other + mine))) as (url, _), at(url) as blobs:
        assert [one.key async for one in blobs.list()] == ["a.txt"]


async def test_an_endless_list_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a page may be is not read."""
    monkeypatch.setattr(module, "_LONGEST_LIST", 1000)
    async with answering(answer(200, b"x" * 2000)) as (url, _), at(url) as blobs:
        with pytest.raises(Unavailable, match="more than was asked"):
            [one async for one in blobs.list()]


async def test_half_an_answer_is_none() -> None:
    """A line that breaks in the middle of a blob, or of a list, is told."""
    for body in (b"half", LIST[:20]):
        cut = answer(200, body, 100)
        async with answering(cut, cut) as (url, _), at(url) as blobs:
            with pytest.raises(Unavailable, match="not answer"):
                [piece async for piece in blobs.get("a.txt")]
            with pytest.raises(Unavailable, match="not answer"):
                [one async for one in blobs.list()]


async def test_half_a_refusal_is_a_refusal() -> None:
    """404 whose text does not come: there is no blob."""
    async with answering(answer(404, b"<Err", 100)) as (url, _), at(url) as blobs:
        with pytest.raises(NoSuchBlob):
            [piece async for piece in blobs.get("a.txt")]
    long = b"<Error>" + b" " * 5000
    async with answering(answer(404, long)) as (url, _), at(url) as blobs:
        with pytest.raises(NoSuchBlob):
            [piece async for piece in blobs.get("a.txt")]


def test_a_ca_that_is_none_is_named(tmp_path: Path) -> None:
    """By file, key and fix."""
    (tmp_path / "ca.pem").write_text("none")
    for file in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        told = S3Settings(access_key="a", secret_key="b", ca=file)
        with pytest.raises(ConfigError, match=r"s3\.ca"):
            S3Blobs(BUCKET, "", told, SystemClock())


async def test_a_ca_of_ones_own_is_believed(tmp_path: Path) -> None:
    """TLS with a certificate of `s3.ca`; without it the line is refused."""
    import ssl

    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(204))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with at(url, ca=str(tmp_path / "ca.pem")) as blobs:
            await blobs.delete("a.txt")
        async with at(url) as blobs:
            with pytest.raises(Unavailable, match="certificate"):
                await blobs.delete("a.txt")


def test_aws_is_the_default() -> None:
    """Without an endpoint it is the region's."""
    assert urlsplit(S3Settings(region="eu-west-1").url).hostname == "s3.eu-west-1.amazonaws.com"
