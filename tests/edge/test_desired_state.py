"""Desired configurations on the gateway, the pure parts: merging, the state on the disk, the trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plantroom_edge.config import ConfigErrors, in_force, load, load_with
from plantroom_edge.config_yaml import read
from plantroom_edge.desired import start
from plantroom_edge.desired.merging import digest, merged, offered
from plantroom_edge.desired.state import Entry, State, Trial
from plantroom_edge.desired.trial import Loss, Seen, make_trial, settled, verdict
from plantroom_edge.reconfigure import compare
from plantroom_shared.errors import ConfigError

PROFILE = "meter/eastron-sdm630"
NOW = 1_790_000_000_000_000


def bus(*names: str, **more: Any) -> dict[str, Any]:
    devices = [{"name": name, "unit": 1, "profile": PROFILE} for name in names]
    return {"name": "power", "driver": "modbus", "host": "10.0.0.7", "devices": devices} | more


def site(folder: Path, *buses: dict[str, Any], **more: Any) -> Path:
    file, key = folder / "edge.yaml", folder / "k.pem"
    key.touch()
    content = {"gateway": "gw-test-0001", "site": "bench", "buses": list(buses)}
    content |= {"desired": {"keys": {"k-1": "k.pem"}}} | more
    file.write_text(yaml.safe_dump(content))
    return file


def entry(file: Path, document: dict[str, Any], **more: Any) -> Entry:
    about = {"id": "a-1", "version": 3, "serial": 7, "based": digest(read(file).content)}
    return Entry.model_validate(about | {"document": document} | more)


def put(file: Path, state: State) -> Path:
    place = file.parent / "data" / "desired.json"
    place.parent.mkdir(exist_ok=True)
    state.write(place)
    return place


# ---------------------------------------------------------------- merging


def test_what_the_cloud_wants_takes_the_place_of_its_sections(tmp_path: Path) -> None:
    """The sections that it names are its own; all else is the site's."""
    file = site(tmp_path, bus("a"))
    config = load_with(file, entry(file, {"site": "annex", "buses": [bus("a", "b")]}))
    assert (config.site, len(config.buses[0].devices)) == ("annex", 2)  # type: ignore[attr-defined]
    assert config.gateway == "gw-test-0001"


def test_paths_and_ports_of_the_machine_stay_the_sites(tmp_path: Path) -> None:
    """What the document leaves out is kept; what it brings along is refused by name."""
    device = {"name": "m", "profile": PROFILE, "profile_dir": "own"}
    line: dict[str, Any] = {"name": "line", "driver": "modbus", "devices": [device]}
    line |= {"transport": "rtu", "serial": "/dev/ttyUSB0"}
    content = {"buses": [line]}
    wanted = {k: v for k, v in line.items() if k != "serial"} | {"baud": 19200}
    wanted["devices"] = [{"name": "m", "profile": PROFILE, "unit": 4}]
    out, wrong = merged(content, {"buses": [wanted]})
    assert wrong == []
    assert out["buses"][0]["serial"] == "/dev/ttyUSB0"
    assert out["buses"][0]["devices"][0] == {
        "name": "m", "profile": PROFILE, "unit": 4, "profile_dir": "own",
    }  # fmt: skip
    for key, value in (("serial", "/dev/ttyS1"), ("tls", {"ca": "x"})):
        _, wrong = merged(content, {"buses": [wanted | {key: value}]})
        assert [error.key for error in wrong] == [f"buses.line.{key}"]
    elsewhere = wanted | {"devices": [device | {"profile_dir": "/"}]}
    _, wrong = merged(content, {"buses": [elsewhere]})
    assert [error.key for error in wrong] == ["buses.line.devices.m.profile_dir"]
    _, wrong = merged({}, {"buses": [line]})
    assert {error.key for error in wrong} == {
        "buses.line.serial", "buses.line.devices.m.profile_dir",
    }  # fmt: skip


