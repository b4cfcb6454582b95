"""custodian's log without tracebacks and pymatgen's warnings: an unreadable output is a result, not a crash."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("VasprunXMLValidator", "custodian.custodian")
"""Loggers that print a traceback for a file that is cut off or missing."""


class _NoTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the traceback, keep the line."""
        record.exc_info = record.exc_text = None
        return not str(record.msg).startswith("Traceback")


@contextmanager
def plain_log() -> Iterator[None]:
    """Keep tracebacks out of custodian's log, and warnings off, while the block runs."""
    loggers, quiet = [logging.getLogger(name) for name in LOGGERS], _NoTraceback()
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
