"""How long one simulated 256-pixel picture takes on one core; writes docs/results/phantoms-speed.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from senoscope._files import write_text
from senoscope.data.phantoms import simulate

OUT = Path(__file__).resolve().parents[1] / "docs/results/phantoms-speed.json"
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure(count: int = 150, size: int = 256) -> dict[str, dict[str, float]]:
    """Milliseconds per picture, wall clock and processor time, the three labels in turn, after ten to warm up."""
    labels = ("normal", "benign", "malignant")
    clocks = {"wall": time.perf_counter, "processor": time.thread_time}
    spent: dict[str, list[float]] = {name: [] for name in clocks}
    for seed in range(count + 10):
        start = {name: clock() for name, clock in clocks.items()}
        simulate(seed, labels[seed % 3], size)
        for name, clock in clocks.items():
            spent[name].append(1000 * (clock() - start[name]))
    return {name: _summary(values[10:]) for name, values in spent.items()}


def _summary(values: list[float]) -> dict[str, float]:
    low, median, high = (round(float(part), 2) for part in np.quantile(values, [0.25, 0.5, 0.75]))
    return {"value": median, "low": low, "high": high, "n": len(values)}


def machine() -> dict[str, str | int | float]:
    """The processor and the versions that matter."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cpu_count": os.cpu_count() or 0,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_CORE.items()):
        # BLAS reads these once, at import: measure in a process that has them from its start.
        sys.exit(
            subprocess.run([sys.executable, __file__], env=os.environ | ONE_CORE, check=False).returncode
        )
    before = round(os.getloadavg()[0], 2)
    taken = measure()
    result = {
        "phantoms": {
            "wall_ms": taken["wall"],
            "processor_ms": taken["processor"],
            "images_per_second_of_one_core": round(1000 / taken["processor"]["value"], 1),
            "size": 256,
            "threads": 1,
            "how": "per call of simulate(): the median, low and high the quartiles",
            "machine": machine() | {"load_average_1min_before": before},
        }
    }
    write_text(OUT, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
