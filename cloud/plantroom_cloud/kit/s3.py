"""Blobs in a store that speaks S3: AWS, MinIO, Ceph, Garage.

A blob goes up in one signed request, with the hash of its content in the signature: the store itself
refuses what was damaged on the way. It waits in memory, if it is small, or on the disk until its
length and hash are known.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import IO, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx

from plantroom_cloud.config_blobs import S3Settings
from plantroom_cloud.kit.blobs import (
    MOST,
    PIECE,
    Blob,
    Listed,
    Measured,
    NoSuchBlob,
    check_key,
    check_prefix,
)
from plantroom_cloud.kit.sigv4 import NOTHING, Signer, encoded_path, encoded_query
from plantroom_shared.clock import Clock
from plantroom_shared.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)

_IN_MEMORY: Final = 4 * 1024 * 1024
_LONGEST_LIST: Final = 8 * 1024 * 1024
"""Bytes of a page of 1,000 keys; more is none."""
_PAUSE: Final = 0.2
"""Seconds before the second try; four times that before the third."""
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_REFUSED: Final = {
    301: "the bucket is in another region: check s3.region",
    400: "it does not understand us: check s3.endpoint and s3.region",
    403: "it refuses our key: check s3.access_key, s3.secret_key, the bucket's policy, the clock",
    404: "there is no such bucket: make it, or check blobs",
    405: "this is no S3: check s3.endpoint",
}


class S3Blobs:
    """Blobs under a prefix of a bucket.

    Args:
        bucket: there already.
        prefix: empty, or folders each with a slash behind it.
        settings: of the store.
        clock: what "now" means, for signatures.

    Raises:
        ConfigError: the CA cannot be read.
    """

    def __init__(self, bucket: str, prefix: str, settings: S3Settings, clock: Clock) -> None:
        self.where = f"s3://{bucket}/{prefix} at {settings.url}"
        self._prefix, self._clock = prefix, clock
        self._base, self._root = settings.url, f"/{bucket}"
        self._host = urlsplit(settings.url).netloc
        secret = settings.secret_key.get_secret_value()
        self._signer = Signer(settings.access_key, secret, settings.region)
        self._client = httpx.AsyncClient(
            verify=_trust(settings), timeout=settings.timeout, trust_env=False
        )

    async def put(self, key: str, data: AsyncIterable[bytes], *, most: int = MOST) -> Blob:
        """See `kit.blobs.Blobs`."""
        path, measured = self._path(key), Measured(min(most, MOST))
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            async for piece in data:
                measured.add(piece)
                await asyncio.to_thread(file.write, piece)
            async with self._asked("PUT", path, body=(file, measured)):
                return Blob(key, measured.size, measured.sha256)

    async def get(self, key: str, *, sha256: str = "") -> AsyncIterator[bytes]:
        """See `kit.blobs.Blobs`."""
        measured = Measured(MOST)
        async with self._asked("GET", self._path(key), blob=key) as answer:
            try:
                async for piece in answer.aiter_raw(PIECE):
                    measured.add(piece)
                    yield piece
            except httpx.HTTPError as error:
                raise self._away(error) from error
        if measured.size != int(answer.headers.get("content-length", measured.size)):
            msg = f"{self.where} sent only a part of {key}"
            raise Unavailable(msg)
        measured.check(sha256)

    async def list(self, prefix: str = "") -> AsyncIterator[Listed]:
        """See `kit.blobs.Blobs`."""
        query = {"list-type": "2", "prefix": self._prefix + check_prefix(prefix)}
        while True:
            async with self._asked("GET", self._root, query) as answer:
                page = await self._page(answer)
            for key, size in page.found:
                if key.startswith(self._prefix):
                    yield Listed(key.removeprefix(self._prefix), size)
            if not page.after:
                return
            query["continuation-token"] = page.after

    async def delete(self, key: str) -> None:
        """See `kit.blobs.Blobs`."""
        async with self._asked("DELETE", self._path(key)):
            return

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    # ------------------------------------------------------------ requests

    def _path(self, key: str) -> str:
        return f"{self._root}/{self._prefix}{check_key(key)}"

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: tuple[IO[bytes], Measured] | None = None,
        blob: str = "",
    ) -> AsyncIterator[httpx.Response]:
        """Yield a good answer, its body still to be read; try again where that may help."""
        answer = await self._sent(method, path, query or {}, body)
        try:
            if answer.status_code >= 300:
                raise await self._refusal(answer, blob)
            yield answer
        finally:
            await answer.aclose()

    async def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: tuple[IO[bytes], Measured] | None,
    ) -> httpx.Response:
        for pause in (_PAUSE, 4 * _PAUSE):
            try:
                answer = await self._client.send(
                    self._request(method, path, query, body), stream=True
                )
            except httpx.HTTPError as error:
                log.info("blobs: asked again", extra={"error": type(error).__name__})
            else:
                if answer.status_code not in _AGAIN:
                    return answer
                await answer.aclose()
            await asyncio.sleep(pause)
        try:
            return await self._client.send(self._request(method, path, query, body), stream=True)
        except httpx.HTTPError as error:
            raise self._away(error) from error

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: tuple[IO[bytes], Measured] | None,
    ) -> httpx.Request:
        sha256 = body[1].sha256 if body else NOTHING
        now_us = self._clock.now_us()
        headers = self._signer.headers(
            method, self._host, path, query, sha256=sha256, now_us=now_us
        )
        # The store's own encoding of the content would be another content.
        headers["accept-encoding"] = "identity"
        url = self._base + encoded_path(path) + (f"?{encoded_query(query)}" if query else "")
        if body is None:
            return self._client.build_request(method, url, headers=headers)
        headers["content-length"] = str(body[1].size)
        return self._client.build_request(method, url, headers=headers, content=_read(body[0]))

    async def _refusal(self, answer: httpx.Response, blob: str) -> Exception:
        if answer.status_code == 404 and blob and "NoSuchBucket" not in await _start(answer):
            return NoSuchBlob(f"there is no blob {blob}")
        why = _REFUSED.get(answer.status_code, f"it answers {answer.status_code}")
        return Unavailable(f"{self.where}: {why}")

    async def _page(self, answer: httpx.Response) -> _Page:
        text = bytearray()
        try:
            async for piece in answer.aiter_raw(PIECE):
                text += piece
                if len(text) > _LONGEST_LIST:
                    msg = f"{self.where} lists more than was asked for"
                    raise Unavailable(msg)
            return _Page(bytes(text))
        except httpx.HTTPError as error:
            raise self._away(error) from error
        except ValueError as error:
            msg = f"{self.where} answers with something that is no list"
            raise Unavailable(msg) from error

    def _away(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"{self.where} does not answer: {error or type(error).__name__}")


class _Page:
    """Some keys with their sizes, and where the next ones begin.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, text: bytes) -> None:
        if b"<!" in text:  # no entities: what a store sends has none
            msg = "a document type"
            raise ValueError(msg)
        try:
            root = ET.fromstring(text)  # noqa: S314 - bounded, and without entities
        except ET.ParseError as error:
            raise ValueError(str(error)) from error
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        if root.tag != f"{space}ListBucketResult":
            msg = "no list"
            raise ValueError(msg)
        self.found = [
            (item.findtext(f"{space}Key", ""), int(item.findtext(f"{space}Size", "")))
            for item in root.iter(f"{space}Contents")
        ]
        cut = root.findtext(f"{space}IsTruncated", "") == "true"
        self.after = root.findtext(f"{space}NextContinuationToken", "") if cut else ""


async def _read(file: IO[bytes]) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, 0)
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece


async def _start(answer: httpx.Response) -> str:
    text = b""
    try:
        async for piece in answer.aiter_raw(2048):
            text += piece
            if len(text) >= 2048:
                break
    except httpx.HTTPError:  # it is only for the word
        return ""
    return text.decode(errors="replace")


def _trust(settings: S3Settings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca is not None:
        try:
            context.load_verify_locations(settings.ca)
        except OSError as error:
            what = f"{settings.ca} cannot be read as PEM: {error}"
            raise ConfigError(what, key="s3.ca", fix="name the CA of the endpoint") from error
    return context
