"""Detector ``pca``: learns how the points of a device move together, and says when they stop to.

The first good vectors of the site's own points are the lesson. A principal component analysis of
their window means keeps the directions in which the device normally moves; what a new window has
outside of them is its squared prediction error (Q statistic; Jackson and Mudholkar, 1979). The
threshold comes from the last part of the lesson, which the fit has not seen. A finding opens
after `persist` windows in a row beyond the threshold and closes after as many below it.

The model is a small ONNX graph, fitted and written by a child process (`pca_fit`), kept in the
data folder, and run by onnxruntime in this detector's own thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import Field

from plantroom_edge.detectors import DetectorConfig, DetectorSpec, Emit, detectors
from plantroom_edge.detectors.scoring import Model, Verdict
from plantroom_edge.drivers import Poll
from plantroom_shared.clock import Clock
from plantroom_shared.errors import Unavailable
from plantroom_shared.model import Finding, Quality

log = logging.getLogger(__name__)

_STRONGEST = 5
"""How many contributing points a finding names."""


class PcaConfig(DetectorConfig):
    """What to watch, how long to learn, how sure to be."""

    points: tuple[str, ...] = Field(min_length=1)
    """Point keys or patterns: ``bacnet:1001:analog-*``."""
    subject: str = ""
    """The device or equipment that findings are about; by default the first point's device."""
    every: float = Field(default=60.0, gt=0, le=3600)
    """Seconds between two vectors."""
    window: int = Field(default=5, ge=1, le=100)
    """Vectors in a window."""
    fit_after: float = Field(default=86_400.0, gt=0)
    """Seconds of good data that make the lesson."""
    variance: float = Field(default=0.98, gt=0, lt=1)
    """Share of the variance that the kept components explain."""
    margin: float = Field(default=2.0, ge=1)
    """Threshold = margin x the worst unseen part of the lesson."""
    persist: int = Field(default=3, ge=1, le=100)
    """Windows in a row that open or close a finding."""
    stale: float = Field(default=3.0, ge=1)
    """A value older than this many `every` is missing; a vector with one missing is not used."""


class Episode:
    """Turns a run of verdicts into events: opened once, closed once. Pure."""

    def __init__(self, config: PcaConfig, points: tuple[str, ...], subject: str) -> None:
        self._config, self._points, self._subject = config, points, subject
        self._beyond = self._below = 0
        self._open: Finding | None = None

    @property
    def is_open(self) -> bool:
        """Say whether a finding is open now."""
        return self._open is not None

    def judge(self, verdict: Verdict, ts: int) -> Finding | None:
        """Take one window's verdict; return a finding to report, if this window opens or ends one.

        Args:
            verdict: score (1 is the threshold) and each point's share of it.
            ts: time of the window's last vector, microseconds since 1970.
        """
        if verdict.score > 1:
            self._beyond, self._below = self._beyond + 1, 0
        else:
            self._beyond, self._below = 0, self._below + 1
        if self._open is None and self._beyond >= self._config.persist:
            self._open = self._opened(verdict, ts)
            return self._open
        if self._open is not None and self._below >= self._config.persist:
            ended = self._open.model_copy(update={"ended": ts})
            self._open = None
            return ended
        return None

    def _opened(self, verdict: Verdict, ts: int) -> Finding:
        shares = sorted(zip(verdict.shares, self._points, strict=True), reverse=True)
        strongest = shares[:_STRONGEST]
        return Finding(
            id=f"{self._config.name}:{ts}",
            detector=f"pca/{self._config.name}",
            subject=self._subject,
            points=tuple(point for _, point in strongest),
            started=ts,
            score=verdict.score,
            text=(
                f"{self._subject}: its points no longer move together as they did "
                f"({verdict.score:.1f} times the threshold)"
            ),
            evidence={"shares": {point: round(share, 3) for share, point in strongest}},
        )


