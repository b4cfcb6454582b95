"""The log of decisions: JSON lines, one a decision, that survives a kill at any moment."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from hibana.learn.errors import UNREADABLE_DECISIONS
from hibana.learn.result import plain

FILE = "decisions.jsonl"


class DecisionLog:
    """Decisions that were made, the last one of each material in memory.

    A line that was cut short by a kill is removed when the log is opened. One process at a time may have it open.

    Parameters
    ----------
    folder
        Folder of the log; made where it is missing.

    Raises
    ------
    HibanaError
        HIB-288 if it cannot be read or written, or another process has it open.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise UNREADABLE_DECISIONS.error(error.strerror or str(error), where=self.path) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise UNREADABLE_DECISIONS.error("another loop writes to it", where=self.path) from error
        self._last = self._read()

    def close(self) -> None:
        """Close the file, so that another process can open it."""
        self._file.close()

    def last(self, material_id: str) -> int | None:
        """Priority that was decided last for a material; None if there was no decision."""
        return self._last.get(material_id)

    def append(self, decisions: Sequence[Mapping[str, Any]]) -> None:
        """Write decisions, each with ``material_id`` and ``priority``.

        Raises
        ------
        HibanaError
            HIB-288 if they cannot be written.
        """
        lines = (json.dumps(plain(item), ensure_ascii=False, allow_nan=False) + "\n" for item in decisions)
        try:
            for line in lines:
                self._file.write(line.encode())
            self._file.flush()
        except OSError as error:
            raise UNREADABLE_DECISIONS.error(error.strerror or str(error), where=self.path) from error
        self._last |= {item["material_id"]: item["priority"] for item in decisions}

    def _read(self) -> dict[str, int]:
        _drop_cut_line(self._file)
        self._file.seek(0)
        last = {}
        for number, line in enumerate(self._file, 1):
            try:
                decision = json.loads(line)
                last[str(decision["material_id"])] = int(decision["priority"])
            except (ValueError, TypeError, KeyError) as error:
                self._file.close()
                where = f"{self.path}, line {number}"
                raise UNREADABLE_DECISIONS.error(f"{type(error).__name__}: {error}", where=where) from error
        return last


def _drop_cut_line(file: IO[bytes]) -> None:
    """Remove what stands behind the last end of a line."""
    end = file.seek(0, 2)
    while end:
        begin = max(0, end - 65536)
        file.seek(begin)
        place = file.read(end - begin).rfind(b"\n")
        if place >= 0:
            file.truncate(begin + place + 1)
            return
        end = begin
    file.truncate(0)
