"""Input size and mirrored view, judged on validation cases only; writes docs/results/inference-variants.json.

python benchmarks/inference_variants.py --runs runs
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from senoscope import data as datasets
from senoscope._files import write_text
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.cases import case_row, from_rows
from senoscope.evaluation.metrics import estimators
from senoscope.models import create_model
from senoscope.schema import CLASSES, Record
from senoscope.training.checkpoint import load_weights, read_tensors
from senoscope.training.predict import load_run, predict

OUT = Path(__file__).resolve().parents[1] / "docs/results/inference-variants.json"
SIZES = (192, 224, 256, 288)


def variant(run: Path, records: list[Record], size: int, *, mirror: bool) -> dict[str, Any]:
    """AUC and Dice of one way to use a run's network on its validation cases."""
    recipe, _ = load_run(run)
    model = create_model(recipe.system, mirror=mirror).eval()
    load_weights(model, read_tensors(run / "weights.safetensors")[0], run)
    preprocess = recipe.preprocess.model_copy(update={"size": size})
    rows = [
        case_row(p.sample.record, p.sample.mask, p.lesion_map >= 0.5, p.logits, CLASSES)
        for p in predict(model, preprocess, records)
    ]
    table = from_rows(rows)
    found = bootstrap(
        {k: v for k, v in estimators(table).items() if k in ("auc_benign_malignant", "dice")}, table.cluster
    )
    return {"size": size, "mirror": mirror} | {name: dict(leaf) for name, leaf in found.items()}


def main() -> None:
    """Judge every size with and without the mirrored view."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    runs = parser.parse_args().runs
    results = {}
    for name in ("busi", "bus-bra"):
        with (runs / name / "cases.csv").open(encoding="utf-8", newline="") as stream:
            valid = {row["id"] for row in csv.DictReader(stream) if row["side"] == "valid"}
        records = [record for record in datasets.load(name) if record.id in valid]
        results[name] = [
            variant(runs / name, records, size, mirror=mirror) for size in SIZES for mirror in (False, True)
        ]
    write_text(OUT, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
