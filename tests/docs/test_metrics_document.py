"""The document of the metrics names exactly those that there are, and its alerts ask for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from edge.test_driver_agent import SHOWN
from plantroom_edge.drivers import DeviceFigures
from plantroom_edge.exposition import render
from support.edge_status import said

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()


def existing() -> set[str]:
    """Return the name of every series of an agent that knows all figures."""
    machine = said()["machine"] | {"temperature_c": 40.0}
    text = render(said(machine=machine), {"roof": [DeviceFigures("modbus:a")]}).decode()
    return {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    } - {f"{family.name}_created" for family in text_string_to_metric_families(text)}


def test_every_metric_is_in_the_table_and_no_other() -> None:
    """Who reads the document finds what the gateway tells, and is promised nothing else."""
    tables = "\n".join(line for line in TEXT.splitlines() if line.startswith("| `plantroom_"))
    assert set(re.findall(r"`(plantroom_\w+)`", tables)) == existing()


def test_every_point_is_in_the_table() -> None:
    """So it is with the points."""
    cells = {name for line in TEXT.splitlines() for name in re.findall(r"`([\w<>:-]+)`", line)}
    assert {one.replace("field:", "<bus>:") for one in SHOWN} <= cells


def test_the_alerts_ask_for_metrics_that_exist() -> None:
    """The examples for Prometheus are YAML, and their expressions name series of ours alone."""
    blocks: list[dict[str, Any]] = [
        yaml.safe_load(body)
        for body in re.findall(r"^```yml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    ]
    (rules,) = [group["rules"] for block in blocks for group in block.get("groups", ())]
    assert len(rules) == 3
    for rule in rules:
        named = set(re.findall(r"plantroom_\w+", rule["expr"]))
        assert named
        assert named <= existing()
