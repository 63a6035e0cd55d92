"""Keys in files, made by whoever comes first."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from plantroom_cloud.kit.keyfile import load_key, make_key, public_pem


def test_many_that_make_a_key_at_once_have_the_same(tmp_path: Path) -> None:
    """Parts of one process start together: each gets the first one's key, and no draft stays."""
    for number in range(20):
        file, ready = tmp_path / str(number) / "key.pem", Barrier(8)

        def make() -> str:
            ready.wait()  # noqa: B023 -- run within this turn
            return public_pem(make_key(file, "is tried", "try again").public_key())  # noqa: B023 -- likewise

        with ThreadPoolExecutor(8) as pool:
            made = {done.result() for done in [pool.submit(make) for _ in range(8)]}
        known = load_key(file, "is tried", "try again")
        assert known is not None
        assert made == {public_pem(known.public_key())}
        assert [item.name for item in file.parent.iterdir()] == ["key.pem"]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
