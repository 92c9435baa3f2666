"""What is put to the test: a bundle or a finished run, its cases, and how it answers an image in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from senoscope import data as datasets
from senoscope._files import sha256_file
from senoscope.data.splits import load_split
from senoscope.errors import MissingExtraError, UsageError
from senoscope.evaluation.cases import Row, case_row
from senoscope.evaluation.predict import in_sample_stamps, kept_records
from senoscope.evaluation.runs import MASK_GIVEN, predicted_mask, sides_of, unseen
from senoscope.imaging.masks import boxes_to_mask
from senoscope.imaging.regions import find_regions, lesion_mask
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.bundle import find_bundle, load_bundle
from senoscope.schema import CLASSES, BoolArray, Prediction, Record, Sample

if TYPE_CHECKING:
    from senoscope.evaluation.network import TorchNetwork

_MANIFEST = "manifest.json"  # what a training run's folder has


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target says of an image: logits by ``classes``, lesions bool H×W; ``None`` is what it does not give."""

    logits: NDArray[np.float64] | None
    classes: tuple[str, ...]
    mask: BoolArray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bundle or run with the cases it is measured on.

    ``weights`` is the SHA-256 of what runs. A bundle's logits are divided by its card's temperature, so that their
    softmax is what users see; a run's are its network's. ``network`` rebuilds the torch network, for attacks.
    """

    title: str
    weights: str
    split: str
    records: tuple[Record, ...]
    stamps: tuple[str, ...]
    answer: Callable[[Sample], Answer]
    network: Callable[[], TorchNetwork]

    def row(self, sample: Sample) -> Row:
        """The sample's row of a prediction table."""
        said = self.answer(sample)
        return case_row(sample.record, sample.mask, said.mask, said.logits, said.classes)


def open_target(
    source: str | Path,
    data: str | None = None,
    root: Path | None = None,
    *,
    fold: int | None = None,
    allow_in_sample: bool = False,
) -> Target:
    """A bundle (name or folder) on ``data``, or a run on its own test fold or on ``data`` if it never saw that.

    ``fold`` keeps a bundle to one fold of the dataset's frozen split; a run has its own. Raises ``UsageError`` when the
    source or its cases are not named, ``LeakageError`` for a bundle on its training data unless ``allow_in_sample``,
    ``MissingExtraError`` for a run without the training extra.
    """
    if (Path(source) / _MANIFEST).is_file():
        return _run(Path(source), data, root, fold)
    find_bundle(source)  # says what is near when there is none
    if data is None:
        raise UsageError(
            f"the bundle '{source}' is measured on a dataset, and none is named",
            expected="one of " + ", ".join(datasets.names()),
            fix="add --data, for example --data busi",
        )
    return _bundle(source, data, root, fold, allow_in_sample)


def _bundle(
    source: str | Path, data: str, root: Path | None, fold: int | None, allow_in_sample: bool
) -> Target:
    bundle = load_bundle(source)
    records = kept_records(data, root)
    name = f"all of {data}"
    if fold is not None:
        name, records = _in_fold(data, records, fold)
    stamps = in_sample_stamps(bundle, records, allow_in_sample)
    analyzer, card = Analyzer(bundle), bundle.card

    def answer(sample: Sample) -> Answer:
        said = analyzer.predict(sample.image)
        logits = None
        if said.probabilities is not None:
            logits = np.log(np.clip(np.asarray(said.probabilities, dtype=np.float64), 1e-30, 1))
        return Answer(logits, said.classes, mask_of(said, sample.image.shape))

    def mask_of(said: Prediction, shape: tuple[int, ...]) -> BoolArray | None:
        size = (shape[0], shape[1])
        if said.lesion_map is not None:
            found = find_regions(said.lesion_map, card.mask_threshold, card.min_area, card.min_share)
            return lesion_mask(found, size)
        return None if said.boxes is None else boxes_to_mask(said.boxes, size)

    def network() -> TorchNetwork:
        from senoscope.evaluation.network import network_of_bundle

        return network_of_bundle(bundle)

    return Target(
        title=bundle.title,
        weights=bundle.weights_hash,
        split=name,
        records=tuple(records),
        stamps=tuple(stamps),
        answer=answer,
        network=network,
    )


def _in_fold(data: str, records: Sequence[Record], fold: int) -> tuple[str, list[Record]]:
    name = datasets.info(data).text("split")
    if not name:
        raise UsageError(
            f"{data} has no frozen split to take fold {fold} from", fix="leave --fold out, or measure a run"
        )
    split = load_split(name)
    split.test(fold)  # says which folds there are
    return f"fold {fold} of {name}", [record for record in records if split.fold_of(record.id) == fold]


def _run(folder: Path, data: str | None, root: Path | None, fold: int | None) -> Target:
    try:
        from senoscope.training.predict import load_run, predict_sample
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"a run needs {error.name}", fix="pip install 'senoscope[train]'") from None
    recipe, model = load_run(folder)
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    roots = {source.name: source.root for source in recipe.data}
    own = sorted({source.fold for source in recipe.data if source.fold is not None})
    if fold is not None and fold not in own:
        raise UsageError(
            f"the run {folder} does not test fold {fold}",
            expected=f"its own: {', '.join(map(str, own)) or 'none'}",
            fix="leave --fold out",
        )
    unseen_stamps: list[str] = []
    if data is not None and (root is not None or data not in roots):
        (records, unseen_stamps), split = unseen(folder, data, root), f"all of {data}"
    else:
        sides, chosen = sides_of(folder), roots if data is None else {data: roots[data]}
        known = [record for name, place in chosen.items() for record in datasets.load(name, place)]
        records = [record for record in known if sides.get(record.id) == "test"]
        split = " + ".join(text.partition("@")[0] for text in manifest["splits"].values())
    if not records:
        raise UsageError(
            f"the run {folder} leaves no image to test on",
            expected="a run with a held-out fold",
            fix="name a dataset it did not train on with --data",
        )

    def answer(sample: Sample) -> Answer:
        found = predict_sample(
            model, recipe.preprocess, sample, mask_given=recipe.mask_given, refined=recipe.refine
        )
        logits = None if found.logits is None else found.logits.astype(np.float64)
        return Answer(logits, CLASSES, predicted_mask(found))

    def network() -> TorchNetwork:
        from senoscope.evaluation.network import TorchNetwork

        return TorchNetwork(model, recipe.preprocess, mask_given=recipe.mask_given)

    return Target(
        title=recipe.name,
        weights=sha256_file(folder / "weights.safetensors"),
        split=split,
        records=tuple(records),
        stamps=(*manifest["stamps"], *unseen_stamps, *((MASK_GIVEN,) if recipe.mask_given else ())),
        answer=answer,
        network=network,
    )
