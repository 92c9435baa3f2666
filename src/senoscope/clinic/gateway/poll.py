"""Fetching new images from a DICOMweb server, for sites that cannot route to a DICOM node (QIDO-RS, WADO-RS)."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from senoscope.clinic.gateway.arrivals import STORED, Arrivals
from senoscope.clinic.gateway.config import Poll
from senoscope.clinic.gateway.dicomweb import open_client
from senoscope.clinic.service.logs import where
from senoscope.errors import ImageError

PEER = "(poll)"
"""Stands for the sender of what was fetched."""

_LOG = logging.getLogger("senoscope.clinic.gateway.poll")


class Poller:
    """Looks for images that are not here yet, and takes them in as if they had been sent."""

    def __init__(self, poll: Poll, arrivals: Arrivals) -> None:
        self._poll, self._arrivals = poll, arrivals
        self._client = open_client(poll.url, poll.authorization_env, poll.tls)
        self._useless: set[str] = set()

    def once(self) -> int:
        """Look once; how many images were taken in. What goes wrong is logged and tried again next time."""
        count = 0
        try:
            for study in self._studies():
                for instance in _pages(partial(self._client.search_for_instances, study), "00080018"):
                    count += self._take(study, instance)
        except Exception as error:  # the server is away, the disk is full, an answer is malformed
            _LOG.warning("polling was cut short: %s", where(error))
        return count

    def _studies(self) -> list[str]:
        today = date.today()
        first = today - timedelta(days=self._poll.days)
        filters = {"StudyDate": f"{first:%Y%m%d}-{today:%Y%m%d}", **self._poll.filters}
        search = partial(self._client.search_for_studies, search_filters=filters)
        return [_value(study, "0020000D") for study in _pages(search, "0020000D")]

    def _take(self, study: str, instance: Any) -> bool:
        uid = _value(instance, "00080018")
        if _value(instance, "00080016") not in STORED or uid in self._useless or self._arrivals.holds(uid):
            return False
        image = self._client.retrieve_instance(
            study, _value(instance, "0020000E"), uid, media_types=(("application/dicom", "*"),)
        )
        handle, name = tempfile.mkstemp(dir=self._arrivals.folders.incoming, suffix=".dcm")
        os.close(handle)
        try:
            image.save_as(name, enforce_file_format=True)
            self._arrivals.receive(Path(name), PEER, uid)
        except ImageError:
            _LOG.warning("a fetched object cannot be used")
            self._useless.add(uid)
            return False
        finally:
            Path(name).unlink(missing_ok=True)
        return True


def _pages(search: Callable[..., list[Any]], tag: str) -> Iterator[Any]:
    """All results of a search, page by page, told apart by a UID.

    Ends at the first page without a new one: some servers ignore the offset and give the same page for ever.
    """
    seen: set[str] = set()
    while True:
        fresh = [item for item in search(offset=len(seen)) if _value(item, tag) not in seen]
        if not fresh:
            return
        seen |= {_value(item, tag) for item in fresh}
        yield from fresh


def _value(item: Any, tag: str) -> str:
    """An attribute's first value in DICOM JSON (PS3.18 annex F); empty if it is not there."""
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])
