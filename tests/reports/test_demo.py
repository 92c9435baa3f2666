from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from senoscope.data.phantoms import simulate
from senoscope.reports.console import print_demo, print_summary
from senoscope.reports.demo import SEED_STEP, Demo, Row, dice, run_demo
from senoscope.reports.folder import Summary


@pytest.fixture(scope="module")
def demo(fake_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("demo"), 3, seed=2, bundle=fake_folder)


def test_dice_by_hand() -> None:
    one, other = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert dice(one, other) is None
    one[0, :3] = other[0, 1:] = True
    assert dice(one, other) == pytest.approx(2 * 2 / 6)
    assert dice(one, ~one) == 0


def test_the_demo_simulates_each_class_and_tells_the_truth(demo: Demo) -> None:
    assert [row.truth for row in demo.rows] == ["normal", "benign", "malignant"]
    assert [row.name for row in demo.rows] == ["exam-01", "exam-02", "exam-03"]
    document = json.loads(demo.summary.findings.read_text())
    assert [
        "Truth: " + row.truth in item["notes"][-1]
        for row, item in zip(demo.rows, document["items"], strict=True)
    ] == [True] * 3
    assert "Simulated, no patient. Truth: malignant." in demo.summary.report.read_text()
    kept = np.asarray(Image.open(demo.summary.out / "exams" / "exam-02.png"))
    assert (kept == simulate(2 * SEED_STEP + 1, "benign").image).all()
    assert document["items"][0]["spacing_mm"] is not None


def test_the_demo_can_be_run_again_in_its_folder(demo: Demo, fake_folder: Path) -> None:
    again = run_demo(demo.summary.out, 1, seed=2, bundle=fake_folder)
    assert again.rows == demo.rows[:1]
    left = len(list((demo.summary.out / "masks").glob("*.png")))
    assert left == (again.summary.counts.get("analysed", 0))


def test_the_terminal_shows_truth_answer_and_where_the_report_is() -> None:
    summary = Summary(Path("demo"), {"analysed": 1, "failed": 1}, (("a[b].png", "It is cut short."),), 0.5)
    text = io.StringIO()
    print_demo(
        Demo(summary, (Row("exam-01", "benign", "malignant", 0.995, 1, 0.91),)), Console(file=text, width=90)
    )
    shown = text.getvalue()
    for part in (
        "exam-01",
        "benign",
        "malignant",
        ">99%",
        "0.91",
        "2 images: 1 analysed, 1 failed",
        "a[b].png: It is cut",
        "report.html",
        "not a medical device",
    ):
        assert part in shown, part
    print_summary(Summary(Path("x"), {"analysed": 1}, (), 0.1), Console(file=text))
    assert "1 image: " in text.getvalue()
