"""How much of its capacity the service keeps when it is offered eight times as much.

Capacity: a few clients, each sending its next image when the last was accepted, as fast as the queue takes them, for
a minute at most.
Overload: images arrive at a steady eight times that rate, whatever the server answers, each on a connection of its own.
Counted are images analysed per second while it lasts. Writes docs/results/clinic-overload.json. The clients share the
machine with the server, so run it on a quiet one; what they cost is in the figure.

Memory is the server process's resident memory, every second of the overload: its median by minute, and the slope of a
straight line (least squares) through the last four fifths. Warming up shows in the first fifth, growth in the slope:
ten minutes (``--seconds 600``) tell them apart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
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
    memory: list[tuple[float, float]] = []

    async def one(image: bytes) -> None:
        statuses[await send(server.port, image)] += 1

    async def arrivals() -> None:
        begun, tasks = time.perf_counter(), set()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            task = asyncio.create_task(one(images[number % len(images)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)

    async def watch() -> None:
        begun = time.perf_counter()
        while True:
            memory.append((time.perf_counter() - begun, server.memory_mb()))
            await asyncio.sleep(1.0)

    watching = asyncio.create_task(watch())
    found = await counted(server, arrivals())
    watching.cancel()
    offered = sum(statuses.values()) / found["seconds"]
    return {
        **found,
        "offered_per_s": round(offered, 1),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "memory": growth(memory),
    }


def growth(memory: list[tuple[float, float]]) -> dict[str, object]:
    """Seconds and MB as medians by minute, and the slope after a fifth of the time."""
    last = memory[-1][0]
    settled = [(second / 60, mb) for second, mb in memory if second >= last / 5]
    minutes = [
        statistics.median(mb for second, mb in memory if minute * 60 <= second < minute * 60 + 60)
        for minute in range(int(last // 60) + 1)
    ]
    return {
        "mb_by_minute": [round(mb, 1) for mb in minutes],
        "mb_largest": round(max(mb for _, mb in memory), 1),
        "slope_mb_per_minute": round(statistics.linear_regression(*zip(*settled, strict=True)).slope, 3),
        "slope_over_minutes": [round(settled[0][0], 1), round(settled[-1][0], 1)],
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
            capacity = asyncio.run(saturate(server, supply, min(arguments.seconds, 60.0)))  # type: ignore[arg-type]
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
