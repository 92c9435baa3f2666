"""What the service's benchmarks share: a real server in a process group of its own, made-up exams, the machine."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import urllib.request
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from senoscope.data.phantoms import simulate

RESULTS = Path(__file__).resolve().parents[1] / "docs/results"


class Server:
    """``senoscope serve`` on a free port, ready to work."""

    def __init__(self, data: Path, *options: str) -> None:
        command = [
            sys.executable,
            "-m",
            "senoscope",
            "serve",
            "--port",
            "0",
            "--data-dir",
            str(data),
            *options,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (data.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None  # noqa: S101
        found = re.search(r":(\d+)/", self.process.stdout.readline())
        if found is None:
            raise SystemExit((data.parent / "log").read_text(encoding="utf-8"))
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        while not self._ready():
            time.sleep(0.05)

    def get(self, path: str) -> Any:
        """A JSON answer."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def memory_mb(self) -> float:
        """Resident memory of the server's own process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                ours = int(words[2]) == self.process.pid  # its process group
                if ours and b"spawn_main" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except (OSError, IndexError):
                continue
        return found

    def kill(self) -> None:
        """Server and workers at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """An orderly end; the exit code."""
        self.process.terminate()
        code = self.process.wait(60)
        self.kill()
        return code

    def _ready(self) -> bool:
        try:
            return bool(self.get("/v2/health/ready")["ready"])
        except OSError:
            if self.process.poll() is not None:
                raise SystemExit("the server ended") from None
            return False


def exams(count: int, size: int = 500) -> list[bytes]:
    """PNG files of simulated exams, no two alike; BUSI's mean image is 500×500 pixels."""
    made = []
    for seed in range(count):
        stream = BytesIO()
        picture = simulate(seed % 24, ("malignant", "benign", "normal")[seed % 3], size).image.copy()
        picture[0, seed % size] ^= 1 + seed // size
        Image.fromarray(picture).save(stream, "PNG")
        made.append(stream.getvalue())
    return made


def form(image: bytes) -> tuple[bytes, str]:
    """A form with one image, and its content type."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="exam.png"\r\n\r\n'
    return head + image + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def machine() -> dict[str, Any]:
    """The processor and how busy it is."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    load = round(os.getloadavg()[0], 2)
    return {
        "cpu": model,
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "load_average_before": load,
    }
