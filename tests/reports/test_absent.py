"""Reports of models that give only some outputs: absent is shown as absent, never as 0."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from senoscope.cli.main import main
from senoscope.reports.console import print_demo, print_summary
from senoscope.reports.demo import run_demo
from senoscope.reports.folder import Summary, analyze_paths

ROOT = Path(__file__).parents[2]
KINDS = ("classifier", "plain classifier", "two heads", "segmenter", "detector", "scoring detector")


@pytest.fixture(scope="module")
def pictures(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, lesions in (
        ("deep", [(120, 130, 40, 0.02)]),
        ("two", [(80, 70, 34, 0.02), (180, 190, 28, 0.2)]),
    ):
        Image.fromarray(np.rint(fake.draw_exam(*lesions) * 255).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def summaries(
    fake: ModuleType, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Summary]:
    made = {}
    for kind in KINDS:
        bundle = fake.write_kind(tmp_path_factory.mktemp("bundle"), kind)
        made[kind] = analyze_paths([pictures], tmp_path_factory.mktemp("out"), bundle=bundle, progress=False)
    return made


def items(summary: Summary) -> list[dict[str, Any]]:
    return list(json.loads(summary.findings.read_text(encoding="utf-8"))["items"])


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S)).split())


@pytest.mark.parametrize("kind", KINDS)
def test_findings_follow_the_schema(summaries: dict[str, Summary], kind: str) -> None:
    schema = json.loads((ROOT / "docs/reference/findings.schema.json").read_text(encoding="utf-8"))
    document = json.loads(summaries[kind].findings.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["summary"] == {"analysed": 2}
    assert document["model"]["system"] == "toy"


def test_a_classifiers_document(summaries: dict[str, Summary]) -> None:
    item = items(summaries["classifier"])[0]
    assert item["class"] == "malignant"
    assert item["findings"] is None  # it does not look for any
    assert set(item["files"]) == {"heatmap"}
    assert items(summaries["plain classifier"])[0]["files"] == {}


def test_a_segmenters_document(summaries: dict[str, Summary]) -> None:
    document = json.loads(summaries["segmenter"].findings.read_text(encoding="utf-8"))
    item = document["items"][0]
    assert item["class"] is item["certain"] is item["probabilities"] is item["uncertainty"] is None
    assert item["findings"][0]["score"] is None
    assert item["findings"][0]["area_px"] > 1000
    assert set(item["files"]) == {"mask", "overlay"}
    assert document["model"]["temperature"] is None
    assert document["model"]["classes"] == []


def test_a_detectors_document(summaries: dict[str, Summary]) -> None:
    finding = items(summaries["detector"])[0]["findings"][0]
    for key in ("score", "confidence", "area_px", "area_mm2", "shape", "orientation", "margin"):
        assert finding[key] is None
    assert len(finding["contour"]) == 4
    assert set(items(summaries["detector"])[0]["files"]) == {"overlay"}
    scored = items(summaries["scoring detector"])[0]
    assert scored["findings"][0]["score"] == scored["probabilities"]["malignant"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_what_is_absent_as_absent(summaries: dict[str, Summary], kind: str) -> None:
    page = summaries[kind].report.read_text(encoding="utf-8")
    text = text_of(page)
    classifies, outlines = (
        "class" in kind or kind in ("two heads", "scoring detector"),
        kind in ("two heads", "segmenter"),
    )
    assert ('class="score"' in page) == classifies
    assert ("no number on this page is a probability" in text) != classifies
    assert ('role="list"' in page) == classifies
    assert (">Malignant</dt>" in page) == classifies
    assert ("With a finding" in text) != classifies
    assert ('class="heat"' in page) == (kind == "classifier")
    assert (" disabled" in page) == (kind != "classifier")
    assert ("lexicon" in text) == outlines
    assert ("Measures" in text) == outlines
    assert ('class="outline"' in page) == ("classifier" not in kind)
    absent = [
        word
        for word, there in (
            ("class probabilities", classifies),
            ("outlines", outlines),
            ("heatmaps", kind == "classifier"),
        )
        if not there
    ]
    assert f"Not given by this model: {', '.join(absent)}." in text
    assert not re.search(r"\b(None|nan|0 px)\b", text)


def test_scores_that_are_not_there_are_named_and_not_toned(summaries: dict[str, Summary]) -> None:
    page = summaries["segmenter"].report.read_text(encoding="utf-8")
    assert page.count("no score</span>") == 3  # one tag per finding
    assert 'class="line unscored"' in page
    assert 'class="line benign"' not in page
    assert "not classified" in page


def test_the_terminal_names_what_is_absent(summaries: dict[str, Summary]) -> None:
    stream = io.StringIO()
    print_summary(summaries["segmenter"], Console(file=stream, width=120))
    assert "Not given by this model: class probabilities, heatmaps." in stream.getvalue()


@pytest.mark.parametrize("kind", ["classifier", "segmenter", "detector"])
def test_the_demos_table_leaves_out_what_is_not_given(fake: ModuleType, tmp_path: Path, kind: str) -> None:
    demo = run_demo(tmp_path / "demo", 3, bundle=fake.write_kind(tmp_path / "bundle", kind))
    stream = io.StringIO()
    print_demo(demo, Console(file=stream, width=120))
    assert stream.getvalue().count("not given") == 3
    for row in demo.rows:
        assert (row.findings is None) == (kind == "classifier")
        assert (row.found is None) == (row.malignancy is None) == (kind != "classifier")
        assert row.dice is None or kind == "segmenter"


@pytest.mark.parametrize("kind", ["classifier", "segmenter", "detector"])
def test_the_command_works_with_any_bundle(
    fake: ModuleType, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    bundle = fake.write_kind(tmp_path / "bundle", kind)
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "analyze",
                str(pictures / "deep.png"),
                "--out",
                str(tmp_path / "out"),
                "--bundle",
                str(bundle),
                "--json",
            ]
        )
    assert not caught.value.code
    event = json.loads(capsys.readouterr().out)
    assert (event["findings"] is None) == (kind == "classifier")
