"""Recorded answers: a folder with one folder for each question, named by the question's digest."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.replay.question import Question, read_question
from hibana.rehearsal.replay.synthesis import ENGINE, provenance
from hibana.rehearsal.writers.xml import escape

FILES = ("OUTCAR", "vasprun.xml", "CONTCAR", "OSZICAR", "EIGENVAL", "DOSCAR", "PROCAR", "IBZKPT", "XDATCAR")
"""Files of an answer; vasprun.xml and OUTCAR have to be there."""

SIDECAR = "HIBANA-VASP.json"
"""Name of the file that says what made the numbers, as :mod:`hibana.rehearsal.writers` has it."""

SHARED_BY_STAGES = ("CONTCAR", "IBZKPT")
"""Files that a stage which others followed shares with them."""

HEAD = 20_000
"""Characters of a file in which it says who wrote it."""

_SUBVERSION = re.compile(r'<i name="subversion" type="string">[^<]*</i>')
_PROGRAM = re.compile(r'<i name="program" type="string">[^<]*</i>')


def record(directory: Path, recordings: Path) -> list[Path]:
    """Keep the answers of a finished run, one for each of its stages.

    Parameters
    ----------
    directory
        Folder of the run, with its inputs.
    recordings
        Where the answers go.

    Returns
    -------
    list of Path
        Folders of the answers.

    Raises
    ------
    RehearsalError
        HIB-199 if there is no finished run, HIB-194 if the answers cannot be written.
    """
    suffixes = sorted(path.name.removeprefix("INCAR") for path in directory.glob("INCAR*"))
    made = []
    for suffix in suffixes:
        if not _is_finished(directory / f"vasprun.xml{suffix}") or not (directory / f"OUTCAR{suffix}").is_file():
            continue
        target = recordings / read_question(directory, suffix).digest
        try:
            target.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                source = directory / (name if name in SHARED_BY_STAGES else f"{name}{suffix}")
                if source.is_file():
                    shutil.copyfile(source, target / name)
        except OSError as error:
            raise RehearsalError(194, str(error), where=target) from error
        made.append(target)
    if not made:
        raise RehearsalError(199, "no complete vasprun.xml with its INCAR and OUTCAR", where=directory)
    return made


def find(question: Question, recordings: Path | None) -> Path | None:
    """The folder with the recorded answer to a question, if there is one."""
    if recordings is None:
        return None
    folder = recordings / question.digest
    return folder if (folder / "vasprun.xml").is_file() and (folder / "OUTCAR").is_file() else None


def replay(folder: Path, directory: Path) -> None:
    """Copy a recorded answer; sidecar, vasprun.xml and OUTCAR say that it is one.

    Raises
    ------
    RehearsalError
        HIB-199 if the recording does not say who made it, and so cannot be relabelled.
    """
    texts = {name: (folder / name).read_text() for name in FILES if (folder / name).is_file()}
    origin = f"recording {folder.name[:12]}"
    said = provenance(origin)
    texts["vasprun.xml"] = _relabelled(texts["vasprun.xml"], origin, folder)
    texts["OUTCAR"] = (
        f" hibana-vasp: NOT VASP. A {ENGINE} answer, {origin}, put here again; what follows is the recording.\n" + texts["OUTCAR"]
    )
    (directory / SIDECAR).write_text(json.dumps(said, indent=1) + "\n")
    for name, text in texts.items():
        (directory / name).write_text(text)


def _relabelled(text: str, origin: str, folder: Path) -> str:
    head, rest = text[:HEAD], text[HEAD:]
    made_by = re.search(r'<i name="subversion" type="string">([^<]*)</i>', head)
    if made_by is None or _PROGRAM.search(head) is None:
        raise RehearsalError(199, "its vasprun.xml does not say who wrote it", where=folder)
    label = escape(f"hibana-vasp (NOT VASP), numbers by {ENGINE}, {origin} of: {made_by[1].strip()}")
    head = _PROGRAM.sub('<i name="program" type="string">hibana-vasp </i>', head, count=1)
    return _SUBVERSION.sub(lambda _: f'<i name="subversion" type="string">{label} </i>', head, count=1) + rest


def _is_finished(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 200))
            return b"</modeling>" in file.read()
    except OSError:
        return False
