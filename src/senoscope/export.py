"""From a finished run to a bundle: calibrated, checked against the network it came from, usable without torch."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from rich.progress import track
from safetensors.torch import save_file
from torch import nn

from senoscope import __version__
from senoscope import data as datasets
from senoscope._files import sha256_file
from senoscope.errors import BundleError, UsageError
from senoscope.evaluation.calibration import calibrate, fit_temperature
from senoscope.evaluation.cases import case_row, from_rows
from senoscope.evaluation.classification import MALIGNANT, one_against_rest
from senoscope.evaluation.runs import MASK_THRESHOLD, MIN_AREA, MIN_SHARE, pool, sides_of
from senoscope.evaluation.thresholds import choose_threshold
from senoscope.imaging.preprocess import Preprocess
from senoscope.imaging.read import read_sample
from senoscope.inference.bundle import install_bundle
from senoscope.inference.card import Calibration, Card, DataSource, Figure, save_card
from senoscope.inference.runtimes import INPUT, OUTPUTS
from senoscope.inference.scope import fit_scope
from senoscope.models.interface import Outputs, System
from senoscope.schema import CLASSES, FloatArray, Record
from senoscope.training import runs
from senoscope.training.data import phantoms_of
from senoscope.training.predict import RawPrediction, load_run, predict
from senoscope.training.recipe import Recipe

MODEL, WEIGHTS = "model.onnx", "weights.safetensors"
PARITY = 1e-4
"""Largest difference allowed between the exported network and the one it came from, in probabilities."""

_OPERATING_POINTS = {
    "threshold_sens90": ("sensitivity", 0.90),
    "threshold_sens95": ("sensitivity", 0.95),
    "threshold_spec90": ("specificity", 0.90),
}

INTENDED_USE = (
    "Research on B-mode breast ultrasound: outlining and scoring lesions in single images. Not for diagnosis, "
    "screening or any decision about a patient."
)
LIMITS = (
    "Trained on images of two hospitals (Cairo and Rio de Janeiro); scanners, presets and populations that differ "
    "lower its accuracy, as the figures across datasets show.",
    "Normal images come from one hospital and from simulation only.",
    "Probabilities hold for the class shares given under calibration, not for a screening population.",
    "No Doppler, elastography, volumes or cine; no axilla, implants or post-operative breasts were studied.",
)


def export_run(
    run: Path,
    out: Path,
    *,
    name: str | None = None,
    results: Path | None = None,
    calibrate_on: Sequence[Path] = (),
    progress: bool = True,
) -> Path:
    """Make a bundle of a finished run in the folder ``out`` and return it.

    Weights are rounded to 16 bits and computed with in 32. Temperature and operating points are fitted on the run's
    validation cases, or on ``calibrate_on``: the folds' prediction tables of the same recipe, for a run that trained
    on everything. ``results`` is a JSON file of measured figures for the card. The ONNX network must agree with the
    rounded network within ``PARITY`` or ``BundleError`` is raised, and nothing is written.
    """
    if out.exists():
        raise UsageError(f"{out} exists", fix="name another --out, or remove it first")
    recipe, model = load_run(run)
    if recipe.system != "senoscope-us":
        raise UsageError(
            f"the run's system is {recipe.system}",
            expected="senoscope-us",
            fix="this version bundles the default system only",
        )
    sides = _records(run, recipe)
    _round(model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        save_file({k: _half(v) for k, v in model.state_dict().items()}, folder / WEIGHTS)
        export_onnx(_without_norms(model), recipe.preprocess, folder / MODEL)
        checked = predict(model, recipe.preprocess, sides["valid"])
        predictions = list(track(checked, "Calibrating", total=len(sides["valid"]), disable=not progress))
        check_parity(folder / MODEL, model, recipe.preprocess, predictions[:16])
        fitted = _fit(calibrate_on, predictions, run)
        save_card(_card(name or recipe.name, run, recipe, sides, fitted, folder, results), folder)
        install_bundle(folder, out)
    return out


def _records(run: Path, recipe: Recipe) -> dict[str, list[Record]]:
    sides = sides_of(run)
    found: dict[str, list[Record]] = {"train": [], "valid": [], "test": []}
    for source in recipe.data:
        for record in datasets.load(source.name, source.root):
            if record.id in sides:
                found[sides[record.id]].append(record)
    return found


def _conv_norm_pairs(model: nn.Module) -> Iterator[tuple[nn.Module, nn.Conv2d, str, nn.BatchNorm2d]]:
    """Each convolution that a batch norm follows: parent, convolution, the norm's name, the norm."""
    for parent in list(model.modules()):
        last: nn.Conv2d | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and last is not None:
                yield parent, last, name, child
            if not isinstance(child, nn.Identity):
                last = child if isinstance(child, nn.Conv2d) else None


