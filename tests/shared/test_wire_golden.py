"""What was released is understood for ever, in both directions: golden messages, frozen codecs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plantroom_shared import wire
from plantroom_shared.errors import Rejected
from support import golden

RELEASED = [(version, file) for version in golden.versions() for file in golden.files(version)]
NAMES = [f"{version}-{file.stem}" for version, file in RELEASED]


def read(file: Path) -> tuple[str, Any]:
    document = json.loads(file.with_suffix(".json").read_text())
    return document["kind"], document["meaning"]


def plain(value: Any) -> Any:
    """Return `value` as it comes back from JSON."""
    return json.loads(json.dumps(value))


def holds(found: Any, wanted: Any) -> bool:
    """Say whether `found` says all that `wanted` says; a later version may say more."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and holds(found[key], item) for key, item in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        pairs = len(found) == len(wanted)
        return pairs and all(map(holds, found, wanted))
    return type(found) is type(wanted) and bool(found == wanted)


def grown(value: Any) -> Any:
    """Return a document as a much later version may send it: more keys in every object of ours."""
    if isinstance(value, list):
        return [grown(item) for item in value]
    if not isinstance(value, dict):
        return value
    more = {key: item if key in OPEN else grown(item) for key, item in value.items()}
    return more | {"later": [1, {"deep": None}], "x-new": "text"}


OPEN = ("accepted", "held", "ranges", "counters", "q", "evidence", "doc", "x")
"""Keys whose objects have names of their own."""


def test_there_is_a_release() -> None:
    """Every released version has its golden messages and its codec."""
    assert golden.versions()[0] == "1.0"
    for version in golden.versions():
        assert golden.files(version)
        assert golden.codec_of(version).VERSION == 1
    assert {file.stem for file in golden.files(golden.versions()[-1])} <= golden.CASES.keys()


def test_every_message_is_in_gold() -> None:
    """There is a golden message for each kind of message that the codec knows."""
    kinds = {kind for kind, _ in golden.CASES.values()}
    for kind, make in golden.CASES.values():
        kinds |= set(golden.meaning(kind, make())) if kind in {"reply", "rows"} else set()
    messages = {
        name
        for name in wire.__all__
        if isinstance(kind := getattr(wire, name), type) and issubclass(kind, wire.Message)
    }
    assert messages - {"Message", "Envelope"} <= kinds


@pytest.mark.parametrize(("version", "file"), RELEASED, ids=NAMES)
def test_todays_code_reads_what_was_ever_released(version: str, file: Path) -> None:
    """Every golden message of every version means today what it meant then."""
    kind, wanted = read(file)
    assert holds(plain(golden.meaning(kind, file.read_bytes())), wanted)


@pytest.mark.parametrize(("version", "file"), RELEASED, ids=NAMES)
def test_released_code_reads_what_today_is_sent(version: str, file: Path) -> None:
    """Today's encoder, given the same content, says the same to every released codec."""
    codec, (kind, wanted) = golden.codec_of(version), read(file)
    assert plain(golden.meaning(kind, file.read_bytes(), codec)) == wanted
    payload = golden.CASES[file.stem][1]()
    assert plain(golden.meaning(kind, payload, codec)) == wanted
    assert holds(plain(golden.meaning(kind, payload)), wanted)


@pytest.mark.parametrize(("version", "file"), RELEASED, ids=NAMES)
def test_what_a_later_version_adds_is_ignored(version: str, file: Path) -> None:
    """More keys in any object change nothing, for today's codec and for the released ones."""
    kind, wanted = read(file)
    payload = wire.pack(grown(wire.unpack(file.read_bytes())))
    for codec in (wire, golden.codec_of(version)):
        assert holds(plain(golden.meaning(kind, payload, codec)), wanted)


@pytest.mark.parametrize("version", golden.versions())
def test_streams_of_a_later_version_are_left_out(version: str) -> None:
    """Counts and ranges of a stream that a codec does not know cost nothing else."""
    for codec in (wire, golden.codec_of(version)):
        for kind, place, key in (
            ("hello", "epochs", "accepted"),
            ("hello", "epochs", "held"),
            ("state", "epochs", "held"),
            ("resume", "epochs", "ranges"),
        ):
            file = golden.FOLDER / f"v{version}" / f"{kind}.bin"
            _, wanted = read(file)
            document = wire.unpack(file.read_bytes())
            document[place][0][key] = {**document[place][0][key], "vid": [[1, 2]], "odd": 5}
            got = golden.meaning(kind.title(), wire.pack(document), codec)
            assert holds(plain(got), wanted)


@pytest.mark.parametrize("version", golden.versions())
def test_rows_and_replies_of_a_later_version_are_refused_by_name(version: str) -> None:
    """A stream or a reason that a codec does not know refuses that message alone, as schema."""
    for codec in (wire, golden.codec_of(version)):
        for read_it, document in (
            (codec.decode_rows, {"st": "vid", "s0": 1, "n": 1, "vd": [1]}),
            (codec.decode_reply, {"st": "vid", "ranges": [[1, 2]]}),
            (codec.decode_reply, {"st": "tel", "nack": "later"}),
        ):
            with pytest.raises(Rejected) as caught:
                read_it(wire.pack({"v": 1, "ep": golden.EP, **document}))
            assert caught.value.reason == "schema"


def test_a_release_is_never_overwritten(tmp_path: Path) -> None:
    """Freezing a version that is released, as a whole or half, fails and changes nothing."""
    golden.release("9.1", tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    assert len(before) == 2 * len(golden.CASES) + 1
    with pytest.raises(FileExistsError, match="never changes"):
        golden.release("9.1", tmp_path)
    (tmp_path / "released" / "wire_9_2.py").write_text("")
    with pytest.raises(FileExistsError):
        golden.release("9.2", tmp_path)
    assert not (tmp_path / "v9.2").exists()
    assert before == {file: file.read_bytes() for file in before}
