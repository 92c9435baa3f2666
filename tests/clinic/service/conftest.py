"""A service in this process without workers, real servers in processes of their own, and a private PostgreSQL."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import Engine
from starlette.testclient import TestClient

from senoscope.clinic.service.app import make_app
from senoscope.clinic.service.database import METADATA, create_tables, open_database, sqlite_url
from senoscope.clinic.service.service import Service
from senoscope.clinic.service.settings import Settings
from senoscope.clinic.service.store import KIND
from senoscope.clinic.service.tokens import new_token
from senoscope.clinic.service.worker import work_on
from senoscope.imaging.draw import png_bytes
from senoscope.inference.analyzer import Analyzer

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
SERVE = ("-m", "senoscope", "serve")
READY = 120.0  # other work may have the cores
BROWSERS = [path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()]


class Postgres:
    """A PostgreSQL server of our own, on a port of this machine and a socket in a temporary folder.

    ``halt`` ends it as a crash would.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="senoscope-pg-"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql+psycopg://postgres@/postgres?host={self.folder}&port={self.port}"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self.folder, "postgres")
            self._user = {"user": "postgres"}
        self._run("initdb", "-A", "trust", "-U", "postgres", "--no-sync")

    def start(self) -> None:
        options = f"-k {self.folder} -p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def halt(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "stop")

    def _run(self, program: str, *options: str) -> None:
        command = [str(BINARIES[-1].parent / program), "-D", str(self.folder / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self._user)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Postgres]:
    """A PostgreSQL server that runs; a test that halts it starts it again."""
    if not BINARIES:
        pytest.skip("no PostgreSQL server is installed")
    made = Postgres()
    try:
        made.start()
        yield made
        made.halt()
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture
def postgres(cluster: Postgres) -> str:
    """The URL of an empty PostgreSQL database."""
    engine = open_database(cluster.url)
    METADATA.drop_all(engine)
    create_tables(engine)
    engine.dispose()
    return cluster.url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "queue.sqlite")
    address: str = request.getfixturevalue("postgres")
    return address


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = open_database(url)
    yield made
    made.dispose()


@dataclass
class Local:
    """A service without workers: ``work`` does theirs in this process."""

    service: Service
    client: TestClient
    analyzer: Analyzer

    def work(self) -> int:
        """Analyse everything that waits; how many images that was."""
        count = 0
        while job := self.service.queue.claim([KIND], "test"):
            work_on(self.service.store, self.analyzer, job)
            count += 1
        self.service.gate.waiting = 0
        return count

    def send(self, *images: bytes, name: str = "exam.png") -> str:
        """Upload images as one exam; its id."""
        answer = self.client.post("/api/exams", files=[("files", (name, data)) for data in images])
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["id"])


@pytest.fixture(scope="session")
def analyzer(fake_folder: Path) -> Analyzer:
    return Analyzer(fake_folder, threads=1)


@pytest.fixture
def make_local(tmp_path: Path, fake_folder: Path, analyzer: Analyzer) -> Callable[..., Local]:
    def make(**changes: Any) -> Local:
        settings = Settings(**{"data_dir": tmp_path / "data", "bundle": str(fake_folder), **changes})
        service = Service(settings)
        client = TestClient(make_app(service), base_url="http://localhost", raise_server_exceptions=False)
        return Local(service, client, analyzer)

    return make


@pytest.fixture
def local(make_local: Callable[..., Local]) -> Local:
    return make_local()


@pytest.fixture(scope="session")
def lesion(fake: Any) -> bytes:
    """A PNG in which the fake bundle finds one lesion: a disc of radius 40 at row 120, column 130."""
    return png_of(fake.draw_exam((120, 130, 40, 0.1)))


@pytest.fixture(scope="session")
def draw(fake: Any) -> Callable[[int], bytes]:
    """Different exams by number."""
    return lambda seed: png_of(fake.draw_exam((120, 130, 40, 0.1), seed=seed))


@pytest.fixture(scope="session")
def stills() -> ModuleType:
    """The module ``dicom_file.py`` beside this file."""
    spec = importlib.util.spec_from_file_location("dicom_file", Path(__file__).with_name("dicom_file.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def lesion_dicom(fake: Any, stills: ModuleType) -> bytes:
    """``lesion`` as an ultrasound image with 0.1 mm pixels."""
    data: bytes = stills.file_bytes(stills.still((fake.draw_exam((120, 130, 40, 0.1)) * 255).astype("uint8")))
    return data


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "data").mkdir()
    return {role: new_token(tmp_path / "data" / "tokens.json", role)[1] for role in ("reader", "admin")}


@pytest.fixture(scope="session")
def refused() -> Callable[[Any, int], dict[str, Any]]:
    """Checks that an answer is a problem document with this status, and gives it."""

    def check(answer: Any, status: int) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        body: dict[str, Any] = answer.json()
        assert set(body) >= {"type", "title", "status", "detail", "research_use"}
        assert body["status"] == status
        return body

    return check


def png_of(gray: Any) -> bytes:
    return png_bytes(Image.fromarray((gray * 255).astype("uint8")))


class Process:
    """``senoscope serve`` in a process group of its own, so that nothing of it outlives the test."""

    def __init__(self, data: Path, *options: str, log: Path, command: Sequence[str] = SERVE) -> None:
        self.log, self.data = log, data
        command = [sys.executable, *command, "--data-dir", str(data), *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://(\S+):(\d+)/", line)
        assert found, line + log.read_text()
        self.port = int(found[2])
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def wait_ready(self) -> None:
        end = time.monotonic() + READY
        while self.client.get("/v2/health/ready").status_code != 200:
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def wait_done(self, exam: str, seconds: float = READY) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while (found := self.client.get(f"/api/exams/{exam}").json())["state"] == "waiting":
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        return dict(found)

    def children(self) -> list[int]:
        """Process ids of the workers (and of Python's own helper of them)."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        others = [int(pid) for pid in text.split()]
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            others += [int(pid) for pid in (task / "children").read_text().split()]
        workers = []
        for pid in sorted(set(others)):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                workers.append(pid)
        return workers

    def kill(self) -> None:
        """End the whole group at once, as a power failure would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.client.close()

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(40)
        finally:
            self.kill()


@pytest.fixture
def start(tmp_path: Path, fake_folder: Path) -> Iterator[Callable[..., Process]]:
    """Starts a server on the test's data folder; whatever still runs at the end is killed."""
    started: list[Process] = []

    def run(*options: str, ready: bool = True, command: Sequence[str] = SERVE) -> Process:
        more = ("--port", "0", "--bundle", str(fake_folder), *options)
        started.append(Process(tmp_path / "data", *more, log=tmp_path / "log", command=command))
        if ready:
            started[-1].wait_ready()
        return started[-1]

    yield run
    for process in started:
        process.kill()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """A page in a headless Chromium; ``complaints`` collects what goes wrong in it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not BROWSERS:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(BROWSERS[0]), args=["--no-sandbox", "--disable-gpu"]
        )
        made = browser.new_page(viewport={"width": 1280, "height": 800})
        made.set_default_timeout(1000 * READY)
        made.complaints = []
        made.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.on("console", lambda line: made.complaints.append(line.text) if line.type == "error" else None)
        yield made
        made.screenshot(path=tmp_path / "viewer.png")
        browser.close()
