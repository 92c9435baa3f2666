"""Mutated DICOM files, PNG files and HTTP requests: does anything crash, hang, fail untyped or tell of a patient?

Files are read as `senoscope dicom` and the service read them, each in at most two seconds; whatever they raise must be
a SenoscopeError whose text, and whatever is logged or warned meanwhile, holds none of the patient tokens planted in the
files. Requests go to a running server as raw bytes: it must answer or close within two seconds, never with a 5xx, and
stay ready; its log is searched for the tokens too. Writes docs/results/clinic-fuzz.json.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import random
import select
import signal
import socket
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from clinic_server import RESULTS, Server, exams, form, machine
from senoscope._files import write_text
from senoscope.data.phantoms import simulate
from senoscope.errors import SenoscopeError
from senoscope.imaging.read import read_frames

TOKENS = ("QZTOKENNAME", "QZTOKENID", "QZTOKENHOSPITAL")
SECONDS = 2.0
PATIENCE = 0.02  # for the answer to a request that may be complete


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A few random faults: bytes changed, fields set to extremes, parts cut, doubled, moved or removed."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place, kind = chance.randrange(max(1, len(data))), chance.randrange(6)
        if chance.random() < 0.7:
            place = min(place, chance.randrange(1, 1200))  # headers are where faults matter
        length = chance.choice((1, 2, 4, 16, 200))
        if kind == 0:
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            data[place : place + 4] = chance.choice(
                (b"\xff\xff\xff\xff", b"\x00" * 4, b"\x7f\xff\xff\xff", b"\xf0\xff\xff\xff")
            )
        elif kind == 2:
            del data[place:]
        elif kind == 3:
            del data[place : place + length]
        elif kind == 4:
            data[place:place] = data[place : place + length]
        else:
            data[place : place + length] = chance.randbytes(length)
    return bytes(data)


def dicom(frames: int, syntax: str) -> bytes:
    """An ultrasound still or loop whose identifying values are the tokens."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    kind = "1.2.840.10008.5.1.4.1.1.3.1" if frames > 1 else "1.2.840.10008.5.1.4.1.1.6.1"
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = kind
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.PatientName, data.PatientID, data.InstitutionName = TOKENS
    data.Modality = "US"
    pixels = np.stack([simulate(seed, "benign", 96).image for seed in range(frames)])
    data.Rows, data.Columns = pixels.shape[1:]
    if frames > 1:
        data.NumberOfFrames = frames
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.SamplesPerPixel, data.PixelRepresentation = 7, 1, 0
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def resealed(data: bytes) -> bytes:
    """A damaged PNG with its checksums right again, so that the damage is met behind them; other data as it is."""
    if not data.startswith(b"\x89PNG"):
        return data
    out, place = data[:8], 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        out += data[place:end] + zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return out + data[place:]


class Tally:
    """What went wrong, and a few examples of it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def note(self, what: str, example: str) -> None:
        """Count one fault."""
        self.counts[what] += 1
        if len(self.examples.setdefault(what, [])) < 5:
            self.examples[what].append(example[-400:])


def _alarm(*_: object) -> None:
    raise TimeoutError


def fuzz_files(seeds: list[bytes], count: int, chance: random.Random, tally: Tally) -> None:
    """Read mutated files; every answer but a picture or a typed error is a fault."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)
    signal.signal(signal.SIGALRM, _alarm)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: heard.write(str(message))  # type: ignore[assignment]
        path = Path(folder) / "file"
        for _ in range(count):
            damaged = mutated(chance.choice(seeds), chance)
            path.write_bytes(resealed(damaged) if chance.random() < 0.75 else damaged)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                for _frame in read_frames(path):
                    pass
                tally.counts["read"] += 1
            except SenoscopeError as error:
                tally.counts["refused"] += 1
                heard.write(str(error))
            except TimeoutError:
                tally.note("hang", "longer than two seconds")
            except Exception:
                tally.note("untyped error", traceback.format_exc())
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            said = heard.getvalue()
            if any(token in said for token in TOKENS):
                tally.note("patient token", said)
            heard.seek(0)
            heard.truncate()
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)


