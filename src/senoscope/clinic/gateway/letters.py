"""Dead letters: jobs that were tried often enough, as a folder that an operator can look into.

The queue knows which they are; the folder mirrors it. Each letter holds ``reason.json`` and, as links, the files that
did not reach their destination or could not be analysed.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from sqlalchemy import select

from senoscope._files import write_text
from senoscope.clinic.gateway.completeness import ANALYZE
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.tables import OBJECTS
from senoscope.clinic.service.database import reading
from senoscope.clinic.service.jobs import DeadLetter
from senoscope.clinic.service.queue import Queue
from senoscope.schema import RESEARCH_USE

_MOST = 10_000


def dead_letters(queue: Queue) -> list[DeadLetter]:
    """The jobs that were given up, oldest first."""
    return queue.dead_letters(limit=_MOST)


def mirror(queue: Queue, folders: Folders) -> int:
    """Make the folder hold exactly the letters that there are; how many."""
    letters = {f"{letter.kind.replace(':', '-')}-{letter.key}": letter for letter in dead_letters(queue)}
    there = {path.name for path in folders.letters.iterdir()}
    for name in there - letters.keys():
        shutil.rmtree(folders.letters / name, ignore_errors=True)
    for name in letters.keys() - there:
        _write(queue, folders, folders.letters / name, letters[name])
    return len(letters)


def _write(queue: Queue, folders: Folders, place: Path, letter: DeadLetter) -> None:
    draft = place.with_name(f".{place.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for path in _files(queue, folders, letter):
        if path.exists():
            os.link(path, draft / path.name)
    reason = {
        "kind": letter.kind,
        "key": letter.key,
        "attempts": letter.attempts,
        "error": letter.error,
        "research_use": RESEARCH_USE,
    }
    write_text(draft / "reason.json", json.dumps(reason, indent=1) + "\n")
    draft.rename(place)


def _files(queue: Queue, folders: Folders, letter: DeadLetter) -> list[Path]:
    if letter.kind != ANALYZE:
        return [folders.results / file for file in letter.payload.get("files", ())]
    query = select(OBJECTS.c.content).where(OBJECTS.c.instance == letter.key)
    with reading(queue.engine) as connection:
        content = connection.execute(query).scalar_one_or_none()
    return [] if content is None else [folders.object(letter.key, content)]
