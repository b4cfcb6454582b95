"""What a run tells while it runs, and how it is asked to stop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from hibana.rehearsal.result import IonicStep, ScfStep


class Listener(Protocol):
    """Hears of every electronic and ionic step as it is finished."""

    def scf_step(self, n: int, step: ScfStep) -> None:
        """Electronic step ``n`` (from 1) of the present ionic step."""

    def ionic_step(self, n: int, step: IonicStep) -> None:
        """Ionic step ``n`` (from 1)."""

    def note(self, text: str) -> None:
        """A line for the reader of the output."""


class StopFile:
    """``STOPCAR`` in the working directory, which asks a run to end: ``LSTOP`` after the ionic, ``LABORT`` after the
    electronic step.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "STOPCAR"

    def _asks(self, tag: str) -> bool:
        try:
            text = self.path.read_text()
        except OSError:
            return False
        return re.search(rf"^\s*{tag}\s*=\s*\.?T", text, re.IGNORECASE | re.MULTILINE) is not None

    @property
    def after_ionic_step(self) -> bool:
        """Whether no further ionic step is wanted."""
        return self._asks("LSTOP") or self.now

    @property
    def now(self) -> bool:
        """Whether no further electronic step is wanted."""
        return self._asks("LABORT")
