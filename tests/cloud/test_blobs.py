"""The port of blobs: a folder and an S3-compatible server keep the same promises."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantroom_cloud.kit import blobs as port
from plantroom_cloud.kit.blobs import Blobs, FolderBlobs, NoSuchBlob, check_key, check_prefix
from plantroom_cloud.kit.s3 import S3Blobs
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Rejected, Unavailable
from support.s3_server import S3, running_s3

HOSTILE = [
    "", ".", "..", "/", "a", "a/", "/a.txt", "//a.txt", "a//b.txt", "../a.txt", "a/../b.txt", "a/./b.txt",
    "a/..", "..a.txt", ".a.txt", "a/.b.txt", "a.d/b.txt", "a\\b.txt", "..\\a.txt", "C:/a.txt", "a:b.txt",
    "file:///etc/passwd.txt", "/etc/passwd", "~/a.txt", "$HOME/a.txt", "a.txt\n", "\na.txt", "a\r.txt", "a\x00.txt",
    "a.txt\x00", "%2e%2e/a.txt", "a%2fb.txt", "a b.txt", "a+b.txt", "a?b.txt", "a#b.txt", "a&b.txt", "a;b.txt", "*.txt",
    "A.txt", "a.TXT", "ä.txt", "\u202eb.txt", "\ufeffa.txt", "a\u200b.txt", "\uff0e\uff0e/a.txt", "e\u0301.txt", "\U0001f600.txt", "\ud800.txt",
    "-a.txt", "=cmd.txt", "a.", "a..txt", "a.txt.", "a.b.c.d.txt", "x" * 101 + ".txt", "x" * 1024 + ".txt",
    "a/" * 300 + "b.txt", "con\x7f.txt", "<script>.txt", "';drop.txt",
]  # fmt: skip
"""Names that are no keys."""


async def data(*pieces: bytes) -> AsyncIterator[bytes]:
    """Yield pieces."""
    for piece in pieces:
        yield piece


async def read(blobs: Blobs, key: str, sha256: str = "") -> bytes:
    """Return what is kept."""
    return b"".join([piece async for piece in blobs.get(key, sha256=sha256)])


async def keys(blobs: Blobs, prefix: str = "") -> list[tuple[str, int]]:
    """Return what is there."""
    return [(one.key, one.size) async for one in blobs.list(prefix)]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """A server on a socket."""
    with running_s3() as running:
        yield running


@pytest.fixture(params=["folder", "s3"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path, s3: S3) -> AsyncIterator[Blobs]:
    """Blobs of this test's own, once of each value."""
    opened: Blobs = FolderBlobs(tmp_path / "blobs")
    if request.param == "s3":
        opened = S3Blobs(s3.bucket, f"{secrets.token_hex(4)}/", s3.settings, SystemClock())
    yield opened
    await opened.close()


