"""The simulator as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx

DEPLOY = Path(__file__).parents[2] / "deploy"


async def test_it_says_where_it_is_and_ends_on_a_signal(tmp_path: Path) -> None:
    """The ready file holds addresses and keys; SIGTERM ends the process with code 0."""
    ready = tmp_path / "ready.json"
    arguments = ["--ready-file", str(ready), "--app-key", "k", "--app-secret", "s"]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "demo.enos_sim",
        *arguments,
        env=os.environ | {"PYTHONPATH": str(DEPLOY)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while not ready.exists():
                assert child.returncode is None
                await asyncio.sleep(0.02)
        where = json.loads(ready.read_text())
        assert (where["app_key"], where["app_secret"]) == ("k", "s")
        async with httpx.AsyncClient() as http:
            stats = (await http.get(f"{where['apigw']}/__sim__/stats")).json()
        assert stats["received"] == 0
        _, writer = await asyncio.open_connection(where["mqtt_host"], where["mqtt_port"])
        writer.close()
    finally:
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            code = await child.wait()
    assert code == 0
