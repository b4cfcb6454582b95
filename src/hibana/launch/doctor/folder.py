"""The folder of the launches: writable, with space, and not on a disk that forgets."""

from __future__ import annotations

import os
from pathlib import Path

from hibana.launch.doctor.check import Check, failed, ok, warning
from hibana.launch.errors import BAD_FOLDER

NAME = "launch folder"
GB = 1e9
SCARCE, TOO_LITTLE = 20 * GB, 1 * GB
"""Free bytes below which a warning is due, and below which runs will fail."""

FEW_FILES = 10_000


def check_folder(directory: Path) -> list[Check]:
    """Look at the folder where launches are made."""
    folder = next((path for path in (directory, *directory.absolute().parents) if path.exists()), directory)
    probe = folder / f".hibana-doctor-{os.getpid()}"
    try:
        probe.write_bytes(b"written")
        back = probe.read_bytes()
        probe.unlink()
    except OSError as error:
        return [failed(NAME, BAD_FOLDER.error(f"it cannot be written: {error.strerror}", where=folder))]
    if back != b"written":
        return [failed(NAME, BAD_FOLDER.error("what was written did not come back", where=folder))]
    return [_space(folder)]


def _space(folder: Path) -> Check:
    space = os.statvfs(folder)
    free, files = space.f_bavail * space.f_frsize, space.f_favail
    if free < TOO_LITTLE:
        return failed(NAME, BAD_FOLDER.error(f"{free / GB:.2f} GB are free", where=folder))
    if free < SCARCE:
        return warning(NAME, BAD_FOLDER.error(f"{free / GB:.0f} GB are free; one WAVECAR can have several", where=folder))
    if space.f_files and files < FEW_FILES:
        return warning(NAME, BAD_FOLDER.error(f"only {files} more files can be made (inodes)", where=folder))
    return ok(NAME, f"{folder.absolute()}, {free / GB:.0f} GB free")
