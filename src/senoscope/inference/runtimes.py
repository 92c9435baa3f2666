"""Running a bundle's network: ONNX Runtime on the CPU, one image at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from senoscope.errors import BundleError
from senoscope.inference.bundle import Bundle
from senoscope.schema import FloatArray

INPUT = "image"
_READ = ("class_logits", "mask_logits", "class_map", "pool_weights", "boxes")
"""Outputs an answer is made from; contours (``contour_logits``) are learnt beside the mask and say nothing more."""
_ONE_CHANNEL = ("mask_logits", "pool_weights")
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class RawOutputs:
    """What the network says of one image, before calibration: ``class_logits`` (C,), ``mask_logits`` S×S,
    ``class_map`` C×s×s, ``pool_weights`` s×s and ``boxes`` (4,) as x, y, width, height in 0..1 of the square.

    ``None`` is what this network does not give.
    """

    class_logits: FloatArray | None = None
    mask_logits: FloatArray | None = None
    class_map: FloatArray | None = None
    pool_weights: FloatArray | None = None
    boxes: FloatArray | None = None


class OnnxNetwork:
    """A bundle's network in an ONNX Runtime session.

    Raises ``BundleError`` if the graph does not take and give what the card promises, which one image proves.
    """

    def __init__(self, bundle: Bundle, threads: int | None = 2) -> None:
        card = bundle.card
        self._name = card.name
        self._names = tuple(name for name in _READ if name in card.gives)
        self._session = _session(bundle.model, threads)
        self._check_ends(card.gives, len(card.classes), card.preprocess.size)
        self._prove(len(card.classes), card.preprocess.size)

    def run(self, image: FloatArray) -> RawOutputs:
        """One preprocessed image, float32 S×S in 0..1, through the network.

        Raises ``BundleError`` if the network answers with NaN or infinity.
        """
        batch = np.ascontiguousarray(image, dtype=np.float32)[None, None]
        values = dict(zip(self._names, self._session.run(self._names, {INPUT: batch}), strict=True))
        if not all(np.isfinite(value).all() for value in values.values()):
            raise BundleError(
                f"the network of bundle '{self._name}' answers with values that are not numbers",
                fix="install the bundle again; if that does not help, report the image",
            )
        return RawOutputs(
            **{name: value[0, 0] if name in _ONE_CHANNEL else value[0] for name, value in values.items()}
        )

    def _check_ends(self, gives: tuple[str, ...], classes: int, size: int) -> None:
        given = {value.name: value for value in self._session.get_inputs()}
        if list(given) != [INPUT] or not _fits(given[INPUT].shape, (1, 1, size, size)):
            shapes = ", ".join(f"{name} {value.shape}" for name, value in given.items())
            raise self._other(
                f"takes {shapes}", f"one input '{INPUT}' of 1×1×{size}×{size}, as its card says"
            )
        answers = {value.name: value.shape for value in self._session.get_outputs()}
        missing = [name for name in gives if name not in answers]
        if missing:
            raise self._other(f"has no output {', '.join(missing)}", f"the outputs {', '.join(gives)}")
        if "class_logits" in gives and not _fits(answers["class_logits"], (1, classes)):
            raise self._other(f"gives class logits of {answers['class_logits']}", f"{classes} classes")

    def _prove(self, classes: int, size: int) -> None:
        ramp = np.linspace(0.05, 0.6, size * size, dtype=np.float32).reshape(size, size)
        out = self.run(ramp)
        if out.mask_logits is not None and out.mask_logits.shape != (size, size):
            raise self._other(f"gives a mask of {out.mask_logits.shape}", f"{size}×{size}")
        if out.boxes is not None and out.boxes.shape != (4,):
            raise self._other(f"gives a box of {out.boxes.shape}", "x, y, width, height")
        if out.class_logits is None or out.class_map is None or out.pool_weights is None:
            return
        side = out.pool_weights.shape
        if len(side) != 2 or out.class_map.shape != (classes, *side):
            raise self._other(f"gives a class map of {out.class_map.shape}", f"{classes} maps of {side}")
        parts = (out.class_map * out.pool_weights).sum(axis=(1, 2))
        if not np.allclose(parts, out.class_logits, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise self._other(
                "has class logits that are not the weighted sum of its class map",
                "class_logits == (class_map * pool_weights) summed over locations",
            )

    def _other(self, found: str, expected: str) -> BundleError:
        return BundleError(
            f"the network of bundle '{self._name}' {found}",
            expected=expected,
            fix="model.onnx and card.json come from different models: export the bundle again",
        )


def _session(model: bytes, threads: int | None) -> Any:
    cores = os.cpu_count() or 1
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, min(threads or cores, cores))
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # idle threads leave the CPU alone
    options.log_severity_level = 4
    if hasattr(onnxruntime, "disable_telemetry_events"):
        onnxruntime.disable_telemetry_events()  # its Windows builds send events otherwise
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class but this one
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise BundleError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load the network: {reason}",
            fix="install the bundle again, or a newer onnxruntime",
        ) from None


def _fits(shape: list[Any], wanted: tuple[int, ...]) -> bool:
    """Whether a graph's shape, whose free sides are names or None, admits the wanted one."""
    return len(shape) == len(wanted) and all(
        not isinstance(side, int) or side == want for side, want in zip(shape, wanted, strict=True)
    )
