"""The PCA detector: what it learns, what it finds, what it survives."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from plantroom_edge.detectors import detectors, pca_fit
from plantroom_edge.detectors.pca import Episode, PcaConfig, PcaDetector
from plantroom_edge.detectors.scoring import MAX_MODEL_BYTES, Model, Verdict
from plantroom_edge.drivers import Poll
from plantroom_shared.clock import SystemClock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Finding

POINTS = ("bacnet:1:analog-input:1", "bacnet:1:analog-input:2", "bacnet:1:analog-input:3")


def plant(n: int, *, seed: int = 1, broken: bool = False) -> np.ndarray:
    """Three points driven by one load; when broken, the second no longer follows it."""
    noise = np.random.default_rng(seed)
    load = 5 + np.sin(np.arange(n) / 7)
    follows = load if not broken else np.full(n, 6.5)
    columns = np.column_stack([load, 40 - 3 * follows, 1e6 + 200 * load])
    return columns + noise.normal(0, 0.01, columns.shape) * [1, 1, 100]


def fitted(path: Path, window: int = 4) -> Model:
    pca_fit.write(
        {
            "points": POINTS,
            "lesson": plant(120).tolist(),
            "window": window,
            "variance": 0.95,
            "margin": 1.5,
            "path": str(path),
        }
    )
    return Model.load(path)


def config(**changes: object) -> PcaConfig:
    return PcaConfig.model_validate(
        {"name": "ch", "detector": "pca", "points": ["bacnet:1:*"], **changes}
    )


def test_normal_movement_scores_low_and_a_broken_relation_high(tmp_path: Path) -> None:
    """The same plant with other noise stays below the threshold; a stuck point goes beyond."""
    model = fitted(tmp_path / "m.onnx")
    normal, broken = plant(40, seed=2), plant(40, seed=2, broken=True)
    assert all(model.score(normal[i : i + 4].tolist()).score < 1 for i in range(36))
    verdict = max(
        (model.score(broken[i : i + 4].tolist()) for i in range(36)), key=lambda v: v.score
    )
    assert verdict.score > 1
    assert verdict.shares[1] == max(verdict.shares)
    assert sum(verdict.shares) == pytest.approx(1)


def test_graph_computes_what_numpy_computes(tmp_path: Path) -> None:
    """The score of onnxruntime equals the formula on the same window."""
    lesson = plant(120)
    model = fitted(tmp_path / "m.onnx")
    fit = pca_fit.fit(lesson, window=4, variance=0.95, margin=1.5)
    window = plant(4, seed=9)
    z = (window.mean(axis=0) - fit.centre) / fit.scale
    residual = z - z @ fit.directions @ fit.directions.T
    assert model.score(window.tolist()).score == pytest.approx((residual**2).sum() / fit.threshold)


def test_file_is_self_contained_and_small(tmp_path: Path) -> None:
    """A model refers to no other file and holds few nodes."""
    fitted(tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    assert len(proto.graph.node) < 12
    assert all(not tensor.external_data for tensor in proto.graph.initializer)
    assert numpy_helper.to_array(proto.graph.initializer[0]).dtype == np.float64


def test_standing_points_are_ignored_and_a_dead_lesson_refused() -> None:
    """A constant point gets no say; where nothing moves there is no model."""
    lesson = np.column_stack([plant(60), np.full(60, 7.0)])
    fit = pca_fit.fit(lesson, window=4, variance=0.9, margin=2)
    assert fit.scale[3] > 1e9
    with pytest.raises(ValueError, match="nothing in it moves"):
        pca_fit.fit(np.ones((60, 3)), window=4, variance=0.9, margin=2)
    with pytest.raises(ValueError, match="too short"):
        pca_fit.fit(plant(8), window=4, variance=0.9, margin=2)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"\x08\x08" * 500, b"0" * (MAX_MODEL_BYTES + 1)],
    ids=["empty", "text", "protobuf-like", "huge"],
)
def test_broken_model_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    """A file that is no model names itself in the error."""
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"m\.onnx"):
        Model.load(path)


def test_model_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    """Metadata and graph must agree on the number of points."""
    path = tmp_path / "m.onnx"
    fitted(path)
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {"plantroom": json.dumps({"points": ["a"], "window": 4})})
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(Unavailable, match="does not fit"):
        Model.load(path)


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5))
def test_an_episode_opens_and_closes_once_each(scores: list[float], persist: int) -> None:
    """Reports alternate: open, close, open ...; each pair shares an id and is `persist` apart."""
    episode = Episode(config(persist=persist), POINTS, "bacnet:1")
    reports = [
        report
        for ts, score in enumerate(scores)
        if (report := episode.judge(Verdict(score, (0.2, 0.5, 0.3)), ts)) is not None
    ]
    for index, report in enumerate(reports):
        assert (report.ended is None) == (index % 2 == 0)
        assert report.points[0] == POINTS[1]
    for opened, closed in zip(reports[::2], reports[1::2], strict=False):
        assert opened.id == closed.id
        assert closed.ended is not None
        assert closed.ended - opened.started >= persist
    assert episode.is_open == bool(len(reports) % 2)


def feed(detector: PcaDetector, vector: np.ndarray, *, bad: bool = False) -> None:
    quality = {1: (2, "timeout")} if bad else {}
    poll = Poll(SystemClock().now_us(), [float(v) for v in vector], quality)
    detector.feed("bacnet:1", POINTS, poll)
    detector.feed("bacnet:2", ("bacnet:2:analog-input:1",), Poll(poll.ts, [1.0]))


async def watch(detector: PcaDetector, vectors: np.ndarray, found: list[Finding]) -> None:
    """Run the detector's steps on `vectors`, one each, as its own loop would."""
    from concurrent.futures import ThreadPoolExecutor

    async def emit(finding: Finding) -> None:
        found.append(finding)

    with ThreadPoolExecutor(1) as thread:
        for vector in vectors:
            feed(detector, vector)
            await detector._step(thread, emit)


