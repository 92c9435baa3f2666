"""The trained network as ONNX: rounded to 16 bits, written, and compared with where it came from."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn

from senoscope.errors import BundleError
from senoscope.imaging.preprocess import Preprocess
from senoscope.inference.runtimes import INPUT
from senoscope.models.interface import Outputs, System
from senoscope.training.predict import RawPrediction

PARITY = 1e-4
"""Largest difference allowed between the exported network and the one it came from, in probabilities."""
_LARGEST_HALF = 65504.0


@torch.no_grad()
def round_weights(model: System, *, fold_norms: bool) -> None:
    """Round large weights to 16 bits, in place, so that what is measured afterwards is what ships.

    With ``fold_norms`` batch norms are first folded into the convolutions before them; they stay as plain shifts, so
    the weights still fit the system. Buffers are left alone: they may hold a fitted stage (split points of trees).
    """
    if fold_norms:
        _fold_norms(model)
    for weight in model.parameters():
        if weight.ndim > 1 and float(weight.abs().max()) <= _LARGEST_HALF:
            weight.copy_(weight.half().float())


def _fold_norms(model: System) -> None:
    for _, conv, _, norm in _conv_norm_pairs(model):
        if norm.running_mean is None or norm.running_var is None or conv.bias is not None:
            continue
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        conv.weight *= scale.view(-1, 1, 1, 1)
        norm.bias.sub_(norm.running_mean * scale)
        norm.weight.fill_(1)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)


def _conv_norm_pairs(model: nn.Module) -> Iterator[tuple[nn.Module, nn.Conv2d, str, nn.BatchNorm2d]]:
    """Each convolution that a batch norm follows: parent, convolution, the norm's name, the norm."""
    for parent in list(model.modules()):
        last: nn.Conv2d | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and last is not None:
                yield parent, last, name, child
            if not isinstance(child, nn.Identity):
                last = child if isinstance(child, nn.Conv2d) else None


def without_norms(model: System) -> System:
    """A copy in which the norms, by now plain shifts, are their convolutions' biases: half the nodes to run."""
    copy_ = copy.deepcopy(model)
    for parent, conv, name, norm in _conv_norm_pairs(copy_):
        conv.bias = nn.Parameter(norm.bias.detach().clone())
        parts = (
            getattr(norm, "drop", nn.Identity()),
            getattr(norm, "act", nn.Identity()),
        )  # timm joins these
        setattr(parent, name, nn.Sequential(*parts))
    return copy_


def save_weights(model: System, path: Path) -> None:
    """Write the state as safetensors, in 16 bits wherever nothing is lost by it."""
    state = {key: value.detach().contiguous().clone() for key, value in model.state_dict().items()}
    halves = {
        key: value.half() for key, value in state.items() if value.is_floating_point() and value.ndim > 1
    }
    lossless = {
        key: half for key, half in halves.items() if torch.equal(half.to(state[key].dtype), state[key])
    }
    save_file(state | lossless, path)


class _Tuple(torch.nn.Module):
    """The network with plain outputs in the order bundles name them."""

    def __init__(self, model: System, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.model(image)
        return tuple(getattr(outputs, name) for name in self.names)


@torch.inference_mode()
def outputs_of(model: System, size: int) -> tuple[str, ...]:
    """Names of the outputs a system gives for an image of size×size, in the order of ``Outputs``."""
    outputs = model(torch.full((1, 1, size, size), 0.3))
    return tuple(
        name for name in Outputs._fields if name != "auxiliary" and getattr(outputs, name) is not None
    )


def export_onnx(model: System, preprocess: Preprocess, path: Path) -> None:
    """Write the network as ONNX with a free batch size; large weights are stored in 16 bits and cast when loaded."""
    example = torch.zeros(2, 1, preprocess.size, preprocess.size)
    names = outputs_of(model.eval(), preprocess.size)
    program = torch.onnx.export(
        _Tuple(model, names).eval(),
        (example,),
        dynamo=True,
        optimize=True,
        opset_version=18,
        verbose=False,
        input_names=[INPUT],
        output_names=list(names),
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
    )
    if program is None:
        raise BundleError("the network could not be exported to ONNX")
    proto = program.model_proto
    batch = proto.graph.input[0].type.tensor_type.shape.dim[0]
    if not batch.dim_param:  # the exporter gives up a free side silently
        raise BundleError(
            f"the exported network only takes {batch.dim_value} images at a time",
            expected="any number of images",
            fix="in the system's forward, write x.shape[0] for the number of images: len(x) fixes it",
        )
    _store_half(proto.graph)
    for node in proto.graph.node:  # traces of this machine's source tree
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _store_half(graph: Any) -> None:
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue  # no rounded weight, but something computed from weights or a fitted stage
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@torch.inference_mode()
def check_parity(
    path: Path, model: System, preprocess: Preprocess, predictions: Sequence[RawPrediction]
) -> float:
    """Largest difference between the ONNX file and the network, over whatever the network gives.

    Compared are class, lesion and contour probabilities, boxes, and each location's part of the decision. Raises
    ``BundleError`` above ``PARITY``.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    worst = 0.0
    for sample, *_ in predictions:
        image = preprocess.apply(sample.image)[0][None, None]
        expected = _answers(model(torch.from_numpy(image)))
        values = session.run(names, {INPUT: image})
        found = _answers(Outputs(**dict(zip(names, map(torch.from_numpy, values), strict=True))))
        if found.keys() != expected.keys():
            raise BundleError(f"the exported network gives {', '.join(found)}", expected=", ".join(expected))
        worst = max(worst, *(float((found[key] - expected[key]).abs().max()) for key in expected))
    if not worst <= PARITY:
        raise BundleError(
            f"the exported network differs by {worst:.2g} from the trained one",
            expected=f"at most {PARITY:g}",
            fix="report this with the versions of torch and onnxruntime",
        )
    return worst


def _answers(outputs: Outputs) -> dict[str, torch.Tensor]:
    """What a user sees of the outputs, as far as the network gives them."""
    answers = {
        "classes": None if outputs.class_logits is None else outputs.class_logits.softmax(1),
        "mask": None if outputs.mask_logits is None else outputs.mask_logits.sigmoid(),
        "contour": None if outputs.contour_logits is None else outputs.contour_logits.sigmoid(),
        "boxes": outputs.boxes,
        "evidence": None
        if outputs.class_map is None or outputs.pool_weights is None
        else outputs.class_map * outputs.pool_weights,
    }
    return {name: answer for name, answer in answers.items() if answer is not None}
