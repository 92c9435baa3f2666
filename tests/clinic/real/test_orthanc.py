"""A study goes by storescu to the gateway, and its results are in the PACS, sound and once."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

pytestmark = pytest.mark.real

JAR = Path("/usr/share/java/pixelmed.jar")
ALLOWED = json.loads((Path(__file__).parent.parent / "dicom" / "validator-exceptions.json").read_text())


@pytest.fixture(scope="module")
def gateway(parts, orthanc, ports, fake_folder, tmp_path_factory):
    """Sends SEG and SR back by C-STORE, and SC by STOW-RS."""
    place = {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": orthanc.port}
    destinations = [
        {"name": "pacs", **place},
        {
            "name": "web",
            "stow": f"{orthanc.url}/dicom-web",
            "authorization_env": "TEST_AUTHORIZATION",
            "objects": ["SC"],
        },
    ]
    settings = parts.settings(
        1,
        str(fake_folder),
        node={"port": ports["gateway"]},
        peers=[place, {"ae_title": "TESTER"}],
        series={"quiet_s": 2},
        destinations=destinations,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_AUTHORIZATION", orthanc.authorization)
        made = parts.Gateway(tmp_path_factory.mktemp("gateway"), settings)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def exams(parts, pixels) -> list[Dataset]:
    return parts.study(pixels, 2)


def storescu(port: int, called: str, files: list[Path]) -> None:
    command = ["storescu", "-aet", "TESTER", "-aec", called, "127.0.0.1", str(port), *map(str, files)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.fixture(scope="module")
def answered(parts, orthanc, gateway, exams, tmp_path_factory) -> dict[str, list[str]]:
    """Orthanc's instances by modality, once everything has come back."""
    if not shutil.which("storescu"):
        pytest.skip("storescu is not installed (apt-get install dcmtk)")
    folder = tmp_path_factory.mktemp("exams")
    files = [folder / f"{number}.dcm" for number in range(len(exams))]
    for exam, file in zip(exams, files, strict=True):
        exam.save_as(file, enforce_file_format=True)
    for port, called in ((orthanc.port, "ORTHANC"), (gateway.port, "SENOSCOPE")):
        storescu(port, called, files)
    study = exams[0].StudyInstanceUID
    parts.wait_for(lambda: sum(map(len, orthanc.instances(study).values())) >= 4 * len(exams))
    return dict(orthanc.instances(study))


def test_every_object_is_there_once(orthanc, answered, exams, gateway):
    assert {kind: len(names) for kind, names in answered.items()} == {"US": 2, "SEG": 2, "SR": 2, "OT": 2}
    time.sleep(2)
    assert orthanc.instances(exams[0].StudyInstanceUID) == answered


def test_qido_finds_the_series(orthanc, answered, exams):
    found = orthanc.rest.get(f"/dicom-web/studies/{exams[0].StudyInstanceUID}/series").json()
    assert sorted(series["00080060"]["Value"][0] for series in found) == sorted(answered)


def test_the_gateway_answers_echoscu(gateway):
    if not shutil.which("echoscu"):
        pytest.skip("echoscu is not installed (apt-get install dcmtk)")
    command = ["echoscu", "-aet", "TESTER", "-aec", "SENOSCOPE", "127.0.0.1", str(gateway.port)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert (
        subprocess.run([*command[:2], "NOBODY", *command[3:]], capture_output=True, check=False).returncode
        != 0
    )


def test_orthanc_gets_its_storage_commitment(parts, orthanc, answered, exams):
    """Orthanc asks by N-ACTION and is told on an association of the gateway's."""
    asked = [{"SOPClassUID": e.SOPClassUID, "SOPInstanceUID": e.SOPInstanceUID} for e in exams]
    answer = orthanc.rest.post("/modalities/senoscope/storage-commitment", json={"DicomInstances": asked})
    place = answer.json()["Path"]
    parts.wait_for(lambda: orthanc.rest.get(place).json()["Status"] != "Pending")
    told = orthanc.rest.get(place).json()
    assert (told["Status"], len(told["Success"]), told["Failures"]) == ("Success", 2, [])


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy is not installed (dicom3tools)")
@pytest.mark.parametrize("kind", ["SEG", "SR", "OT"])
def test_dciodvfy_finds_no_fault(orthanc, answered, tmp_path, kind):
    for name in answered[kind]:
        told = subprocess.run(
            ["dciodvfy", "-new", orthanc.fetch(name, tmp_path / "x.dcm")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert unexpected(told, "dciodvfy") == []


@pytest.mark.skipif(not (shutil.which("java") and JAR.exists()), reason="PixelMed is not installed")
def test_pixelmed_finds_no_fault(orthanc, answered, tmp_path):
    for name in answered["SR"][:1]:  # a minute each on a busy machine; tests/clinic/dicom has the other kinds
        limits = [f"-Djdk.xml.xpath{limit}=0" for limit in ("ExprGrpLimit", "ExprOpLimit", "TotalOpLimit")]
        report = orthanc.fetch(name, tmp_path / "x.dcm")
        told = subprocess.run(
            ["java", *limits, "-cp", JAR, "com.pixelmed.validate.DicomSRValidator", report],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "IOD validation complete" in told.stdout + told.stderr
        assert unexpected(told, "pixelmed") == []


def unexpected(told: subprocess.CompletedProcess[str], tool: str) -> list[str]:
    """Complaints that the file of exceptions does not explain."""
    lines = [
        line for line in (told.stdout + told.stderr).splitlines() if line.startswith(("Error", "Warning"))
    ]
    return [line for line in lines if not any(known["text"] in line for known in ALLOWED[tool])]


def test_what_orthanc_gives_back_is_what_was_written(orthanc, answered, gateway, tmp_path):
    written = {dcmread(path).SOPInstanceUID: dcmread(path) for path in gateway.data.rglob("results/*/*.dcm")}
    for name in (*answered["SEG"], *answered["SR"], *answered["OT"]):
        fetched = dcmread(orthanc.fetch(name, tmp_path / "x.dcm"))
        assert fetched == written[fetched.SOPInstanceUID]


def test_polling_brings_what_nobody_routed(parts, orthanc, ports, fake_folder, pixels, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_AUTHORIZATION", orthanc.authorization)
    (exam,) = parts.study(pixels, 1)
    assert parts.send(orthanc.port, [exam], calling="TESTER", called="ORTHANC") == [0]
    web = {"authorization_env": "TEST_AUTHORIZATION"}
    settings = parts.settings(
        1,
        str(fake_folder),
        node={"port": ports["poller"]},
        peers=[],
        destinations=[{"name": "web", "stow": f"{orthanc.url}/dicom-web", **web}],
        poll={"url": f"{orthanc.url}/dicom-web", "every_s": 1, **web},
    )
    gateway = parts.Gateway(tmp_path, settings)
    try:
        wanted = {"US": 1, "SEG": 1, "SR": 1}
        study = exam.StudyInstanceUID
        parts.wait_for(lambda: {k: len(v) for k, v in orthanc.instances(study).items()} == wanted)
        assert gateway.stop() == 0
    finally:
        gateway.kill()
