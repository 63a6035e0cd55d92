"""What is shipped for Prometheus and Grafana names only what the two processes really say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from plantroom_cloud.config import MqttSettings
from plantroom_cloud.db import Database
from plantroom_cloud.gateways.pki import TlsFiles
from plantroom_cloud.ingest.consumer import Ingest
from plantroom_cloud.ingest.store import Store
from plantroom_cloud.kit import figures
from plantroom_cloud.kit.breakers import Breaker
from plantroom_cloud.kit.cache import Cache, Lives
from plantroom_edge.drivers import DeviceFigures
from plantroom_edge.exposition import render
from plantroom_shared.clock import SystemClock
from support.edge_status import said

SHIPPED = Path(__file__).parents[2] / "deploy" / "observability"
OF_PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus says itself."""
ITS_LABELS = {"job", "instance", "le"}
VARIABLES = {"$__rate_interval": "5m"}
"""What Grafana puts in place of its variables."""

Known = dict[str, set[str]]
"""Metric → its labels."""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Everything that a cloud process and an agent can say."""
    clock = SystemClock()
    folder = tmp_path_factory.mktemp("figures")
    database = Database(f"sqlite+aiosqlite:///{folder / 'x.db'}")
    store = Store(database, clock)
    files = TlsFiles(folder / "ca", folder / "cert", folder / "key")
    kept: list[Any] = [store, Ingest(store, MqttSettings(), files), Breaker("x", clock)]
    kept += [Cache[str]("x", clock, Lives(1)), database]
    found: Known = {name: set(labels) for name, labels in OF_PROMETHEUS.items()}
    for name, family in _declared():
        found[name] = family
    document = said(
        machine={"cpu_seconds": 1.0, "resident_bytes": 1, "written_bytes": 1, "temperature_c": 40.0}
    )
    edge = render(document, {"roof": [DeviceFigures("modbus:a")]})
    for text in (figures.exposition(), edge):
        for read in text_string_to_metric_families(text.decode()):
            for sample in read.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    assert kept
    return found


def _declared() -> Iterator[tuple[str, set[str]]]:
    """Yield what the cloud counts, whether or not it has happened here."""
    for metric in vars(figures).values():
        labels = set(getattr(metric, "_labelnames", ()))
        for family in metric.describe() if hasattr(metric, "_labelnames") else ():
            for suffix in {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(
                family.type, ("",)
            ):
                yield f"{family.name}{suffix}", labels


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for name in ("expr", "lhs", "rhs", "args", "vector_selector", "param"):
        below = getattr(node, name, None)
        for one in below if isinstance(below, list) else [below]:
            if one is not None and not isinstance(one, str | int | float):
                yield from _nodes(one)


def unknown(query: str, known: Known) -> list[str]:
    """Return the metrics and labels in `query` that nobody says; ValueError where it is no PromQL."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    out, labels = [], set[str]()
    nodes = list(_nodes(promql_parser.parse(query)))
    for node in nodes:
        if not isinstance(node, promql_parser.VectorSelector):
            continue
        if node.name not in known:
            out.append(str(node.name))
            continue
        labels |= known[node.name] | ITS_LABELS
        asked = {matcher.name for matcher in node.matchers.matchers}
        out += [f"{node.name}{{{name}}}" for name in asked - known[node.name] - ITS_LABELS]
    for node in nodes:
        modifier = getattr(node, "modifier", None)
        for name in getattr(modifier, "labels", None) or ():
            if isinstance(node, promql_parser.AggregateExpr) and name not in labels:
                out.append(f"by ({name})")
    return out


def _alerts() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load((SHIPPED / "prometheus" / "alerts.yml").read_text())
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


def _panels() -> dict[str, str]:
    out = {}
    for file in sorted((SHIPPED / "grafana").glob("*.json")):
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                out[f"{board['title']} / {panel['title']} {target['refId']}"] = target["expr"]
    return out


def test_alerts_name_what_there_is(known: Known) -> None:
    """Each rule is PromQL over metrics and labels that exist, and says what to do."""
    rules = _alerts()
    assert len(rules) >= 15
    assert {
        name: wrong for name, rule in rules.items() if (wrong := unknown(rule["expr"], known))
    } == {}
    for rule in rules.values():
        assert set(rule) >= {"expr", "for", "labels", "annotations"}
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            names = {
                n.name for n in _nodes(promql_parser.parse(rule["expr"])) if hasattr(n, "matchers")
            }
            assert any(label in known[name] | ITS_LABELS for name in names)


def test_dashboards_name_what_there_is(known: Known) -> None:
    """Each panel is PromQL over metrics and labels that exist; ids are told apart."""
    panels = _panels()
    assert len(panels) >= 50
    assert {name: wrong for name, query in panels.items() if (wrong := unknown(query, known))} == {}
    for file in (SHIPPED / "grafana").glob("*.json"):
        ids = [panel["id"] for panel in json.loads(file.read_text())["panels"]]
        assert len(ids) == len(set(ids))


def test_every_metric_of_the_cloud_is_looked_at_and_documented(known: Known) -> None:
    """What nobody would see need not be counted."""
    used = " ".join([*_panels().values(), *(rule["expr"] for rule in _alerts().values())])
    page = (SHIPPED.parents[1] / "docs" / "observability.md").read_text()
    for metric in vars(figures).values():
        for family in metric.describe() if hasattr(metric, "_labelnames") else ():
            assert family.name in used
            assert family.name in page


@pytest.mark.parametrize(
    "query", ["plantroom_made_up", 'plantroom_breakers{company="x"}', "sum by (tenant) (up)"]
)
def test_the_check_finds_what_is_wrong(query: str, known: Known) -> None:
    """A metric that is not there, a label that is not there."""
    assert unknown(query, known) != []


def test_the_check_refuses_what_is_no_promql(known: Known) -> None:
    """And says so."""
    with pytest.raises(ValueError, match="parenthesis"):
        unknown("sum by (plantroom_http_requests_total", known)


def test_the_example_of_a_configuration_loads_these_rules() -> None:
    """And scrapes both kinds of process where they listen by the documents."""
    document = yaml.safe_load((SHIPPED / "prometheus" / "prometheus.yml").read_text())
    assert document["rule_files"] == ["alerts.yml"]
    jobs = {job["job_name"] for job in document["scrape_configs"]}
    assert jobs == {"plantroom-cloud", "plantroom-gateway"}
