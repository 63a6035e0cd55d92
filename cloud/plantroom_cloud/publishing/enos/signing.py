"""What EnOS wants signed, and how. Pure: no clock, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

_HASHES = {
    "sha256": hashlib.sha256,
    "hmacsha256": hashlib.sha256,
    # EnOS names these two in its own protocol; they protect nothing of ours.
    "sha1": hashlib.sha1,
    "hmacsha1": hashlib.sha1,
    "md5": hashlib.md5,
    "hmacmd5": hashlib.md5,
}
"""Sign method → hash. The vendor's "hmac" names mean the plain hash too."""


def token_encryption(app_key: str, timestamp_ms: int, app_secret: str) -> str:
    """Return the proof that a token request carries, as lower-case hex."""
    return hashlib.sha256(f"{app_key}{timestamp_ms}{app_secret}".encode()).hexdigest()


def request_signature(
    token: str, query: Mapping[str, str], body: bytes, timestamp_ms: int, app_secret: str
) -> str:
    """Return the ``apim-signature`` of one request, as lower-case hex.

    Args:
        token: the access token.
        query: every query parameter, values not percent-encoded; no name comes twice.
        body: the very bytes that are sent; empty for GET.
        timestamp_ms: what goes into ``apim-timestamp``.
        app_secret: the secret of the app key.
    """
    digest = hashlib.sha256(token.encode())
    for name in sorted(query):  # code-point order, as the vendor sorts: A < B < a
        digest.update(f"{name}{query[name]}".encode())
    digest.update(body)
    digest.update(f"{timestamp_ms}{app_secret}".encode())
    return digest.hexdigest()


def parameter_signature(params: Mapping[str, str], secret: str, method: str = "sha256") -> str:
    """Return the device-side signature: sorted names and values, then the secret; lower-case hex.

    Args:
        params: for MQTT and sub-devices ``clientId``, ``deviceKey``, ``productKey``,
            ``timestamp``; for device HTTP also ``lifetime`` and ``signMethod``.
        secret: the device's or the product's secret.
        method: one of ``sha256``, ``sha1``, ``md5`` or their ``hmac...`` aliases.

    Raises:
        KeyError: the method is none of these.
    """
    text = "".join(f"{name}{params[name]}" for name in sorted(params)) + secret
    return _HASHES[method](text.encode()).hexdigest()


def mqtt_login(
    product_key: str, device_key: str, *, client_id: str, timestamp: str, secret: str, mode: int
) -> tuple[str, str, str]:
    """Return MQTT client id, user name and password of a device.

    Args:
        product_key: of the device's product.
        device_key: the device; ``%channel%`` for an offline integration channel.
        client_id: the device key, or the product key in mode 4.
        timestamp: milliseconds as text; EnOS takes it as it stands.
        secret: device secret in mode 2, product secret in modes 3 and 4.
        mode: 2 static, 3 dynamic activation, 4 integration channel.
    """
    signed = {
        "clientId": client_id,
        "deviceKey": device_key,
        "productKey": product_key,
        "timestamp": timestamp,
    }
    client = f"{client_id}|securemode={mode},signmethod=sha256,timestamp={timestamp}|"
    password = parameter_signature(signed, secret).upper()
    return client, f"{device_key}&{product_key}", password
