"""The kit's command: its options, its report, and a wrong client over a real broker of another's."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from demo.processes import free_port
from plantroom_cloud.cli import app
from plantroom_cloud.conformance import commands
from plantroom_cloud.conformance.arrange import Setting, arranged, external
from plantroom_cloud.conformance.assertions import GATEWAY
from plantroom_cloud.conformance.kit import Patience
from plantroom_cloud.conformance.line import Address, MqttLine, OwnBroker
from plantroom_cloud.conformance.verdicts import Verdicts
from plantroom_shared.errors import ConfigError, Unavailable
from support import conformance_client
from support.cloud_broker import BrokerProcess, open_to_others

NAME = "gw-wrong-0001"
PATIENCE = Patience(client=20, rows=5, answer=5, connect=10, quiet=0.6, pause=1.6)
LATER = frozenset({"kill", "broker", "restored", "line", "flow", "partial-ack", "lost-ack"})


def run_client(*flaws: str) -> str:
    return f"{sys.executable} {conformance_client.__file__} {{folder}} {' '.join(flaws)}"


def failures(verdicts: Verdicts) -> dict[str, list[str]]:
    return {item.assertion.id: item.failures for item in verdicts.all() if item.failed}


async def test_a_client_that_keeps_nothing_is_found_when_it_is_killed(tmp_path: Path) -> None:
    """Over the embedded broker: what was sent and not acked must survive the client's death."""
    setting = Setting(open_to_others(tmp_path), NAME, "embedded", command=run_client())
    verdicts = Verdicts(GATEWAY)
    skip = LATER - {"kill", "line"} | {"dictionary", "rubbish", "window", "fork"}
    assert await commands.judge_gateway(setting, verdicts, PATIENCE, skip) == ""
    assert failures(verdicts).keys() == {"SV1-H-06"}
    assert {"SV1-R-03", "SV1-T-05", "SV1-H-01"} <= set(verdicts.named("holds"))
    assert "SV1-T-02" in verdicts.named("not exercised")


async def test_a_careless_client_is_found_on_a_broker_of_anothers(tmp_path: Path) -> None:
    """With a broker and certificates given, what only MQTT shows is judged, too."""
    broker = BrokerProcess(open_to_others(tmp_path), "mosquitto")
    broker.start()
    tls = tmp_path / "tls"
    tls.mkdir()
    try:
        broker.tls(NAME)
        issued = tmp_path / "clients" / NAME
        for source, target in (
            (issued / "ca.pem", "ca.pem"),
            (issued / "gateway.pem", "client.pem"),
            (issued / "gateway.key", "client.key"),
            (broker.authority.files("cloud").certificate, "cloud.pem"),
            (broker.authority.files("cloud").key, "cloud.key"),
        ):
            (tls / target).write_bytes(source.read_bytes())
        given = external(f"127.0.0.1:{broker.port}", tls, "5")
        setting = Setting(tmp_path, NAME, external=given, command=run_client("careless"))
        verdicts = Verdicts(GATEWAY)
        skip = LATER - {"line"}
        assert await commands.judge_gateway(setting, verdicts, PATIENCE, skip) == ""
    finally:
        broker.stop()
    assert failures(verdicts).keys() == {"SV1-T-02"}
    assert "SV1-T-04" in verdicts.named("holds")


async def test_where_no_client_comes_there_is_nothing_to_judge(tmp_path: Path) -> None:
    """The run ends early and says so; only what needs no client is said of any assertion."""
    setting = Setting(open_to_others(tmp_path), NAME, "embedded")
    verdicts = Verdicts(GATEWAY)
    why = await commands.judge_gateway(setting, verdicts, Patience(client=0.2))
    assert "no client said hello" in why
    assert len(verdicts.named("not exercised")) == len(GATEWAY)
    facts = json.loads((tmp_path / "connection.json").read_text())
    assert Path(facts["key"]).exists()
    assert facts["gateway"] == NAME


