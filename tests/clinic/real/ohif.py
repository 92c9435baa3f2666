"""OHIF's published build, served beside the PACS it reads from, and Chromium to look at it with.

The build comes from npm's registry (``npm pack``), once, into a cache outside the repository. The server passes
``/dicom-web`` on to the PACS with its user, so that page and data have one origin.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

VERSION = "3.12.10"
CHROMIUM = next(
    (path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None
)
CONFIG = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "defaultDataSourceName": "pacs",
    "investigationalUseDialog": {"option": "never"},
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "pacs",
            "configuration": {
                "friendlyName": "PACS",
                "name": "pacs",
                "wadoUriRoot": "/dicom-web",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "qidoSupportsIncludeField": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "omitQuotationForMultipartRequest": True,
            },
        }
    ],
}


def find_build() -> Path | str:
    """The folder of OHIF's static files, or why there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "senoscope" / "ohif"
    place = cache / VERSION
    if (place / "index.html").exists():
        return place
    if not shutil.which("npm"):
        return "OHIF is not in the cache, and npm, which could fetch it, is not installed"
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / f"ohif-app-{VERSION}.tgz"
    if not archive.exists():
        command = ["npm", "pack", "--silent", f"@ohif/app@{VERSION}"]
        try:
            subprocess.run(command, cwd=cache, capture_output=True, timeout=240, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            archive.unlink(missing_ok=True)
        if not archive.exists():
            return "OHIF is not in the cache, and no npm registry gave it"
    with tarfile.open(archive) as packed:
        packed.extractall(cache / "unpacked", filter="data")
    (cache / "unpacked" / "package" / "dist").rename(place)
    return place


class Viewer:
    """OHIF on ``url`` until ``close``."""

    def __init__(self, build: Path, pacs: str, authorization: str) -> None:
        # Orthanc closes idle connections when it likes; on a busy machine that is when one is used again.
        client = httpx.Client(
            base_url=pacs,
            headers={"Authorization": authorization},
            timeout=60,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        settings = f"window.config = {json.dumps(CONFIG)};".encode()

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *words: Any) -> None:
                super().__init__(*words, directory=str(build))

            def do_GET(self) -> None:
                if self.path.startswith("/dicom-web/"):
                    headers = {"Accept": self.headers.get("Accept", "*/*")}
                    self._answer(client.get(self.path, headers=headers))
                elif self.path.startswith("/app-config.js"):
                    self._send(200, "text/javascript", settings)
                else:
                    if not (build / self.path.lstrip("/").partition("?")[0]).is_file():
                        self.path = "/index.html"  # a page of the application's own
                    super().do_GET()

            def _answer(self, answer: httpx.Response) -> None:
                self._send(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)

            def _send(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def end_headers(self) -> None:
                self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
                super().end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._client = client
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._client.close()
