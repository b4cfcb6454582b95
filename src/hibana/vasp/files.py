"""Files of a run, plain or gzipped, read as bytes; a cut-off gzip file gives what is left of it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

GZIP_WINDOW = 31
"""zlib's code for a gzip header with the largest window."""


@dataclass(frozen=True)
class RunFile:
    """Content of one file; ``whole`` is False where its compressed form is cut off or damaged."""

    path: Path
    data: bytes
    whole: bool = True


def find(directory: Path, name: str) -> Path | None:
    """Path of a file in a run's folder: plain, else gzipped; None where there is neither."""
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)


def load(directory: Path, name: str) -> RunFile | None:
    """Content of a file in a run's folder, or None where there is no such file.

    Parameters
    ----------
    directory
        Folder of the run.
    name
        VASP's name of the file, without ``.gz``.
    """
    path = find(directory, name)
    if path is None:
        return None
    data = path.read_bytes()
    if path.suffix != ".gz":
        return RunFile(path, data)
    text, whole = _gunzip(data)
    return RunFile(path, text, whole)


def load_text(directory: Path, name: str) -> str | None:
    """As :func:`load`, decoded; VASP's files are Latin-1 at worst."""
    file = load(directory, name)
    return None if file is None else file.data.decode("latin-1")


def _gunzip(data: bytes) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    while data:
        member = zlib.decompressobj(GZIP_WINDOW)
        try:
            parts.append(member.decompress(data))
        except zlib.error:
            return b"".join(parts), False
        if not member.eof:
            return b"".join(parts), False
        data = member.unused_data.lstrip(b"\0")
    return b"".join(parts), bool(parts)
