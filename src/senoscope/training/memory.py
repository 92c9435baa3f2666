"""Memory that one training step frees is kept for the next, where the C library can be told so."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # parameters of mallopt(3)
_LARGEST_THRESHOLD, _DEFAULT_MMAPS = 32 * 1024**2, 65536
_NEVER = 2**31 - 1


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within the block, glibc does not hand freed memory back to the system.

    Large tensors are otherwise mapped and unmapped at every step, and a CPU training spends much of its time on page
    faults. Elsewhere than on glibc, and for accelerators, it does nothing. On leaving, what is free is handed back,
    and the thresholds are set to where glibc's own adjustment takes them in a program that frees large blocks: any
    call of mallopt ends that adjustment, and the values it starts from would slow what comes after.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _DEFAULT_MMAPS)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD)
        library.malloc_trim(0)
