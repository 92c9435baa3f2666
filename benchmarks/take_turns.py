"""Timing of contenders that take turns, each in a process of its own.

In one process they would share an allocator: what one of them sets or leaves fragmented changes the others' speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

Start = Callable[[ExitStack], Callable[[], Any]]
"""Gives one pass of a contender; what it needs open all along, it enters into the stack. Found by name (pickle)."""


def seconds(contenders: dict[str, Start], rounds: int) -> dict[str, list[float]]:
    """The seconds of each contender's passes, one a round, after a pass that warms up."""
    context = get_context("spawn")
    ends = {}
    with ExitStack() as stack:
        for name, start in contenders.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, start), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(ours.close)  # ends it
            ends[name] = ours
        found: dict[str, list[float]] = {name: [] for name in ends}
        for turn in range(rounds + 1):
            for name, end in ends.items():
                end.send(None)
                taken = end.recv()
                if turn:
                    found[name].append(taken)
    return found


def _serve(end: Connection, start: Start) -> None:
    with ExitStack() as stack:
        run = start(stack)
        while True:
            try:
                end.recv()
            except EOFError:
                return
            began = time.perf_counter()
            run()
            end.send(time.perf_counter() - began)
