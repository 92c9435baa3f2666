"""How much of its capacity the service keeps when it is offered eight times as much.

Capacity: a few clients, each sending its next image when the last was accepted, as fast as the queue takes them.
Overload: images arrive at a steady eight times that rate, whatever the server answers, each on a connection of its own.
Counted are images analysed per second while it lasts. Writes docs/results/clinic-overload.json. The clients share the
machine with the server, so run it on a quiet one; what they cost is in the figure.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from clinic_server import RESULTS, Server, exams, form, machine
from senoscope._files import write_text

DISTINCT = 400


async def send(port: int, image: bytes) -> int:
    """Send one image as a browser would and hear the answer; its status, 0 if the connection broke."""
    body, kind = form(image)
    head = f"POST /api/exams HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        line = await asyncio.wait_for(reader.readline(), 60)
        await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return int(line.split()[1])
    except (OSError, ValueError, IndexError, TimeoutError):
        return 0


async def saturate(server: Server, images: list[bytes], seconds: float, clients: int = 4) -> dict[str, float]:
    """Closed loop: as many as the queue takes, and no more."""
    position, end = 0, time.perf_counter() + seconds

    async def client() -> None:
        nonlocal position
        while time.perf_counter() < end:
            position += 1
            if await send(server.port, images[position % len(images)]) == 429:
                await asyncio.sleep(0.2)

    return await counted(server, asyncio.gather(*(client() for _ in range(clients))))


async def overload(server: Server, images: list[bytes], rate: float, seconds: float) -> dict[str, object]:
    """Open loop: one image every ``1 / rate`` seconds."""
    statuses: Counter[int] = Counter()
    memory: list[float] = []

    async def one(image: bytes) -> None:
        statuses[await send(server.port, image)] += 1

    async def arrivals() -> None:
        begun, tasks = time.perf_counter(), set()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            task = asyncio.create_task(one(images[number % len(images)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if number % max(1, int(rate)) == 0:
                memory.append(server.memory_mb())
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)

    found = await counted(server, arrivals())
    tenth = max(1, len(memory) // 10)
    offered = sum(statuses.values()) / found["seconds"]
    return {
        **found,
        "offered_per_s": round(offered, 1),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "memory_mb_after_a_tenth": round(memory[tenth], 1),
        "memory_mb_at_the_end": round(memory[-1], 1),
    }


async def counted(server: Server, work: object) -> dict[str, float]:
    """Images analysed per second while ``work`` lasts."""
    before, begun = await done(server), time.perf_counter()
    await work  # type: ignore[misc]
    seconds = time.perf_counter() - begun
    after = await done(server)
    return {
        "analysed": after - before,
        "seconds": round(seconds, 1),
        "per_s": round((after - before) / seconds, 2),
    }


async def done(server: Server) -> int:
    """Images analysed so far."""
    counts = await asyncio.to_thread(server.get, "/api/queue")
    return int(counts["images"]["done"])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--times", type=float, default=8.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "clinic-overload.json")
    arguments = parser.parse_args()
    about = machine()
    # The same image twice is one exam, so none may come back: distinct ones, told apart by a byte after their end.
    images = exams(DISTINCT)
    supply = Endless(images)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", "--workers", str(arguments.workers))
        try:
            asyncio.run(saturate(server, supply, 5.0))  # type: ignore[arg-type]
            capacity = asyncio.run(saturate(server, supply, arguments.seconds))  # type: ignore[arg-type]
            rate = arguments.times * capacity["per_s"]
            flood = asyncio.run(overload(server, supply, rate, arguments.seconds))  # type: ignore[arg-type]
        finally:
            code = server.stop()
    kept = float(str(flood["per_s"])) / capacity["per_s"]
    result = {
        "goodput_kept": {"value": round(kept, 3), "n": flood["analysed"]},
        "server_errors": sum(
            count
            for status, count in flood["statuses"].items()  # type: ignore[attr-defined]
            if status.startswith("5")
        ),
        "capacity": capacity,
        "overload": flood,
        "exit_code": code,
        "about": {"how": __doc__, "times": arguments.times, "workers": arguments.workers, "machine": about},
    }
    write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


class Endless:
    """Images that never repeat: bytes after a PNG's end belong to no picture, but to its hash."""

    def __init__(self, images: list[bytes]) -> None:
        self._images, self._number = images, 0

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, _: int) -> bytes:
        self._number += 1
        return self._images[self._number % len(self._images)] + self._number.to_bytes(4, "big")


if __name__ == "__main__":
    main()