async def test_learns_watches_reports_and_remembers(tmp_path: Path) -> None:
    """From the first vector to a finding and its end; a second start needs no new lesson."""
    detector = PcaDetector(config(every=1, fit_after=60, window=4), SystemClock(), tmp_path)
    found: list[Finding] = []
    await watch(detector, plant(30), found)
    assert detector.status()["state"] == "learning"
    assert detector.status()["learned"] == pytest.approx(0.5)
    await watch(detector, plant(60)[30:], found)
    assert detector.status()["state"] == "watching"
    await watch(detector, plant(90)[60:], found)
    assert found == []
    await watch(detector, plant(110, broken=True)[90:], found)
    assert [report.ended is None for report in found] == [True]
    assert detector.status()["state"] == "alarm"
    assert found[0].subject == "bacnet:1"
    await watch(detector, plant(130)[110:], found)
    assert [report.ended is None for report in found] == [True, False]
    again = PcaDetector(config(every=0.001, fit_after=60, window=4), SystemClock(), tmp_path)
    task = asyncio.create_task(again.run(_ignore))
    async with asyncio.timeout(60):
        while again.status()["state"] != "watching":
            await asyncio.sleep(0)
    task.cancel()


async def _ignore(_finding: Finding) -> None:
    return


async def test_missing_values_make_no_vector(tmp_path: Path) -> None:
    """A point that stays bad grows stale: nothing is learned from old values."""

    class Later(SystemClock):
        def now_us(self) -> int:
            return super().now_us() + 10_000_000

    detector = PcaDetector(config(every=1, stale=3), Later(), tmp_path)
    found: list[Finding] = []
    await watch(detector, plant(5), found)
    assert detector.status()["learned"] == 0


async def test_bad_quality_is_not_learned(tmp_path: Path) -> None:
    """A bad row never becomes the newest value of its point."""
    detector = PcaDetector(config(), SystemClock(), tmp_path)
    feed(detector, plant(1)[0], bad=True)
    assert POINTS[1] not in detector._latest
    assert POINTS[0] in detector._latest


async def test_failed_fit_is_told_and_learned_anew(tmp_path: Path) -> None:
    """A lesson in which nothing moves raises what the supervisor reports; then it starts anew."""
    detector = PcaDetector(config(every=1, fit_after=20, window=4), SystemClock(), tmp_path)
    with pytest.raises(Unavailable, match="nothing in it moves"):
        await watch(detector, np.ones((20, 3)), [])
    assert detector.status() == {"state": "learning", "learned": 0.0, "score": 0.0}


async def test_broken_model_on_disk_is_set_aside(tmp_path: Path) -> None:
    """A corrupt file is kept beside as .bad and the detector learns again."""
    (tmp_path / "ch.onnx").write_bytes(b"garbage")
    detector = PcaDetector(config(every=0.001), SystemClock(), tmp_path)
    task = asyncio.create_task(detector.run(_ignore))
    async with asyncio.timeout(60):
        while not (tmp_path / "ch.bad").exists():
            await asyncio.sleep(0)
    task.cancel()
    assert detector.status()["state"] == "learning"


def test_fit_runs_as_a_child(tmp_path: Path) -> None:
    """The module reads a request on standard input and writes the graph."""
    request = {
        "points": POINTS,
        "lesson": plant(60).tolist(),
        "window": 4,
        "variance": 0.9,
        "margin": 2,
        "path": str(tmp_path / "m.onnx"),
    }
    subprocess.run(
        [sys.executable, "-m", "plantroom_edge.detectors.pca_fit"],
        input=json.dumps(request).encode(),
        check=True,
    )
    assert Model.load(tmp_path / "m.onnx").points == POINTS


def test_registered_under_its_name() -> None:
    """The configuration reaches it as ``detector: pca``."""
    assert detectors.get("pca").config is PcaConfig
