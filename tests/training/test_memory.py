"""What the training loop tells the C library does keep memory from going back and forth."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from contextlib import nullcontext
import torch
from senoscope.training.memory import kept_memory

def faults(block):
    with block:
        for round in range(41):
            if round == 20:  # settled
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.ones(16, 64, 128, 128)  # 64 MB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
print(faults(nullcontext()), faults(kept_memory()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_a_freed_tensor_is_not_mapped_anew() -> None:
    result = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    before, within = map(int, result.stdout.split())
    if before < 20 * 1000:
        pytest.skip("this system maps huge pages of its own accord")
    assert within < before / 50
