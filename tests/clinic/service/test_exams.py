"""From an upload to findings, reviews and documents, in one process."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from senoscope.clinic.service.tokens import new_token

NAME = "김민지 می\u200cخواهم.png"  # with the joiner that Persian needs
ROOT = Path(__file__).resolve().parents[3]


def test_an_uploaded_lesion_is_found_where_it_is(local: Any, lesion: bytes) -> None:
    exam = local.send(lesion)
    assert local.client.get(f"/api/exams/{exam}").json()["state"] == "waiting"
    assert local.work() == 1
    found = local.client.get(f"/api/exams/{exam}").json()
    (image,) = found["images"]
    (finding,) = image["findings"]
    assert (found["state"], image["status"], image["size"]) == ("done", "analysed", [256, 256])
    x, y, width, height = finding["box"]  # the disc is centred at x 130, y 120 with radius 40
    assert (x + width / 2, y + height / 2) == pytest.approx((130, 120), abs=4)
    assert (width, height) == pytest.approx((80, 80), abs=8)
    assert finding["score"] == pytest.approx(image["probabilities"]["malignant"], abs=1e-5)
    assert (finding["number"], finding["version"], finding["review"]) == (1, 1, "ai")
    assert "not a medical device" in found["research_use"]


def test_the_same_images_again_are_the_same_exam(
    local: Any, lesion: bytes, draw: Callable[[int], bytes]
) -> None:
    first = local.client.post("/api/exams", files={"files": ("a.png", lesion)})
    second = local.client.post("/api/exams", files={"files": ("b.png", lesion)})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert local.work() == 1
    assert local.send(lesion, draw(3)) != first.json()["id"]
    assert local.work() == 2


def test_both_databases_keep_the_same(make_local: Callable[..., Any], url: str, lesion: bytes) -> None:
    local = make_local(database=url)
    exam = local.send(lesion, lesion, name=NAME)
    local.work()
    assert put(local, exam, {"action": "accept", "version": 1}).json()["review"] == "accepted"
    found = local.client.get(f"/api/exams/{exam}").json()
    assert [image["name"] for image in found["images"]] == [NAME] * 2
    assert [image["findings"][0]["version"] for image in found["images"]] == [2, 1]
    (listed,) = local.client.get("/api/exams").json()["exams"]
    assert (listed["id"], listed["images"], listed["state"]) == (exam, 2, "done")
    assert local.send(lesion, lesion) == exam
    assert "senoscope_images_done 2.0" in local.client.get("/metrics").text
    local.service.queue.engine.dispose()


def test_a_broken_image_fails_alone_and_says_why(local: Any, lesion: bytes) -> None:
    exam = local.send(lesion[: len(lesion) // 2], lesion, name="KIM^MINJI.png")
    local.work()
    found = local.client.get(f"/api/exams/{exam}").json()
    broken, good = found["images"]
    assert (found["state"], broken["status"], good["status"]) == ("done", "failed", "analysed")
    assert "cut short" in broken["notes"][0]
    assert "KIM" not in json.dumps(broken["notes"])
    assert broken["picture"] is None
    assert broken["name"] == "KIM^MINJI.png"


def test_pictures_are_the_image_and_its_evidence(local: Any, lesion: bytes) -> None:
    exam = local.send(lesion)
    assert local.client.get(f"/api/exams/{exam}/images/1/picture.png").status_code == 404
    local.work()
    picture = local.client.get(f"/api/exams/{exam}/images/1/picture.png")
    shown = np.asarray(Image.open(BytesIO(picture.content)))
    assert np.array_equal(shown, np.asarray(Image.open(BytesIO(lesion))))
    heat = Image.open(BytesIO(local.client.get(f"/api/exams/{exam}/images/1/heatmap.png").content))
    assert heat.mode == "RGBA"


def test_sixteen_bits_are_shown_over_their_whole_range(local: Any) -> None:
    deep = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (256, 1))
    stream = BytesIO()
    Image.fromarray(deep).save(stream, "PNG")
    exam = local.send(stream.getvalue())
    local.work()
    shown = np.asarray(
        Image.open(BytesIO(local.client.get(f"/api/exams/{exam}/images/1/picture.png").content))
    )
    assert shown.dtype == np.uint8
    assert np.abs(shown.astype(float) - deep / 257).max() <= 0.5


def put(local: Any, exam: str, body: dict[str, Any]) -> Any:
    return local.client.put(f"/api/exams/{exam}/images/1/findings/1", json=body)


def test_every_review_is_a_version_and_old_ones_stay(local: Any, lesion: bytes) -> None:
    exam = local.send(lesion)
    local.work()
    before = local.client.get(f"/api/exams/{exam}").json()["images"][0]["findings"][0]
    square = [[100, 100], [199, 100], [199, 149], [100, 149]]
    edited = put(local, exam, {"action": "edit", "version": 1, "contour": square})
    assert edited.status_code == 200, edited.text
    made = edited.json()
    # Even-odd rule on pixel centres: the right and lower edge are outside, so 99 by 49 pixels.
    assert (made["version"], made["review"], made["author"], made["area_px"]) == (
        2,
        "edited",
        "local",
        99 * 49,
    )
    assert made["box"] == [100, 100, 99, 49]
    assert made["measures"]["max_diameter_px"] == pytest.approx(np.hypot(99, 49), rel=0.02)
    assert (made["score"], made["confidence"]) == (before["score"], None)
    assert put(local, exam, {"action": "accept", "version": 1}).status_code == 409
    assert put(local, exam, {"action": "reject", "version": 2}).json()["review"] == "rejected"
    versions = local.client.get(f"/api/exams/{exam}/images/1/findings/1").json()["versions"]
    assert [each["review"] for each in versions] == ["ai", "edited", "rejected"]
    assert versions[0]["contour"] == before["contour"]


@pytest.mark.parametrize(
    "body",
    [
        {"action": "edit", "version": 1},
        {"action": "edit", "version": 1, "contour": [[1, 1], [2, 2]]},
        {"action": "edit", "version": 1, "contour": [[1, 1], [2, 1], [3, 1]]},
        {"action": "accept", "version": 1, "contour": [[1, 1], [50, 1], [3, 90]]},
        {"action": "accept", "version": True},
        {"action": "accept", "version": "1"},
        {"action": "bless", "version": 1},
        {"action": "accept", "version": 1, "author": "somebody"},
        {"action": "edit", "version": 1, "contour": [["a", 1], [50, 1], [3, 90]]},
    ],
)
def test_reviews_that_make_no_sense_change_nothing(local: Any, lesion: bytes, body: dict[str, Any]) -> None:
    exam = local.send(lesion)
    local.work()
    assert put(local, exam, body).status_code == 400
    assert len(local.client.get(f"/api/exams/{exam}/images/1/findings/1").json()["versions"]) == 1


def test_documents_follow_the_review(local: Any, lesion: bytes) -> None:
    exam = local.send(lesion, name="<script>alert(1)</script>.png")
    assert local.client.get(f"/api/exams/{exam}/report.json").status_code == 409  # not analysed yet
    local.work()
    schema = json.loads((ROOT / "docs/reference/findings.schema.json").read_text())
    document = local.client.get(f"/api/exams/{exam}/report.json").json()
    jsonschema.validate(document, schema)
    assert len(document["items"][0]["findings"]) == 1
    put(local, exam, {"action": "reject", "version": 1})
    after = local.client.get(f"/api/exams/{exam}/report.json").json()
    assert after["items"][0]["findings"] == []
    assert after["items"][0]["probabilities"] == document["items"][0]["probabilities"]
    assert "Finding 1 was rejected by a reader." in after["items"][0]["notes"]
    page = local.client.get(f"/api/exams/{exam}/report.html")
    assert "not a medical device" in page.text
    assert "<script>alert" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    pdf = local.client.get(f"/api/exams/{exam}/report.pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert pdf.headers["content-disposition"] == f'attachment; filename="senoscope-{exam[:12]}.pdf"'
    assert local.client.get(f"/api/exams/{exam}/dicom.zip").status_code in (409, 501)  # it came as PNG


def test_reports_name_the_model_that_was_used(
    make_local: Callable[..., Any], fake: Any, tmp_path: Path, lesion: bytes
) -> None:
    old = make_local()
    exam = old.send(lesion)
    old.work()
    other = fake.write_bundle(tmp_path / "other", version="9.9.9")
    new = make_local(bundle=str(other))
    assert new.client.get(f"/api/exams/{exam}/report.json").json()["model"]["version"] == "0.0.1"
    assert new.send(lesion) != exam  # another model reads it anew


def test_lists_are_newest_first_in_pages_and_of_the_user_alone(
    make_local: Callable[..., Any], tmp_path: Path, draw: Callable[[int], bytes]
) -> None:
    (tmp_path / "data").mkdir()
    tokens = {role: new_token(tmp_path / "data" / "tokens.json", role)[1] for role in ("reader", "admin")}
    local = make_local()

    def ask(role: str, path: str, **more: Any) -> Any:
        return local.client.request(
            more.pop("method", "GET"), path, headers={"Authorization": f"Bearer {tokens[role]}"}, **more
        )

    sent = [
        ask("reader", "/api/exams", method="POST", files={"files": ("a.png", draw(seed))}).json()["id"]
        for seed in range(3)
    ]
    hers = ask("admin", "/api/exams", method="POST", files={"files": ("a.png", draw(0))}).json()["id"]
    assert hers not in sent  # the same image, another owner
    page = ask("reader", "/api/exams?limit=2").json()
    rest = ask("reader", f"/api/exams?limit=2&before={page['next']}").json()
    assert [exam["id"] for exam in page["exams"] + rest["exams"]] == sent[::-1]
    assert rest["next"] is None
    assert len(ask("admin", "/api/exams").json()["exams"]) == 4
    assert ask("reader", f"/api/exams/{hers}").status_code == 404
    assert ask("reader", f"/api/exams/{hers}/images/1/picture.png").status_code == 404
    assert ask("admin", f"/api/exams/{sent[0]}").status_code == 200
    assert ask("reader", "/api/queue").status_code == 403
    assert ask("admin", "/api/queue").json()["images"]["queued"] == 4
