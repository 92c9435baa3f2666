"""Where the gateway's files are, and that only one gateway uses them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from senoscope.clinic.service.blobs import sync_folder
from senoscope.clinic.service.database import sqlite_url


@dataclass(frozen=True, slots=True)
class Folders:
    """The data folder of a gateway; ``make`` makes what is missing, readable by this user alone."""

    root: Path

    @property
    def incoming(self) -> Path:
        """Objects that are arriving; nothing here was acknowledged."""
        return self.root / "incoming"

    @property
    def objects(self) -> Path:
        """Objects that were acknowledged, by the hash of their SOP Instance UID."""
        return self.root / "objects"

    @property
    def results(self) -> Path:
        """What the analysis made of them, by study."""
        return self.root / "results"

    @property
    def letters(self) -> Path:
        """Jobs that were given up."""
        return self.root / "dead-letters"

    @property
    def database_url(self) -> str:
        """The queue and the tables."""
        return sqlite_url(self.root / "gateway.sqlite")

    def object(self, instance: str, content: str) -> Path:
        """The file of one received object, named by hashes of its SOP Instance UID and of its content."""
        return self.objects / f"{instance}-{content[:16]}.dcm"

    def make(self) -> None:
        """Make the folders (0700: they hold patients' data) and have them on disk."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.incoming, self.objects, self.results, self.letters):
            folder.mkdir(exist_ok=True, mode=0o700)
        sync_folder(self.root)
