from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from types import ModuleType

import jsonschema
import numpy as np
import pytest
from PIL import Image

from senoscope.errors import UsageError
from senoscope.imaging.masks import contour_to_mask
from senoscope.imaging.raw import RawImage
from senoscope.inference.analyzer import Analyzer
from senoscope.reports.folder import Summary, analyze_paths, write_results

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document(results: Summary) -> dict:
    return json.loads(results.findings.read_text(encoding="utf-8"))


def item(document: dict, name: str) -> dict:
    return next(entry for entry in document["items"] if Path(entry["source"]).name == name)


def test_one_bad_file_is_named_and_the_rest_is_done(results: Summary) -> None:
    assert results.counts == {"analysed": 4, "not analysable": 1, "out of scope": 1, "failed": 1}
    ((source, why),) = results.failed
    assert Path(source).name == "broken.png"
    assert "cut short" in why
    assert results.exit_code == 1


def test_findings_follow_their_schema(document: dict) -> None:
    schema = json.loads((ROOT / "docs/reference/findings.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)
    broken = json.loads(json.dumps(document))
    broken["items"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(broken)


def test_the_document_names_its_model_and_its_use(document: dict, fake_folder: Path) -> None:
    card = json.loads((fake_folder / "card.json").read_text())
    assert document["model"]["weights_sha256"] == card["files"]["model.onnx"]
    assert document["research_use"] == "For research use only, not a medical device."
    assert document["summary"] == {"analysed": 4, "not analysable": 1, "out of scope": 1, "failed": 1}


def test_scores_are_withheld_where_they_must_be(document: dict) -> None:
    for name, status in (
        ("doppler.png", "out of scope"),
        ("flat.png", "not analysable"),
        ("broken.png", "failed"),
    ):
        entry = item(document, name)
        assert entry["status"] == status
        assert entry["class"] is entry["probabilities"] is entry["uncertainty"] is None
        assert entry["findings"] == []
        assert entry["files"] == {}
        assert entry["reasons"] + entry["notes"]


def test_one_finding_has_the_images_score(document: dict) -> None:
    entry = item(document, "deep.png")
    assert entry["class"] == "malignant"
    assert entry["findings"][0]["score"] == entry["probabilities"]["malignant"]
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=2e-5)


def test_masks_are_the_findings_at_the_original_size(document: dict, results: Summary) -> None:
    for name in ("deep.png", "two.png"):
        entry = item(document, name)
        mask = np.asarray(Image.open(results.out / entry["files"]["mask"]))
        assert mask.shape == tuple(reversed(entry["size"]))
        assert set(np.unique(mask)) == {0, 255}
        drawn = np.zeros(mask.shape, bool)
        for finding in entry["findings"]:
            drawn |= contour_to_mask(np.array(finding["contour"], np.float32), mask.shape)
        assert (drawn != (mask > 0)).mean() < 1e-3  # the written contour is rounded to hundredths
        assert (mask > 0).sum() == sum(finding["area_px"] for finding in entry["findings"])
    assert not np.asarray(Image.open(results.out / item(document, "calm.png")["files"]["mask"])).any()


def test_every_picture_is_there_and_nothing_else(document: dict, results: Summary) -> None:
    named = {path for entry in document["items"] for path in entry["files"].values()}
    there = {path.relative_to(results.out).as_posix() for path in results.out.rglob("*") if path.is_file()}
    assert there == named | {"report.html", "findings.json"}
    assert len(named) == 4 * 3
    for path in named:
        with Image.open(results.out / path) as picture:
            picture.verify()


def test_overlay_and_heatmap_differ_from_the_image(document: dict, results: Summary, exams: Path) -> None:
    files = item(document, "deep.png")["files"]
    plain = np.asarray(Image.open(exams / "deep.png").convert("RGB")).astype(int)
    for kind in ("overlay", "heatmap"):
        drawn = np.asarray(Image.open(results.out / files[kind]).convert("RGB")).astype(int)
        assert drawn.shape == plain.shape
        assert np.abs(drawn - plain).max() > 60


def test_results_are_not_overwritten_unasked(exams: Path, fake_folder: Path, tmp_path: Path) -> None:
    first = analyze_paths([exams / "deep.png"], tmp_path / "out", bundle=fake_folder, progress=False)
    own = tmp_path / "out" / "masks" / "mine.png"
    own.write_bytes(b"a user's own file")
    with pytest.raises(UsageError, match=r"already holds findings\.json"):
        analyze_paths([exams / "calm.png"], tmp_path / "out", bundle=fake_folder, progress=False)
    assert first.findings.exists()
    analyze_paths([exams / "calm.png"], tmp_path / "out", bundle=fake_folder, progress=False, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["calm.png", "mine.png"]


def test_a_forged_document_cannot_make_overwrite_remove_other_files(
    exams: Path, fake_folder: Path, tmp_path: Path
) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious.png"
    (out / "masks").mkdir(parents=True)
    precious.write_bytes(b"x")
    paths = ["../precious.png", "masks/../../precious.png", str(precious), "report.png"]
    (out / "findings.json").write_text(json.dumps({"items": [{"files": dict(enumerate(paths))}]}))
    analyze_paths([exams / "calm.png"], out, bundle=fake_folder, progress=False, overwrite=True)
    assert precious.exists()


def test_an_interrupted_run_leaves_no_half_report(
    fake: ModuleType, fake_folder: Path, tmp_path: Path
) -> None:
    analyzer = Analyzer(fake_folder, threads=1)

    def broken_stream():
        yield analyzer.examine(RawImage(fake.draw_exam((120, 130, 40, 0.02)), None, None, (), "a.png"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_results(broken_stream(), tmp_path, analyzer.bundle)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heatmaps", "masks", "overlays"]


def test_memory_stays_flat(fake: ModuleType, fake_folder: Path, tmp_path: Path) -> None:
    analyzer = Analyzer(fake_folder, threads=1)
    exam = fake.draw_exam((60, 65, 20, 0.02), size=(128, 128))
    analysis = analyzer.examine(RawImage(exam, None, None, (), "a.png"))
    write_results([analysis], tmp_path / "warm", analyzer.bundle)  # caches of templates and codecs
    peaks = []
    for count in (4, 16):
        tracemalloc.start()
        write_results((analysis for _ in range(count)), tmp_path / str(count), analyzer.bundle)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.15
