"""What the gateway's tests and benchmarks stand on: exams as DICOM, somebody who sends, somebody who receives."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

PATIENT, NAME = "SECRET-17", "Geheim^Greta"


def exam(pixels: NDArray[np.uint8], number: int = 1, **changes: object) -> Dataset:
    """An ultrasound still (uint8 H×W) of one study and series; keyword arguments replace attributes."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UltrasoundImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.0.1.77.1", "1.2.826.0.1.77.1.1"
    dataset.SOPInstanceUID = f"1.2.826.0.1.77.1.1.{number}"
    dataset.PatientName, dataset.PatientID = NAME, PATIENT
    dataset.PatientBirthDate, dataset.PatientSex = "19700203", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = time.strftime("%Y%m%d"), "101112", "S1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "A1", "Who^Dr"
    dataset.Modality, dataset.Manufacturer, dataset.InstanceNumber = "US", "ACME", number
    dataset.ImageLaterality, dataset.PatientOrientation = "L", ""
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def study(pixels: NDArray[np.uint8], count: int) -> list[Dataset]:
    """``count`` images of one new series in a new study; a few pixels tell them apart."""
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    made = []
    for number in range(1, count + 1):
        own = pixels.copy()
        own[0, :8] = list(number.to_bytes(8, "little"))
        made.append(exam(own, number, SOPInstanceUID=generate_uid(), **uids))
    return made


def send(
    port: int, datasets: Iterable[Dataset], calling: str = "PACS", called: str = "SENOSCOPE"
) -> list[int | None]:
    """C-STORE on one association; the status of each, ``None`` where there was no answer."""
    datasets = list(datasets)
    entity = AE(ae_title=calling)
    for kind, syntax in {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets}:
        entity.add_requested_context(kind, [syntax])
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return [None] * len(datasets)
    statuses = []
    for dataset in datasets:
        try:
            statuses.append(association.send_c_store(dataset).get("Status"))
        except (RuntimeError, ValueError):
            statuses.append(None)
    if association.is_established:
        association.release()
    return statuses


class Receiver:
    """A PACS that takes everything and counts: ``objects`` by SOP Instance UID, ``times`` how often each came.

    ``status`` is what it answers to C-STORE; ``reports`` are storage commitments it was told.
    """

    def __init__(self, port: int = 0, title: str = "PACS", encryption: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, Dataset] = {}
        self.times: Counter[str] = Counter()
        self.reports: list[tuple[int, Dataset]] = []
        self.status = 0
        self._entity = AE(ae_title=title)
        for context in AllStoragePresentationContexts:
            self._entity.add_supported_context(context.abstract_syntax)  # type: ignore[arg-type]
        self._entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_EVENT_REPORT, self._told)]
        self._server = self._entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=handlers, ssl_context=encryption
        )
        self.port = int(self._server.server_address[1])  # type: ignore[union-attr]
        self._lock = threading.Lock()

    def _store(self, event: evt.Event) -> int:
        if self.status == 0:
            dataset = dcmread(BytesIO(event.encoded_dataset()))
            with self._lock:
                self.times[dataset.SOPInstanceUID] += 1
                self.objects.setdefault(dataset.SOPInstanceUID, dataset)
        return self.status

    def _told(self, event: evt.Event) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information))
        return 0, None

    def of(self, study: str) -> dict[str, list[Dataset]]:
        """The objects of one study, by modality."""
        found: dict[str, list[Dataset]] = {}
        for dataset in list(self.objects.values()):
            if dataset.StudyInstanceUID == study:
                found.setdefault(dataset.Modality, []).append(dataset)
        return found

    def close(self) -> None:
        """Hang up and listen no more."""
        self._entity.shutdown()


class Gateway:
    """``senoscope gateway`` in a process group of its own, so that nothing of it outlives the test."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.log, self.config = folder, folder / "log", folder / "gateway.yaml"
        self.config.write_text(yaml.safe_dump({"data_dir": str(folder / "data"), **settings}))
        self.data = folder / "data"
        command = [sys.executable, "-m", "senoscope", "gateway", "--config", str(self.config)]
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r":(\d+)\.", line)
        assert found, line + self.log.read_text()
        self.port = int(found[1])

    def children(self) -> dict[str, int]:
        """Process ids of the worker, which has loaded the network's runtime, and of the courier, which has not."""
        found = set()
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            found |= {int(pid) for pid in (task / "children").read_text().split()}
        named = {}
        for pid in found:
            try:
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    loaded = b"onnxruntime" in Path(f"/proc/{pid}/maps").read_bytes()
                    named["worker" if loaded else "courier"] = pid
            except OSError:  # it has just ended
                continue
        return named

    def kill(self) -> None:
        """End the whole group at once, as a power failure would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(40)
        finally:
            self.kill()


def wait_for(ready: Any, seconds: float = 60.0, step: float = 0.05) -> Any:
    """What ``ready()`` gives once it is true. Fails after ``seconds``."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(step)
    return found


def settings(receiver_port: int, bundle: str, **changes: Any) -> dict[str, Any]:
    """A configuration whose PACS sends, receives and is told about storage commitment on ``receiver_port``."""
    place = {"ae_title": "PACS", "host": "127.0.0.1", "port": receiver_port}
    made: dict[str, Any] = {
        "node": {"port": 0, "reserve_mb": 0},
        "peers": [place],
        "series": {"quiet_s": 0.3},
        "analysis": {"bundle": bundle},
        "destinations": [{"name": "pacs", **place}],
        "retry": {"attempts": 4, "first_s": 0.2, "longest_s": 1},
        "log_level": "debug",
    }
    for name, value in changes.items():
        made[name] = {**made[name], **value} if isinstance(value, dict) and name in made else value
    return made


def uid_of(text: str) -> UID:
    """A UID as it is, legal or not."""
    return UID(text)
