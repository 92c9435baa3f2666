"""Write the tables of measured results into the README and two pages, from the files in ``docs/results/``.

Nobody types a figure: the commands in ``benchmarks/`` measure and write JSON, this script shows it between
the markers, with what the project demands of itself (must) and hopes for (aim). Run with ``make docs``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from senoscope._files import write_text
from senoscope.data.splits import load_split

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results/senoscope-us.json"
LEAKS = ROOT / "benchmark/leak-lab.json"
HELP = ROOT / "docs/results/cli-help.json"
SPEEDS = ROOT / "docs/results/systems-speed.json"
PAGES = (ROOT / "README.md", ROOT / "docs/how-to/serve.md", ROOT / "docs/how-to/systems.md")
BLOCK = re.compile(r"(<!-- results:begin[^>]*-->\n).*?(<!-- results:end -->)", re.DOTALL)

BUSI = "busi-grouped-5fold"
BUS_BRA = "bus-bra-official"

CLINIC_BLOCK = re.compile(r"(<!-- clinic:begin[^>]*-->\n).*?(<!-- clinic:end -->)", re.DOTALL)
SPEED_BLOCK = re.compile(r"(<!-- speeds:begin[^>]*-->\n).*?(<!-- speeds:end -->)", re.DOTALL)
LEAK_BLOCK = re.compile(r"(<!-- leaks:begin[^>]*-->\n).*?(<!-- leaks:end -->)", re.DOTALL)


class Row(NamedTuple):
    """One figure the project holds itself to. ``must`` below ``aim`` means that higher is better."""

    section: str
    key: str
    what: str
    protocol: str
    must: float
    aim: float
    digits: int = 3
    unit: str = ""


_BUSI = f"BUSI, `{BUSI}`, out-of-fold"
_BRA = f"BUS-BRA, `{BUS_BRA}` folds 1-4, out-of-fold"
_TO_BRA = "trained on BUSI, tested on all of BUS-BRA"
_TO_BUSI = "trained on BUS-BRA, tested on BUSI's lesions"

ROWS = (
    Row("busi_grouped_5fold", "accuracy", "Accuracy, 3 classes", _BUSI, 0.86, 0.92),
    Row("busi_grouped_5fold", "auc_benign_malignant", "AUC, benign or malignant", _BUSI, 0.950, 0.975),
    Row("busi_grouped_5fold", "dice", "Lesion Dice, per image", _BUSI, 0.77, 0.82),
    Row("bus_bra_folds_1_4", "auc", "AUC, benign or malignant", _BRA, 0.90, 0.94),
    Row("bus_bra_folds_1_4", "dice", "Lesion Dice, per image", _BRA, 0.88, 0.91),
    Row("busi_to_bus_bra", "auc", "AUC, benign or malignant", _TO_BRA, 0.75, 0.88),
    Row("busi_to_bus_bra", "dice", "Lesion Dice, per image", _TO_BRA, 0.70, 0.82),
    Row("bus_bra_to_busi", "auc", "AUC, benign or malignant", _TO_BUSI, 0.89, 0.94),
    Row("bus_bra_to_busi", "dice", "Lesion Dice, per image", _TO_BUSI, 0.72, 0.79),
    Row("calibration", "ece", "Calibration error (ECE)", "out-of-fold, after temperature", 0.05, 0.03),
    Row("phantoms", "dice", "Lesion Dice, per image", "unseen phantoms", 0.80, 0.90),
    Row("phantoms", "accuracy", "Accuracy, 3 classes", "unseen phantoms", 0.90, 0.97),
    Row(
        "speed",
        "analyze_ms_median",
        "`analyze`, per image",
        "decode to findings, 2 threads",
        60,
        20,
        1,
        "ms",
    ),
    Row("speed", "train_ratio_vs_plain", "Training speed", "against a plain PyTorch loop", 1.0, 1.3, 2, "×"),
    Row("help", "seconds", "`senoscope --help`", "new process to exit", 0.30, 0.15, 3, "s"),
)


def state(row: Row, value: float) -> str:
    """Whether a figure reaches what is aimed for, what is demanded, or neither."""
    sign = 1 if row.aim >= row.must else -1
    if sign * value >= sign * row.aim:
        return "aim reached"
    return "must reached" if sign * value >= sign * row.must else "**below must**"


def table(results: dict[str, Any]) -> str:
    """The Markdown table of all rows; a figure that no file holds is shown as not measured."""
    lines = [
        "| Measure | Protocol | Value (95 % interval) | n | must | aim | |",
        "|---|---|---|---|---|---|---|",
        *(_line(row, results.get(row.section, {}).get(row.key)) for row in ROWS),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row, leaf: dict[str, float] | None) -> str:
    goals = f"{row.must:.{row.digits}f} | {row.aim:.{row.digits}f}"
    if leaf is None:
        return f"| {row.what} | {row.protocol} | | | {goals} | not measured |"
    value, low, high = (f"{leaf[name]:.{row.digits}f}" for name in ("value", "low", "high"))
    unit = f" {row.unit}" if row.unit else ""
    shown = f"**{value}**{unit} ({low} to {high})"
    verdict = state(row, leaf["value"])
    return f"| {row.what} | {row.protocol} | {shown} | {leaf['n']:.0f} | {goals} | {verdict} |"


def notes() -> str:
    """Which frozen splits the figures stand on, by hash."""
    hashes = ", ".join(f"`{name}` {load_split(name).hash[:12]}" for name in (BUSI, BUS_BRA))
    return (
        "\nIntervals: bootstrap clustered by patient or near-duplicate group; for times and ratios, the "
        f"quartiles of the repeats. Splits (SHA-256): {hashes}. Files: [docs/results](docs/results).\n"
    )


def leaks() -> str:
    """The Markdown table of the leak laboratory: accuracy of each system as leaks are let in."""
    if not LEAKS.is_file():
        return ""
    systems: dict[str, Any] = json.loads(LEAKS.read_text(encoding="utf-8"))["systems"]
    steps = list(dict.fromkeys(step["step"] for found in systems.values() for step in found))
    lines = [
        "| Accuracy, 3 classes (95 % interval; n) | " + " | ".join(systems) + " |",
        "|---" * (len(systems) + 1) + "|",
    ]
    for title in steps:
        cells = []
        for found in systems.values():
            leaf = next((step["accuracy"] for step in found if step["step"] == title), None)
            cells.append(
                "–"
                if leaf is None
                else f"{leaf['value']:.3f} ({leaf['low']:.3f} to {leaf['high']:.3f}; {leaf['n']})"
            )
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def clinic() -> str:
    """The Markdown table of what the service and the gateway were measured at."""
    load, kill, gateway, receive, small, large, fuzz = (
        json.loads((ROOT / f"docs/results/clinic-{name}.json").read_text(encoding="utf-8"))
        for name in (
            "overload",
            "kill",
            "gateway-kill",
            "receive",
            "first-finding",
            "first-finding-2048",
            "fuzz",
        )
    )
    memory, rates = load["overload"]["memory"], receive["objects_per_second"].values()
    minutes, by_minute = len(memory["mb_by_minute"]), memory["mb_by_minute"]
    drawn = [found["drop_to_drawn_s"] for found in (small, large)]
    kinds = ", ".join(f"{found['inputs']:,} {kind}" for kind, found in fuzz["kinds"].items())
    rows = (
        (
            f"Goodput kept at 8× overload, {minutes} minutes",
            f"**{100 * load['goodput_kept']['value']:.0f} %** of {load['capacity']['per_s']:.1f} images/s",
            f"{load['goodput_kept']['n']:,}",
            "60 %",
            "80 %",
        ),
        ("Server errors (5xx) meanwhile", f"**{load['server_errors']}**", "", "0", "0"),
        (
            "The server's memory meanwhile",
            f"{by_minute[0]:.0f} MB in the first minute, {by_minute[-1]:.0f} MB in the last; "
            f"**{memory['slope_mb_per_minute']:+.2f}** MB a minute once warm",
            "",
            "flat",
            "flat",
        ),
        (
            "50 × `kill -9` of the service: lost / doubled",
            f"**{kill['lost']} / {kill['doubled']}**",
            kill["acknowledged"],
            "0 / 0",
            "0 / 0",
        ),
        (
            "50 × `kill -9` of the gateway: lost / doubled",
            f"**{gateway['lost']} / {gateway['doubled']}**",
            gateway["acknowledged"],
            "0 / 0",
            "0 / 0",
        ),
        (
            "DICOM objects received per second, durable (1 to 8 senders)",
            f"**{min(rates):.0f} to {max(rates):.0f}**",
            receive["acknowledged"],
            "60",
            "150",
        ),
        (
            "Image dropped on the page → finding drawn, 500 px / 2048 px",
            f"**{drawn[0]['value']:.2f} s / {drawn[1]['value']:.2f} s**",
            f"{drawn[0]['n']} / {drawn[1]['n']}",
            "1.5 s",
            "0.5 s",
        ),
        (
            "Mutated inputs: crashes, hangs, untyped errors, patient tokens",
            f"**{fuzz['faults']}**",
            kinds,
            "0",
            "0",
        ),
    )
    lines = ["| Measure | Value | n | must | aim |", "|---|---|---|---|---|"]
    lines += [f"| {what} | {value} | {n} | {must} | {aim} |" for what, value, n, must, aim in rows]
    return "\n".join(lines) + "\n"


def speeds() -> str:
    """The Markdown table of training throughput beside the libraries' networks in a plain loop."""
    found: dict[str, Any] = json.loads(SPEEDS.read_text(encoding="utf-8"))["systems"]
    lines = [
        "| System | Library's network | M parameters, ours / theirs | GMACs | images/s, ours / theirs | Ratio | "
        "To the same network, plain loop | n |",
        "|---" * 8 + "|",
    ]
    for name, row in found.items():
        rates = row["images_per_second"]
        ratios = [
            "**{value:.2f}** ({low:.2f} to {high:.2f})".format(**row[key])
            for key in ("ratio", "ratio_same_network")
        ]
        cells = (
            f"`{name}`",
            row["peer"],
            f"{row['params'] / 1e6:.1f} / {row['peer_params'] / 1e6:.1f}",
            f"{row['gmacs']:.2f} / {row['peer_gmacs']:.2f}",
            f"{rates['ours']:.1f} / {rates[row['compared_with']]:.1f}",
            *ratios,
            str(row["ratio"]["n"]),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def read_results() -> dict[str, Any]:
    """Everything measured, in the form ``{section: {figure: {value, low, high, n}}}``."""
    found: dict[str, Any] = {}
    for path in (RESULTS, HELP):
        if path.is_file():
            found |= json.loads(path.read_text(encoding="utf-8"))
    return found


def updated(text: str) -> str:
    """A page with the part between its markers written again."""
    body = table(read_results()) + notes()
    text = BLOCK.sub(lambda block: f"{block[1]}{body}{block[2]}", text)
    text = CLINIC_BLOCK.sub(lambda block: f"{block[1]}{clinic()}{block[2]}", text)
    text = SPEED_BLOCK.sub(lambda block: f"{block[1]}{speeds()}{block[2]}", text)
    return LEAK_BLOCK.sub(lambda block: f"{block[1]}{leaks()}{block[2]}", text)


if __name__ == "__main__":
    for page in PAGES:
        write_text(page, updated(page.read_text(encoding="utf-8")))
        print(f"wrote {page.relative_to(ROOT)}")
