"""Which code made a run: VASP, the rehearsal engine, or a toy model; what is not VASP says so in three places."""

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

SYNTHETIC = "synthetic"
"""Engine of the answers that no calculation was made for, in the sidecar file and in vasprun.xml."""

TITEL_PREFIXES = {"PAW_GPAW": REHEARSAL, "PAW_SYNTHETIC": SYNTHETIC}
"""First words of the TITEL of the potentials that are not VASP's."""


def identify(directory: Path, titles: tuple[str, ...], generator: dict[str, str]) -> Calculator:
    """The code that made the files of a run.

    Synthetic answers can be given to any inputs, so where vasprun.xml and sidecar say so, the potentials need not.

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
    outputs = {}
    if generator:
        words = f"{generator.get('program', '')} {generator.get('subversion', '')}".strip()
        outputs[f"generator {words!r} in vasprun.xml"] = _named(words)
    if sidecar is not None:
        outputs[SIDECAR] = SYNTHETIC if sidecar.get("engine") == SYNTHETIC else REHEARSAL
    inputs = {f"{title!r} in POTCAR": TITEL_PREFIXES.get(title.partition(" ")[0], "vasp") for title in titles}
    says = outputs if set(outputs.values()) == {SYNTHETIC} else {**inputs, **outputs}
    names = set(says.values()) or {"vasp"}
    if len(names) > 1:
        raise MIXED_CALCULATORS.error("; ".join(f"{what}: {name}" for what, name in says.items()), where=directory)
    (name,) = names
    if name == "vasp":
        return Calculator(name=name, version=generator.get("version", "") or "unknown")
    provenance = sidecar or {}
    version = str(provenance.get("engine_version") or generator.get("version") or "unknown")
    return Calculator(name=name, version=version, provenance=provenance)


def _named(generator: str) -> str:
    """The calculator that vasprun.xml names as its maker."""
    if f"numbers by {SYNTHETIC}" in generator:
        return SYNTHETIC
    return REHEARSAL if REHEARSAL in generator or PROGRAM in generator else "vasp"


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
