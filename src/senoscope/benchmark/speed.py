"""Milliseconds of a system for one image on this machine's CPU: one thread, batch 1, random weights."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from senoscope import models
from senoscope._files import write_text
from senoscope.benchmark.jobs import Track
from senoscope.errors import SenoscopeError, UsageError

SPEED = "speed.json"
PASSES, WARM_UP = 20, 3


def measure_speed(
    systems: Sequence[str], size: int, path: Path
) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Measure every system that ``path`` does not hold yet; each is written there once measured, and yielded.

    Images are ``size`` pixels square, or the next larger size a system takes. A system that fails is yielded with its
    message and not written. Raises ``UsageError`` where ``path`` holds figures of another machine or size.
    """
    conditions = _conditions(size)
    found = read_speed(path)
    held = {key: found.get(key) for key in conditions} if found else conditions
    if held != conditions:
        raise UsageError(
            f"{path} holds figures of other conditions: {_words(held)}",
            expected=_words(conditions),
            fix="remove the file, or name another --out",
        )
    known: dict[str, Any] = dict(found.get("systems", {}))
    for name in systems:
        if name in known:
            continue
        try:
            known[name] = time_system(name, size)
        except (SenoscopeError, RuntimeError, ValueError) as error:  # a network may refuse in its own words
            yield name, str(error)
            continue
        content = {**conditions, "systems": dict(sorted(known.items()))}
        write_text(path, json.dumps(content, indent=2) + "\n")
        yield name, known[name]


def read_speed(path: Path) -> dict[str, Any]:
    """The file's content; empty if there is none."""
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def time_system(name: str, size: int, passes: int = PASSES) -> dict[str, Any]:
    """Median and 95th percentile of forward passes of one image, in milliseconds, after a warm-up."""
    import torch

    side = Track("speed", "", size, None, ()).size(name)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        model = models.create_model(name, image_size=side).eval()
        image = torch.rand(1, 1, side, side)
        times = []
        with torch.inference_mode():
            for turn in range(WARM_UP + passes):
                start = time.perf_counter()
                model(image)
                if turn >= WARM_UP:
                    times.append(1000 * (time.perf_counter() - start))
    finally:
        torch.set_num_threads(threads)
    median, high = np.percentile(times, [50, 95])
    return {
        "image_size": side,
        "median_ms": round(float(median), 3),
        "p95_ms": round(float(high), 3),
        "passes": passes,
    }


def _conditions(size: int) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "what": "one forward pass of one image, random weights, float32, one thread, after a warm-up",
        "machine": f"{os.cpu_count()}-core {platform.machine().replace('_', '-')} CPU",
        "torch": version("torch"),
        "size": size,
    }


def _words(conditions: dict[str, Any]) -> str:
    return f"{conditions['machine']}, torch {conditions['torch']}, {conditions['size']} px"
