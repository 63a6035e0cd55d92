"""A fitted model, run by onnxruntime; the only place that loads a model file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from plantroom_shared.errors import Unavailable

MAX_MODEL_BYTES = 1024 * 1024

_ort = ort.capi.onnxruntime_pybind11_state
# onnxruntime's errors share no base class of their own.
_REFUSALS = (
    _ort.Fail,
    _ort.InvalidArgument,
    _ort.InvalidGraph,
    _ort.InvalidProtobuf,
    _ort.NotImplemented,
    _ort.RuntimeException,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model says of one window."""

    score: float
    """Squared prediction error over the threshold: beyond 1 is abnormal."""
    shares: tuple[float, ...]
    """Each point's share of the error, summing to 1."""


class Model:
    """A session over one self-contained ONNX file and the points it was fitted on."""

    def __init__(self, session: Any, points: tuple[str, ...], window: int) -> None:
        self._session, self.points, self._window = session, points, window

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read and check the file; Unavailable says what is wrong with it.

        The graph is loaded from bytes, so that it cannot refer to other files.
        """
        try:
            data = path.read_bytes()
            if len(data) > MAX_MODEL_BYTES:
                msg = f"{path}: {len(data)} bytes is no model of ours"
                raise Unavailable(msg)
            session = ort.InferenceSession(data, _options(), providers=["CPUExecutionProvider"])
            facts = json.loads(session.get_modelmeta().custom_metadata_map["plantroom"])
            points = tuple(str(point) for point in facts["points"])
            window = int(facts["window"])
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, *_REFUSALS) as error:
            msg = f"{path}: {error}"
            raise Unavailable(msg) from error
        if session.get_inputs()[0].shape != [1, window, len(points)]:
            msg = f"{path}: the graph does not fit its own description"
            raise Unavailable(msg)
        return cls(session, points, window)

    def score(self, window: list[list[float]]) -> Verdict:
        """Judge one window: `window` rows of a value per point, oldest first."""
        feed = np.asarray([window], dtype=np.float64)
        score, errors = self._session.run(["score", "errors"], {"window": feed})
        total = float(errors.sum()) or 1.0
        return Verdict(float(score[0]), tuple(float(part) / total for part in errors[0]))


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # a few kilobytes of work need no arena
    options.log_severity_level = 4
    return options
