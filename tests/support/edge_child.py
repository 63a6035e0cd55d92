"""``plantroom-edge`` with the scripted bus registered: an agent to start, stop and kill."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plantroom_edge.cli import main
from support import edge_driver

if __name__ == "__main__":
    with edge_driver.registered():
        sys.exit(main())
