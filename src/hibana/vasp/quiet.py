"""custodian's log without tracebacks, addresses of objects and pymatgen's warnings: an unreadable output is a result."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("VasprunXMLValidator", "custodian.custodian")
"""Loggers that print a traceback for a file that is cut off or missing."""

_OBJECT = re.compile(r"<(?:\w+\.)*(\w+) object at 0x[0-9a-fA-F]+>")


def by_name(text: str) -> str:
    """A message in which objects that Python shows with their address in memory are named by their class."""
    return _OBJECT.sub(r"\1", text)


class _Plain(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the traceback, keep the line; a run that the walltime ended is no error."""
        record.exc_info = record.exc_text = None
        text = record.getMessage()
        if "WalltimeHandler" in text:
            return False
        record.msg, record.args = by_name(text), None
        return not text.startswith("Traceback")


@contextmanager
def plain_log() -> Iterator[None]:
    """Keep tracebacks out of custodian's log, and warnings off, while the block runs."""
    loggers, quiet = [logging.getLogger(name) for name in LOGGERS], _Plain()
    for logger in loggers:
        logger.addFilter(quiet)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(quiet)


@contextmanager
def silenced() -> Iterator[None]:
    """Keep all logs and warnings off while the block runs: what custodian says is in the result."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
