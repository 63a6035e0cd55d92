"""One Modbus TCP connection: a request at a time, and nothing believed that does not fit it.

The bytes of a reply are taken as they are, not turned into a list of registers by the library: it
neither compares the length with what was asked nor the function with the request's, and raises out
of the event loop's callbacks where a reply is malformed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from plantroom_shared.registers import Space

HEADER = 7
"""Bytes before the function code: transaction, protocol, length, unit."""
MAX_LENGTH = 254
"""The largest number of bytes that the length field may announce."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no data."""

    reason: str
    code: int | None = None
    """The exception code with which the device refused; None if it did not say anything."""

    @property
    def silent(self) -> bool:
        """Whether the unit itself said nothing: 10 and 11 are the word of a gateway."""
        return self.code in {None, 10, 11}


class _Broken(ModbusException):
    """The connection was closed under a request; the text is the reason."""


class _Reply(ModbusPDU):
    """The data of a reply, untouched: its byte count, then as many bytes."""

    data = b""

    def decode(self, data: bytes) -> None:
        self.data = data

    def __str__(self) -> str:
        return ""


class _Coils(_Reply):
    function_code = 1


class _Discrete(_Reply):
    function_code = 2


class _Holding(_Reply):
    function_code = 3


class _Input(_Reply):
    function_code = 4


_REQUESTS: dict[Space, type[ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}


def malformed(data: bytes) -> bool:
    """Return whether `data`, as received, can no longer become well-formed replies to reads."""
    while len(data) > HEADER:
        length = int.from_bytes(data[4:6], "big")
        if data[2:4] != b"\0\0" or not 3 <= length <= MAX_LENGTH:
            return True
        if len(data) < 6 + length:
            return False
        function, body = data[HEADER], data[HEADER + 1 : 6 + length]
        refused = 0x81 <= function <= 0x84 and len(body) >= 1
        if not refused and (not 1 <= function <= 4 or body[0] != len(body) - 1):
            return True
        data = data[6 + length :]
    return False


class Connection:
    """A connection that opens on the first request, and again on the next one after it was lost.

    Args:
        host: name or address.
        port: TCP port.
        timeout: seconds to wait for the connection, and for a reply.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        # Its errors are answers of `ask`; what it logs for each is a hex dump.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        self._host, self._port, self._timeout = host, port, timeout
        self._client: AsyncModbusTcpClient | None = None
        self._lock = asyncio.Lock()
        self._refused_at = float("-inf")

    async def ask(self, unit: int, space: Space, start: int, count: int) -> bytes | Fault:
        """Return the data of one read, without its byte count; never raises for the far end.

        Args:
            unit: unit id, 0-255.
            space: which of the four tables.
            start: protocol address of the first register or coil.
            count: how many of them; the caller compares the length of the data.
        """
        asked_at = asyncio.get_running_loop().time()
        async with self._lock:
            client = await self._open(asked_at)
            if client is None:
                return Fault("unreachable")
            request = _REQUESTS[space](address=start, count=count, dev_id=unit)
            try:
                reply = await client.execute(False, request)
            except _Broken as error:
                return Fault(error.string)
            except ModbusException:
                # Half a reply would be taken for the start of the next one.
                if client.ctx.recv_buffer:
                    client.close()
                return Fault("timeout")
            return self._check(client, request, reply)

    def close(self) -> None:
        """Close the socket."""
        if self._client is not None:
            self._client.close()

    def _check(
        self, client: AsyncModbusTcpClient, request: ModbusPDU, reply: ModbusPDU
    ) -> bytes | Fault:
        # The library lets pass transaction 0, any unit for unit 0, and any function.
        same = reply.transaction_id == request.transaction_id and reply.dev_id == request.dev_id
        if same and reply.function_code & 0x7F == request.function_code:
            if isinstance(reply, ExceptionResponse):
                return Fault(f"exception-{reply.exception_code}", reply.exception_code)
            if isinstance(reply, _Reply):
                return reply.data[1:]
        client.close()
        return Fault("bad-reply")

    async def _open(self, asked_at: float) -> AsyncModbusTcpClient | None:
        client = self._client = self._client or self._make()
        if client.connected:
            return client
        # Who waited while a connect failed shares its outcome instead of waiting once more.
        if self._refused_at >= asked_at:
            return None
        try:
            connected = await client.connect()
        except UnicodeError:  # a host name that is none
            connected = False
        if connected:
            return client
        self._refused_at = asyncio.get_running_loop().time()
        return None

    def _make(self) -> AsyncModbusTcpClient:
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=self._timeout,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._received,
            trace_connect=self._changed,
        )
        for kind in (_Coils, _Discrete, _Holding, _Input):
            client.register(kind)
        return client

    def _received(self, sending: bool, data: bytes) -> bytes:
        """Look at bytes before the library does; close on what cannot be a reply."""
        if sending or not malformed(data):
            return data
        self._fail("bad-reply")
        self.close()
        return b""

    def _changed(self, connected: bool) -> None:
        if not connected:
            self._fail("disconnected")

    def _fail(self, reason: str) -> None:
        """End the request in flight at once: nobody will answer it."""
        if self._client is not None and not self._client.ctx.response_future.done():
            self._client.ctx.response_future.set_exception(_Broken(reason))
