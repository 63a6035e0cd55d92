"""The fault proxy does to a connection what it says, and nothing else."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from support.proxy import Proxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


@contextmanager
def echoing() -> Iterator[Proxy]:
    """Yield a proxy in front of a server that sends back what it gets."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with Proxy("127.0.0.1", server.server_address[1], seed=3).running() as proxy:
                yield proxy
        finally:
            server.shutdown()


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def ask(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    return receive(sock, len(data))


def receive(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (more := sock.recv(size - len(got))):
        got += more
    return got


def test_clear_weather_changes_nothing() -> None:
    """Bytes arrive as they were sent, both ways, to the end of the connection."""
    data = bytes(range(256)) * 1000
    with echoing() as proxy, dial(proxy) as sock:
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        assert receive(sock, len(data)) == data
        sender.join()
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    "weather",
    [{"slice": 1}, {"latency": 0.05, "jitter": 0.05}, {"rate": 20_000.0}, {"loss": 0.5}],
    ids=["sliced", "jitter", "rate", "loss"],
)
def test_bad_weather_keeps_bytes_and_their_order(weather: dict[str, float]) -> None:
    """Slow is not wrong."""
    data = bytes(range(250)) * 4
    with echoing() as proxy, dial(proxy) as sock:
        proxy.weather(**weather)
        assert ask(sock, data) == data


def test_corruption_flips_one_bit_of_a_chunk() -> None:
    with echoing() as proxy, dial(proxy) as sock:
        proxy.up.corrupt = 1.0
        got = ask(sock, bytes(64))
        assert sum(byte.bit_count() for byte in got) == 1


def test_a_black_hole_in_one_direction_holds_until_it_heals() -> None:
    """The other direction goes on, and what was held comes after all."""
    with echoing() as proxy, dial(proxy) as sock:
        proxy.down.held = True
        sock.sendall(b"hello")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(5)
        proxy.down.held = False
        sock.settimeout(10)
        assert receive(sock, 5) == b"hello"


def test_reset_and_refusal_are_resets() -> None:
    """A reset reaches the client as such; so does a refused connection; then all is well again."""
    with echoing() as proxy:
        with dial(proxy) as sock:
            assert ask(sock, b"one") == b"one"
            assert proxy.reset() == 1
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        proxy.refusing = True
        with pytest.raises(ConnectionResetError), dial(proxy) as sock:
            sock.recv(1)
        proxy.refusing = False
        with dial(proxy) as sock:
            assert ask(sock, b"two") == b"two"
        assert len(proxy.connects) == 3


def test_a_forgotten_connection_hangs_and_a_new_one_passes() -> None:
    with echoing() as proxy, dial(proxy) as old:
        assert ask(old, b"one") == b"one"
        proxy.forget()
        old.sendall(b"two")
        with dial(proxy) as new:
            assert ask(new, b"three") == b"three"
        old.settimeout(0.2)
        with pytest.raises(TimeoutError):
            old.recv(1)
