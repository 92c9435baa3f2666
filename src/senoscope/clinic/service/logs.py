"""Logs without patients: our own lines say what they mean to; of everybody else's only who spoke and from where.

A library's message may quote a file name, a header or a value it could not parse, and an exception's text may too, so
neither is ever written, at any level.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback

OURS = "senoscope"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class WithoutPatients(logging.Filter):
    """Replaces foreign messages by their origin, removes exception texts, and keeps every record on one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a record in place; nothing is dropped."""
        if record.name == OURS or record.name.startswith(f"{OURS}."):
            record.msg = _CONTROL.sub(" ", record.getMessage())
        else:
            record.msg = f"{record.name} ({record.module}:{record.lineno}); its words are withheld"
        if record.exc_info and record.exc_info[1] is not None:
            record.msg += f" [{where(record.exc_info[1])}]"
        record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None
        return True


def configure_logs(level: int = logging.INFO) -> None:
    """Every logger of the process to stderr, through ``WithoutPatients``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WithoutPatients())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)
    logging.getLogger(OURS).setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _last_words


def where(error: BaseException) -> str:
    """An exception's kind and the line it came from, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _last_words(_: type[BaseException], error: BaseException, __: object) -> None:
    logging.getLogger(OURS).critical("ended by %s", where(error))
