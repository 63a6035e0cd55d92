"""The public end of claiming: a device begins, and asks how its claim stands."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509.oid import NameOID
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plantroom_cloud.config_claim import ClaimSettings
from plantroom_cloud.db import Scope, insert_into
from plantroom_cloud.gateways.certificates import UNFIT, fingerprint, read_request
from plantroom_cloud.gateways.claim import lookups
from plantroom_cloud.gateways.claim.errors import TooMany
from plantroom_cloud.gateways.claim.issuing import Issuer, Wanted
from plantroom_cloud.gateways.claim.schemas import BeginIn, PollIn
from plantroom_cloud.gateways.pki import GRACE, Authority, write_private
from plantroom_cloud.gateways.signing import Trust, is_signed
from plantroom_cloud.kit.problems import Forbidden, InvalidRequest, NotFound
from plantroom_cloud.kit.times import DAY, HOUR
from plantroom_cloud.tables import EnrolmentToken, IssuedCertificate, PendingGateway
from plantroom_shared.claiming import begin_message, poll_message, renew_message
from plantroom_shared.errors import Rejected

CHALLENGE_S: Final = 300
"""Seconds for which a challenge is given out; it is taken for as long again."""
_RENEWALS: Final = 12
"""Certificates that a gateway may have issued in a day."""


class Challenges:
    """What a device must sign to show that it is there now, and not a recording.

    Args:
        folder: of the authority; the secret is made there at the first call.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "challenge.key"
        self._secret = b""

    def give(self, pending: str, now_us: int) -> str:
        """Return the present challenge for the device `pending`."""
        return self._at(pending, now_us // (CHALLENGE_S * 1_000_000))

    def takes(self, pending: str, challenge: str, now_us: int) -> bool:
        """Say whether `challenge` was given to the device `pending` lately."""
        slot = now_us // (CHALLENGE_S * 1_000_000)
        given = (self._at(pending, slot - age) for age in (0, 1))
        return any(hmac.compare_digest(one, challenge) for one in given)

    def _at(self, pending: str, slot: int) -> str:
        if not self._secret:
            if not self._file.exists():
                write_private(self._file, secrets.token_bytes(32))
            self._secret = self._file.read_bytes()
        return hmac.new(self._secret, f"{pending} {slot}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class _Begun:
    """A request to begin that is signed by the key it is for."""

    asked: BeginIn
    key: ec.EllipticCurvePublicKey
    address: str

    @property
    def fingerprint(self) -> str:
        """Of its key."""
        return fingerprint(self.key)


class Beginnings:
    """Takes what devices send before anybody knows whose they are.

    Args:
        session: of a transaction.
        authority: signs whoever needs nobody to stand before it.
        settings: limits.
        now_us: the present.
    """

    def __init__(
        self, session: AsyncSession, authority: Authority, settings: ClaimSettings, now_us: int
    ) -> None:
        self._session, self._authority = session, authority
        self._settings, self._now_us = settings, now_us

    async def begin(self, asked: BeginIn, address: str) -> PendingGateway:
        """Return where the device stands; to begin again changes nothing.

        Raises:
            InvalidRequest: what it sends is not signed by its own key, or no request.
            Forbidden: its token, its old certificate or its key is worth nothing.
            TooMany: too many devices wait.
        """
        begun = _checked(asked, address)
        pending = await lookups.find_pending(self._session, fingerprint=begun.fingerprint)
        if pending is not None and pending.state == "claimed":
            await self.check_alive(pending)
            return pending
        if asked.certificate:
            return await self._renew(begun)
        if asked.token:
            return await self._redeem(begun)
        expected = await lookups.find_expected(self._session, begun.fingerprint)
        if (
            expected is not None
            and expected.used_us is None
            and hmac.compare_digest(expected.serial, asked.facts.get("serial", ""))
        ):
            expected.used_us = self._now_us
            scope = Scope(expected.company_id)
            wanted = Wanted(scope, expected.site_id, "list", expected.gateway_id, expected.name)
            return await self._claim(begun, wanted)
        if not asked.code_hash:
            msg = "send the hash of the code that the device shows, or an enrolment token"
            raise InvalidRequest(msg)
        return await self._wait(begun)

    async def poll(self, asked: PollIn, challenges: Challenges) -> PendingGateway | None:
        """Return where the device stands; None where it must sign a new challenge first.

        Raises:
            NotFound: nobody has begun under this id, or it has waited for too long.
            Forbidden: it was revoked.
        """
        pending = await lookups.find_pending(self._session, id=asked.pending)
        over = pending is None or (
            pending.state != "claimed" and pending.expires_us <= self._now_us
        )
        if pending is None or over:
            msg = "this device does not wait, or not any more: begin again"
            raise NotFound(msg)
        key = load_pem_public_key(pending.public_key.encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - `read_request` took no other
        message = poll_message(asked.pending, asked.challenge)
        if not challenges.takes(asked.pending, asked.challenge, self._now_us) or not _is_by(
            key, message, asked.signature
        ):
            return None
        if pending.state == "claimed":
            await self.check_alive(pending)
        return pending

    async def check_alive(self, pending: PendingGateway) -> None:
        """Raise Forbidden where the gateway that the device has become was revoked."""
        gateway = await lookups.find_gateway(self._session, pending.gateway_id)
        if gateway is None or gateway.revoked_us is not None:
            raise _revoked()

    async def _wait(self, begun: _Begun) -> PendingGateway:
        if await lookups.waiting(self._session) >= self._settings.waiting:
            msg = "too many devices wait to be claimed; this one tries again by itself"
            raise TooMany(msg, retry_after=300)
        return await self._enter(begun)

    async def _enter(self, begun: _Begun) -> PendingGateway:
        """Enter the device as one that waits, in place of what it said before."""
        pem = begun.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        life = int(self._settings.pending_hours * HOUR)
        row: dict[str, Any] = {
            "id": secrets.token_urlsafe(16),
            "fingerprint": begun.fingerprint,
            "public_key": pem,
            "code_hash": begun.asked.code_hash,
            "state": "waiting",
            "tries": 0,
            "facts": begun.asked.facts,
            "address": begun.address[:64],
            "created_us": self._now_us,
            "expires_us": self._now_us + life,
            "gateway_id": "",
            "certificate": "",
            "binding": "",
        }
        insert = insert_into(self._session, PendingGateway)
        news = ("id", "code_hash", "state", "tries", "facts", "address", "created_us", "expires_us")
        over = PendingGateway.expires_us <= self._now_us
        another = PendingGateway.code_hash != insert.excluded.code_hash
        # With the same code it goes on waiting, or stays locked.
        upsert = insert.on_conflict_do_update(
            index_elements=["fingerprint"],
            set_={name: insert.excluded[name] for name in news},
            where=(PendingGateway.state != "claimed") & (over | another),
        )
        await self._session.execute(upsert, [row])
        found = await lookups.find_pending(self._session, fingerprint=begun.fingerprint)
        assert found is not None  # noqa: S101 - entered just now, or before
        return found

    async def _claim(self, begun: _Begun, wanted: Wanted) -> PendingGateway:
        pending = await self._enter(begun)
        if pending.state != "claimed":
            pending.state = "waiting"
            await self._session.flush()
            await Issuer(self._session, self._authority, self._now_us).claim(pending, wanted)
        return pending

    # ------------------------------------------------------------ tokens

    async def _redeem(self, begun: _Begun) -> PendingGateway:
        digest = hashlib.sha256(begun.asked.token.encode()).hexdigest()
        token = await lookups.find_token(self._session, digest)
        if token is None or token.expires_us <= self._now_us:
            msg = "this token is not known, or is too old; ask for another"
            raise Forbidden(msg, code="token")
        mine = update(EnrolmentToken).where(
            EnrolmentToken.id == token.id,
            EnrolmentToken.company_id == token.company_id,
            EnrolmentToken.used_us.is_(None),
        )
        values = {"used_us": self._now_us, "used_by": begun.fingerprint}
        done: Any = await self._session.execute(mine.values(**values))
        if done.rowcount != 1:
            msg = "this token was used; ask for another"
            raise Forbidden(msg, code="token")
        wanted = Wanted(Scope(token.company_id), token.site_id, "token", token.gateway_id)
        return await self._claim(begun, wanted)

    # ------------------------------------------------------------ renewal

    async def _renew(self, begun: _Begun) -> PendingGateway:
        asked = begun.asked
        gateway = self._known(asked.certificate)
        message = renew_message(asked.csr, asked.certificate)
        if not is_signed(asked.certificate, message, asked.renew_signature):
            msg = "the request is not signed by the old key"
            raise Forbidden(msg, code="signature")
        serial = Trust(self._authority.issuer_pem).serial(gateway, asked.certificate)
        row = await lookups.find_gateway(self._session, gateway)
        issued = (
            None
            if row is None
            else await lookups.find_issued(self._session, row.company_id, serial)
        )
        if row is None or row.revoked_us is not None or (issued and issued.revoked_us is not None):
            raise _revoked()
        scope = Scope(row.company_id)
        await self._check_pace(scope, gateway)
        pending = await self._enter(begun)
        wanted = Wanted(scope, row.site_id, "renewal")
        await Issuer(self._session, self._authority, self._now_us).renew(pending, gateway, wanted)
        return pending

    def _known(self, pem: str) -> str:
        """Return whose certificate this is; Forbidden if it is not ours, or over for too long."""
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            gateway = str(name.value)
            Trust(self._authority.issuer_pem).serial(gateway, pem)
        except (*UNFIT, Rejected) as error:
            msg = "this is no certificate of ours"
            raise Forbidden(msg, code="certificate") from error
        now = datetime.fromtimestamp(self._now_us / 1e6, UTC)
        if certificate.not_valid_after_utc + GRACE < now:
            msg = "the certificate is over for more than 30 days: claim the gateway anew"
            raise Forbidden(msg, code="expired")
        return gateway

    async def _check_pace(self, scope: Scope, gateway: str) -> None:
        query = select(func.count()).where(
            IssuedCertificate.company_id == scope.company_id,
            IssuedCertificate.gateway_id == gateway,
            IssuedCertificate.issued_us > self._now_us - DAY,
        )
        if (await self._session.execute(query)).scalar_one() >= _RENEWALS:
            msg = "this gateway was issued too many certificates today"
            raise TooMany(msg, retry_after=3600)


def _revoked() -> Forbidden:
    msg = "this gateway was revoked or released: reset it and claim it anew"
    return Forbidden(msg, code="revoked")


def _checked(asked: BeginIn, address: str) -> _Begun:
    try:
        key = read_request(asked.csr)
    except Rejected as error:
        raise InvalidRequest(str(error)) from error
    message = begin_message(asked.csr, asked.code_hash, asked.token, asked.certificate)
    if not _is_by(key, message, asked.signature):
        msg = "the request is not signed by the key that it is for"
        raise InvalidRequest(msg)
    return _Begun(asked, key, address)


def _is_by(key: ec.EllipticCurvePublicKey, message: bytes, signature: str) -> bool:
    """Say whether `key` has signed `message`: base64 of ECDSA with SHA-256, DER."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
