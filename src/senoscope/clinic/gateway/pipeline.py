"""What a worker process does: an image in, DICOM objects out, and a note for every destination to send them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy import select, update

from senoscope.clinic.dicom.objects import write_objects
from senoscope.clinic.gateway.completeness import ANALYZE
from senoscope.clinic.gateway.config import Config, Destination
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import attempt_next, make_queue, send_kind
from senoscope.clinic.gateway.quarantine import is_quarantined
from senoscope.clinic.gateway.tables import OBJECTS, QUARANTINED
from senoscope.clinic.processes import BUSY, IDLE, is_told_to_stop
from senoscope.clinic.service.blobs import sync_folder
from senoscope.clinic.service.database import reading
from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.queue import Queue
from senoscope.errors import ImageError
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.inference.batch import with_text_note
from senoscope.inference.cine import examine_frames
from senoscope.schema import Report

_LOOK = 0.5


def run_worker(config: Config, pipe: Connection, name: str) -> None:
    """The process: analyses until told to stop (see ``clinic.processes``)."""
    queue, analyzer = make_queue(config), Analyzer(config.analysis.bundle, threads=1)
    work = Work(config, queue, analyzer, lambda: pipe.send((BUSY, "")))
    while not is_told_to_stop(pipe):
        done = attempt_next(queue, [ANALYZE], name, work.do)
        pipe.send((IDLE, ""))
        if not done and is_told_to_stop(pipe, _LOOK):
            return


@dataclass(frozen=True, slots=True)
class Work:
    """Analyses jobs of ``queue`` with ``analyzer``; ``on_frame`` is called before every frame of an image."""

    config: Config
    queue: Queue
    analyzer: Analyzer
    on_frame: Callable[[], None] = lambda: None

    def do(self, job: Job) -> None:
        """Analyse a job's object and end the job. Raises what went wrong; ``LostLeaseError`` if it took too long."""
        instance = str(job.payload["instance"])
        with reading(self.queue.engine) as connection:
            row = connection.execute(select(OBJECTS).where(OBJECTS.c.instance == instance)).one()
            kept_back = is_quarantined(connection, row.study)
        folders = Folders(self.config.data_dir)
        written = [] if kept_back else self.write(folders.object(instance, row.content), folders.results)
        with self.queue.completing(job) as connection:
            if is_quarantined(connection, row.study):  # another patient's image may have come meanwhile
                state = update(OBJECTS).where(OBJECTS.c.instance == instance).values(state=QUARANTINED)
                connection.execute(state)
                return
            for destination in self.config.destinations:
                files = [
                    path.relative_to(folders.results).as_posix() for path in _wanted(written, destination)
                ]
                if files:
                    payload = {"study": row.study, "files": files}
                    self.queue.enqueue(send_kind(destination.name), instance, payload, connection)

    def write(self, image: Path, out: Path) -> list[Path]:
        """The objects of an image, on disk. An image that cannot be analysed gives a report that says why."""
        try:
            written = write_objects(image, self._examined(image), self.analyzer.bundle, out)
        except ImageError as error:
            note = str(error).replace(image.name, "the image")
            failed = Analysis(Report(source="the image", status="failed", notes=(note,)))
            written = write_objects(image, failed, self.analyzer.bundle, out)
        for path in written:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        for folder in {path.parent for path in written}:
            sync_folder(folder)
        sync_folder(out)
        return written

    def _examined(self, image: Path) -> Iterator[Analysis]:
        """The frames' analyses. A frame that takes too long costs the process its life: a failed attempt."""
        self.on_frame()
        for number, analysis in enumerate(examine_frames(image, self.analyzer)):
            yield with_text_note(analysis) if number == 0 else analysis
            self.on_frame()


def _wanted(written: list[Path], destination: Destination) -> list[Path]:
    """The files of the kinds that a destination asks for, told by their names (``…-seg[-frame].dcm`` and so on)."""
    return [path for path in written if path.stem.split("-")[1].upper() in destination.objects]
