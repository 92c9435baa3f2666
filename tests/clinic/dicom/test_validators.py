"""Independent judges of what is written: dciodvfy (dicom3tools) and PixelMed's SR validator, where installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import Sequence

from senoscope.clinic.dicom.objects import write_objects
from senoscope.inference.cine import examine_frames

JAR = Path("/usr/share/java/pixelmed.jar")
ALLOWED = json.loads(Path(__file__).with_name("validator-exceptions.json").read_text())


def unexpected(lines: list[str], tool: str) -> list[str]:
    """Complaints that the file of exceptions does not explain."""
    return [line for line in lines if not any(known["text"] in line for known in ALLOWED[tool])]


@pytest.fixture(params=["still", "spaced", "none", "loop", "mammogram", "bare"])
def written(request, make, exam, loop, fake, analyzer, tmp_path, spaced) -> list[Path]:
    changes: dict[str, object] = {
        "spaced": {"SequenceOfUltrasoundRegions": Sequence([spaced])},
        "mammogram": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2", "Modality": "MG"},
        "bare": {"ImageLaterality": None, "PatientSex": "", "Manufacturer": "", "PatientName": ""},
    }.get(request.param, {})  # type: ignore[assignment]
    pixels = {"none": (fake.draw_exam() * 255).astype(np.uint8), "loop": loop}.get(request.param, exam)
    source = make(pixels, **changes)
    return write_objects(source, examine_frames(source, analyzer), analyzer.bundle, tmp_path / "out")


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_fault(written):
    for path in written:
        told = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        lines = [x for x in (told.stdout + told.stderr).splitlines() if x.startswith(("Error", "Warning"))]
        assert not unexpected(lines, "dciodvfy"), path.name


@pytest.mark.skipif(not (shutil.which("java") and JAR.exists()), reason="PixelMed is not installed")
def test_pixelmed_finds_no_fault_in_the_report(written):
    (report,) = [path for path in written if path.name.endswith("-sr.dcm")]
    limits = [f"-Djdk.xml.xpath{name}=0" for name in ("ExprGrpLimit", "ExprOpLimit", "TotalOpLimit")]
    command = ["java", *limits, "-cp", JAR, "com.pixelmed.validate.DicomSRValidator", report]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    assert "Found Root Template TID_1500 (MeasurementReport)" in lines
    assert "IOD validation complete" in lines
    assert not unexpected([x for x in lines if x.startswith(("Error", "Warning"))], "pixelmed")