async def test_what_is_put_is_got_listed_and_deleted(blobs: Blobs) -> None:
    """Content, size and hash are those of what was put; again replaces; deleted is gone."""
    content = os.urandom(700_001)
    kept = await blobs.put("exports/7/tower.csv.gz", data(content[:3], b"", content[3:]))
    assert (kept.size, kept.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert await read(blobs, kept.key, kept.sha256) == content
    await blobs.put("exports/7/empty.txt", data())
    await blobs.put("exports/70/a=b_c-1.txt", data(b"x"))
    await blobs.put(kept.key, data(b"other"))
    assert await read(blobs, kept.key) == b"other"
    mine = [("exports/7/empty.txt", 0), ("exports/7/tower.csv.gz", 5)]
    assert await keys(blobs, "exports/7/") == mine
    assert sorted(await keys(blobs)) == sorted([*mine, ("exports/70/a=b_c-1.txt", 1)])
    assert await keys(blobs, "none/") == []
    for _ in range(2):
        await blobs.delete(kept.key)
    await blobs.delete("exports/7/empty.txt/none.txt".replace(".txt/", "/"))
    assert await keys(blobs, "exports/7/") == mine[:1]
    with pytest.raises(NoSuchBlob):
        await read(blobs, kept.key)
    with pytest.raises(NoSuchBlob):
        await read(blobs, "none/x.txt")


async def test_another_content_is_told(blobs: Blobs) -> None:
    """Whoever notes the hash hears of it at the end."""
    kept = await blobs.put("a.txt", data(b"right"))
    await blobs.put("a.txt", data(b"wrong"))
    with pytest.raises(Rejected, match="damaged"):
        await read(blobs, "a.txt", kept.sha256)


async def test_too_long_or_broken_off_is_not_kept(blobs: Blobs) -> None:
    """What is too long, or fails on the way, leaves what was there before, and no rest."""
    await blobs.put("a.txt", data(b"before"))
    with pytest.raises(Rejected, match="more than 8 bytes"):
        await blobs.put("a.txt", data(b"12345678", b"9"), most=8)

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise LookupError

    with pytest.raises(LookupError):
        await blobs.put("a.txt", broken())
    assert await read(blobs, "a.txt") == b"before"
    assert await keys(blobs) == [("a.txt", 6)]
    await blobs.put("a.txt", data(b"12345678"), most=8)


async def test_a_name_that_is_no_key_reaches_nothing(tmp_path: Path, s3: S3) -> None:
    """Neither a file outside of the folder nor a request: it is refused before."""
    (tmp_path / "a.txt").write_text("outside")
    folder = FolderBlobs(tmp_path / "blobs")
    gone = s3.settings.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    away = S3Blobs(s3.bucket, "", gone, SystemClock())
    opened: tuple[Blobs, ...] = (folder, away)
    for blobs in opened:
        for key in HOSTILE:
            for act in (blobs.put(key, data(b"x")), read(blobs, key), blobs.delete(key)):
                with pytest.raises(Rejected, match="no key"):
                    await act
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    await away.close()


@given(st.text(max_size=40))
def test_a_key_stays_below_its_folder(key: str) -> None:
    """Whatever is taken for a key: below the folder, and no key is the folder of another."""
    try:
        check_key(key)
    except Rejected:
        return
    assert os.path.normpath(f"/root/{key}") == f"/root/{key}"
    with pytest.raises(Rejected):
        check_key(f"{key}/below.txt")


@pytest.mark.parametrize(
    "prefix", ["a", "/", "../", "a//", "a/../", "A/", "a.b/", "ä/", "x/" * 300]
)
def test_a_folder_is_checked_too(prefix: str) -> None:
    """What is listed lies under folders."""
    with pytest.raises(Rejected):
        check_prefix(prefix)


async def test_a_folder_of_others_is_looked_through_with_care(tmp_path: Path) -> None:
    """Links are not followed, what is no key is not listed; files are their owner's alone."""
    (tmp_path / "secret.txt").write_text("secret")
    blobs = FolderBlobs(tmp_path / "blobs")
    await blobs.put("a/b.txt", data(b"x"))
    (tmp_path / "blobs" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "blobs" / "No Key").write_text("")
    assert await keys(blobs) == [("a/b.txt", 1)]
    with pytest.raises(Unavailable, match="cannot be used"):
        await read(blobs, "link.txt")
    assert (tmp_path / "blobs" / "a" / "b.txt").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "blobs").stat().st_mode & 0o777 == 0o700


async def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """A file stands where the folder should be: each act says so, none fails with a bug."""
    (tmp_path / "blobs").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for folder in (tmp_path / "blobs", tmp_path / "loop"):
        blobs = FolderBlobs(folder)
        with pytest.raises(Unavailable, match="cannot be used"):
            await blobs.put("a.txt", data(b"x"))
        with pytest.raises((NoSuchBlob, Unavailable)):
            await read(blobs, "a.txt")
    with pytest.raises(Unavailable, match="cannot be used"):
        await FolderBlobs(tmp_path / "loop").delete("a.txt")
    await FolderBlobs(tmp_path / "blobs").delete("a.txt")


async def test_no_blob_is_read_beyond_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that others have put there and that is too long ends the reading."""
    blobs = FolderBlobs(tmp_path)
    await blobs.put("a.txt", data(b"12345"))
    monkeypatch.setattr(port, "MOST", 4)
    with pytest.raises(Rejected, match="more than 4"):
        await read(blobs, "a.txt")
