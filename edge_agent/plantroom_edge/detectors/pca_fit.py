"""The lesson of detector ``pca``: from vectors to a self-contained ONNX graph.

Run as a module it reads one JSON request on standard input and writes the graph's file; the
agent runs it as a child process, so that neither its memory nor its trouble stays.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float64]

FIT_SHARE = 0.6
"""The first part of the lesson is fitted, the rest sets the threshold."""
_OPSET, _IR = 17, 8
_FLAT = 1e-9


@dataclass(frozen=True, slots=True)
class Pca:
    """Centre, scale and kept directions of d points, and where abnormal begins."""

    centre: Array
    scale: Array
    directions: Array
    """Shape (d, k), orthonormal columns."""
    threshold: float
    """Squared prediction error, in squared standard deviations."""


def window_means(vectors: Array, window: int) -> Array:
    """Return the means of every `window` consecutive rows: shape (n - window + 1, d)."""
    sums = np.cumsum(np.vstack([np.zeros(vectors.shape[1]), vectors]), axis=0)
    means: Array = (sums[window:] - sums[:-window]) / window
    return means


def fit(vectors: Array, *, window: int, variance: float, margin: float) -> Pca:
    """Fit a PCA to the early windows and set the threshold by the late ones.

    Args:
        vectors: shape (n, d), at least 4 x `window` rows, finite.
        window: rows in a window.
        variance: share of the variance to keep, between 0 and 1.
        margin: threshold over the worst late window.

    Raises:
        ValueError: the lesson is too short, or nothing in it moves.
    """
    means = window_means(vectors, window)
    split = round(len(means) * FIT_SHARE)
    # A point that stands still has no normal movement to learn: it is given a scale that hides
    # it, rather than one that makes every later change an alarm.
    spread = means[:split].std(axis=0)
    flat = spread <= _FLAT * (1 + np.abs(means[:split]).max(axis=0))
    if len(means) < 2 * window or flat.all():
        msg = "the lesson is too short, or nothing in it moves"
        raise ValueError(msg)
    centre = means[:split].mean(axis=0)
    scale = np.where(flat, np.inf, spread)
    scale = np.where(np.isinf(scale), 1e12, scale)
    z = (means - centre) / scale
    _, singular, rows = np.linalg.svd(z[:split], full_matrices=False)
    explained = np.cumsum(singular**2) / np.sum(singular**2)
    kept = int(np.searchsorted(explained, variance) + 1)
    kept = min(kept, int((~flat).sum()) - 1 or 1)
    directions: Array = rows[:kept].T
    residual = z - z @ directions @ directions.T
    errors = (residual**2).sum(axis=1)
    return Pca(centre, scale, directions, margin * float(max(errors.max(), 1e-6)))


def graph(model: Pca, points: list[str], window: int) -> onnx.ModelProto:
    """Return `model` as ONNX: ``window`` (1, w, d) → ``score`` (1), ``errors`` (1, d)."""
    d = len(points)
    constants = {
        "centre": model.centre.reshape(1, d),
        "scale": model.scale.reshape(1, d),
        "directions": model.directions,
        "back": model.directions.T,
        "threshold": np.asarray([model.threshold]),
    }
    axis = numpy_helper.from_array(np.asarray([1], dtype=np.int64), "axis")
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float64), name)
        for name, value in constants.items()
    ]
    nodes = [
        helper.make_node("ReduceMean", ["window"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["mean", "centre"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["z"]),
        helper.make_node("MatMul", ["z", "directions"], ["scores"]),
        helper.make_node("MatMul", ["scores", "back"], ["expected"]),
        helper.make_node("Sub", ["z", "expected"], ["residual"]),
        helper.make_node("Mul", ["residual", "residual"], ["errors"]),
        helper.make_node("ReduceSum", ["errors", "axis"], ["error"], keepdims=0),
        helper.make_node("Div", ["error", "threshold"], ["score"]),
    ]
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "pca",
            [helper.make_tensor_value_info("window", TensorProto.DOUBLE, [1, window, d])],
            [
                helper.make_tensor_value_info("score", TensorProto.DOUBLE, [1]),
                helper.make_tensor_value_info("errors", TensorProto.DOUBLE, [1, d]),
            ],
            [*tensors, axis],
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        producer_name="plantroom",
        ir_version=_IR,
    )
    facts = json.dumps({"points": points, "window": window})
    helper.set_model_props(proto, {"plantroom": facts})
    onnx.checker.check_model(proto)
    return proto


def write(request: dict[str, Any]) -> None:
    """Carry out one request; the file appears whole or not at all."""
    vectors = np.asarray(request["lesson"], dtype=np.float64)
    model = fit(
        vectors,
        window=request["window"],
        variance=request["variance"],
        margin=request["margin"],
    )
    path = Path(request["path"])
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(graph(model, list(request["points"]), request["window"]).SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


if __name__ == "__main__":
    write(json.load(sys.stdin))
