"""The signer against what the vendor's own code and documents give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from demo.enos_sim import security
from plantroom_cloud.publishing.enos import signing

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "enos_vectors.json").read_text())
NAMES = ("clientId", "deviceKey", "productKey", "timestamp")


def body_of(case: dict[str, Any]) -> bytes:
    return (case["body"] or "").encode()


@pytest.mark.parametrize("case", VECTORS["rest_token"], ids=lambda case: str(case["timestamp"]))
def test_token_encryption(case: dict[str, Any]) -> None:
    """Client and simulator agree with the vectors on the proof of a token request."""
    key, at, secret = case["appKey"], case["timestamp"], case["appSecret"]
    assert signing.token_encryption(key, at, secret) == case["encryption"]
    assert security.encryption_ok(key, secret, str(at), case["encryption"])


@pytest.mark.parametrize("case", VECTORS["rest_signature"], ids=lambda case: str(case["name"]))
def test_request_signature(case: dict[str, Any]) -> None:
    """Client and simulator agree with the vectors on the signature of a request."""
    token, query, at, secret = (case[k] for k in ("accessToken", "query", "timestamp", "appSecret"))
    signed = signing.request_signature(token, query, body_of(case), at, secret)
    assert signed == case["signature"]
    assert security.signature_ok(
        token,
        list(query.items()),
        body_of(case),
        str(at),
        app_secret=secret,
        signature=case["signature"],
    )


def test_a_repeated_query_name_has_no_signature() -> None:
    """EnOS reads each name once; a request that repeats one is refused."""
    signature = signing.request_signature("t", {"a": "1"}, b"", 1, "s")
    repeated = [("a", "1"), ("a", "1")]
    assert not security.signature_ok("t", repeated, b"", "1", app_secret="s", signature=signature)


def connects() -> list[tuple[dict[str, str], str, str, str]]:
    """Return (signed fields, secret, method, password) of every MQTT vector."""
    found = []
    for case in VECTORS["mqtt_connect"]:
        client = case["productKey"] if case["secureMode"] == 4 else case["deviceKey"]
        secret = case["deviceSecret"] or case["productSecret"]
        fields = (client, case["deviceKey"], case["productKey"])
        vendor, ours = case["py_sdk"], case["recommended_int_timestamp"]
        signed = dict(zip(NAMES, (*fields, vendor["timestamp"]), strict=True))
        found.append((signed, secret, case["sign_method"], vendor["password"]))
        signed = dict(zip(NAMES, (*fields, ours["timestamp"]), strict=True))
        method = case["sign_method"].removeprefix("hmac")
        found += [(signed, secret, method, ours[f"password_{sdk}_sdk"]) for sdk in ("java", "node")]
    for case in VECTORS["mqtt_doc_inputs"]:
        signed = {name: case[name] for name in NAMES}
        found += [
            (signed, case["secret"], case["sign_method"], case[f"{sdk}_sdk"])
            for sdk in ("java", "node")
        ]
    return found


@pytest.mark.parametrize("case", connects())
def test_mqtt_password(case: tuple[dict[str, str], str, str, str]) -> None:
    """Client and simulator agree with all three vendor packages, up to the case of letters."""
    signed, secret, method, password = case
    assert signing.parameter_signature(signed, secret, method) == password.lower()
    assert security.device_sign_ok(signed, secret, method, password)
    assert not security.device_sign_ok(signed, secret + "x", method, password)


@pytest.mark.parametrize("case", VECTORS["mqtt_connect"])
def test_mqtt_login(case: dict[str, Any]) -> None:
    """Client id, user name and password are what the vendor's packages send for sha256."""
    if case["sign_method"] != "hmacsha256":
        return
    ours = case["recommended_int_timestamp"]
    client_id, username, password = signing.mqtt_login(
        case["productKey"],
        case["deviceKey"],
        client_id=case["productKey"] if case["secureMode"] == 4 else case["deviceKey"],
        timestamp=ours["timestamp"],
        secret=case["deviceSecret"] or case["productSecret"],
        mode=case["secureMode"],
    )
    assert (client_id, username) == (ours["mqtt_client_id"], ours["username"])
    assert password == ours["password_node_sdk"]


def sub_devices() -> list[tuple[dict[str, str], str]]:
    """Return (login, device secret) of every sub-device in the vectors."""
    cases = VECTORS["sub_device"]
    batch = cases["combine_login_batch"]["payload"]["params"]
    first, second = ({**batch, **item} for item in batch["subDevices"])
    return [
        (cases["login_info_explicit"], "subSecret1"),
        (cases["combine_login"]["payload"]["params"], "subSecret1"),
        (cases["topo_add"]["payload"]["params"][0], "subSecret1"),
        (first, "subSecret1"),
        (second, "subSecret2"),
    ]


@pytest.mark.parametrize("case", sub_devices())
def test_sub_device_sign(case: tuple[dict[str, str], str]) -> None:
    """Sub-devices sign four fields with their own secret."""
    login, secret = case
    signed = {name: login[name] for name in NAMES}
    assert signing.parameter_signature(signed, secret, login["signMethod"]) == login["sign"]
    assert security.device_sign_ok(signed, secret, login["signMethod"], login["sign"])


def test_device_http_sign() -> None:
    """The device HTTP variant signs with the same formula."""
    (case,) = VECTORS["device_http_auth"]
    fields = {
        "deviceKey": case["deviceKey"],
        "lifetime": case["lifetime"],
        "productKey": case["productKey"],
        "signMethod": "sha256",
    }
    assert signing.parameter_signature(fields, case["deviceSecret"]) == case["sign"]
