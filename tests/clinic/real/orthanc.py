"""A private Orthanc: its own folder, this machine only, one registered user, only known modalities."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE = "ORTHANC"


def missing() -> str:
    """Why no Orthanc can be started; empty if one can."""
    if not shutil.which("Orthanc"):
        return "Orthanc is not installed (apt-get install orthanc)"
    return (
        ""
        if PLUGIN.exists()
        else "Orthanc's DICOMweb plugin is not installed (apt-get install orthanc-dicomweb)"
    )


class Orthanc:
    """Running from now to ``close``; ``rest`` is a client of its REST interface."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        user, password = "tester", secrets.token_hex(16)
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.url, self.port = f"http://127.0.0.1:{ports['http']}", ports["dicom"]
        known = {
            "senoscope": {"AET": "SENOSCOPE", "Host": "127.0.0.1", "Port": ports["gateway"]},
            "tester": {"AET": "TESTER", "Host": "127.0.0.1", "Port": 1},
        }
        settings: dict[str, Any] = {
            "Name": "test",
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": ports["http"],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {user: password},
            "DicomAet": TITLE,
            "DicomPort": self.port,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": False,
            "DicomModalities": known,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(settings))
        self.log = folder / "log"
        with self.log.open("wb") as stream:
            self._process = subprocess.Popen(["Orthanc", str(path)], stdout=stream, stderr=stream)
        self.rest = httpx.Client(
            base_url=self.url, headers={"Authorization": self.authorization}, timeout=30, trust_env=False
        )
        end = time.monotonic() + 60
        while not self._is_up():
            assert self._process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < end, "Orthanc did not start in time"
            time.sleep(0.1)

    def _is_up(self) -> bool:
        try:
            return self.rest.get("/dicom-web/studies").status_code == 200
        except httpx.TransportError:
            return False

    def instances(self, study: str) -> dict[str, list[str]]:
        """Orthanc's names of a study's instances, by modality."""
        found: dict[str, list[str]] = {}
        query = {"Level": "Series", "Query": {"StudyInstanceUID": study}, "Expand": True}
        for series in self.rest.post("/tools/find", json=query).json():
            found.setdefault(series["MainDicomTags"]["Modality"], []).extend(series["Instances"])
        return found

    def fetch(self, instance: str, path: Path) -> Path:
        """Save an instance's file."""
        path.write_bytes(self.rest.get(f"/instances/{instance}/file").content)
        return path

    def close(self) -> None:
        """Stop it, by its process id."""
        self.rest.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
