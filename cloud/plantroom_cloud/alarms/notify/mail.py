"""Mail by SMTP, in threads of its own: a server that hangs holds mail and nothing else."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Final

from plantroom_cloud.config_alarms import SmtpSettings
from plantroom_shared.errors import ConfigError, Rejected, Unavailable

_THREADS: Final = 8
_FOR_GOOD: Final = range(500, 600)


class Mailer:
    """Hands mail to a server."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="smtp")

    async def send(self, message: EmailMessage) -> None:
        """Deliver one message.

        Raises:
            Rejected: the server will never take it, for example an unknown mailbox.
            Unavailable: it does not take it now, or is not there.
            ConfigError: our own settings are wrong.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._deliver, message)

    def close(self) -> None:
        """Let no more be sent; what is under way ends by its time-outs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, message: EmailMessage) -> None:
        try:
            with self._connect() as server:
                if self._settings.user:
                    server.login(self._settings.user, self._settings.password.get_secret_value())
                server.send_message(message)
        except smtplib.SMTPAuthenticationError as error:
            what = "the mail server does not accept user and password"
            raise Unavailable(what) from error
        except smtplib.SMTPRecipientsRefused as error:
            code, why = next(iter(error.recipients.values()))
            raise _refusal(code, why) from error
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from error
        except (smtplib.SMTPException, OSError) as error:
            msg = f"the mail server does not answer: {error}"
            raise Unavailable(msg) from error

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        where, timeout = (settings.host, settings.port), settings.timeout
        if settings.tls == "none":
            return smtplib.SMTP(*where, timeout=timeout)
        context = self._trust()
        if settings.tls == "tls":
            return smtplib.SMTP_SSL(*where, timeout=timeout, context=context)
        server = smtplib.SMTP(*where, timeout=timeout)
        try:
            server.starttls(context=context)
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
        return server

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._settings.ca_file)
        except OSError as error:
            what = f"cannot be read: {error}"
            fix = "name a PEM file with certificates, or leave it out"
            raise ConfigError(what, key="alarms.smtp.ca_file", fix=fix) from error


def _refusal(code: int, why: bytes | str) -> Rejected | Unavailable:
    text = why.decode(errors="replace") if isinstance(why, bytes) else why
    told = f"the mail server says {code} {text}"[:300]
    return Rejected(told, reason="mail") if code in _FOR_GOOD else Unavailable(told)
