"""Requests to addresses that others chose never reach the inner network."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.config import CloudSettings, OutboundSettings, load_settings
from plantroom_cloud.kit.addresses import is_inner, is_public
from plantroom_cloud.kit.outbound import OutboundClient, Rules, check_url
from plantroom_shared.errors import ConfigError, PlantroomError, Rejected, Unavailable
from support.outbound_world import Spy, listening, page, resolve
from support.rebinding_dns import rebinding

HOSTS = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0.0.0.0", "0", "2130706433",
    "017700000001", "0177.0.0.1", "0x7f000001", "0x7f.0x0.0x0.0x1", "0x7f.1", "00000177.1",
    "127.0.0.1.", "localhost", "LOCALHOST", "localhost.", "localhost.localdomain",
    "ip6-localhost", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::1]", "[::]", "[::127.0.0.1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2001:0:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]", "[febf::1]", "[fec0::1]", "[fc00::1]",
    "[fd00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[ff02::1]", "[ff0e::1]", "[100::1]",
    "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "169.254.169.254", "169.254.170.2",
    "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]", "metadata.google.internal", "instance-data.ec2.internal",
    "168.63.129.16", "100.100.100.200", "192.0.0.192", "10.0.0.1", "10.255.255.255", "012.1",
    "172.16.0.1", "172.31.255.255", "192.168.0.1", "0xC0A80001", "192.168.1", "100.64.0.1",
    "198.18.0.1", "192.0.2.1", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "[::ffff:10.0.0.1]", "[::ffff:192.168.0.1]", "localtest.example",
    "127.0.0.1.nip.example", "both.example", "six.example", "mapped.example", "ula.example",
    "scoped.example", "intranet.example", "nothing.example", "rubbish.example",
    "①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
)  # fmt: skip
FORMS = (
    "http://127.0.0.1:{port}/", "http://public.example:{port}/", "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "unix:///run/x.sock", "//127.0.0.1:{port}",
    "https://public.example@127.0.0.1:{port}/", "https://user:word@127.0.0.1:{port}/",
    "https://public.example:{port}@127.0.0.1/", "https://127.0.0.1:{port}#@public.example/",
    "https://127.0.0.1:{port}\\@public.example/", "https:///127.0.0.1:{port}/", "https://",
    "https:127.0.0.1:{port}", "HTTPS://127.0.0.1:{port}", "https://127.0.0.1:{port}/%0d%0aX:y",
    "https://[::1]:{port}/?x=https://public.example", "https://127.0.0.1\t:{port}/",
    "https://127.0.0.1%00.public.example:{port}/", "https://public.example\r\nHost: x/", "",
    "javascript:alert(1)", "data:text/plain,x", "ws://127.0.0.1:{port}/", "wss://[::1]:{port}/",
    "http+unix://%2Frun%2Fx.sock/", "https://127.0.0.1:{port}/" + "x" * 3000,
    "https://127.0.0.1:99999/", "https://127.0.0.1:-1/", "jar:https://127.0.0.1:{port}!/",
)  # fmt: skip


def _client(spy: Spy, *allow: str, **more: Any) -> OutboundClient:
    settings = OutboundSettings(allow=allow, **more)
    return OutboundClient(settings, resolver=resolve, backend=spy)


def test_the_list_is_long_enough() -> None:
    """More than eighty ways to name what must not be reached are tried."""
    assert len(set(HOSTS)) + len(set(FORMS)) >= 110


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_bypass_reaches_anything(method: str) -> None:
    """No way to write an inner address makes a connection: no socket hears of it, none is dialled."""
    spy = Spy()
    async with listening() as listener, _client(spy) as client:
        urls = [f"https://{host}:{listener.port}/x" for host in HOSTS]
        urls += [form.replace("{port}", str(listener.port)) for form in FORMS]
        for url in urls:
            with pytest.raises((Rejected, Unavailable)):
                await client.request(method, url, content=b"{}" if method == "POST" else b"")
        assert listener.visits == 0
    assert spy.dialled == []


async def test_the_socket_would_have_heard() -> None:
    """The same listener hears a host that the settings name: the test above sees what happens."""
    spy = Spy()
    async with listening(lambda _: page("200 OK", b"here")) as listener:
        async with _client(spy, f"127.0.0.1:{listener.port}") as client:
            answer = await client.request("GET", f"http://127.0.0.1:{listener.port}/x")
        assert (answer.status, answer.body, listener.visits) == (200, b"here", 1)
        async with _client(spy, "127.0.0.1:1") as client:
            with pytest.raises(Rejected):
                await client.request("GET", f"http://127.0.0.1:{listener.port}/x")
        assert listener.visits == 1


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "metadata.google.internal", "ula.example", "100.100.100.200", "scoped.example",
     "168.63.129.16", "0.0.0.0", "224.0.0.1", "mapped.example"],
)  # fmt: skip
async def test_a_setting_cannot_open_the_metadata(host: str) -> None:
    """A host that the settings name may be inside; metadata and link-local stay closed even so."""
    spy = Spy()
    async with _client(spy, host) as client:
        with pytest.raises(Rejected) as caught:
            await client.request("GET", f"http://{host}/latest/meta-data")
    assert (caught.value.reason, spy.dialled) == ("outbound_address", [])


async def test_rebinding_after_the_check_changes_nothing() -> None:
    """A name that is public when it is judged and inner a moment later is dialled as it was judged."""
    spy = Spy()
    async with listening() as listener, rebinding(["93.184.216.34", "127.0.0.1"]) as (server, ask):
        async with OutboundClient(OutboundSettings(), resolver=ask, backend=spy) as client:
            url = f"https://rebind.example:{listener.port}/"
            with pytest.raises(Unavailable):
                await client.request("POST", url)
            assert (spy.dialled, server.asked) == ([("93.184.216.34", listener.port)], 1)
            with pytest.raises(Rejected):  # the second answer is the inner one: judged anew
                await client.request("POST", url)
        assert (len(spy.dialled), server.asked, listener.visits) == (1, 2, 0)


async def test_rebinding_never_wins() -> None:
    """However often a name changes between public and inner, no inner address is dialled."""
    spy, answers = Spy(), ["127.0.0.1", "93.184.216.34", "::1", "10.0.0.1"] * 5
    async with listening() as listener, rebinding(answers) as (server, ask):
        async with OutboundClient(OutboundSettings(), resolver=ask, backend=spy) as client:
            for _ in answers:
                with pytest.raises((Rejected, Unavailable)):
                    await client.request("GET", f"https://rebind.example:{listener.port}/")
        assert (server.asked, listener.visits) == (len(answers), 0)
    assert {address for address, _ in spy.dialled} == {"93.184.216.34"}


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest", "http://127.0.0.1:{other}/", "https://localhost:{other}/",
     "//[::1]:{other}/", "//127.0.0.1:{other}/", "http://127.1:{port}/", "file:///etc/passwd",
     "http://user@127.0.0.1:{port}/", "https://127.0.0.1:{port}/"],
)  # fmt: skip
async def test_no_redirect_leads_elsewhere(target: str) -> None:
    """A redirect to another host, port or scheme is not followed, allowed as the first host is."""
    spy = Spy()
    async with listening() as other:
        where = {"port": 0, "other": other.port}

        def reply(_: bytes) -> bytes:
            return page("302 Found", Location=target.format(**where))

        async with listening(reply) as listener:
            where["port"] = listener.port
            async with _client(spy, f"127.0.0.1:{listener.port}") as client:
                url = f"http://127.0.0.1:{listener.port}/x"
                with pytest.raises(Rejected):
                    await client.request("GET", url)
                answer = await client.request("POST", url)
            assert (answer.status, other.visits) == (302, 0)
    assert set(spy.dialled) == {("127.0.0.1", listener.port)}


async def test_redirects_on_the_same_host_are_followed() -> None:
    """A redirect that stays where it is is followed, at most three times."""

    def reply(head: bytes) -> bytes:
        if head.startswith(b"GET /there "):
            return page("200 OK", b"found")
        onward = "/there" if head.startswith(b"GET /here ") else "/round"
        return page("307 Temporary Redirect", Location=onward)

    async with listening(reply) as listener, _client(Spy(), "127.0.0.1") as client:
        base = f"http://127.0.0.1:{listener.port}"
        assert (await client.request("GET", f"{base}/here")).body == b"found"
        with pytest.raises(Rejected) as caught:
            await client.request("GET", f"{base}/round")
    assert caught.value.reason == "outbound_redirect"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_long_answer_is_cut_off(announced: bool) -> None:
    """An answer over the limit is refused, whether its length is announced or not."""
    big = b"x" * 5000
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + big + b"\r\n0\r\n\r\n"
    reply = page("200 OK", big) if announced else raw
    async with listening(lambda _: reply) as listener, _client(Spy(), "127.0.0.1") as client:
        url = f"http://127.0.0.1:{listener.port}/"
        with pytest.raises(Rejected) as caught:
            await client.request("GET", url, max_bytes=4999)
        assert len((await client.request("GET", url, max_bytes=5000)).body) == 5000
    assert caught.value.reason == "outbound_size"


async def test_a_packed_answer_is_not_unpacked() -> None:
    """We ask for no compression, and what comes packed stays packed: no bomb goes off."""
    reply = page("200 OK", b"\x1f\x8b", Content_Encoding="gzip")
    async with listening(lambda _: reply) as listener, _client(Spy(), "127.0.0.1") as client:
        answer = await client.request("GET", f"http://127.0.0.1:{listener.port}/")
    assert answer.body == b"\x1f\x8b"
    assert b"accept-encoding: identity" in listener.heads[0].lower()


async def test_a_slow_answer_is_given_up() -> None:
    """The limit of time is for the whole exchange: a byte now and then does not stretch it."""

    async def drip(_: bytes) -> bytes:
        await asyncio.sleep(60)
        return b""

    async with listening(drip) as listener, _client(Spy(), "127.0.0.1", timeout=0.2) as client:
        with pytest.raises(Unavailable, match="within"):
            await client.request("GET", f"http://127.0.0.1:{listener.port}/")


@pytest.mark.parametrize(
    "answer", [b"rubbish\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_rubbish_is_an_outage(answer: bytes) -> None:
    """A far end that speaks no HTTP, or breaks off, is one that does not answer."""

    class Gone(ConnectionError):
        pass

    def reply(head: bytes) -> bytes:
        if len(heads) > 0:
            raise Gone
        heads.append(head)
        return answer

    heads: list[bytes] = []
    async with listening(reply) as listener, _client(Spy(), "127.0.0.1", timeout=0.5) as client:
        with pytest.raises(Unavailable):
            await client.request("GET", f"http://127.0.0.1:{listener.port}/")


async def test_tls_is_checked_against_the_name(tmp_path: Path) -> None:
    """The certificate must be for the name that was asked, under a root that we have."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    async with listening(lambda _: page("200 OK", b'{"a":1}'), ssl=context) as listener:
        async with _client(Spy(), "localhost", "127.0.0.1", ca=tmp_path / "ca.pem") as client:
            answer = await client.request("GET", f"https://localhost:{listener.port}/")
            assert (answer.is_success, answer.json()) == (True, {"a": 1})
            with pytest.raises(Unavailable, match="certificate"):
                await client.request("GET", f"https://127.0.0.1:{listener.port}/")
        async with _client(Spy(), "localhost") as client:
            with pytest.raises(Unavailable, match="certificate"):
                await client.request("GET", f"https://localhost:{listener.port}/")


