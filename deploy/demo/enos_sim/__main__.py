"""``python -m demo.enos_sim --port 0 --ready-file F``: a simulated EnOS as a process."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import uuid
from pathlib import Path

from demo.enos_sim.server import serving, write_ready
from demo.enos_sim.world import Limits, World
from plantroom_shared import log


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo.enos_sim", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="HTTP; 0 takes a free one")
    parser.add_argument("--mqtt-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--ready-file", type=Path, help="JSON with addresses and keys, once up")
    parser.add_argument("--app-key", default="")
    parser.add_argument("--app-secret", default="")
    parser.add_argument("--org-id", default="o15000000000001")
    parser.add_argument("--token-life", type=float, default=7200.0, help="seconds")
    parser.add_argument(
        "--seed-models",
        action="store_true",
        help="say so aloud: the thing models are always those that Plantroom ships",
    )
    parser.add_argument(
        "--hide-model", action="append", default=[], help="a thing model this EnOS lacks"
    )
    return parser.parse_args()


async def _main(arguments: argparse.Namespace) -> None:
    world = World(
        arguments.app_key or str(uuid.uuid4()),
        arguments.app_secret or secrets.token_hex(16),
        arguments.org_id,
        Limits(token_life=arguments.token_life),
        hidden_models=set(arguments.hide_model),
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    where = {"host": arguments.host, "port": arguments.port, "mqtt_port": arguments.mqtt_port}
    async with serving(world, **where) as (_, addresses):
        if arguments.ready_file:
            write_ready(arguments.ready_file, world, addresses)
        print(f"EnOS simulator at {addresses.http}, MQTT on port {addresses.mqtt_port}", flush=True)
        await ended.wait()


if __name__ == "__main__":
    log.configure()
    asyncio.run(_main(_arguments()))
