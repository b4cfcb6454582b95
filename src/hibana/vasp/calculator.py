"""Which code made a run: VASP, or the rehearsal engine, which says so in three places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hibana.documents.task import Calculator
from hibana.vasp.errors import BAD_SIDECAR, MIXED_CALCULATORS
from hibana.vasp.files import load_text

SIDECAR = "HIBANA-VASP.json"
"""File that the rehearsal engine leaves beside its outputs."""

REHEARSAL = "gpaw-rehearsal"
PROGRAM = "hibana-vasp"
"""Its executable, as vasprun.xml names it."""

REHEARSAL_TITEL = "PAW_GPAW"
"""First word of the TITEL of a potential generated from a GPAW data set."""


def identify(directory: Path, titles: tuple[str, ...], generator: dict[str, str]) -> Calculator:
    """The code that made the files of a run.

    Parameters
    ----------
    directory
        Folder of the run; its sidecar file is read where there is one.
    titles
        TITEL of each potential.
    generator
        The ``<generator>`` of vasprun.xml; empty where there is none.

    Raises
    ------
    HibanaError
        HIB-052 where sidecar, potentials and vasprun.xml do not agree, HIB-053 for an unreadable sidecar.
    """
    sidecar = _sidecar(directory)
    says = {f"{title!r} in POTCAR": title.split()[:1] == [REHEARSAL_TITEL] for title in titles}
    if generator:
        words = f"{generator.get('program', '')} {generator.get('subversion', '')}".strip()
        says[f"generator {words!r} in vasprun.xml"] = REHEARSAL in words or PROGRAM in words
    if sidecar is not None:
        says[SIDECAR] = True
    if not any(says.values()):
        return Calculator(name="vasp", version=generator.get("version", "") or "unknown")
    if not all(says.values()):
        told = "; ".join(f"{what}: {REHEARSAL if yes else 'vasp'}" for what, yes in says.items())
        raise MIXED_CALCULATORS.error(told, where=directory)
    provenance = sidecar or {}
    version = str(provenance.get("engine_version") or generator.get("version") or "unknown")
    return Calculator(name=REHEARSAL, version=version, provenance=provenance)


def _sidecar(directory: Path) -> dict[str, Any] | None:
    text = load_text(directory, SIDECAR)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise BAD_SIDECAR.error(str(error), where=directory / SIDECAR) from error
    if not isinstance(content, dict):
        raise BAD_SIDECAR.error("it holds no JSON object", where=directory / SIDECAR)
    return content
