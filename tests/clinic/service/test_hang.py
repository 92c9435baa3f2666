"""A job that never returns, in a real server: killed after a limit, tried again, given up; other exams go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from senoscope.imaging.draw import png_bytes

# ``senoscope serve`` that waits two seconds for an image instead of two minutes.
IMPATIENT = """
import functools
from senoscope.cli.main import main
if __name__ == "__main__":
    from senoscope.clinic.service import settings
    settings.Settings = functools.partial(settings.Settings, job_timeout=2.0)
    main()
"""


def send(server: Any, image: bytes) -> str:
    answer = server.client.post("/api/exams", files={"files": ("a.png", image)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def write_endless_bundle(fake: ModuleType, folder: Path) -> Path:
    """The fake bundle, in whose network a bright disc never ends: a loop of 10^15 rounds."""
    from onnx import TensorProto, helper, numpy_helper

    model = fake.build_network()
    graph, node = model.graph, helper.make_node
    graph.node[-1].output[0] = "class_logits_once"
    round_ = helper.make_graph(
        [node("Identity", ["on"], ["on_out"]), node("Identity", ["kept"], ["kept_out"])],
        "round",
        [
            helper.make_tensor_value_info("count", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kept_out", TensorProto.FLOAT, None),
        ],
    )
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in (
            ("most", np.float32(0.5)),
            ("rounds", np.int64(10**15)),
        )
    )
    graph.node.extend(
        [
            node("ReduceMax", ["image"], ["brightest"], keepdims=0),
            node("ReduceMean", ["image"], ["mean"], keepdims=0),
            node("Sub", ["brightest", "mean"], ["contrast"]),
            node("Greater", ["contrast", "most"], ["is_bright"]),
            node("Cast", ["is_bright"], ["bright_count"], to=TensorProto.INT64),
            node("Mul", ["bright_count", "rounds"], ["trips"]),
            node("Loop", ["trips", "", "class_logits_once"], ["class_logits"], body=round_),
        ]
    )
    made: Path = fake.write_bundle(folder, model)
    return made


def test_a_hung_worker_is_replaced_and_its_image_given_up(
    start: Callable[..., Any], fake: ModuleType, draw: Callable[[int], bytes], tmp_path: Path
) -> None:
    bundle = write_endless_bundle(fake, tmp_path / "endless")
    script = tmp_path / "impatient.py"
    script.write_text(IMPATIENT)
    command = (str(script), "serve")
    server = start("--workers", "2", "--bundle", str(bundle), command=command)
    bright = Image.fromarray((fake.draw_exam((120, 130, 40, 1.0)) * 255).astype("uint8"))
    endless = send(server, png_bytes(bright))
    others = [send(server, draw(seed)) for seed in range(3)]
    for exam in others:  # they go on meanwhile
        assert server.wait_done(exam)["images"][0]["status"] == "analysed"
    found = server.wait_done(endless)
    assert found["state"] == "failed"
    assert "given up" in found["images"][0]["notes"][0]
    queue = server.client.get("/api/queue").json()
    assert queue["images"] == {"queued": 0, "leased": 0, "done": 3, "dead": 1}
    assert [letter["exam"] for letter in queue["dead_letters"]] == [endless]
    assert (
        "senoscope_worker_restarts_total 4.0" in server.client.get("/metrics").text
    )  # it was tried four times
    assert server.wait_done(send(server, draw(9)))["state"] == "done"