def test_a_mapping_of_devices_is_matched_by_its_keys() -> None:
    """BACnet's devices are keyed by number in the file and by text in a message; files stay."""
    there = {
        "name": "b",
        "driver": "bacnet",
        "ede": ["plant.csv"],
        "devices": {1001: {"interval": 5}},
    }
    wanted = {"name": "b", "driver": "bacnet", "devices": {"1001": {"interval": 9}}}
    out, wrong = merged({"buses": [there]}, {"buses": [wanted]})
    assert (wrong, out["buses"][0]["ede"]) == ([], ["plant.csv"])
    for key, value in (("ede", ["/etc/passwd"]), ("time_sync", "utc"), ("profile_dir", "/")):
        _, wrong = merged({"buses": [there]}, {"buses": [wanted | {key: value}]})
        assert [error.key for error in wrong] == [f"buses.b.{key}"]


def test_what_is_offered_can_be_wanted_again(tmp_path: Path) -> None:
    """The document that a gateway tells has nothing that is the site's, and merges to what there is."""
    line = bus("a") | {"devices": [{"name": "a", "profile": PROFILE, "profile_dir": "own"}]}
    file = site(tmp_path, line)
    told = offered(read(file).content)
    assert "own" not in orjson.dumps(told).decode()
    assert "desired" not in told
    out, wrong = merged(read(file).content, told)
    assert (out, wrong) == (read(file).content, [])


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=20,
    )
)
def test_any_document_merges_or_is_complained_of(wanted: Any) -> None:
    """Whatever a message says, merging ends; the check of the whole says what is wrong."""
    there = {"buses": [bus("a")]}
    for document in (
        {"buses": wanted},
        {"buses": [wanted]},
        {"buses": [bus() | {"devices": wanted}]},
    ):
        merged(there, document)
        offered(document)


# ---------------------------------------------------------------- what counts


def test_it_counts_as_long_as_the_site_says_the_same(tmp_path: Path) -> None:
    """A change of the sections on site, or of whose keys count, ends it; other keys do not."""
    file = site(tmp_path, bus("a"))
    put(file, State(in_force=entry(file, {"site": "annex"})))
    assert load(file).site == "annex"
    site(tmp_path, bus("a"), buffer={"limit_mb": 64})
    assert load(file).site == "annex"
    site(tmp_path, bus("a"), desired={})
    assert load(file).site == "bench"
    site(tmp_path, bus("a", "b"))
    assert (load(file).site, in_force(read(file))) == ("bench", None)
    site(tmp_path, bus("a"))
    assert load(file).site == "annex"


def test_complaints_name_the_version_not_a_line_of_the_file(tmp_path: Path) -> None:
    """All that is wrong with it is told at once, as of a file."""
    file = site(tmp_path, bus("a"))
    with pytest.raises(ConfigErrors) as caught:
        load_with(file, entry(file, {"buses": [bus("a", timeout="x", colour=1)]}))
    assert len(caught.value.errors) == 2
    assert all("desired configuration 3" in str(error.file) for error in caught.value.errors)


def test_a_damaged_state_does_not_count(tmp_path: Path) -> None:
    """The site's own file runs; whoever runs it moves the damaged one aside."""
    file = site(tmp_path, bus("a"))
    place = put(file, State(in_force=entry(file, {"site": "annex"}), serial=9))
    for content in (b"", b"{", b'{"v": 2}', b"[]"):
        place.write_bytes(content)
        assert load(file).site == "bench"
        state, damaged = State.open(place)
        assert (damaged, state.serial, place.exists()) == (True, 0, False)


# ---------------------------------------------------------------- the way in


def test_two_deaths_within_a_trial_end_it(tmp_path: Path) -> None:
    """The third start goes back to what was before, and will say so."""
    file = site(tmp_path, bus("a"))
    former = entry(file, {"site": "first"})
    state = State(in_force=former)
    state.try_out(entry(file, {"site": "second"}, id="a-2", version=4), Trial(), NOW)
    place = put(file, state)
    seen = [start.beginning(load(file), file).site for _ in range(3)]
    assert seen == ["second", "second", "first"]
    told = State.read(place).untold[-1]
    assert (told.kind, told.doc["id"], told.doc["reason"]) == (
        "desired.rolled_back",
        "a-2",
        "crashed",
    )


