"""How many objects a second the gateway's node acknowledges, each being on disk and recorded by then.

A real ``senoscope gateway`` on loopback; every association is a process of its own that sends one object after the
other, as DICOM senders do. Afterwards the gateway is killed with -9 and what it acknowledged is looked for. Writes
docs/results/clinic-receive.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/clinic/gateway"))
import parts

from clinic_server import RESULTS, machine
from senoscope._files import write_text

SHAPE = (600, 800)  # a common size of exported ultrasound stills, one byte per pixel
CALLING = "PACS"


def flush_ms(folder: Path, count: int = 40) -> float:
    """Median milliseconds that writing and flushing one such file takes here, now."""
    times, data = [], os.urandom(SHAPE[0] * SHAPE[1])
    for number in range(count):
        start = time.perf_counter()
        with (folder / f"flush-{number}").open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def sender(port: int, count: int, seed: int, ready: object, done: object) -> None:
    """One association: make the objects, wait for the others, send, and tell how many were acknowledged."""
    pixels = np.random.default_rng(seed).integers(0, 255, SHAPE, dtype=np.uint8)
    exams = parts.study(pixels, count)
    ready.wait()  # type: ignore[attr-defined]
    done.put(parts.send(port, exams, calling=CALLING).count(0))  # type: ignore[attr-defined]


def rate(port: int, associations: int, count: int) -> tuple[float, int]:
    """Objects per second over all associations, and how many were acknowledged."""
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(associations + 1), context.Queue()
    crew = [
        context.Process(target=sender, args=(port, count // associations, seed, ready, done))
        for seed in range(associations)
    ]
    for process in crew:
        process.start()
    ready.wait()
    start = time.perf_counter()
    acknowledged = sum(done.get() for _ in crew)
    seconds = time.perf_counter() - start
    for process in crew:
        process.join()
    return acknowledged / seconds, acknowledged


def main() -> None:
    """Send, kill, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=240, help="objects per measurement")
    parser.add_argument("--out", type=Path, default=RESULTS / "clinic-receive.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load, flush = os.getloadavg()[0], flush_ms(folder)
        gateway = parts.Gateway(
            folder, parts.settings(1, "senoscope-us", series={"quiet_s": 86_400}, log_level="warning")
        )
        try:
            found = {n: rate(gateway.port, n, options.count) for n in (1, 2, 4, 8)}
        finally:
            gateway.kill()
        with sqlite3.connect(gateway.data / "gateway.sqlite") as database:
            recorded = database.execute("select count(*) from gateway_objects").fetchone()[0]
        size = SHAPE[0] * SHAPE[1]
        whole = [path for path in (gateway.data / "objects").iterdir() if path.stat().st_size > size]
    acknowledged = sum(count for _, count in found.values())
    result = {
        "objects_per_second": {str(n): round(value, 1) for n, (value, _) in found.items()},
        "acknowledged": acknowledged,
        "recorded_after_kill": recorded,
        "files_after_kill": len(whole),
        "object_bytes": size,
        "flush_ms": round(flush, 2),
        "load_average_before": round(load, 1),
        "niceness": os.nice(0),
        "how": f"{options.count} stills per measurement, by number of associations at once, senders on the same "
        "machine; a load average above the number of cores means that other work ran beside it",
        "machine": machine(),
    }
    write_text(options.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
