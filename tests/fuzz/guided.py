"""One target under atheris: ``python guided.py TARGET CORPUS [libFuzzer options]``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    """Instrument the decoders, write the seeds into the corpus, and fuzz."""
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(
        include=["plantroom_shared", "plantroom_edge", "plantroom_cloud"]
    ):
        targets = import_module("fuzz.targets").TARGETS
    target, corpus = targets[sys.argv[1]], Path(sys.argv[2])
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[3:]], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
