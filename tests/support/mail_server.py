"""A real mail server on a free port, which can be told to refuse, or to think for long."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword


@dataclass
class Mailbox:
    """What came, and what is said to whom."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    """Recipient → what the server answers in place of taking its mail."""
    slow: dict[str, asyncio.Event] = field(default_factory=dict)
    """Recipient → the server thinks until that."""
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody waits for a slow one."""

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Take a recipient, or say why not."""
        if address in self.slow:
            self.waiting.set()
            await self.slow[address].wait()
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Keep a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def to(self, address: str) -> list[str]:
        """Return the subjects of what came for an address."""
        return [str(mail["subject"]) for mail in self.mails if mail["to"] == address]


@asynccontextmanager
async def mail_server(
    tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> AsyncIterator[Mailbox]:
    """Yield a running server; with `tls` it wants STARTTLS, with `login` user and password."""
    box, loop = Mailbox(), asyncio.get_running_loop()

    def check(_server: Any, _session: Any, _envelope: Any, _kind: Any, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == login, handled=False)

    def protocol() -> SMTP:
        return SMTP(
            box,
            hostname="mail.test",
            tls_context=tls,
            require_starttls=tls is not None,
            auth_required=login is not None,
            authenticator=check,
            loop=loop,
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        for event in box.slow.values():
            event.set()
        server.close()
