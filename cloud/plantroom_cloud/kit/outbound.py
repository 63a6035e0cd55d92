"""The one client for addresses that somebody else chose: webhooks, identity providers, targets.

It cannot be turned against the inner network. The name is resolved once, every address it has is
judged, and the connection goes to a judged address and to no other: a name that says something else
a moment later changes nothing. There is no way around by a redirect, a proxy of the environment, a
unix socket or a port of another scheme, because judging is where connections are made.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self, cast

import httpcore
import httpx
import orjson

from plantroom_cloud.config_outbound import OutboundSettings
from plantroom_cloud.kit.addresses import is_inner, is_public, parse
from plantroom_shared.errors import ConfigError, Rejected, Unavailable

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Host and port → addresses."""

MAX_BYTES: Final = 1024 * 1024
_MAX_URL: Final = 2048
_MAX_ADDRESSES: Final = 4
"""Addresses of one name that are tried."""
_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            Unavailable: it is none.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            msg = "the far end answered something that is no JSON"
            raise Unavailable(msg) from error


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of `host` as this machine knows them; OSError if it knows none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Rules:
    """What may be asked for."""

    def __init__(self, settings: OutboundSettings) -> None:
        self._allowed = frozenset(_bare(entry) for entry in settings.allow)

    def is_allowed(self, host: str, port: int) -> bool:
        """Tell whether the settings name `host`, for all ports or for this one."""
        host = host.lower().rstrip(".")
        return (host, None) in self._allowed or (host, port) in self._allowed

    def check(self, url: httpx.URL) -> None:
        """Raise Rejected for what no request may go to, before a name is looked up."""
        if not url.host:
            _refuse("names no host", "outbound_url")
        if url.userinfo:
            _refuse("carries a user and a password", "outbound_url")
        if url.scheme == "https":
            return
        if url.scheme != "http":
            _refuse("is not https", "outbound_scheme")
        if not self.is_allowed(url.raw_host.decode("ascii"), url.port or 80):
            _refuse("is not https, and its host is not one of outbound.allow", "outbound_scheme")

    def judge(self, host: str, port: int, addresses: Iterable[str]) -> list[str]:
        """Return `addresses` if every one of them may be spoken to.

        Raises:
            Rejected: one may not: a name with a public and an inner address is a trap.
        """
        allowed = self.is_allowed(host, port)
        judged = []
        for text in addresses:
            address = parse(text)
            if address is None or not (is_public(address) or (allowed and is_inner(address))):
                what = (
                    "leads to an address that is not public; its host is not one of outbound.allow"
                )
                _refuse(what, "outbound_address")
            judged.append(str(address))
        return judged


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Makes connections, to judged addresses only.

    Args:
        rules: what may be spoken to.
        resolver: says which addresses a name has.
        inner: opens the sockets.
    """

    def __init__(
        self,
        rules: Rules,
        resolver: Resolver = resolve,
        inner: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._rules, self._resolve = rules, resolver
        self._inner = inner or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first judged address of `host` that answers; TLS still checks the name."""
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            msg = f"the name cannot be resolved: {error}"
            raise httpcore.ConnectError(msg) from error
        judged = self._rules.judge(host, port, found)
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in judged[:_MAX_ADDRESSES]:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002 -- the signature is httpcore's
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 -- as above
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 -- as above
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: nothing inside of this machine is reached by a path."""
        _refuse("leads to a socket of this machine", "outbound_address")

    async def sleep(self, seconds: float) -> None:
        """Wait between tries."""
        await self._inner.sleep(seconds)


class GuardedTransport(httpx.AsyncBaseTransport):
    """A transport for any httpx client whose addresses others choose."""

    def __init__(
        self, rules: Rules, backend: GuardedBackend, context: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules
        # Without a limit of connections for all together: a host that hangs must not take them.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, if it may be sent."""
        url = request.url
        self._rules.check(url)
        asked = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=cast("AsyncIterable[bytes]", request.stream),
            extensions=request.extensions,
        )
        try:
            answer = await self._pool.handle_async_request(asked)
        except _FAILURES as error:
            raise httpx.TransportError(_said(error)) from error
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(cast("AsyncIterable[bytes]", answer.stream)),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


_FAILURES: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
)


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream

    async def __aiter__(self) -> Any:
        try:
            async for part in self._stream:
                yield part
        except _FAILURES as error:
            raise httpx.TransportError(_said(error)) from error

    async def aclose(self) -> None:
        closing = getattr(self._stream, "aclose", None)
        if closing is not None:
            await closing()


