"""A BACnet device that costs next to nothing: ``raw_bacnet.py OBJECTS NAME.ready``.

Analog values, one in ten of which changes every second. Answers to a request that came before are
put together from the one before; a stack of any kind would be the bottleneck of the measurement. Beside
the ready file, in ``READY_FILE.served``, stands how many present values it has given away.
"""

from __future__ import annotations

import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path

DEVICE, ANALOG = 7001, 2
_PRESENT_VALUE = b"\x1e\x09\x55"
"""Where a list of properties begins with it, as all that is read in a poll does."""


def _object(instance: int) -> bytes:
    return struct.pack(">I", ANALOG << 22 | instance)


def _text(value: str) -> bytes:
    return bytes((0x75, len(value) + 1, 0)) + value.encode()


class Device:
    """Holds the values, and the answers as octets."""

    def __init__(self, objects: int) -> None:
        self.objects = objects
        self.offset = 0.0
        self.served = 0
        self._polls: dict[bytes, tuple[float, bytes]] = {}

    def value(self, instance: int) -> bytes:
        changing = self.offset if instance % 10 == int(self.offset) % 10 else 0.0
        return struct.pack(">f", instance + changing / 8)

    def answer(self, datagram: bytes) -> bytes | None:
        """Return the answer to a datagram."""
        apdu = datagram[6:]
        if apdu[0] == 0x10:
            who = b"\x10\x00\xc4" + struct.pack(">I", 8 << 22 | DEVICE)
            return self.frame(who + b"\x22\x05\xc4\x91\x03\x22\x03\xe7")
        if apdu[3] != 14:
            return self.frame(b"\x50" + apdu[2:4] + b"\x91\x02\x91\x20")
        body = apdu[4:]
        known = self._polls.get(body)
        if known is None or known[0] != self.offset:
            known = self._polls[body] = self.offset, self.read(body)
        self.served += body.count(_PRESENT_VALUE)
        return self.frame(b"\x30" + apdu[2:4] + known[1])

    @staticmethod
    def frame(apdu: bytes) -> bytes:
        return struct.pack(">BBHBB", 0x81, 0x0A, len(apdu) + 6, 1, 0) + apdu

    def read(self, body: bytes) -> bytes:
        """Return the results of a ReadPropertyMultiple."""
        out, pos = bytearray(), 0
        while pos < len(body):
            oid = body[pos + 1 : pos + 5]
            out += body[pos : pos + 6]
            pos += 6
            while body[pos] != 0x1F:
                prop = body[pos + 1] if body[pos] == 0x09 else 0xFFFF
                pos += 2 if body[pos] == 0x09 else 3
                out += bytes((0x29, prop & 0xFF))
                index = -1
                if 0x19 <= body[pos] <= 0x1C:
                    size = body[pos] & 7
                    index = int.from_bytes(body[pos + 1 : pos + 1 + size], "big")
                    out += bytes((0x38 | size,)) + body[pos + 1 : pos + 1 + size]
                    pos += 1 + size
                out += self.one(oid, prop, index)
            out.append(0x1F)
            pos += 1
        return bytes(out)

    def one(self, oid: bytes, prop: int, index: int) -> bytes:
        """Return one property, or that it is unknown."""
        (word,) = struct.unpack(">I", oid)
        kind, instance = word >> 22, word & 0x3FFFFF
        if kind == ANALOG and prop == 85:
            value = b"\x44" + self.value(instance)
        elif kind == ANALOG and prop == 111:
            value = b"\x82\x04\x00"
        elif prop == 77:
            value = _text(f"AV {instance}")
        elif prop == 75:
            value = b"\xc4" + oid
        elif prop == 76 and index == 0:
            value = b"\x22" + struct.pack(">H", self.objects)
        elif prop == 76 and index > 0:
            value = b"\xc4" + _object(index)
        else:
            return b"\x5e\x91\x02\x91\x20\x5f"
        return b"\x4e" + value + b"\x4f"


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main(objects: int, ready: Path) -> None:
    """Serve until standard input closes."""
    device = Device(objects)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.2)
        ended = threading.Event()
        threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
        ready.write_text(f"127.0.0.1:{udp.getsockname()[1]}")
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        while not ended.is_set():
            device.offset = float(int(time.monotonic()))
            try:
                datagram, peer = udp.recvfrom(2048)
            except TimeoutError:
                continue
            answer = device.answer(datagram)
            if answer is not None:
                udp.sendto(answer, peer)
    ready.with_suffix(".served").write_text(str(device.served))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