@torch.no_grad()
def _round(model: System) -> None:
    """Fold batch norms into the convolutions before them and round large weights to 16 bits, in place.

    The norms stay as plain shifts, so the weights still fit the system. What is measured afterwards is what ships.
    """
    for _, conv, _, norm in _conv_norm_pairs(model):
        if norm.running_mean is None or norm.running_var is None or conv.bias is not None:
            continue
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        conv.weight *= scale.view(-1, 1, 1, 1)
        norm.bias.sub_(norm.running_mean * scale)
        norm.weight.fill_(1)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
    for value in model.state_dict().values():
        if value.is_floating_point() and value.ndim > 1:
            value.copy_(value.half().float())


def _without_norms(model: System) -> System:
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


def _half(value: torch.Tensor) -> torch.Tensor:
    return (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()


class _Tuple(torch.nn.Module):
    """The network with plain outputs in the order bundles name them."""

    def __init__(self, model: System) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.model(image)
        return tuple(getattr(outputs, name) for name in OUTPUTS)


def export_onnx(model: System, preprocess: Preprocess, path: Path) -> None:
    """Write the network as ONNX with a free batch size; large weights are stored in 16 bits and cast when loaded."""
    example = torch.zeros(2, 1, preprocess.size, preprocess.size)
    program = torch.onnx.export(
        _Tuple(model).eval(),
        (example,),
        dynamo=True,
        optimize=True,
        opset_version=18,
        verbose=False,
        input_names=[INPUT],
        output_names=list(OUTPUTS),
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
    )
    if program is None:
        raise BundleError("the network could not be exported to ONNX")
    proto = program.model_proto
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
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@torch.inference_mode()
def check_parity(
    path: Path, model: System, preprocess: Preprocess, predictions: Sequence[RawPrediction]
) -> float:
    """Largest difference between the ONNX file and the network: class and lesion probabilities, shares of the evidence.

    Raises ``BundleError`` above ``PARITY``.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for sample, _, _ in predictions:
        image = preprocess.apply(sample.image)[0][None, None]
        expected = model(torch.from_numpy(image))
        found = Outputs(*(torch.from_numpy(value) for value in session.run(OUTPUTS, {INPUT: image})))
        pairs = zip(_answers(found), _answers(expected), strict=True)
        worst = max(worst, *(float((one - other).abs().max()) for one, other in pairs))
    if not worst <= PARITY:
        raise BundleError(
            f"the exported network differs by {worst:.2g} from the trained one",
            expected=f"at most {PARITY:g}",
            fix="report this with the versions of torch and onnxruntime",
        )
    return worst


def _answers(outputs: Outputs) -> tuple[torch.Tensor, ...]:
    """What a user sees of the outputs: probabilities of classes and pixels, each location's part of the decision."""
    logits, mask, class_map, weights = outputs[:4]
    if logits is None or mask is None or class_map is None or weights is None:
        raise BundleError("the network lacks an output", expected=", ".join(OUTPUTS))
    return logits.softmax(1), mask.sigmoid(), class_map * weights


def _fit(
    tables: Sequence[Path], predictions: Sequence[RawPrediction], run: Path
) -> tuple[Calibration, dict[str, float]]:
    """Temperature and operating points, out-of-fold where tables are given, else on the run's validation cases."""
    if tables:
        pooled = pool(tables)
        table = pooled.where(pooled.test)
        method, digest = "temperature scaling on out-of-fold predictions", table.metadata.get("split_hash")
    else:
        table = from_rows([case_row(p.sample.record, None, None, p.logits, CLASSES) for p in predictions])
        method = "temperature scaling on the run's validation cases"
        digest = json.loads((run / runs.MANIFEST).read_text(encoding="utf-8"))["data_hash"]
    temperature = fit_temperature(table.logits, table.label)
    task = one_against_rest(table, MALIGNANT, calibrate(table.logits, temperature))
    points = {
        key: choose_threshold(task.positive[task.rows], task.score[task.rows], kind, level)
        for key, (kind, level) in _OPERATING_POINTS.items()
    }
    labels = table.label[table.label >= 0]
    shares = {name: round(float((labels == code).mean()), 4) for code, name in enumerate(CLASSES)}
    calibration = Calibration(
        temperature=temperature, n=len(labels), split_hash=digest, method=method, prevalence=shares
    )
    return calibration, points


def _card(
    name: str,
    run: Path,
    recipe: Recipe,
    sides: dict[str, list[Record]],
    fitted: tuple[Calibration, dict[str, float]],
    folder: Path,
    results: Path | None,
) -> Card:
    manifest = json.loads((run / runs.MANIFEST).read_text(encoding="utf-8"))
    return Card(
        name=name,
        version=__version__,
        classes=CLASSES,
        preprocess=recipe.preprocess,
        calibration=fitted[0],
        operating_points={"malignant": fitted[1]},
        mask_threshold=MASK_THRESHOLD,
        min_area=MIN_AREA,
        min_share=MIN_SHARE,
        scope=fit_scope(_grays(sides["train"] + sides["valid"], recipe)),
        data=tuple(_source(source.name, manifest, sides) for source in recipe.data) + _phantoms(recipe),
        results=_figures(results),
        files={file: sha256_file(folder / file) for file in (MODEL, WEIGHTS)},
        created_with={
            "senoscope": __version__,
            "commit": manifest["commit"] or "unknown",
            **{p: version(p) for p in ("torch", "onnx", "timm")},
        },
        intended_use=INTENDED_USE,
        limits=LIMITS,
    )


def _grays(records: Sequence[Record], recipe: Recipe) -> Iterator[FloatArray]:
    """What the network was trained on, simulated images included."""
    for record in records:
        yield read_sample(record).image
    for phantom in phantoms_of(recipe.phantoms, recipe.seed, recipe.preprocess.size):
        yield phantom.image.astype(np.float32) / np.float32(255)


def _source(name: str, manifest: dict[str, Any], sides: dict[str, list[Record]]) -> DataSource:
    row = datasets.info(name)
    split, _, digest = manifest["splits"][name].partition("@")
    count = sum(r.dataset == name for side in ("train", "valid") for r in sides[side])
    return DataSource(
        name=name,
        n=count,
        split=split,
        split_hash=digest,
        licence=row.text("licence"),
        citation=row.text("citation"),
    )


def _phantoms(recipe: Recipe) -> tuple[DataSource, ...]:
    if not recipe.phantoms:
        return ()
    return (
        DataSource(
            name="phantoms",
            n=recipe.phantoms,
            split="simulated",
            split_hash="",
            licence="Apache-2.0",
            citation="Senoscope's simulator",
        ),
    )


def _figures(results: Path | None) -> dict[str, dict[str, Figure]]:
    if results is None:
        return {}
    content = json.loads(results.read_text(encoding="utf-8"))
    return {
        group: {key: Figure(**leaf) for key, leaf in figures.items()}
        for group, figures in content.items()
        if group not in ("speed", "about")
    }
