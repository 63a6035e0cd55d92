"""From a device to EnOS with each choice of the settings changed alone: it is the same service."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.stack import COMPANY, SITE, Stack
from support.redis_server import running_redis
from support.s3_server import running_s3
from support.scale_site import SmallSite
from support.servers import Postgres

VALUES = ("postgresql", "celery", "bus", "cache", "s3")
"""What is not the default; that is what the demo's test runs."""
OVER_REDIS: dict[str, dict[str, Any]] = {
    "celery": {"jobs": "celery"},
    "bus": {"live": {"bus": "redis"}},
    "cache": {"cache": "redis"},
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A site that all runs read."""
    stack = Stack(tmp_path_factory.mktemp("site"))
    try:
        yield stack.start_site("--seed", "7", "--speed", "1")
    finally:
        stack.stop()


@pytest.fixture(params=VALUES)
def chosen(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The settings with one value changed, and the server that it needs."""
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.database() as url:
            yield {"database": url}
    elif request.param == "s3":
        with running_s3() as s3:
            yield {"blobs": f"s3://{s3.bucket}/e2e", "s3": s3.told}
    else:
        with running_redis() as redis:
            yield {**OVER_REDIS[request.param], "redis": redis.url}


@pytest.mark.e2e
def test_the_whole_way(chosen: dict[str, Any], manifest: dict[str, Any], tmp_path: Path) -> None:
    """What is read is told, stored, mapped and published; a job ends well, an export is whole."""
    parquet: Any = importlib.import_module("pyarrow.parquet")
    site = SmallSite(tmp_path, manifest, chosen)
    try:
        site.start()
        checks = {one["setting"]: one for one in json.loads(site.by_hand("doctor", "--json"))}
        assert all(one["ok"] for one in checks.values()), checks
        heard = site.hear()
        assert len(heard["values"]) == len(heard["points"]) > 0
        site.wait_until_published()
        site.by_hand("job", "start", "--site", SITE, "--company", COMPANY, "--watch")
        edge = site.stop_agent()
        account = site.account()
        assert (account["balanced"], account["gaps"]) == (True, 0)
        assert edge["accepted"] == account["stored"] + edge["on_edge"] > 0
        assert site.received() >= site.published() > 0
        site.export(tmp_path / "all.parquet")
        assert parquet.read_metadata(tmp_path / "all.parquet").num_rows == account["stored"]
        done = site.get("/v1/jobs")["items"]
        assert [one["state"] for one in done] == ["done"]
    finally:
        site.stop()
