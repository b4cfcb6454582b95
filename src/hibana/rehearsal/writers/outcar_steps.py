"""The ionic steps of OUTCAR."""

from __future__ import annotations

import numpy as np

from hibana.rehearsal.result import Floats, IonicStep, RunResult
from hibana.rehearsal.writers.checks import was_stopped
from hibana.rehearsal.writers.files import fitted, rows
from hibana.rehearsal.writers.response import response_blocks
from hibana.rehearsal.writers.spectrum import spectrum_blocks

_RULE = "-" * 104
_UNSET = -1.0


def ionic_step_block(result: RunResult, number: int) -> str:
    """Everything that OUTCAR says of one ionic step.

    Parameters
    ----------
    result
        The run.
    number
        The step's number, from 1. Only the last one has the electronic structure.
    """
    step = result.steps[number - 1]
    last = number == len(result.steps)
    reached = result.electronic_converged if last else len(step.scf) < int(result.parameters["NELM"])
    ending = "aborting loop because EDIFF is reached" if reached else "aborting loop EDIFF was not reached (unconverged)"
    text = _electronic_loop(result, step, number)
    text += f"\n{'-' * 24} {ending} {'-' * 40}\n\n\n"
    if last:
        text += _potential_table(result) + _eigenvalue_table(result) + _site_tables(result)
    text += _stress_block(step) + _cell_block(step) + _force_block(step) + _energy_block(step)
    if last:
        text += spectrum_blocks(result) + response_blocks(result)
    if last and was_stopped(result):
        # the hard stop is the one within the electronic loop; pymatgen looks for the soft one only
        text += "" if result.electronic_converged else "\n hard stop encountered!  aborting job ...\n"
        text += "\n soft stop encountered!  aborting job ...\n"
    elif last and result.ionic_converged and int(result.parameters["NSW"]) > 1 and int(result.parameters["IBRION"]) > 0:
        text += "\n reached required accuracy - stopping structural energy minimisation\n"
    return text + f"     LOOP+:  real time {step.seconds:10.4f}\n"


def _electronic_loop(result: RunResult, step: IonicStep, number: int) -> str:
    """The electronic steps under one heading, because the entropy is known of the last one only.

    custodian pairs the headings with the lines of the entropy; one of each for every ionic step keeps them together.
    """
    text = f"{'-' * 39} Iteration {number:6d}({1:4d})  {'-' * 39}\n\n\n"
    text += "    step             energy (eV)       change (eV)  density error (e)\n"
    for n, scf in enumerate(step.scf, start=1):
        text += f"  {n:6d}  {scf.energy:22.10f}  {scf.change:16.8E}  {scf.density_error:16.8E}\n"
    moment = "" if step.magnetization is None else f"{step.magnetization:15.7f}"
    text += f"\n number of electron {result.nelect:15.7f} magnetization {moment}\n\n"
    return text + f"  entropy T*S    EENTRO = {step.free_energy - step.energy_wo_entropy:18.8f}\n"


def _potential_table(result: RunResult) -> str:
    """Potentials at the cores, in columns of fixed width, and the Fermi level, which ends them for pymatgen.

    They are averages over GPAW's compensation charges, which are normalised but have no radius: VASP's -1 for "unset".
    """
    text = " average (electrostatic) potential at core\n  the test charge radii are   "
    text += "".join(f" {_UNSET:7.4f}" for _ in result.species) + f"\n  (the norm of the test charge is {1.0:19.4f})\n"
    entries = [f"{n:8d}{fitted(v, 9, 4)}" for n, v in enumerate(result.core_potentials.tolist(), start=1)]
    text += "".join("".join(entries[i : i + 5]) + "\n" for i in range(0, len(entries), 5))
    return f"{text}\n\n\n E-fermi : {result.efermi:8.4f}\n\n"


def _eigenvalue_table(result: RunResult) -> str:
    bands, nspin = result.bands, result.nspin
    text = []
    numbers = np.arange(1, bands.eigenvalues.shape[2] + 1)
    for spin in range(nspin):
        if nspin == 2:
            text.append(f"\n spin component {spin + 1}\n")
        for k, (x, y, z) in enumerate(bands.kpoints.tolist()):
            text.append(f"\n k-point {k + 1:5d} : {x:13.4f} {y:9.4f} {z:9.4f}\n  band No.  band energies     occupation\n")
            occupations = bands.occupations[spin, k] * (3 - nspin)
            text.append(rows("%7d %13.4f %12.5f\n", np.column_stack([numbers, bands.eigenvalues[spin, k], occupations])))
    return "".join(text) + f"\n\n{_RULE}\n\n\n"


def _site_tables(result: RunResult) -> str:
    text = ""
    for title, values in (("total charge", result.site_charges), ("magnetization (x)", result.site_moments)):
        if values is not None:
            text += f" {title}\n\n# of ion       s       p       d       tot\n{'-' * 42}\n{_site_rows(values)}\n\n"
    return text


def _site_rows(values: Floats) -> str:
    table = np.hstack([values, values.sum(axis=1, keepdims=True)])
    numbered = np.column_stack([np.arange(1, len(table) + 1), table])
    text = rows("%5d     " + " %7.3f" * 4 + "\n", numbered) + "-" * 50 + "\n"
    return text + rows("tot       " + " %7.3f" * 4 + "\n", table.sum(axis=0, keepdims=True))


def _stress_block(step: IonicStep) -> str:
    if step.stress is None:
        return ""
    s = step.stress
    components = [s[0, 0], s[1, 1], s[2, 2], s[0, 1], s[1, 2], s[2, 0]]
    text = "  FORCE on cell =-STRESS in cart. coord.  units (eV):\n"
    text += "  Direction    XX          YY          ZZ          XY          YZ          ZX\n  " + "-" * 86 + "\n"
    text += "  in kB   " + "".join(f"{c:12.5f}" for c in components) + "\n"
    return f"{text}  external pressure = {np.trace(s) / 3:11.2f} kB  Pullay stress = {0.0:11.2f} kB\n\n\n"


def _cell_block(step: IonicStep) -> str:
    text = f" VOLUME and BASIS-vectors are now :\n {'-' * 77}\n"
    text += f"  volume of cell : {abs(np.linalg.det(step.lattice)):12.2f}\n"
    text += "      direct lattice vectors                 reciprocal lattice vectors\n"
    vectors = np.hstack([step.lattice, np.linalg.inv(step.lattice).T])
    return text + rows("   " + " %12.9f" * 3 + "   " + " %12.9f" * 3 + "\n", vectors) + "\n\n"


def _force_block(step: IonicStep) -> str:
    """Positions, forces and their sum over the cell, which VASP calls drift."""
    if step.forces is None:
        return ""
    table = np.hstack([step.frac_coords @ step.lattice, step.forces])
    text = f" POSITION                                       TOTAL-FORCE (eV/Angst)\n {'-' * 83}\n"
    text += rows(" %12.5f %12.5f %12.5f    %13.6f %13.6f %13.6f\n", table) + f" {'-' * 83}\n"
    drift = "".join(f" {x:13.6f}" for x in step.forces.sum(axis=0).tolist())
    return f"{text}    total drift:                           {drift}\n\n\n{_RULE}\n\n\n"


def _energy_block(step: IonicStep) -> str:
    text = f"  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  {'-' * 51}\n"
    text += f"  free  energy   TOTEN  = {step.free_energy:18.8f} eV\n\n"
    text += f"  energy  without entropy= {step.energy_wo_entropy:17.8f}  energy(sigma->0) = {step.energy_sigma0:17.8f}\n"
    return f"{text}\n\n{_RULE}\n\n\n"
