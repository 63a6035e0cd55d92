"""The cloud of ThingsBoard Gateway, as far as it needs one: ``peer_cloud.py PORT COUNT_FILE``.

It answers the one question that the gateway asks at its start, and counts the values that arrive.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

ASKED, ANSWER = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
TELEMETRY = ("v1/gateway/telemetry", "v1/devices/me/telemetry")
LIMITS = {
    "maxPayloadSize": 65536,
    "maxInflightMessages": 100,
    "rateLimits": {},
    "gatewayRateLimits": {},
}


def count(payload: Any) -> int:
    """Return the number of values in a message of telemetry of devices."""
    total = 0
    for rows in payload.values() if isinstance(payload, dict) else ():
        for row in rows if isinstance(rows, list) else ():
            total += len(row.get("values", row)) if isinstance(row, dict) else 0
    return total


def main(port: int, file: Path) -> None:
    """Count until standard input closes."""
    done = 0

    def on_message(client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal done
        if message.topic.startswith(ASKED):
            client.publish(ANSWER + message.topic.removeprefix(ASKED), json.dumps(LIMITS), qos=1)
        elif message.topic == TELEMETRY[0]:
            done += count(json.loads(message.payload))

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="cloud")
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.subscribe([(f"{ASKED}+", 1), (TELEMETRY[0], 1)])
    client.loop_start()
    part = file.with_suffix(".part")
    while True:
        part.write_text(f"{time.monotonic()} {done}")
        part.replace(file)
        time.sleep(0.2)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
