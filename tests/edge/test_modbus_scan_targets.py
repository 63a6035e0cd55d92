"""What people write as the place of a Modbus scan."""

from __future__ import annotations

from pathlib import Path

import pytest

from plantroom_edge.drivers.modbus import scan_targets
from plantroom_edge.drivers.modbus.scan_targets import MAX_HOSTS, Host, Serial, parse, tcp_bus
from plantroom_shared.errors import ConfigError


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("meter.local", [Host("meter.local", (502,))]),
        ("10.0.0.7", [Host("10.0.0.7", (502,))]),
        ("10.0.0.7:1502", [Host("10.0.0.7", (1502,))]),
        ("fe80::1", [Host("fe80::1", (502,))]),
        ("[fe80::1]:1502", [Host("fe80::1", (1502,))]),
        ("[fe80::1]", [Host("fe80::1", (502,))]),
        ("10.0.0.0/30", [Host("10.0.0.1", (502,)), Host("10.0.0.2", (502,))]),
        ("10.0.0.5/30:1502", [Host("10.0.0.5", (1502,)), Host("10.0.0.6", (1502,))]),
        ("10.0.0.9/32", [Host("10.0.0.9", (502,))]),
    ],
)
def test_hosts_and_networks(target: str, hosts: list[Host]) -> None:
    """Names, addresses, ports and networks become hosts."""
    assert parse([target]) == (hosts, [])


def test_a_host_stands_once_with_all_its_ports() -> None:
    """What is named twice is asked once; two ports of a host are asked one after the other."""
    hosts, _ = parse(["10.0.0.1", "10.0.0.0/30", "10.0.0.1:503", "10.0.0.1:503"])
    assert hosts == [Host("10.0.0.1", (502, 503)), Host("10.0.0.2", (502,))]


def test_serial_ports() -> None:
    """A serial port has a speed and a parity."""
    assert parse(
        ["/dev/ttyUSB0", "/dev/ttyS1:19200", "/dev/ttyS2:4800,odd", "/dev/ttyS3:,even"]
    ) == (
        [],
        [
            Serial("/dev/ttyUSB0"),
            Serial("/dev/ttyS1", 19200),
            Serial("/dev/ttyS2", 4800, "odd"),
            Serial("/dev/ttyS3", 9600, "even"),
        ],
    )


@pytest.mark.parametrize(
    "target",
    [
        "",
        "10.0.0.1:0",
        "10.0.0.1:x",
        "10.0.0.0/99",
        "a b",
        "-x",
        "/dev/ttyS0:x",
        "/dev/ttyS0:9600,y",
    ],
)
def test_nonsense_is_refused(target: str) -> None:
    """What is no place is refused with how to write one."""
    with pytest.raises(ConfigError, match="is no place to scan; write"):
        parse([target])


@pytest.mark.parametrize("targets", [["10.0.0.0/8"], ["10.0.0.0/20", "10.1.0.0/20"]])
def test_a_network_that_is_too_large_is_refused(targets: list[str]) -> None:
    """A slip of the pen does not ask sixteen million addresses."""
    with pytest.raises(ConfigError, match=f"{MAX_HOSTS}"):
        parse(targets)


def test_without_targets_the_neighbours_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are what the system has in its own table; who did not answer it is left out."""
    table = tmp_path / "arp"
    table.write_text(
        "IP address  HW type  Flags  HW address  Mask  Device\n"
        "10.0.0.5  0x1  0x2  00:11:22:33:44:55  *  eth0\n"
        "10.0.0.6  0x1  0x0  00:00:00:00:00:00  *  eth0\n"
        "\n"
    )
    monkeypatch.setattr(scan_targets, "_ARP", table)
    assert parse([]) == ([Host("10.0.0.5", (502,))], [])


def test_a_bus_is_what_a_configuration_has() -> None:
    """The keys of a bus are those of the configuration."""
    assert tcp_bus("h", 5) == {"driver": "modbus", "host": "h", "port": 5}
