"""FireWorks' offline mode, in which no job of hibana can run: it ends with an error that says what to do instead.

FireWorks opens the file of an offline run by monty's ``zopen`` without a mode, which monty requires since 2025: every offline
run dies of that before its first Firetask, without a word of it in the file that ``lpad recover_offline`` reads. With
:func:`mend_reading` the Firetask is reached, and its error gets into the database.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks.core import rocket
from monty.io import zopen

OFFLINE_FILE = "FW_offline.json"
"""File of an offline run in the folder of its launch."""


def is_offline() -> bool:
    """Whether this process runs a Firework of a file, without a database."""
    return Path(OFFLINE_FILE).is_file()


def mend_reading() -> None:
    """Let FireWorks open the file of an offline run where monty wants to be told how."""
    if rocket.zopen is zopen:
        rocket.zopen = _open


def _open(filename: Any, mode: str = "rt", **options: Any) -> Any:
    return zopen(filename, mode, **({"encoding": "utf-8"} if "b" not in mode else {}), **options)
