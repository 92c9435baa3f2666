"""kill -9 of the gateway's parts, fifty times at seeded moments: is anything lost, does any result come twice?

A PACS sends images without pause, sends again what was not acknowledged, and notes what was; meanwhile the node, a
worker, the courier that sends results, or all of them at once, are killed. At the end every acknowledged image must
have exactly one report and one segmentation at the receiver. A result may be sent again if its acknowledgement was
cut off: then it must be the same object. Writes docs/results/clinic-gateway-kill.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

from pydicom import Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/clinic/gateway"))
import parts

from clinic_server import RESULTS, machine
from senoscope._files import write_text
from senoscope.data.phantoms import simulate

TARGETS = ("node", "worker", "courier", "everything")
PACE_S = 1.5
PATIENCE_S = 8.0


class Sender(threading.Thread):
    """A PACS: sends studies of two images, each until all of it was acknowledged; ``port`` is the gateway's."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.port = 0
        self.acknowledged: set[str] = set()
        self.again = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Until told to end, and the last study is across."""
        seed = 0
        while not self.ended.is_set():
            seed += 1
            self._send(parts.study(simulate(seed).image, 2))
            time.sleep(PACE_S)

    def _send(self, exams: list[Dataset]) -> None:
        left = exams
        while left:
            statuses = parts.send(self.port, left)
            self.acknowledged |= {
                str(e.SOPInstanceUID) for e, s in zip(left, statuses, strict=True) if s == 0
            }
            left = [exam for exam in left if exam.SOPInstanceUID not in self.acknowledged]
            if left:
                self.again += 1
                time.sleep(0.3)


def at_work(receiver: parts.Receiver) -> None:
    """Wait until results come again after the last kill, so that the next one hits something; not for ever."""
    before, end = len(receiver.objects), time.monotonic() + PATIENCE_S
    while len(receiver.objects) == before and time.monotonic() < end:
        time.sleep(0.01)


def kill(gateway: parts.Gateway, target: str) -> bool:
    """Kill a part; whether it was there to be killed."""
    if target == "everything":
        gateway.kill()
        return True
    if target == "node":
        os.kill(gateway.process.pid, signal.SIGKILL)
        gateway.process.wait()
        return True
    children = gateway.children()
    if target not in children:
        return False
    os.kill(children[target], signal.SIGKILL)
    return True


def judge(receiver: parts.Receiver, acknowledged: set[str]) -> dict[str, int]:
    """What came back for what was acknowledged."""
    reports: dict[str, set[str]] = defaultdict(set)
    outlines: Counter[str] = Counter()
    for dataset in list(receiver.objects.values()):
        if dataset.Modality == "SR":
            (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
            for series in study.ReferencedSeriesSequence:
                for item in series.ReferencedSOPSequence:
                    if item.ReferencedSOPInstanceUID in acknowledged:
                        reports[str(item.ReferencedSOPInstanceUID)].add(str(dataset.SOPInstanceUID))
        if dataset.Modality == "SEG":
            (series,) = dataset.ReferencedSeriesSequence
            (item,) = series.ReferencedInstanceSequence
            outlines[str(item.ReferencedSOPInstanceUID)] += 1
    return {
        "lost": len(acknowledged - reports.keys()),
        "doubled": sum(len(found) > 1 for found in reports.values()) + sum(n > 1 for n in outlines.values()),
        "results": len(receiver.objects),
        "sent_again": sum(times - 1 for times in receiver.times.values()),
    }


def main() -> None:
    """Kill, wait for the rest to be done, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "clinic-gateway-kill.json")
    options = parser.parse_args()
    pick, kills = random.Random(options.seed), Counter[str]()  # noqa: S311 - a simulation
    receiver, sender, start = parts.Receiver(), Sender(), time.perf_counter()
    settings = parts.settings(
        receiver.port, "senoscope-us", series={"quiet_s": 0.5}, retry={"attempts": 100}, log_level="warning"
    )
    with tempfile.TemporaryDirectory() as name:
        gateway = parts.Gateway(Path(name), settings)
        sender.port = gateway.port
        sender.start()
        try:
            while sum(kills.values()) < options.kills:
                at_work(receiver)
                time.sleep(pick.uniform(0.0, 1.5))
                target = pick.choice(TARGETS)
                kills[target] += kill(gateway, target)
                if gateway.process.poll() is not None:
                    gateway = parts.Gateway(Path(name), settings)
                    sender.port = gateway.port
                print(
                    sum(kills.values()), target, len(sender.acknowledged), len(receiver.objects), flush=True
                )
            sender.ended.set()
            sender.join(120)
            end, found = time.monotonic() + 600, judge(receiver, sender.acknowledged)
            while found["lost"] and time.monotonic() < end:
                time.sleep(2)
                found = judge(receiver, sender.acknowledged)
            time.sleep(5)  # what comes twice would come now
            found = judge(receiver, sender.acknowledged)
            stopped = gateway.stop()
        finally:
            gateway.kill()
            receiver.close()
    result = {
        "kills": dict(kills),
        "acknowledged": len(sender.acknowledged),
        **found,
        "sent_to_the_gateway_again": sender.again,
        "exit_code_after_sigterm": stopped,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - start, 1),
        "how": "a study of two simulated images every second and a half, each kill up to 1.5 s after results came "
        "again; lost: acknowledged without a report; doubled: with more than one report or segmentation; sent "
        "again: the same object once more, because its acknowledgement was cut off",
        "machine": machine(),
    }
    write_text(options.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
