"""Claiming at the API: one winner, nothing for whoever only knows half, and nothing twice."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.config import CloudSettings
from plantroom_cloud.db import Database, Scope
from plantroom_cloud.gateways.claim import upkeep
from plantroom_cloud.gateways.claim.limits import Window
from plantroom_cloud.gateways.claim.repository import ProvisionRepository
from plantroom_cloud.gateways.pki import Authority
from plantroom_edge.claiming.keys import DeviceKey, check_grant, leaf_pem
from plantroom_shared.clock import SystemClock
from support.api_world import HOUR, ONE_ENGINE, Stopped, Tenant, client_of
from support.claim_device import WAITING, Device

SITE = "tower"


@pytest.fixture
def device() -> Device:
    """A device nobody knows."""
    return Device()


async def begin(client: httpx.AsyncClient, body: dict[str, Any], status: int = 200) -> Any:
    """Begin, and return the answer."""
    answer = await client.post("/provision/v1/begin", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def poll(client: httpx.AsyncClient, body: dict[str, Any], status: int = 200) -> Any:
    """Ask how a claim stands."""
    answer = await client.post("/provision/v1/poll", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def claim(client: httpx.AsyncClient, shown: Device, **more: Any) -> httpx.Response:
    """Claim a device."""
    body = {"code": shown.code, "fingerprint": shown.fingerprint, "site": SITE}
    return await client.post("/v1/gateways/claim", json=body | more)


def checked(device: Device, standing: Any) -> Any:
    """Return what the agent makes of a grant."""
    grant = standing["grant"]
    names = ("certificate", "ca", "binding", "binding_signature")
    return check_grant(device.key, *(grant[name] for name in names))


async def test_begin_claim_collect(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """The device gets a certificate for its own key, and only after somebody has claimed it."""
    standing = await begin(anonymous, device.begin())
    assert (standing["state"], standing["grant"]) == ("waiting", None)
    standing = await poll(anonymous, device.poll(standing))
    assert standing["state"] == "waiting"
    seen = (await client.post("/v1/gateways/claim/look", json={"code": device.code})).json()
    assert seen["fingerprint"] == device.fingerprint
    answer = await claim(client, device, gateway="gw-tower-0001", name="Basement")
    assert answer.json().get("gateway") == "gw-tower-0001", answer.text
    standing = await poll(anonymous, device.poll(standing))
    assert checked(device, standing) == ("gw-tower-0001", "acme", SITE)
    assert standing["grant"]["brokers"] == ["127.0.0.1:8883"]
    listed = (await client.get("/v1/gateways/gw-tower-0001")).json()
    assert listed["name"] == "Basement"
    assert (await poll(anonymous, device.poll(standing)))["grant"] == standing["grant"]


async def test_a_thousand_claims_have_one_winner(  # noqa: PLR0917 -- fixtures
    api: FastAPI,
    database: Database,
    acme: Tenant,
    rival: Tenant,
    anonymous: httpx.AsyncClient,
    device: Device,
) -> None:
    """Of two companies, each half of them at once; all others are told that it is taken.

    A hundred on SQLite, which has one writer at a time in any case.
    """
    number = 50 if database.is_sqlite else 500
    await begin(anonymous, device.begin())
    async with client_of(api, headers=acme.headers, timeout=120) as one:
        async with client_of(api, headers=rival.headers, timeout=120) as other:
            tries = [claim(who, device) for who in (one, other) for _ in range(number)]
            answers = await asyncio.gather(*tries)
        codes = [answer.status_code for answer in answers]
        assert codes.count(200) == 1
        assert set(codes) <= {200, 409, 503}
        winner = next(answer.json()["gateway"] for answer in answers if answer.status_code == 200)
        standing = await begin(anonymous, device.begin())
        assert standing["grant"]["gateway"] == winner
        async with client_of(api, headers=rival.headers) as other:
            found = [(await who.get(f"/v1/gateways/{winner}")).status_code for who in (one, other)]
    assert sorted(found) == [200, 404]


@ONE_ENGINE
async def test_a_stolen_pending_id_is_worth_nothing(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """Whoever has it but not the key hears a challenge, claimed or not, with whatever signature."""
    standing = await begin(anonymous, device.begin())
    thief = Device()
    await claim(client, device)
    for body in (
        {"pending": standing["pending"]},
        thief.poll(standing),
        {**device.poll(standing), "challenge": "0" * 64},
        {**device.poll(standing), "signature": "AAAA"},
    ):
        answer = await poll(anonymous, body)
        assert (answer["state"], answer["grant"], answer["expires"]) == ("challenge", None, None)


@ONE_ENGINE
async def test_a_poll_cannot_be_played_again_later(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device, clock: Stopped
) -> None:
    """A recording is good for ten minutes at most."""
    standing = await begin(anonymous, device.begin())
    await claim(client, device)
    recorded = device.poll(standing)
    assert (await poll(anonymous, recorded))["state"] == "claimed"
    clock.now += HOUR
    assert (await poll(anonymous, recorded))["state"] == "challenge"


@ONE_ENGINE
async def test_a_request_on_the_way_cannot_be_changed(
    anonymous: httpx.AsyncClient, device: Device
) -> None:
    """Another request, code or token under the same signature is refused, and changes nothing."""
    other, body = Device(), device.begin()
    for change in (
        {"csr": other.key.request()},
        {"csr": device.key.request()},
        {"code_hash": other.code_hash},
        {"token": "pe_x"},
        {"signature": other.begin()["signature"]},
        {"signature": ""},
    ):
        answer = await begin(anonymous, body | change, 422)
        assert answer["code"] == "invalid_request"


@ONE_ENGINE
async def test_who_shows_the_same_code_with_another_key_gets_nothing(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """The fingerprint decides; by the code alone nobody is shown, and the other goes on waiting."""
    thief = Device(code=device.code)
    await begin(anonymous, thief.begin())
    standing = await begin(anonymous, device.begin())
    answer = await client.post("/v1/gateways/claim/look", json={"code": device.code})
    assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous")
    answer = await client.post("/v1/gateways/claim/look", json={"code": device.qr})
    assert answer.json()["fingerprint"] == device.fingerprint
    claimed = await client.post("/v1/gateways/claim", json={"code": device.qr, "site": SITE})
    assert claimed.status_code == 200
    assert (await poll(anonymous, device.poll(standing)))["state"] == "claimed"
    assert (await begin(anonymous, thief.begin()))["state"] == "waiting"


@ONE_ENGINE
async def test_five_wrong_tries_lock_a_code(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """With the right fingerprint or the right code; a device that shows a new one waits again."""
    standing = await begin(anonymous, device.begin())
    stranger = Device()
    for wrong in ({"code": stranger.code}, {"fingerprint": stranger.fingerprint}) * 3:
        answer = await claim(client, device, **wrong)
        assert answer.status_code == 404
        assert device.fingerprint not in answer.text
    assert (await claim(client, device)).status_code == 409
    assert (await poll(anonymous, device.poll(standing)))["state"] == "locked"
    assert (await begin(anonymous, device.begin()))["state"] == "locked"
    anew = Device(key=device.key)
    assert (await begin(anonymous, anew.begin()))["state"] == "waiting"
    assert (await claim(client, anew)).status_code == 200


@ONE_ENGINE
async def test_twenty_wrong_tries_lock_a_person_out(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device, clock: Stopped
) -> None:
    """For an hour, even with the right code; nobody else is touched."""
    await begin(anonymous, device.begin())
    for _ in range(20):
        answer = await client.post("/v1/gateways/claim/look", json={"code": Device().code})
        assert answer.status_code == 404
    answer = await claim(client, device)
    assert (answer.status_code, answer.json()["code"]) == (429, "locked_out")
    assert int(answer.headers["Retry-After"]) > 0
    clock.now += HOUR + 1
    assert (await claim(client, device)).status_code == 200


@ONE_ENGINE
async def test_a_code_lasts_a_day(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device, clock: Stopped
) -> None:
    """Then nobody can claim with it, the device is told to begin anew, and at last it is forgotten."""
    standing = await begin(anonymous, device.begin())
    clock.now += 24 * HOUR
    assert (await claim(client, device)).status_code == 404
    await poll(anonymous, device.poll(standing), 404)
    again = await begin(anonymous, device.begin())
    assert again["pending"] != standing["pending"]
    assert (await claim(client, device)).status_code == 200


async def test_what_nobody_claims_is_forgotten(
    database: Database, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, clock: Stopped
) -> None:
    """A week after its time; what was claimed stays."""
    kept, gone = Device(), Device()
    for device in (kept, gone):
        await begin(anonymous, device.begin())
    await claim(client, kept)
    assert await upkeep.prune(database, clock.now + 9 * 24 * HOUR) == 2  # and the seeded one
    assert (await begin(anonymous, kept.begin()))["state"] == "claimed"


@ONE_ENGINE
async def test_roles_and_sites(
    api: FastAPI, acme: Tenant, rival: Tenant, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """Another company's site is not found, nor is one of nobody's; an id that is taken is told."""
    await begin(anonymous, device.begin())
    async with client_of(api, headers=rival.headers) as other:
        assert (await claim(other, device, site=acme.site)).status_code == 404
        taken = await claim(other, device, gateway=acme.gateway)
        assert (taken.status_code, taken.json()["code"]) == (409, "gateway_taken")
        assert "acme" not in taken.text.replace(acme.gateway, "")
        assert (await claim(other, device, gateway="plantroom-cloud")).status_code == 422
        assert (await claim(other, device, site="none")).status_code == 404
        assert (await claim(other, device)).status_code == 200


@ONE_ENGINE
async def test_a_replacement_takes_the_place(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, acme: Tenant, device: Device
) -> None:
    """A new identity; the old gateway is revoked and says who came after it."""
    await begin(anonymous, device.begin())
    answer = await claim(client, device, replaces=acme.gateway)
    assert answer.json()["replaces"] == acme.gateway
    old = (await client.get(f"/v1/gateways/{acme.gateway}/certificates")).json()
    assert old["replaced_by"] == answer.json()["gateway"]
    listed = (await client.get("/v1/gateways")).json()["items"]
    names = {one["id"]: one["name"] for one in listed}
    assert names[old["replaced_by"]] == names[acme.gateway], "it is called as the one before"
    assert old["revoked"] is not None


@ONE_ENGINE
async def test_a_device_without_an_agent(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """It is claimed the same way, and said to stream by itself."""
    await begin(anonymous, device.begin())
    wrong = await claim(client, device, device={"protocol": "sparkplug", "sparkplug_group": "a/b"})
    assert wrong.status_code == 422
    group = {"protocol": "sparkplug", "sparkplug_group": "Plant"}
    assert (await claim(client, device, device=group)).status_code == 200


# ---------------------------------------------------------------- tokens and lists


async def test_a_token_is_for_one_device(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device, clock: Stopped
) -> None:
    """It needs nobody on site; begun again the same device has the same, another has nothing."""
    body = {"site": SITE, "gateway": "gw-token-0001", "hours": 2}
    token = (await client.post("/v1/gateways/enrolment-tokens", json=body)).json()["token"]
    standing = await begin(anonymous, device.begin(token=token, code=False))
    assert checked(device, standing) == ("gw-token-0001", "acme", SITE)
    again = await begin(anonymous, device.begin(token=token, code=False))
    assert again["grant"] == standing["grant"]
    for used in (token, "pe_unknown"):
        answer = await begin(anonymous, Device().begin(token=used, code=False), 403)
        assert answer["code"] == "token"
    late = (await client.post("/v1/gateways/enrolment-tokens", json={"site": SITE})).json()
    clock.now += 25 * HOUR
    await begin(anonymous, Device().begin(token=late["token"], code=False), 403)


@ONE_ENGINE
async def test_two_devices_race_for_one_token(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    """One of them wins."""
    token = (await client.post("/v1/gateways/enrolment-tokens", json={"site": SITE})).json()
    bodies = [Device().begin(token=token["token"], code=False) for _ in range(20)]
    answers = await asyncio.gather(
        *(anonymous.post("/provision/v1/begin", json=body) for body in bodies)
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[403] * 19]


async def test_a_device_of_a_list_needs_nobody(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """With its key and its serial number; one with another serial number waits like any other."""
    other = Device(serial="SN-2")
    csv = "serial,fingerprint,gateway\n"
    csv += f"SN-1,{device.fingerprint.upper()},gw-list-0001\nSN-9,{other.fingerprint},\n"
    body = {"site": SITE, "csv": csv}
    assert (await client.post("/v1/gateways/expected", json=body)).json() == {
        "added": 2,
        "known": 0,
    }
    assert (await client.post("/v1/gateways/expected", json=body)).json() == {
        "added": 0,
        "known": 2,
    }
    standing = await begin(anonymous, device.begin(code=False))
    assert checked(device, standing).gateway == "gw-list-0001"
    assert (await begin(anonymous, other.begin()))["state"] == "waiting"
    listed = (await client.get("/v1/gateways/expected", params={"limit": 1})).json()
    rest = await client.get("/v1/gateways/expected", params={"after": listed["next"]})
    used = {row["serial"]: row["used"] for row in [*listed["items"], *rest.json()["items"]]}
    assert used["SN-1"] is not None
    assert used["SN-9"] is None


@ONE_ENGINE
async def test_what_one_list_has_no_other_gets(
    api: FastAPI, client: httpx.AsyncClient, rival: Tenant, device: Device
) -> None:
    """The first one counts, and nothing is said of whose it is."""
    csv = f"serial,fingerprint\nSN-1,{device.fingerprint}\n"
    await client.post("/v1/gateways/expected", json={"site": SITE, "csv": csv})
    async with client_of(api, headers=rival.headers) as other:
        answer = await other.post("/v1/gateways/expected", json={"site": SITE, "csv": csv})
    assert (answer.status_code, answer.json()["code"]) == (409, "expected_elsewhere")
    assert "acme" not in answer.text


@ONE_ENGINE
@pytest.mark.parametrize(
    ("csv", "says"),
    [
        ("", "serial,fingerprint"),
        ("serial,fingerprint,x\n", "serial,fingerprint"),
        ("serial,fingerprint\nSN,12\n", "64 hex digits"),
        ("serial,fingerprint\nSN\n", "as many cells"),
        ("serial,fingerprint\n,{0}\n", "serial number"),
        ("serial,fingerprint\nA,{0}\nB,{0}\n", "twice"),
        ("serial,fingerprint,gateway\nA,{0},x\n", "id is none"),
        ("serial,fingerprint,name\nA,{0}," + "n" * 201 + "\n", "name"),
        ('serial,fingerprint\n"A\x00"b,{0}\n', "NUL"),
        ("serial,fingerprint\n" + "a,b\n" * 5001, "at most 5000"),
    ],
)
async def test_a_list_is_good_as_a_whole(client: httpx.AsyncClient, csv: str, says: str) -> None:
    """Whatever is wrong is named with its line, and nothing of it is taken."""
    body = {"site": SITE, "csv": csv.replace("{0}", "0" * 64)}
    answer = await client.post("/v1/gateways/expected", json=body)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert (await client.get("/v1/gateways/expected")).json()["items"] == []


# ---------------------------------------------------------------- renewal and revocation


async def claimed(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> tuple[str, str]:
    """Return id and certificate of a device that was claimed."""
    await begin(anonymous, device.begin())
    gateway = (await claim(client, device)).json()["gateway"]
    grant = (await begin(anonymous, device.begin()))["grant"]
    return gateway, leaf_pem(grant["certificate"])


async def test_a_certificate_is_renewed_for_a_new_key(  # noqa: PLR0917 -- fixtures
    database: Database,
    client: httpx.AsyncClient,
    anonymous: httpx.AsyncClient,
    acme: Tenant,
    device: Device,
    clock: Stopped,
) -> None:
    """The old one stays good until a hello came with the new one, and a day longer."""
    clock.now = SystemClock().now_us()
    gateway, old = await claimed(client, anonymous, device)
    clock.now += HOUR
    new = Device()
    body = new.renewal(device.key, old)
    standing = await begin(anonymous, body)
    assert checked(new, standing).gateway == gateway
    assert (await begin(anonymous, body))["grant"] == standing["grant"]
    serial = x509.load_pem_x509_certificate(standing["grant"]["certificate"].encode()).serial_number
    async with database.write(Scope(acme.company)) as session:
        repository = ProvisionRepository(session, Scope(acme.company))
        await repository.confirm(gateway, f"{serial:x}", clock.now)
    await upkeep.prune(database, clock.now)
    told = (await client.get(f"/v1/gateways/{gateway}/certificates")).json()
    newest, oldest = told["certificates"]
    assert newest["how"] == "renewal"
    assert newest["confirmed"] is not None
    assert oldest["superseded"] is not None
    assert oldest["revoked"] is None
    clock.now += 25 * HOUR
    await upkeep.prune(database, clock.now)
    told = (await client.get(f"/v1/gateways/{gateway}/certificates")).json()
    assert [one["reason"] for one in told["certificates"]] == ["", "superseded"]
    await begin(anonymous, Device().renewal(device.key, old), 403)


@ONE_ENGINE
async def test_only_the_old_key_renews(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device, tmp_path: Any
) -> None:
    """A certificate alone, one of another authority or rubbish renews nothing."""
    _, old = await claimed(client, anonymous, device)
    thief = Device()
    answer = await begin(anonymous, thief.renewal(thief.key, old), 403)
    assert answer["code"] == "signature"
    foreign = Authority(tmp_path / "pki")
    foreign.prepare()
    key = load_pem_private_key(thief.key.pem, None).public_key()
    for pem in (leaf_pem(foreign.certify("gw-north-0001", key).certificate.decode()), "rubbish"):  # type: ignore[arg-type] # an EC key
        answer = await begin(anonymous, Device().renewal(thief.key, pem), 403)
        assert answer["code"] == "certificate"


@ONE_ENGINE
async def test_thirty_days_of_grace(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device, clock: Stopped
) -> None:
    """A certificate that is over can be renewed for a month, and then no more."""
    gateway, old = await claimed(client, anonymous, device)
    end = x509.load_pem_x509_certificate(old.encode()).not_valid_after_utc
    clock.now = int((end + timedelta(days=29)).timestamp() * 1e6)
    new = Device()
    standing = await begin(anonymous, new.renewal(device.key, old))
    assert checked(new, standing).gateway == gateway
    clock.now = int((end + timedelta(days=31)).timestamp() * 1e6)
    answer = await begin(anonymous, Device().renewal(device.key, old), 403)
    assert answer["code"] == "expired"


@ONE_ENGINE
async def test_a_gateway_gets_a_dozen_certificates_a_day(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """Whoever has its key cannot fill the list of certificates."""
    _, old = await claimed(client, anonymous, device)
    for _ in range(11):
        await begin(anonymous, Device().renewal(device.key, old))
    await begin(anonymous, Device().renewal(device.key, old), 429)


@pytest.mark.parametrize("way", ["revoke", "release"])
async def test_what_is_revoked_gets_nothing(
    way: str, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, device: Device
) -> None:
    """It neither collects nor renews nor begins again; a new key may be claimed, by anybody."""
    gateway, old = await claimed(client, anonymous, device)
    standing = await begin(anonymous, device.begin())
    body = {"reason": "stolen"} if way == "revoke" else None
    answer = await client.post(f"/v1/gateways/{gateway}/{way}", json=body)
    assert answer.json()["revoked"] is not None
    assert all(one["revoked"] for one in answer.json()["certificates"])
    for answer in (
        await begin(anonymous, device.begin(), 403),
        await poll(anonymous, device.poll(standing), 403),
        await begin(anonymous, Device().renewal(device.key, old), 403),
    ):
        assert answer["code"] == "revoked"
    reset = Device()
    assert (await begin(anonymous, reset.begin()))["state"] == "waiting"
    assert (await claim(client, reset)).status_code == 200


# ---------------------------------------------------------------- limits and rubbish


@ONE_ENGINE
async def test_one_address_begins_so_often(
    anonymous: httpx.AsyncClient, api: FastAPI, clock: Stopped
) -> None:
    """Then it is told when to come again; the rest of the world goes on."""
    shared = api.state.provision
    shared.begins = Window(3, 3600.0)
    for _ in range(3):
        await begin(anonymous, Device().begin())
    answer = await anonymous.post("/provision/v1/begin", json=Device().begin())
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    clock.now += HOUR + 1
    await begin(anonymous, Device().begin())


@ONE_ENGINE
async def test_so_many_devices_may_wait(
    anonymous: httpx.AsyncClient, api: FastAPI, acme: Tenant
) -> None:
    """Beyond that none may begin to, and those that wait go on."""
    claim_settings = CloudSettings().claim.model_copy(update={"waiting": 2})
    shared = api.state.provision
    shared.settings = shared.settings.model_copy(update={"claim": claim_settings})
    await begin(anonymous, (kept := Device()).begin())
    await begin(anonymous, Device().begin(), 429)
    assert (await begin(anonymous, kept.begin(), 429))["code"] == "too_many_requests"
    assert WAITING.fingerprint
    assert acme.company


def test_a_window_forgets_the_silent() -> None:
    """It never holds more keys than it may."""
    from plantroom_cloud.gateways.claim import limits

    window = Window(1, 10.0)
    for number in range(limits._MOST_KEYS + 10):
        assert window.wait(str(number), 0.0) == 0.0
    assert len(window._seen) <= limits._MOST_KEYS
    window.wait("late", 20.0)
    assert window.wait("late", 21.0) == pytest.approx(9.0)


_TEXT = st.text(max_size=40)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(_TEXT, st.none(), st.integers(), st.dictionaries(_TEXT, _TEXT, max_size=2))
        for name in ("csr", "code_hash", "token", "certificate", "facts", "signature", "more")
    },
)


@ONE_ENGINE
async def test_rubbish_is_refused(anonymous: httpx.AsyncClient, api: FastAPI) -> None:
    """Whatever a device sends is a 422 or a 403; nothing of it is our fault."""
    api.state.provision.begins = Window(10_000, 3600.0)
    bodies: list[dict[str, Any]] = []

    @given(_BODY)
    def collect(body: dict[str, Any]) -> None:
        bodies.append(body)

    collect()
    good = Device().begin()
    bodies += [good | {name: "\x00"} for name in good]
    bodies += [good | {"csr": base64.b64encode(b"x" * 100).decode()}, good | {"facts": {"a": "\n"}}]
    bodies += [good | {"facts": {str(n): "x" for n in range(17)}}]
    rsa = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"
    bodies += [good | {"csr": rsa}]
    for body in bodies:
        answer = await anonymous.post("/provision/v1/begin", json=body)
        assert answer.status_code in {422, 403}, (body, answer.text)
    for body in ({}, {"pending": "x"}, {"pending": "A" * 22, "signature": "\x00"}):
        assert (await anonymous.post("/provision/v1/poll", json=body)).status_code == 422


def test_device_key_of_the_agent_is_what_the_cloud_takes() -> None:
    """Both ends make the same fingerprint of a key."""
    from plantroom_cloud.gateways.certificates import fingerprint, read_request

    key = DeviceKey.new()
    assert fingerprint(read_request(key.request())) == key.fingerprint
