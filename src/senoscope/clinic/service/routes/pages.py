"""The viewer's files, as they are in the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

STATIC = Path(str(resources.files("senoscope.clinic.service") / "static"))

router = APIRouter(include_in_schema=False)


@router.get("/")
def page() -> FileResponse:
    """The viewer."""
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


@router.get("/look.css")
def look() -> FileResponse:
    """Colours, buttons and tables, shared with the reports."""
    style = resources.files("senoscope.reports") / "templates" / "report.css"
    return FileResponse(Path(str(style)), headers={"cache-control": "no-cache"}, media_type="text/css")


def static_files() -> StaticFiles:
    """Scripts and styles, told apart by ``ETag``; nothing outside the folder can be named."""
    return StaticFiles(directory=STATIC, follow_symlink=False)