async def test_other_clients_take_the_transport() -> None:
    """An httpx client over the transport is held to the same rules."""
    spy = Spy()
    async with listening() as listener, _client(spy) as ours:
        async with httpx.AsyncClient(transport=ours.transport, follow_redirects=True) as client:
            for scheme in ("http", "https"):
                with pytest.raises(PlantroomError):
                    await client.get(f"{scheme}://127.0.0.1:{listener.port}/")
        assert (listener.visits, spy.dialled) == (0, [])


def test_check_needs_no_network() -> None:
    """An address that can never be asked is refused when somebody enters it."""
    rules = Rules(OutboundSettings(allow=("plant.example", "10.0.0.5")))
    for url in ("https://hooks.example/x", "http://plant.example/x", "http://10.0.0.5:81/"):
        check_url(rules, url)
    for url in ("http://hooks.example/", "ftp://x/", "https://a:b@hooks.example/", "x"):
        with pytest.raises(Rejected):
            check_url(rules, url)
    for host in ("127.0.0.1", "10.0.0.6", "[::1]", "[::ffff:10.0.0.5]"):
        with pytest.raises(Rejected):
            check_url(rules, f"https://{host}/")


@pytest.mark.parametrize("host", ["", "a/b", "*.x", "x:0", "x:port", "u@x"])
def test_the_setting_is_checked(host: str) -> None:
    """An entry of the allow-list that is no host is refused at start."""
    with pytest.raises(ConfigError):
        load_settings(outbound={"allow": [host]})


def test_roots_that_cannot_be_read(tmp_path: Path) -> None:
    """A file of roots that is none is a setting that is wrong."""
    (tmp_path / "ca.pem").write_text("none")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(ConfigError, match="roots"):
            OutboundClient(CloudSettings(outbound={"ca": tmp_path / name}).outbound)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_special_is_public(address: IPv4Address | IPv6Address) -> None:
    """What Python knows to be private, local, reserved or multicast is never public for us."""
    special = address.is_private or address.is_loopback or address.is_link_local
    special = special or address.is_multicast or address.is_reserved or address.is_unspecified
    if special:
        assert not is_public(address)
    if isinstance(address, IPv4Address):
        for form in (f"::ffff:{address}", f"64:ff9b::{address}", f"::{address}"):
            assert not is_public(ip_address(form))
            assert not is_inner(ip_address(form)) or form == "::0.0.0.1"


def test_public_addresses_are_public() -> None:
    """What the internet uses passes."""
    for text in ("93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001::1"):
        assert is_public(ip_address(text)), text
