"""The parts of commands by themselves: configuration, keys, time, turns, the journal, the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError
from typer.testing import CliRunner

from plantroom_edge.cli import app
from plantroom_edge.commands.config import Grant, WritesConfig, same
from plantroom_edge.commands.journal import KEPT, Journal
from plantroom_edge.commands.keys import Keyring
from plantroom_edge.commands.moments import Lease, Now, boot_id, open_window
from plantroom_edge.commands.switch import Position, Switch
from plantroom_edge.config import load
from plantroom_shared.errors import ConfigError, Rejected, Unavailable
from plantroom_shared.wire import read_order
from support.command_site import body, public_pem

NOW = Now(1_790_000_000_000_000, 1_000_000_000, boot="a")
GOOD: dict[str, Any] = {"point": "*", "min": 0, "max": 10}


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"max": None}, "both"),
        ({"min": None, "max": None}, "say what may be written"),
        ({"values": [1]}, "not both"),
        ({"min": 11}, "above"),
        ({"lease": 3601}, "max_lease"),
        ({"priority_min": 15, "priority_max": 14}, "priority_max"),
        ({"priority": 3}, "between"),
        ({"priority": 8, "priority_min": 8}, "allow_high_priority"),
        ({"priority": 2}, "greater than"),
        ({"safe_value": 11}, "safe_value"),
    ],
)
def test_a_grant_that_does_not_go_together(more: dict[str, Any], what: str) -> None:
    """Limits that contradict each other are refused by name."""
    with pytest.raises(ValidationError, match=what):
        Grant.model_validate(GOOD | more)


def test_the_first_grant_that_fits_counts() -> None:
    """Patterns are tried in their order; what none fits is not written."""
    grants = [{"point": "a:1", "values": [True, "on"]}, {"point": "a:*", "min": 0, "max": 1}]
    config = WritesConfig.model_validate({"allow": grants})
    first, second = config.grant("a:1"), config.grant("a:2")
    assert first is not None
    assert second is not None
    assert config.grant("b:1") is None
    assert [first.unfit(one) for one in (True, "on", 2)] == ["", "", "value-not-allowed"]
    assert [second.unfit(one) for one in (0.5, 2, True)] == ["", "out-of-range", "not-a-number"]
    assert same(1, True)
    assert not same("1", 1)


def test_keys_must_be_keys(tmp_path: Path) -> None:
    """A file that is missing, rubbish, or a key of another kind ends the start with the fix."""
    file = tmp_path / "k.pem"
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    for content in (None, b"rubbish", other.public_bytes(serialization.Encoding.PEM, form)):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError, match="command key"):
            Keyring("gw", {"k1": file})


def test_windows_and_leases() -> None:
    """A clock that runs free is judged to the worse; a lease over a restart of the machine is the wall's."""
    start = NOW.wall_us
    window = open_window(start, start + 10_000_000, NOW, longest_us=60_000_000, floor_us=0)
    assert not isinstance(window, str)
    assert window.left_us(replace(NOW, clock="holdover")) == 5_000_000
    assert window.left_us(replace(NOW, wall_us=start - 10**9)) == 10_000_000
    floor = start + 11_000_000
    late = open_window(start, start + 10_000_000, NOW, longest_us=60_000_000, floor_us=floor)
    assert late == "expired"
    lease = Lease.begin(10, NOW)
    assert lease.left_us(replace(NOW, wall_us=0)) == 10_000_000
    again = replace(NOW, boot="b", mono_us=1)
    assert lease.left_us(replace(again, wall_us=start + 4_000_000)) == 6_000_000
    assert lease.left_us(replace(again, wall_us=0)) == 10_000_000
    assert lease.left_us(replace(again, clock="unset")) == 0
    assert lease.sooner(Lease.begin(1, NOW), NOW).length_us == 1_000_000
    anchored = lease.anchored(replace(again, wall_us=start + 4_000_000))
    assert anchored.left_us(replace(again, mono_us=6_000_001, wall_us=0)) == 0
    assert boot_id(Path("/nowhere")) != boot_id(Path("/nowhere"))


