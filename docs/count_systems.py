"""Count what stands in the systems' rows: parameters, and GMACs of one image at the native size.

    python docs/count_systems.py [NAME ...]

Rewrites ``params = `` and ``gmacs = `` of the rows in src/senoscope/models/systems/*.toml.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from senoscope import models

FOLDER = Path(__file__).resolve().parents[1] / "src/senoscope/models/systems"


def count(name: str) -> tuple[int, float]:
    """Parameters of a system at its native size, and GMACs of one image (multiply-adds, evaluation)."""
    row = models.info(name).facts
    size = int(row["native_size"])
    model = models.create_model(name).eval()
    given = {"mask": torch.zeros(1, 1, size, size)} if model.uses_mask else {}
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, size, size), **given)
    return sum(weight.numel() for weight in model.parameters()), counter.get_total_flops() / 2e9


def main() -> None:
    """Rewrite the rows of the systems named, or of all."""
    for name in sys.argv[1:] or models.names():
        params, gmacs = count(name)
        print(f"{name}: {params:,} parameters, {gmacs:.3f} GMACs", flush=True)
        for file in FOLDER.glob("*.toml"):
            text = file.read_text(encoding="utf-8")
            head, mark, rest = text.partition(f"[{name}]\n")
            if mark:
                rest = re.sub(r"^params = \d*", f"params = {params}", rest, count=1, flags=re.M)
                rest = re.sub(r"^gmacs = [\d.]*", f"gmacs = {gmacs:.3f}", rest, count=1, flags=re.M)
                file.write_text(head + mark + rest, encoding="utf-8")


if __name__ == "__main__":
    main()
