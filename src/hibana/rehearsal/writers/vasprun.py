"""vasprun.xml."""

from __future__ import annotations

import time

import numpy as np

from hibana.rehearsal.result import IonicStep, RunResult, ScfStep
from hibana.rehearsal.writers.kpoints import is_path, written_weights
from hibana.rehearsal.writers.response import response_elements
from hibana.rehearsal.writers.spectrum import spectrum_element
from hibana.rehearsal.writers.vasprun_electrons import dos_block, eigenvalue_block, projection_block
from hibana.rehearsal.writers.xml import VECTOR, escape, structure, tag_element, varray

FORMAT_VERSION = "6.4.2"
"""Release of VASP whose file format is followed. Readers want a number here; ``subversion`` says who wrote the file."""

ABSENT = {"LDAU": False, "LUSE_VDW": False, "LNONCOLLINEAR": False, "LSORBIT": False}
"""What a result cannot hold. pymatgen takes a missing LDAU for +U, so these are written always."""

_SAME_ENERGY = 5e-9


def vasprun_text(result: RunResult) -> str:
    """The whole vasprun.xml."""
    first, last = result.steps[0], result.steps[-1]
    fixed = result.selective_dynamics
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<modeling>\n',
        _generator(result),
        " <incar>\n" + "".join(f"  {tag_element(tag, value)}" for tag, value in result.incar.items()) + " </incar>\n",
        _kpoints(result),
        _parameters(result),
        _atominfo(result),
        structure(first.lattice, first.frac_coords, fixed, " ", "initialpos"),
        *(_calculation(result, step) for step in result.steps),
        structure(last.lattice, last.frac_coords, fixed, " ", "finalpos"),
        "</modeling>\n",
    ]
    return "".join(parts)


def engine_name(result: RunResult) -> str:
    """Name and version of what made the numbers, from the provenance."""
    engine = result.provenance.get("engine", "unnamed engine")
    version = result.provenance.get("engine_version", "")
    return f"{engine} {version}".strip()


def _generator(result: RunResult) -> str:
    started = time.localtime(result.started)
    fields = {
        "program": "hibana-vasp",
        "version": FORMAT_VERSION,
        "subversion": f"hibana-vasp (NOT VASP), numbers by {engine_name(result)}",
        "date": time.strftime("%Y %m %d", started),
        "time": time.strftime("%H:%M:%S", started),
    }
    lines = "".join(f'  <i name="{name}" type="string">{escape(value)} </i>\n' for name, value in fields.items())
    return f" <generator>\n{lines} </generator>\n"


def _kpoints(result: RunResult) -> str:
    mesh, text = result.kpoint_mesh, " <kpoints>\n"
    if mesh.divisions is not None:
        shift = mesh.shift or (0.0, 0.0, 0.0)
        text += f'  <generation param="{mesh.style}">\n'
        text += '   <v type="int" name="divisions">' + "".join(f" {n:8d}" for n in mesh.divisions) + " </v>\n"
        vectors = np.vstack([shift, np.diag(1.0 / np.array(mesh.divisions))])
        for name, vector in zip(("usershift", "genvec1", "genvec2", "genvec3"), vectors.tolist(), strict=True):
            text += f'   <v name="{name}">' + "".join(VECTOR % x for x in vector) + " </v>\n"
        text += "  </generation>\n"
    elif is_path(result):
        text += '  <generation param="listgenerated">\n  </generation>\n'
    text += varray("kpointlist", result.bands.kpoints, "  ")
    return text + varray("weights", written_weights(result)[:, None], "  ") + " </kpoints>\n"


def _parameters(result: RunResult) -> str:
    parameters = {**ABSENT, **result.parameters}
    lines = [f"  {tag_element(tag, value)}" for tag, value in parameters.items() if value is not None]
    return " <parameters>\n" + "".join(lines) + " </parameters>\n"


def _atominfo(result: RunResult) -> str:
    text = f" <atominfo>\n  <atoms> {len(result.symbols):8d} </atoms>\n  <types> {len(result.species):8d} </types>\n"
    text += '  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n'
    text += '   <field type="string">element</field>\n   <field type="int">atomtype</field>\n   <set>\n'
    for number, species in enumerate(result.species, start=1):
        text += f"    <rc><c>{species.symbol:2s}</c><c>{number:4d}</c></rc>\n" * species.count
    text += '   </set>\n  </array>\n  <array name="atomtypes" >\n   <dimension dim="1">type</dimension>\n'
    text += '   <field type="int">atomspertype</field>\n   <field type="string">element</field>\n   <field>mass</field>\n'
    text += '   <field>valence</field>\n   <field type="string">pseudopotential</field>\n   <set>\n'
    for s in result.species:
        text += f"    <rc><c>{s.count:4d}</c><c>{s.symbol:2s}</c><c>{s.mass:16.8f}</c><c>{s.zval:16.8f}</c>"
        text += f"<c>{escape(s.potcar_header)}</c></rc>\n"
    return text + "   </set>\n  </array>\n </atominfo>\n"


def _calculation(result: RunResult, step: IonicStep) -> str:
    entropy_free = abs(step.free_energy - step.energy_wo_entropy) < _SAME_ENERGY
    parts = [
        " <calculation>\n",
        *(_scstep(scf, entropy_free=entropy_free) for scf in step.scf[:-1]),
        _last_scstep(step),
        structure(step.lattice, step.frac_coords, result.selective_dynamics, "  "),
        *(varray(name, array, "  ") for name, array in (("forces", step.forces), ("stress", step.stress)) if array is not None),
        "  <energy>\n" + _energies(_step_energies(step), "   ") + "  </energy>\n",
    ]
    if step is result.steps[-1]:
        parts += [response_elements(result), eigenvalue_block(result, "  "), spectrum_element(result)]
        parts += [dos_block(result), projection_block(result)]
    return "".join(parts) + " </calculation>\n"


def _scstep(scf: ScfStep, *, entropy_free: bool) -> str:
    """An electronic step on the way: only its free energy is known, and it is all three where there is no entropy."""
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy") if entropy_free else ("e_fr_energy",)
    return _scstep_element(dict.fromkeys(names, scf.energy))


def _last_scstep(step: IonicStep) -> str:
    entropy = {"eentropy": step.free_energy - step.energy_wo_entropy}
    return _scstep_element({**entropy, **_step_energies(step)})


def _scstep_element(energies: dict[str, float]) -> str:
    return "  <scstep>\n   <energy>\n" + _energies(energies, "    ") + "   </energy>\n  </scstep>\n"


def _step_energies(step: IonicStep) -> dict[str, float]:
    return {"e_fr_energy": step.free_energy, "e_wo_entrp": step.energy_wo_entropy, "e_0_energy": step.energy_sigma0}


def _energies(energies: dict[str, float], indent: str) -> str:
    return "".join(f'{indent}<i name="{name}"> {value:16.8f} </i>\n' for name, value in energies.items())