async def test_without_its_certificate_a_client_is_left_connected(tmp_path: Path) -> None:
    """On a foreign broker, what the kit cannot do is left out and not called a failure."""
    own = OwnBroker(open_to_others(tmp_path), NAME, "embedded")
    line = MqttLine(NAME, own.cloud)
    assert [
        await line.kick(),
        await line.restart_broker(),
        await line.kill_client(),
        await line.stop_client(),
    ] == [False] * 4
    await own.stop()


async def test_a_broker_that_is_not_there_is_named(tmp_path: Path) -> None:
    """No broker to connect to, none to kick through: Unavailable says where."""
    own = OwnBroker(open_to_others(tmp_path), NAME, "embedded")
    dead = Address("127.0.0.1", free_port(), own.cloud.tls, own.cloud.version)
    line = MqttLine(NAME, dead, gateway_address=dead)

    async def nobody(*_: object) -> None:
        """Take nothing."""

    with pytest.raises(Unavailable, match="no connection to the broker"):
        async with asyncio.timeout(60), line.open(nobody, within=0.3):
            pass
    with pytest.raises(Unavailable, match="cannot be ended"):
        await line.kick()


async def test_a_broker_that_ends_is_named(tmp_path: Path) -> None:
    """Where the broker cannot run, the kit says where to look."""
    own = OwnBroker(open_to_others(tmp_path), NAME, "embedded")
    (tmp_path / "broker" / "pki" / "service.key").write_text("no key")
    (tmp_path / "broker" / "pki" / "server.pem").unlink()
    with pytest.raises(Unavailable, match=r"broker\.log"):
        await own.start()
    await own.stop()


async def test_a_command_that_does_not_run_is_a_wrong_option(tmp_path: Path) -> None:
    """The error names the option."""
    setting = Setting(open_to_others(tmp_path), NAME, "embedded", command="/does/not/exist")
    async with arranged(setting) as line:
        assert line.client is not None
        with pytest.raises(ConfigError, match="--exec"):
            line.client.start()


# ---------------------------------------------------------------- at the command line


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["gateway", "--skip", "everything"], "--skip"),
        (["gateway", "--gateway", "X"], "gateway"),
        (["gateway", "--broker", "nowhere", "--tls", "."], "--broker"),
        (["gateway", "--broker", "host:99999", "--tls", "."], "--broker"),
        (["gateway", "--broker", "host:8883"], "--tls"),
        (["gateway", "--broker", "host:8883", "--tls", ".", "--mqtt", "4"], "--mqtt"),
        (["gateway", "--engine", "none"], "--engine"),
        (["cloud", "host:8883", "--tls", ".", "--gateway", NAME, "--mqtt", "2"], "--mqtt"),
    ],
)
def test_a_wrong_option_is_named(options: list[str], named: str, tmp_path: Path) -> None:
    """Every option that cannot be meant is refused by its name before anything starts."""
    more = ["--folder", str(tmp_path)] if options[0] == "gateway" else []
    result = CliRunner().invoke(app, ["conformance", *options, *more])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.key == named


def test_the_report_is_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each assertion has its outcome and evidence; failures are counted and the first ones kept."""
    verdicts = Verdicts(GATEWAY)
    verdicts.holds("SV1-T-01", "seen")
    for number in range(7):
        verdicts.fails("SV1-T-02", f"wrong {number}")
    verdicts.holds("SV1-T-02", "right once")
    commands.show(verdicts, "", as_json=False)
    shown = capsys.readouterr().out
    assert "1 holds, 1 fails" in shown
    assert "ended early" not in shown
    commands.show(verdicts, "too soon", as_json=False)
    assert "ended early: too soon" in capsys.readouterr().out
    commands.show(verdicts, "too soon", as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["ended"] == "too soon"
    assert report["summary"]["fails"] == 1
    row = next(item for item in report["assertions"] if item["id"] == "SV1-T-02")
    assert (row["outcome"], row["failed"], len(row["failures"])) == ("fails", 7, 5)
    assert verdicts.all()[1].words() == "wrong 0 (and 6 more)"
