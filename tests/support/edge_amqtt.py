"""An amqtt broker as a process of its own: ``python edge_amqtt.py PORT CA CERT KEY``."""

from __future__ import annotations

import asyncio
import logging
import sys

from amqtt.broker import Broker


async def main(port: str, ca: str, cert: str, key: str) -> None:
    logging.disable(logging.CRITICAL)
    listener = {
        "type": "tcp",
        "bind": f"127.0.0.1:{port}",
        "ssl": True,
        "cafile": ca,
        "certfile": cert,
        "keyfile": key,
    }
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
