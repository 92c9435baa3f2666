"""How long ``senoscope --help`` takes, from starting the process to its end; writes cli-help.json."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from senoscope._files import write_text

OUT = Path(__file__).resolve().parents[1] / "docs/results/cli-help.json"


def measure(repeats: int = 20) -> dict[str, float]:
    """Median and quartiles, in seconds, of ``repeats`` runs after one that warms the file cache."""
    command = [str(Path(sys.executable).with_name("senoscope")), "--help"]
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    low, median, high = np.quantile(seconds[1:], [0.25, 0.5, 0.75])
    return {
        "value": round(float(median), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "n": repeats,
    }


if __name__ == "__main__":
    result = {"help": {"seconds": measure()}}
    write_text(OUT, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
