"""Write the tables of two pages of docs/explanation from the files in ``docs/results/``. Run with ``make docs``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from senoscope._files import write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results"
PAGES = tuple(ROOT / f"docs/explanation/{name}.md" for name in ("transfer", "leakage"))
BLOCK = re.compile(r"(<!-- (\w+):begin[^>]*-->\n).*?(<!-- \2:end -->)", re.DOTALL)

NOW, OLDER, ONCE, BEFORE, PLAIN, VARIANTS, LARGER, KINDER = (
    f"{name}.json"
    for name in (
        "senoscope-us",
        "senoscope-us-older",
        "senoscope-us-one-look",
        "senoscope-us-single-scale",
        "plain-script",
        "inference-variants",
        "vit-tiny",
        "kinder-splits",
    )
)
NEAR = "before images were also seen from near or looked at closer"
AGAIN = "an earlier training by the same recipes"
UNREFINED = "the same, without the closer look"
LOOKS = {
    "whole": "whole image",
    "whole, mirrored": "… and mirrored",
    "whole, crop": "whole image and crop",
    "whole, crop, both mirrored": "both, mirrored too",
    "whole, mirrored, outline refined": "mirrored, then the outline closer",
}


def read(name: str) -> Any:
    """A file of results."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def shown(leaf: dict[str, float]) -> str:
    """A figure with its interval."""
    return "{value:.3f} ({low:.3f}–{high:.3f})".format(**leaf)


def line(*cells: str) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |\n"


def abroad() -> str:
    """Trained at one hospital, tested at the other. The two plain scripts are the project's starting points."""
    told = line("Trained on, tested on", "AUC, benign or malignant", "Dice per lesion image", "n") + line(
        *["---"] * 4
    )
    for key, where, plain, how in (
        ("busi_to_bus_bra", "BUSI, BUS-BRA", ("0.68", "0.66"), "recipe `busi`"),
        (
            "bus_bra_to_busi",
            "BUS-BRA, BUSI's lesions",
            ("0.88", "0.70"),
            "recipes `bus-bra`, `bus-bra-outward`, `bus-bra-wide`",
        ),
    ):
        told += line(f"{where}: plain script", *plain, "")
        for file, what in (
            (NOW, f"{where}: {how}"),
            (OLDER, f"… {AGAIN}"),
            (ONCE, f"… {UNREFINED}"),
            (BEFORE, f"… {NEAR}"),
        ):
            if file != BEFORE or key == "busi_to_bus_bra":
                found = read(file)[key]
                told += line(what, shown(found["auc"]), shown(found["dice"]), f"{found['dice']['n']}")
    return told


def home() -> str:
    """Trained and tested at the same hospital, out-of-fold."""
    told = line("", "AUC", "Dice per lesion image", "Accuracy, 3 classes") + line(*["---"] * 4)
    names = ("auc_benign_malignant", "dice", "accuracy")
    for what, found in (
        ("BUSI, grouped 5 folds, out-of-fold", read(NOW)["busi_grouped_5fold"]),
        (f"… {AGAIN}", read(OLDER)["busi_grouped_5fold"]),
        (f"… {UNREFINED}", read(ONCE)["busi_grouped_5fold"]),
        (f"… {NEAR}", read(BEFORE)["busi_grouped_5fold"]),
        ("… a plain script on the same folds", read(PLAIN)["figures"]),
    ):
        told += line(what, *(shown(found[name]) for name in names))
    for what, file in (
        ("BUS-BRA, patient folds 1–4, out-of-fold", NOW),
        (f"… {AGAIN}", OLDER),
        (f"… {UNREFINED}", ONCE),
        (f"… {NEAR}", BEFORE),
    ):
        found = read(file)["bus_bra_folds_1_4"]
        told += line(what, shown(found["auc"]), shown(found["dice"]), "")
    return told


def variants() -> str:
    """Recipes and looks on validation cases."""
    heads = ("Network", "Looks", "Accuracy", "AUC", "Dice at 0.5", "at 0.3", "Normals outlined")
    told = line(*heads) + line(*["---"] * len(heads))
    rows: dict[tuple[str, str], dict[float, Any]] = {}
    for row in read(VARIANTS):
        rows.setdefault((row["family"], row["looks"]), {})[row["threshold"]] = row
    for (family, looks), at in rows.items():
        half, low = at[0.5], at[0.3]
        told += line(
            " + ".join(f"`{part}`" for part in family.split("+")),
            LOOKS[looks],
            *(shown(half[name]) for name in ("accuracy", "auc_benign_malignant", "dice")),
            f"{low['dice']['value']:.3f}",
            " / ".join(f"{row['false_positive_rate']['value']:.2f}" for row in (half, low)),
        )
    return told


def larger() -> str:
    """A larger encoder on BUSI's folds."""
    told = line("Network", "Accuracy", "AUC", "n") + line(*["---"] * 4)
    found = read(LARGER)
    for key, what in (
        ("shipped_recipe", "the shipped recipe's"),
        ("vit_tiny", "ViT-Tiny"),
        ("mean_of_both", "mean of both"),
    ):
        row = found[key]
        told += line(
            what, shown(row["accuracy"]), shown(row["auc_benign_malignant"]), f"{row['accuracy']['n']}"
        )
    return told


def kinder() -> str:
    """The shipped recipe on divisions of BUSI that keep copies apart less, and what a random one brings."""
    told = line("Split", "Accuracy, 3 classes", "AUC", "Dice per lesion image") + line(*["---"] * 4)
    found, names = read(KINDER), ("accuracy", "auc_benign_malignant", "dice")
    for key, what in (
        ("random", "Random"),
        ("hash", "Grouped by the plain rule of thumb"),
        ("frozen", "`busi-grouped-5fold`"),
    ):
        told += line(what, *(shown(found["figures"][key][name]) for name in names))
    above = (found["above_frozen"]["random"][name] for name in names)
    told += line(
        "Random above frozen",
        *("{difference:+.3f} ({low:+.3f} to {high:+.3f})".format(**leaf) for leaf in above),
    )
    return told


def updated(text: str) -> str:
    """A page with the parts between its markers written again."""
    parts = {"abroad": abroad, "home": home, "variants": variants, "larger": larger, "kinder": kinder}
    return BLOCK.sub(lambda block: f"{block[1]}{parts[block[2]]()}{block[3]}", text)


if __name__ == "__main__":
    for page in PAGES:
        write_text(page, updated(page.read_text(encoding="utf-8")))
        print(f"wrote {page.relative_to(ROOT)}")
