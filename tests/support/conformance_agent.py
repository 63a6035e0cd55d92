"""Our own agent as the client under test: ``conformance_agent.py FOLDER MODBUS_PORT``.

It becomes the agent, so that whoever signals or kills this process does so to the agent.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import yaml


def configuration(folder: Path, buses: list[dict[str, object]]) -> Path:
    """Write the agent's configuration for the kit's connection material; return its path."""
    facts = json.loads((folder / "connection.json").read_text())
    config = {
        "gateway": facts["gateway"],
        "site": "conformance",
        "data": str(folder / "agent"),
        "cloud": {
            "host": facts["host"],
            "port": facts["port"],
            "ca": facts["ca"],
            "cert": facts["certificate"],
            "key": facts["key"],
        },
        "buses": buses,
    }
    file = folder / "agent.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


if __name__ == "__main__":
    place = Path(sys.argv[1])
    given = json.loads((place / "buses.json").read_text())
    command = [sys.executable, "-m", "plantroom_edge", "run", str(configuration(place, given))]
    os.execv(command[0], command)
