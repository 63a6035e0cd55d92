"""TLS where the clock cannot be trusted: chain and name always count, dates by what is known."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from plantroom_edge.clock import EdgeClock
from plantroom_edge.config import CloudConfig
from plantroom_edge.sync_tls import CloudContext, tls_context
from support.edge_time import VirtualTime

NOW = datetime.now(UTC)


def microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


@contextmanager
def server(authority: trustme.CA, **dates: Any) -> Iterator[int]:
    """Serve TLS handshakes on a free port with a certificate of `dates` for 127.0.0.1."""
    issued = authority.issue_cert("127.0.0.1", **dates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                with raw, context.wrap_socket(raw, server_side=True) as line:
                    line.recv(1)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


class Gateway:
    """A gateway's TLS settings and its clock."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        authority.cert_pem.write_to_path(folder / "ca.pem")
        issued = authority.issue_cert("gw-test-0001.invalid", common_name="gw-test-0001")
        issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        self.time = VirtualTime()
        self.time.wall_offset_us = 0
        self.clock = EdgeClock(self.time, folder / "clock.json", synced=lambda: False)
        fields = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
        files = {key: folder / name for key, name in fields.items()}
        self.context = tls_context(
            CloudConfig.model_validate({"host": "127.0.0.1", **files}), self.clock
        )

    def shake(self, port: int, name: str = "127.0.0.1") -> None:
        """Connect and shake hands, or raise why not."""
        self.context.prepare()
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            self.context.wrap_socket(
                raw, server_hostname=name, do_handshake_on_connect=False
            ) as line,
        ):
            line.do_handshake()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def unit(tmp_path: Path, authority: trustme.CA) -> Gateway:
    return Gateway(tmp_path, authority)


@pytest.fixture
def good(authority: trustme.CA) -> Iterator[int]:
    with server(authority, not_after=NOW + timedelta(days=1)) as port:
        yield port


def test_a_gateway_in_1970_connects(unit: Gateway, good: int) -> None:
    """With no idea of the time, a certificate that may be valid is accepted."""
    assert unit.clock.state == "unset"
    unit.shake(good)


def test_chain_and_name_count_in_1970_too(unit: Gateway, good: int) -> None:
    """Another authority's certificate, or one for another name, is refused whatever the time."""
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|doesn't match|not valid for"):
        unit.shake(good, "cloud.example")
    with (
        server(trustme.CA()) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"),
    ):
        unit.shake(port)


def test_what_expired_before_the_last_good_time_is_refused(
    unit: Gateway, authority: trustme.CA
) -> None:
    """The time floor says that at least so much time has passed."""
    dates = {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=2)}
    with server(authority, **dates) as port:
        unit.shake(port)  # it could still be last week
        unit.clock.floor_us = microseconds(NOW - timedelta(days=1))
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            unit.shake(port)


def test_with_the_time_from_the_cloud_both_dates_count(
    unit: Gateway, good: int, authority: trustme.CA
) -> None:
    """Once the time is known, by whatever way, a certificate must be valid at that time."""
    unit.clock.hear(microseconds(NOW), 0.0)
    assert not unit.clock.follows_system
    unit.shake(good)
    with (
        server(
            authority,
            not_after=NOW - timedelta(days=2),
            not_before=NOW - timedelta(days=9),
        ) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
    ):
        unit.shake(port)
    with (
        server(authority, not_before=NOW + timedelta(days=2)) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="not valid before"),
    ):
        unit.shake(port)


def test_a_trusted_clock_leaves_the_dates_to_openssl(
    unit: Gateway, good: int, authority: trustme.CA
) -> None:
    """While the system's clock is followed its date is what counts; that heals by itself."""
    dates = {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=2)}
    with server(authority, **dates) as port:
        unit.shake(port)
        unit.time.wall_offset_us = microseconds(NOW)
        unit.clock.look()
        assert unit.clock.follows_system
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
            unit.shake(port)
    unit.shake(good)


def test_no_certificate_is_no_certificate(unit: Gateway) -> None:
    """A chain of nothing proves nothing."""
    with pytest.raises(ssl.SSLCertVerificationError, match="no certificate"):
        unit.context.check_dates(list)
    CloudContext(ssl.PROTOCOL_TLS_CLIENT).check_dates(
        list
    )  # without a clock of ours it is OpenSSL's
