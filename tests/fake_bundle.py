"""A tiny hand-made bundle: an ONNX graph that outlines dark regions and calls the darkest of them malignant.

It has the inputs and outputs of every Senoscope network, so that what surrounds the network can be tested by hand.
With ``d`` the share of dark and ``e`` that of very dark pixels in a cell of the 8×8 grid, the evidence per cell is
normal ``2 - 6 d``, benign ``4 d - 6 e``, malignant ``9 e - 1``; the cells' shares are a softmax of ``5 d``. Its box is
drawn round everything dark. ``KINDS`` are the same network with fewer outputs.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from senoscope.imaging.preprocess import Preprocess
from senoscope.inference.bundle import Calibration, Card, save_card
from senoscope.schema import CLASSES

SIZE, CELLS = 128, 8
DARK, VERY_DARK = 0.25, 0.1
EVERYTHING = ("class_logits", "mask_logits", "class_map", "pool_weights")
KINDS = {
    "classifier": ("class_logits", "class_map", "pool_weights"),
    "plain classifier": ("class_logits",),
    "two heads": ("class_logits", "mask_logits"),
    "segmenter": ("mask_logits", "contour_logits"),
    "detector": ("boxes",),
    "scoring detector": ("class_logits", "boxes"),
}


def build_network(
    size: int = SIZE,
    classes: int = 3,
    bias: float = 2.0,
    honest: bool = True,
    gives: tuple[str, ...] = EVERYTHING,
) -> onnx.ModelProto:
    """The graph above. ``bias`` is the normal class's; ``honest=False`` breaks the sum that scores rely on."""
    evidence = np.zeros((classes, 2, 1, 1), np.float32)
    evidence[:3, :, 0, 0] = [[-6, 0], [4, -6], [0, 9]]
    offset = np.zeros(classes, np.float32)
    offset[:3] = [bias, 0, -1]
    numbers = {
        "dark": np.float32(DARK),
        "very_dark": np.float32(VERY_DARK),
        "gain": np.float32(40),
        "focus": np.float32(5),
        "evidence": evidence,
        "offset": offset,
        "axes": np.array([2, 3], np.int64),
        "flat": np.array([0, 1, -1], np.int64),
        "extra": np.float32(0 if honest else 1),
        "grid": np.array([1, 1, CELLS, CELLS], np.int64),
        "half": np.float32(0.5),
        "pixel": np.array([0, 0, 1, 1], np.float32),
        "side": np.float32(size),
        "one": np.array([1, 1], np.int64),
    }
    for axis in (2, 3):
        numbers[f"other_than_{axis}"] = np.array([5 - axis], np.int64)
    block = size // CELLS
    node = helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["smooth"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        node("Sub", ["dark", "smooth"], ["darkness"]),
        node("Mul", ["darkness", "gain"], ["mask_logits"]),
        node("Sigmoid", ["mask_logits"], ["is_dark"]),
        node("Sub", ["very_dark", "smooth"], ["deepness"]),
        node("Mul", ["deepness", "gain"], ["deep_logits"]),
        node("Sigmoid", ["deep_logits"], ["is_deep"]),
        node("Concat", ["is_dark", "is_deep"], ["both"], axis=1),
        node("AveragePool", ["both"], ["shares"], kernel_shape=[block, block], strides=[block, block]),
        node("Conv", ["shares", "evidence", "offset"], ["class_map"]),
        node("AveragePool", ["is_dark"], ["cells"], kernel_shape=[block, block], strides=[block, block]),
        node("Mul", ["cells", "focus"], ["attention"]),
        node("Reshape", ["attention", "flat"], ["attention_flat"]),
        node("Softmax", ["attention_flat"], ["weights_flat"], axis=2),
        node("Reshape", ["weights_flat", "grid"], ["pool_weights"]),
        node("Mul", ["class_map", "pool_weights"], ["weighted"]),
        node("ReduceSum", ["weighted", "axes"], ["summed"], keepdims=0),
        node("Add", ["summed", "extra"], ["class_logits"]),
    ]
    boxes = [node("Identity", ["mask_logits"], ["contour_logits"])]
    for axis in (2, 3):  # first and last row, or column, with something dark in it
        boxes += [
            node("ReduceMax", ["is_dark", f"other_than_{axis}"], [f"line_{axis}"], keepdims=1),
            node("Greater", [f"line_{axis}", "half"], [f"filled_{axis}"]),
            node("Cast", [f"filled_{axis}"], [f"ones_{axis}"], to=TensorProto.FLOAT),
        ]
        for end, last in (("first", 0), ("last", 1)):
            found = f"{end}_{axis}"
            boxes += [
                node("ArgMax", [f"ones_{axis}"], [f"{found}_at"], axis=axis, select_last_index=last),
                node("Cast", [f"{found}_at"], [f"{found}_float"], to=TensorProto.FLOAT),
                node("Reshape", [f"{found}_float", "one"], [found]),
            ]
    boxes += [
        node("Concat", ["first_3", "first_2"], ["corner"], axis=1),
        node("Concat", ["last_3", "last_2"], ["end"], axis=1),
        node("Sub", ["end", "corner"], ["extent"]),
        node("Concat", ["corner", "extent"], ["box_px"], axis=1),
        node("Add", ["box_px", "pixel"], ["box_whole"]),
        node("Div", ["box_whole", "side"], ["boxes"]),
    ]
    nodes[4:4] = boxes  # where what they need is there, and the class stays last
    shapes = {
        "class_logits": [1, classes],
        "mask_logits": [1, 1, size, size],
        "class_map": [1, classes, CELLS, CELLS],
        "pool_weights": [1, 1, CELLS, CELLS],
        "boxes": [1, 4],
        "contour_logits": [1, 1, size, size],
    }
    graph = helper.make_graph(
        nodes,
        "fake",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, size, size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in gives],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def write_bundle(folder: Path, model: onnx.ModelProto | bytes | None = None, **changes: Any) -> Path:
    """A bundle's folder with right hashes; ``changes`` replace fields of its card."""
    folder.mkdir(parents=True, exist_ok=True)
    network = build_network() if model is None else model
    (folder / "model.onnx").write_bytes(
        network if isinstance(network, bytes) else network.SerializeToString()
    )
    write_safetensors(
        folder / "weights.safetensors", {"evidence": np.arange(6, dtype=np.float32).reshape(2, 3)}
    )
    fields: dict[str, Any] = {
        "name": "fake-us",
        "version": "0.0.1",
        "classes": CLASSES,
        "preprocess": Preprocess(size=SIZE),
        "calibration": Calibration(
            temperature=1.5, n=100, prevalence=dict(zip(CLASSES, (0.2, 0.5, 0.3), strict=True))
        ),
        "operating_points": {"malignant": {"threshold_sens90": 0.3, "threshold_spec90": 0.6}},
        "uncertainty_limit": 0.97,
        "limits": ("A toy: it sees darkness and nothing else.",),
        "intended_use": "Tests.",
        "created_with": {"python": "3"},
        "results": {"toy": {"dice": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}}},
        "data": (
            {
                "name": "toys",
                "n": 3,
                "split": "all",
                "split_hash": "0" * 64,
                "licence": "CC0",
                "citation": "none",
            },
        ),
    }
    card = Card.model_validate({**fields, "files": hashes(folder), **changes})
    save_card(card, folder)
    return folder


