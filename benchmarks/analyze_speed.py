"""How long ``analyze`` takes per image, from a file on disk to findings, and whether a long batch stays flat in memory.

Writes docs/results/analyze-speed.json. Run it on a quiet machine: with other work on the cores it measures that work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from rich.progress import track

from senoscope._files import write_text
from senoscope.data.phantoms import simulate
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.batch import examine_all
from senoscope.reports.folder import write_results

OUT = Path(__file__).resolve().parents[1] / "docs/results/analyze-speed.json"
SIZE = 500
"""BUSI's mean image is 500×500 pixels."""
WARM_UP = 10


def write_exams(folder: Path, count: int, size: int = SIZE) -> list[Path]:
    """Simulated exams as PNG files, the three classes in turn."""
    paths = []
    for seed in track(range(count), "Simulating", transient=True):
        phantom = simulate(seed, ("normal", "benign", "malignant")[seed % 3], size)
        paths.append(folder / f"exam-{seed:03d}.png")
        Image.fromarray(phantom.image).save(paths[-1])
    return paths


def measure_speed(analyzer: Analyzer, paths: list[Path]) -> dict[str, dict[str, float]]:
    """Milliseconds per image, decode to findings: median with quartiles, and the 95th percentile."""
    spent, statuses = [], []
    for index in range(WARM_UP):
        analyzer.analyze(paths[index % len(paths)])
    for path in paths:
        start = time.perf_counter()
        statuses.append(analyzer.analyze(path).status)
        spent.append(1000 * (time.perf_counter() - start))
    wall = np.array(spent)
    low, median, high, late = (round(float(part), 2) for part in np.quantile(wall, [0.25, 0.5, 0.75, 0.95]))
    return {
        "analyze_ms_median": {"value": median, "low": low, "high": high, "n": len(wall)},
        "analyze_ms_p95": {
            "value": late,
            "low": float(wall.min().round(2)),
            "high": float(wall.max().round(2)),
            "n": len(wall),
        },
        "analysed": _exact(statuses.count("analysed"), len(wall)),
    }


def measure_memory(analyzer: Analyzer, paths: list[Path], count: int) -> dict[str, dict[str, float]]:
    """Resident memory (MB) while ``count`` images are analysed and reported: after a tenth of them, and at the end."""
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:

        def stream() -> object:
            files = track(
                (paths[index % len(paths)] for index in range(count)),
                "Analysing",
                total=count,
                transient=True,
            )
            for index, analysis in enumerate(examine_all(files, analyzer)):
                if index in (count // 10, count - 1):
                    marks.append(resident_mb())
                yield analysis

        start = time.perf_counter()
        write_results(stream(), Path(folder), analyzer.bundle)  # type: ignore[arg-type]
        seconds = time.perf_counter() - start
    return {
        "memory_growth_mb": {
            "value": round(marks[1] - marks[0], 1),
            "low": round(marks[0], 1),
            "high": round(marks[1], 1),
            "n": count,
        },
        "batch_ms_per_image": _exact(round(1000 * seconds / count, 1), count),
    }


def _exact(value: float, n: int) -> dict[str, float]:
    return {"value": value, "low": value, "high": value, "n": n}


def resident_mb() -> float:
    """Resident set of this process, in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def machine(threads: int) -> dict[str, str | int | float]:
    """The processor, how busy it is, and the versions that matter."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cpu_count": os.cpu_count() or 0,
        "threads": threads,
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "load_average_1min_before": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="senoscope-us")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    where = machine(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_exams(Path(folder), arguments.count)
        analyzer = Analyzer(arguments.bundle, arguments.threads)
        speed = measure_speed(analyzer, paths)
        memory = measure_memory(analyzer, paths, arguments.batch)
    result = {
        **speed,
        **memory,
        "about": {
            "how": f"{SIZE}×{SIZE} PNG on disk to findings; median, low and high the quartiles",
            "bundle": analyzer.bundle.title,
            "weights_sha256": analyzer.bundle.weights_hash,
            "machine": where,
        },
    }
    write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps({**speed, **memory}, indent=2))


if __name__ == "__main__":
    main()