@pytest.mark.parametrize(
    "more",
    [
        {"writes": []},
        {"kind": "release"},
        {"expires": 1},
        {"nonce": "x"},
        {"lease_s": 0},
        {"writes": [{"point": "a", "value": None}]},
        {"writes": [{"point": "a", "value": 2**63}]},
        {"writes": [{"point": "a", "value": 1}, {"point": "a", "value": 2}]},
        {"writes": [{"point": "a", "value": 1, "if": "?"}]},
    ],
)
def test_orders_that_are_none(more: dict[str, Any]) -> None:
    """What does not go together, or has a key too many, is refused."""
    with pytest.raises(Rejected):
        read_order(orjson.dumps(body(**more)).decode())
    with pytest.raises(Rejected):
        read_order("{")


def test_the_journal_forgets_what_cannot_come_again(tmp_path: Path) -> None:
    """Old commands go once their copies would be too late by the floor; the rest stays."""
    journal = Journal(tmp_path / "c.db", NOW)
    row = "INSERT INTO command VALUES (?,?,'write','cloud','a','{}',?,'executed','',?,0,'','{}')"
    rows = [(f"c{n}", f"n{n}", n, n) for n in range(KEPT + 50)]
    journal._db.execute("BEGIN")  # one way to the disk for all
    journal._db.executemany(row, rows)
    journal._db.execute("COMMIT")
    assert journal.prune() == 0
    journal.set_note("floor_us", "30")
    assert journal.prune() == 0  # among the last ones it keeps all the same
    journal.set_note("floor_us", str(KEPT + 20))
    assert journal.prune() == 21
    assert not journal.full()
    journal.close()


def test_a_journal_that_cannot_be_opened(tmp_path: Path) -> None:
    """A folder that is missing is a fault of the machine: it is tried again."""
    with pytest.raises(Unavailable):
        Journal(tmp_path / "none" / "c.db", NOW)


def test_a_switch_without_a_folder(tmp_path: Path) -> None:
    """Where nobody can tell how it stands it is off; where it cannot be set that is said."""
    (tmp_path / "file").write_text("")
    assert Switch(tmp_path / "none" / "s.json").read().off
    assert not Switch(tmp_path / "s.json").read().off
    with pytest.raises(Unavailable):
        Switch(tmp_path / "file" / "s.json").set(Position(off=True))


def write_config(folder: Path) -> Path:
    (folder / "k1.pem").write_bytes(public_pem())
    file = folder / "edge.yaml"
    file.write_text(
        "gateway: gw-write-0001\nsite: here\nwrites:\n  enabled: true\n  keys: {k1: k1.pem}\n"
        "  allow:\n    - {point: 'a:*', min: 0, max: 1}\n"
    )
    return file


def test_the_configuration(tmp_path: Path) -> None:
    """Key files are taken from the folder of the file; nothing is allowed where nothing is said."""
    config = load(write_config(tmp_path))
    assert config.writes.keys == {"k1": tmp_path / "k1.pem"}
    assert not WritesConfig().enabled


def test_the_switch_by_the_command_line(tmp_path: Path) -> None:
    """Off, on, release-all and status work whether the agent runs or not; write needs it."""
    file, run = str(write_config(tmp_path)), CliRunner().invoke
    assert "off" in run(app, ["writes", "off", file]).output
    shown = orjson.loads(run(app, ["writes", "status", file, "--json"]).output)
    assert (shown["off"], shown["running"], "no journal" in shown["problem"]) == (True, False, True)
    assert "on" in run(app, ["writes", "on", file]).output
    assert run(app, ["writes", "release-all", file]).exit_code == 0
    assert "enabled" in run(app, ["writes", "status", file]).output
    refused = run(app, ["write", file, "a:1", "on"])
    assert isinstance(refused.exception, ConfigError)