class OutboundClient:
    """Asks hosts that somebody else chose.

    Args:
        settings: hosts that may be inside, roots, seconds.
        resolver: says which addresses a name has; the machine's own resolver by default.
        backend: opens the sockets; for tests.
    """

    def __init__(
        self,
        settings: OutboundSettings,
        *,
        resolver: Resolver = resolve,
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._timeout, self._rules = settings.timeout, Rules(settings)
        guarded = GuardedBackend(self._rules, resolver, backend)
        self.transport = GuardedTransport(self._rules, guarded, _context(settings))
        """For clients of libraries that take a transport of httpx."""
        self._client = httpx.AsyncClient(
            transport=self.transport,
            trust_env=False,
            follow_redirects=False,
            timeout=settings.timeout,
            # What is not unpacked cannot be a bomb.
            headers={"Accept-Encoding": "identity", "User-Agent": "plantroom"},
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        max_bytes: int = MAX_BYTES,
        timeout: float | None = None,  # noqa: ASYNC109 -- of the whole exchange, redirects and all
    ) -> Answer:
        """Return what `url` answers, whatever its status.

        A GET follows redirects on the same scheme, host and port; others get the redirect itself.

        Args:
            method: of HTTP.
            url: https, or that of a host the settings name.
            headers: of the request.
            content: its body.
            max_bytes: of the answer's body; 0: it is not read, whatever it is.
            timeout: seconds for everything; that of the settings by default.

        Raises:
            Rejected: the address may not be spoken to, it redirects to another host, or answers too
                much: trying again is pointless.
            Unavailable: it does not answer (in time).
        """
        limit = self._timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                return await self._follow(
                    method, _parse(url), dict(headers or {}), content, max_bytes
                )
        except TimeoutError as error:
            msg = f"no whole answer within {limit:g} s"
            raise Unavailable(msg) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unavailable(_said(error)) from error

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Hand something over and return the status of the answer; what else it says is not kept.

        Raises:
            Rejected: it may not go there, and never will.
            Unavailable: nobody answers now.
        """
        answer = await self.request("POST", url, headers=headers, content=body, max_bytes=0)
        return answer.status

    async def _follow(
        self, method: str, url: httpx.URL, headers: dict[str, str], content: bytes, most: int
    ) -> Answer:
        for _ in range(_MAX_REDIRECTS + 1):
            self._rules.check(url)
            answer = await self._once(method, url, headers, content, most)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or target is None or method not in {"GET", "HEAD"}:
                return answer
            there = url.join(_parse(target))
            if (there.scheme, there.host, there.port) != (url.scheme, url.host, url.port):
                _refuse("redirects to another host", "outbound_redirect")
            url = there
        msg = "the address redirects in a circle"
        raise Rejected(msg, reason="outbound_redirect")

    async def _once(
        self, method: str, url: httpx.URL, headers: dict[str, str], content: bytes, most: int
    ) -> Answer:
        request = self._client.build_request(method, url, headers=headers, content=content)
        response = await self._client.send(request, stream=True)
        try:
            announced = response.headers.get("content-length", "0")
            body = bytearray()
            if not most:
                return Answer(response.status_code, response.headers, b"")
            if announced.isdecimal() and int(announced[:20]) > most and method != "HEAD":
                _refuse(f"answers more than {most} bytes", "outbound_size")
            async for part in response.aiter_raw():
                body += part
                if len(body) > most:
                    _refuse(f"answers more than {most} bytes", "outbound_size")
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, bytes(body))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def check_url(rules: Rules, url: str) -> None:
    """Raise Rejected if nothing can ever be sent to `url`; no name is looked up for that."""
    parsed = _parse(url)
    rules.check(parsed)
    host = parsed.raw_host.decode("ascii")
    if parse(host) is not None:
        rules.judge(host, parsed.port or 443, [host])


def _context(settings: OutboundSettings) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca is not None:
        try:
            context.load_verify_locations(settings.ca)
        except (OSError, ssl.SSLError) as error:
            what = f"holds no roots that can be read: {error}"
            fix = "name a PEM file with certificates"
            raise ConfigError(what, file=str(settings.ca), key="outbound.ca", fix=fix) from error
    return context


def _parse(url: str) -> httpx.URL:
    if len(url) > _MAX_URL:
        _refuse(f"is longer than {_MAX_URL} characters", "outbound_url")
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        _refuse(f"is no URL: {error}", "outbound_url", error)


def _bare(entry: str) -> tuple[str, int | None]:
    host, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(port)
    return entry.strip("[]"), None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _refuse(what: str, reason: str, cause: Exception | None = None) -> NoReturn:
    msg = f"the address {what}"
    raise Rejected(msg, reason=reason) from cause
