"""The whole agent with its own figures: as points in the buffer, as metrics over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from demo.processes import free_port
from plantroom_edge import agent, status
from plantroom_edge.config import ConfigErrors, load
from support import edge_agent, edge_driver
from support.waiting import eventually


async def test_an_agent_reports_on_itself(tmp_path: Path) -> None:
    """Its figures are samples like any other, and over HTTP it tells the same numbers."""
    port = free_port()
    with edge_driver.registered():
        file = edge_agent.write_config(tmp_path, devices=2, points=3, interval=0.05)
        own = "  - {name: self, driver: agent, interval: 1}\n"
        file.write_text(file.read_text() + own + f"metrics: {{listen: '127.0.0.1:{port}'}}\n")
        config = load(file)
        stop = asyncio.Event()
        task = asyncio.create_task(agent.run(config, stop=stop))
        try:
            await eventually(
                lambda: (
                    status.read(config.status_file)
                    .get("buses", {})
                    .get("self", {})
                    .get("counters", {})
                    .get("samples", 0)
                    > 40
                )
            )
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                metrics = await http.get("/metrics")
                well = await http.get("/health")
        finally:
            stop.set()
            async with asyncio.timeout(60):
                await task
    said = status.read(config.status_file)
    assert said["buses"]["self"]["missing"] == []
    assert list(said["buses"]["self"]["devices"]) == ["agent:self"]
    polls = {
        sample.labels["bus"]: sample.value
        for family in text_string_to_metric_families(metrics.text)
        for sample in family.samples
        if sample.name == "plantroom_bus_polls_total"
    }
    assert 0 < polls["bus"] <= said["buses"]["bus"]["counters"]["polls"]
    assert polls["self"] >= 2
    assert (well.status_code, well.text) == (200, "ok\n")


@pytest.mark.parametrize(
    "listen", ["9464", "localhost:9464", "127.0.0.1:99999", "127.0.0.1:x", 9464]
)
def test_a_wrong_address_is_told_at_the_start(tmp_path: Path, listen: object) -> None:
    """Where to listen is checked with the rest of the file, and the line is named."""
    with edge_driver.registered():
        file = edge_agent.write_config(tmp_path, devices=1)
        file.write_text(file.read_text() + f"metrics: {{listen: {listen!r}}}\n")
        with pytest.raises(ConfigErrors, match=r"metrics\.listen"):
            load(file)


@pytest.mark.parametrize(
    ("text", "address"),
    [("{}", ("127.0.0.1", 9464)), ("{listen: '[::1]:80'}", ("::1", 80))],
)
def test_it_listens_on_loopback_unless_told_otherwise(
    tmp_path: Path, text: str, address: tuple[str, int]
) -> None:
    """Without an address it is loopback; IPv6 stands in brackets."""
    with edge_driver.registered():
        file = edge_agent.write_config(tmp_path, devices=1)
        file.write_text(file.read_text() + f"metrics: {text}\n")
        config = load(file)
    assert config.metrics is not None
    assert config.metrics.address == address