class PcaDetector:
    """Feeds on polls, learns once, then watches."""

    def __init__(self, config: PcaConfig, clock: Clock, folder: Path) -> None:
        self._config, self._clock = config, clock
        self._path = folder / f"{config.name}.onnx"
        self._matched: dict[tuple[str, tuple[str, ...]], list[tuple[int, str]]] = {}
        self._latest: dict[str, tuple[int, float]] = {}
        self._lesson: list[list[float]] = []
        self._points: tuple[str, ...] = ()
        self._recent: deque[list[float]] = deque(maxlen=config.window)
        self._model: Model | None = None
        self._episode: Episode | None = None
        self._state, self._score = "learning", 0.0

    def wants(self, point: str) -> bool:
        """Say whether a point is watched."""
        return any(fnmatchcase(point, pattern) for pattern in self._config.points)

    def feed(self, device: str, points: tuple[str, ...], poll: Poll) -> None:
        """Keep the newest good number of every watched point."""
        rows = self._matched.get((device, points))
        if rows is None:
            rows = [(row, key) for row, key in enumerate(points) if self.wants(key)]
            self._matched[device, points] = rows
        for row, key in rows:
            value = poll.values[row]
            if row in poll.quality and poll.quality[row][0] != Quality.GOOD:
                continue
            if isinstance(value, int | float):
                self._latest[key] = (poll.ts, float(value))

    def status(self) -> dict[str, Any]:
        """Return the state, how much of the lesson is heard, and the last score."""
        need = self._lesson_length()
        heard = 1.0 if self._model else min(1.0, len(self._lesson) / need)
        return {"state": self._state, "learned": round(heard, 3), "score": round(self._score, 3)}

    async def run(self, emit: Emit) -> None:
        """Learn unless a model is there, then watch until cancelled."""
        with ThreadPoolExecutor(1, thread_name_prefix=f"onnx-{self._config.name}") as thread:
            if self._path.exists():
                await self._load(thread)
            while True:
                await asyncio.sleep(self._config.every)
                await self._step(thread, emit)

    async def _step(self, thread: ThreadPoolExecutor, emit: Emit) -> None:
        vector = self._vector()
        if vector is None:
            self._recent.clear()
            return
        if self._model is None:
            self._lesson.append(vector)
            if len(self._lesson) >= self._lesson_length():
                await self._fit()
                await self._load(thread)
            return
        self._recent.append(vector)
        if len(self._recent) == self._config.window:
            await self._watch(self._model, thread, emit)

    async def _watch(self, model: Model, thread: ThreadPoolExecutor, emit: Emit) -> None:
        loop = asyncio.get_running_loop()
        verdict = await loop.run_in_executor(thread, model.score, list(self._recent))
        self._score = verdict.score
        episode = self._episode = self._episode or Episode(
            self._config, model.points, self._subject(model.points)
        )
        finding = episode.judge(verdict, self._clock.now_us())
        self._state = "alarm" if episode.is_open else "watching"
        if finding is not None:
            await emit(finding)

    def _vector(self) -> list[float] | None:
        """Return the newest value of each point, or None while one is missing or stale."""
        if self._model is not None:
            points = self._model.points
        elif self._lesson:
            points = self._points
        else:
            points = self._points = tuple(sorted(self._latest))
        oldest = self._clock.now_us() - int(self._config.stale * self._config.every * 1e6)
        found = [self._latest.get(point, (0, 0.0)) for point in points]
        if not found or any(ts < oldest for ts, _ in found):
            return None
        return [value for _, value in found]

    def _lesson_length(self) -> int:
        return max(4 * self._config.window, round(self._config.fit_after / self._config.every))

    def _subject(self, points: tuple[str, ...]) -> str:
        return self._config.subject or points[0].rsplit(":", 2)[0]

    async def _fit(self) -> None:
        """Fit and write the model in a child: neither numpy's nor onnx's memory stays here."""
        self._state = "fitting"
        lesson, self._lesson = self._lesson, []
        request = {
            "points": self._points,
            "lesson": lesson,
            "window": self._config.window,
            "variance": self._config.variance,
            "margin": self._config.margin,
            "path": str(self._path),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "plantroom_edge.detectors.pca_fit",
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await child.communicate(json.dumps(request).encode())
        if child.returncode != 0:
            self._state = "learning"
            last = errors.decode(errors="replace").strip().rsplit("\n", 1)[-1]
            msg = f"detector {self._config.name}: fitting failed and starts anew: {last}"
            raise Unavailable(msg)

    async def _load(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._model = await loop.run_in_executor(thread, Model.load, self._path)
        except Unavailable as error:
            broken = self._path.with_suffix(".bad")
            self._path.replace(broken)
            log.error("model file cannot be used, learning anew", extra={"error": str(error)})  # noqa: TRY400
            return
        self._state = "watching"


detectors.register("pca")(DetectorSpec(PcaConfig, PcaDetector))