def write_kind(folder: Path, kind: str, bias: float = 2.0, **changes: Any) -> Path:
    """A bundle that gives only what one of ``KINDS`` gives, with a card that says so."""
    gives = KINDS[kind]
    fields: dict[str, Any] = {"name": kind.replace(" ", "-"), "system": "toy", "gives": gives}
    if "class_logits" not in gives:
        fields |= {"classes": (), "calibration": None, "operating_points": {}}
    return write_bundle(folder, build_network(bias=bias, gives=gives), **{**fields, **changes})


def rehash(folder: Path) -> None:
    """Make the card agree with the files as they are now, so that only what a file holds can be wrong."""
    edit_card(folder, files=hashes(folder))


def edit_card(folder: Path, **changes: Any) -> None:
    """Change keys of ``card.json`` without any check."""
    path = folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the model and the weights."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.onnx", "weights.safetensors")
        if (folder / name).exists()
    }


def write_safetensors(path: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    """A safetensors file of float32 tensors."""
    header, body = {}, b""
    for name, tensor in tensors.items():
        raw = np.ascontiguousarray(tensor, dtype="<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def draw_exam(
    *lesions: tuple[int, int, int, float], size: tuple[int, int] = (256, 256), seed: int = 0
) -> Any:
    """Speckled tissue, float32 H×W around 0.5, with discs of (row, column, radius, brightness)."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    image = np.full(size, 0.5, np.float32)
    for row, column, radius, brightness in lesions:
        image[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = brightness
    noise = np.random.default_rng(seed).normal(1.0, 0.12, size)
    return np.clip(image * noise, 0.0, 1.0).astype(np.float32)