def test_what_cannot_be_used_any_more_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    """A document that a new release refuses is set aside; one on trial goes back to the former."""
    file = site(tmp_path, bus("a"))
    broken = entry(file, {"buses": [bus("a", gone=1)]}, id="a-2")
    place = put(file, State(in_force=broken))
    assert start.load_to_run(file).site == "bench"
    assert [one.kind for one in State.read(place).untold] == ["desired.set_aside"]
    state = State(in_force=entry(file, {"site": "first"}))
    state.try_out(broken, Trial(), NOW)
    put(file, state)
    assert start.load_to_run(file).site == "first"
    assert State.read(place).untold[-1].kind == "desired.rolled_back"
    file.write_text("gateway: x\n")
    with pytest.raises(ConfigError):
        start.load_to_run(file)


# ---------------------------------------------------------------- the trial


def look(**devices: bool) -> dict[str, dict[str, Seen]]:
    return {"power": {f"modbus:{k}": Seen(v, ("p1", "p2"), 1.0) for k, v in devices.items()}}


def test_what_gave_values_must_give_them_again(tmp_path: Path) -> None:
    """A changed device each, a bus as a whole, and four fifths of the rest."""
    file = site(tmp_path, bus("a", "b", "c", "d", "e", "f"))
    old = load(file)
    new = load_with(file, entry(file, {"buses": [bus("a", "b", "c", "d", "e", timeout=2)]}))
    plan = compare(old, new)
    before = look(a=True, b=True, c=True, d=True, e=False, f=True)
    trial = make_trial(plan, before)
    assert trial.expect == {"power": ["modbus:a", "modbus:b", "modbus:c", "modbus:d"]}
    assert trial.points == 10
    good = look(a=True, b=True, c=True, d=True, e=False)
    assert settled(trial, good, force=False)
    assert verdict(trial, good, force=False) == ("", [])
    one_less = look(a=True, b=True, c=True, d=False, e=False)
    assert not settled(trial, one_less, force=False)
    assert verdict(trial, one_less, force=False) == ("no-samples", ["modbus:d"])
    assert verdict(trial, one_less, force=True) == ("", ["modbus:d"])
    silent = look(a=False, b=False, c=False, d=False, e=False)
    assert verdict(trial, silent, force=True) == ("no-samples", ["power"])
    fewer = {"power": {key: Seen(seen.gives, ("p1",)) for key, seen in good["power"].items()}}
    assert verdict(trial, fewer, force=False)[0] == "points-lost"
    changed = trial.model_copy(update={"changed": ["modbus:d"]})
    assert verdict(changed, one_less, force=True) == ("no-samples", ["modbus:d"])


def test_a_new_bus_must_give_something(tmp_path: Path) -> None:
    """A bus that was not there before is held to at least one device."""
    file = site(tmp_path)
    trial = make_trial(
        compare(load(file), load_with(file, entry(file, {"buses": [bus("a", "b")]}))), {}
    )
    assert trial.added == ["power"]
    assert verdict(trial, {}, force=True) == ("no-samples", ["power"])
    assert verdict(trial, look(a=True, b=False), force=False) == ("", [])


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (Loss(0, 10, 0, 3), ""),
        (Loss(1, 10, 0, 3), ""),
        (Loss(2, 10, 0, 3), "points-dropped"),
        (Loss(1, 10, 3, 3), "all-writes"),
        (Loss(0, 0, 0, 0, 1, 5), "points-dropped"),
        (Loss(0, 0, 0, 0, 1, 6), ""),
    ],
)
def test_a_fifth_of_the_points_and_all_writes_need_force(loss: Loss, reason: str) -> None:
    """Below a fifth nobody is asked; before anybody has looked, devices of the file count."""
    assert loss.reason == reason
    assert loss.words()
