"""kill -9: nothing that was acknowledged is lost, no result comes twice."""

from __future__ import annotations

import os
import signal

IMAGES = 6


def test_everything_killed_at_once_right_after_the_acknowledgement(start, receiver, parts, pixels):
    gateway = start(series={"quiet_s": 0})
    assert parts.send(gateway.port, parts.study(pixels, IMAGES)) == [0] * IMAGES
    gateway.kill()
    gateway = start(series={"quiet_s": 0})
    parts.wait_for(lambda: receiver.objects)
    gateway.kill()  # amid analysing and sending
    gateway = start(series={"quiet_s": 0})
    parts.wait_for(lambda: len(receiver.objects) == 2 * IMAGES)
    assert gateway.stop() == 0
    check(receiver)


def test_a_worker_and_a_courier_killed_at_work_are_replaced(start, receiver, parts, pixels):
    gateway = start()
    assert parts.send(gateway.port, parts.study(pixels, IMAGES)) == [0] * IMAGES
    parts.wait_for(lambda: len(receiver.objects) >= 2)
    before = gateway.children()
    assert len(before) == 2
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    parts.wait_for(lambda: len(receiver.objects) == 2 * IMAGES)
    assert set(gateway.children().values()).isdisjoint(before.values())
    assert gateway.stop() == 0
    check(receiver)


def check(receiver) -> None:
    """One segmentation and one report per image. One may have come twice, if its acknowledgement was cut off."""
    kinds = [dataset.Modality for dataset in receiver.objects.values()]
    assert (kinds.count("SEG"), kinds.count("SR")) == (IMAGES, IMAGES)
    assert sum(receiver.times.values()) <= 2 * IMAGES + 1
