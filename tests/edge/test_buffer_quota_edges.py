"""The corners of the quota: toys, floods of everything, fresh samples, damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from plantroom_edge import buffer_account as account
from plantroom_edge.buffer_db import PAGE
from plantroom_edge.buffer_store import Options, Store
from plantroom_shared import ranges
from plantroom_shared.wire import Record, Stream, decode_rows
from support.edge_rows import batch, finding, points
from support.edge_time import VirtualTime


def store_at(path: Path, time_: VirtualTime, pages: int) -> Store:
    store = Store(path, pages * PAGE, "e" * 16, time_, Options())
    store.run(lambda: store.add_points(points(1), []))
    return store


def test_a_buffer_of_a_few_pages_keeps_the_most_urgent(tmp_path: Path) -> None:
    """When not even the shares fit, findings go first, then audit, and commands last; all declared."""
    store = store_at(tmp_path / "b.db", VirtualTime(), 30)
    for i in range(40):
        doc = {"x": [i * j / 7 for j in range(60)]}
        record = Record(at=1, kind="a.b", doc=doc)
        lanes: dict[Stream, list[Record]] = {"cmd": [record], "aud": [record]}
        store.run(lambda: store.append([], [finding(f"f{i}", evidence=doc)], lanes))  # noqa: B023 -- run at once
    stats = store.run(store.stats)
    assert stats.used_bytes <= 30 * PAGE
    assert stats.lost.get("quota_evt", 0) > stats.lost.get("quota_cmd", 0)
    for stream in ("cmd", "evt", "aud"):
        assert stats.held[stream] == 40
        frames = store.run(lambda: store.next(stream, (0, 0), 100))  # noqa: B023 -- run at once
        assert ranges.merge((f.s0, f.last) for f in frames) == [(1, 40)]
        assert all(decode_rows(f.blob) for f in frames)
    assert account.problems(store.db) == []
    store.close()


def test_damaged_samples_are_not_thinned_away(tmp_path: Path) -> None:
    """A message that fails its CRC is declared corrupt, never counted as thinned."""
    time_ = VirtualTime()
    store = store_at(tmp_path / "b.db", time_, 4000)
    for i in range(20):
        store.run(lambda: store.append([batch([0], [i], time_.now_us())], []))  # noqa: B023 -- run at once
        time_.seconds += 60
    time_.seconds += 1800
    store.db.execute("UPDATE frame SET blob = zeroblob(9) WHERE s0 = 5")
    with store.transaction():
        assert store.quota.give_up(store.ledger, 1)
    frames = store.run(lambda: store.next("tel", (0, 0), 100))
    causes = {seq: f.cause for f in frames for seq in range(f.s0, f.last + 1)}
    assert causes[5] == "corrupt"
    assert [seq for seq, cause in causes.items() if not cause] == [1, 10]
    assert store.run(store.stats).lost == {"thinned_tel": 17, "corrupt_tel": 1}
    with store.transaction():
        assert store.quota.give_up(store.ledger, 1)
    assert store.run(store.stats).giving_up == "quota"
    time_.seconds += 3600
    assert store.run(store.stats).giving_up == ""
    store.close()


def test_room_counts_what_is_only_retained(tmp_path: Path) -> None:
    """What the cloud has confirmed is as good as free; what it has not is not."""
    store = store_at(tmp_path / "b.db", VirtualTime(), 4000)
    empty = store.run(store.stats).room_bytes
    values: list[float] = [i * 7.7 for i in range(2000)]
    for _ in range(50):
        store.run(lambda: store.append([batch([0] * 2000, list(values))], []))
    held = store.run(store.stats).room_bytes
    store.run(lambda: store.confirm(store.ep, "tel", [(1, 100_000)]))
    confirmed = store.run(store.stats).room_bytes
    assert held < confirmed
    assert abs(confirmed - empty) < 20 * PAGE
    store.close()


def test_damaged_files_go_when_they_would_break_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence is kept while there is room for it, and is the first to go when there is none."""
    monkeypatch.setattr("plantroom_edge.buffer_store.LOG_LIMIT", 200_000)
    time_ = VirtualTime()
    for number, size in ((1, 300_000), (2, 100_000)):
        (tmp_path / f"b.db.bad-{number}").write_bytes(bytes(size))
    store = store_at(tmp_path / "b.db", time_, 30)
    store.run(lambda: store.append([batch([0], [1.0])], []))
    assert [item.name for item in tmp_path.glob("*.bad-*")] == ["b.db.bad-2"]
    store.close()