def requests(port: int, images: list[bytes]) -> list[bytes]:
    """Well-formed requests to start from."""
    host = f"Host: 127.0.0.1:{port}\r\nConnection: close\r\n"
    body, kind = form(images[0])
    named = body.replace(b"exam.png", TOKENS[0].encode())
    upload = f"POST /api/exams HTTP/1.1\r\n{host}Content-Type: {kind}\r\nContent-Length: {len(named)}\r\n\r\n".encode()
    told = b'{"review": "accepted", "contour": [[1, 2], [3, 4], [5, 6]]}'
    review = (
        f"PUT /api/exams/0123456789abcdef/images/1/findings/1 HTTP/1.1\r\n{host}Content-Type: application/json\r\n"
        f"Content-Length: {len(told)}\r\n\r\n"
    ).encode()
    reads = (
        "/",
        "/api/exams?limit=5",
        "/api/exams/0123456789abcdef",
        "/v2/health/ready",
        "/metrics",
        "/openapi.json",
    )
    return [*(f"GET {path} HTTP/1.1\r\n{host}\r\n".encode() for path in reads), upload + named, review + told]


def fuzz_http(count: int, chance: random.Random, tally: Tally) -> None:
    """Send mutated requests; the server must answer below 500, or close, and go on."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", "--verbose")
        seeds = requests(server.port, exams(1, 128))
        try:
            for _ in range(count):
                ask(server.port, mutated(chance.choice(seeds), chance), tally)
            if server.process.poll() is not None or not server.get("/v2/health/ready")["ready"]:
                tally.note("crash", "the server is gone or not ready")
        finally:
            code = server.stop()
        if code != 0:
            tally.note("crash", f"exit code {code}")
        log = (Path(folder) / "log").read_text(encoding="utf-8", errors="replace")
        for token in TOKENS:
            if token in log:
                tally.note("patient token", log[max(0, log.index(token) - 200) :][:400])
        if "Traceback" in log:
            tally.note("untyped error", log[log.index("Traceback") :][:2000])


def ask(port: int, content: bytes, tally: Tally) -> None:
    """One raw request, and what came of it. A request left open by its mutation is closed by us."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as peer:
        answer = b""
        try:
            peer.sendall(content)
            if not select.select([peer], [], [], PATIENCE)[0]:
                peer.shutdown(
                    socket.SHUT_WR
                )  # it waits for what the mutation took away: nothing more will come
            while part := peer.recv(65536):
                answer += part
                peer.settimeout(0.2)  # answered: a connection that is kept open for more is no hang
        except TimeoutError:
            if not answer:
                tally.note("hang", repr(content[:200]))
                return
        except OSError:
            pass  # closed before all was sent, which a refusal may be
    status = answer[9:12].decode("latin1") if answer.startswith(b"HTTP/1.") else "closed"
    tally.counts[f"status {status}"] += 1
    if status.startswith("5"):
        tally.note("server error", repr(content[:200]) + " -> " + repr(answer[:200]))


def main() -> None:
    """Fuzz all three and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="all inputs together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "clinic-fuzz.json")
    arguments = parser.parse_args()
    about, chance = machine(), random.Random(arguments.seed)  # noqa: S311 - makes faults, hides nothing
    each = -(-arguments.count // 3)
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    files = {
        "dicom": [dicom(frames, syntax) for frames in (1, 3) for syntax in syntaxes],
        "png": exams(3, 128),
    }
    jobs: dict[str, Callable[[Tally], None]] = {
        kind: lambda tally, seeds=seeds: fuzz_files(seeds, each, chance, tally)
        for kind, seeds in files.items()
    }
    jobs["http"] = lambda tally: fuzz_http(each, chance, tally)
    found: dict[str, Any] = {}
    faults = 0
    for kind, job in jobs.items():
        tally, begun = Tally(), time.monotonic()
        job(tally)
        faults += sum(len(examples) > 0 and tally.counts[what] for what, examples in tally.examples.items())
        found[kind] = {
            "inputs": each,
            "seconds": round(time.monotonic() - begun, 1),
            "outcomes": dict(sorted(tally.counts.items())),
            "faults": tally.examples,
        }
        print(kind, dict(tally.counts), flush=True)
    how = (__doc__ or "").strip()
    content = {
        "faults": faults,
        "kinds": found,
        "about": {"how": how, "seed": arguments.seed, "machine": about},
    }
    write_text(arguments.out, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
