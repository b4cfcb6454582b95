"""Static response: dielectric tensors, Born charges and dynamical matrix in vasprun.xml and OUTCAR, as VASP 6 has them.

VASP's second derivatives are those of the negative energy, so that eigenvalues of stable modes are negative. VASP 5 wrote
them in eV/(Å^2 u); VASP 6, whose layout this is, writes THz^2 and says so.
"""

from __future__ import annotations

import math

import numpy as np

from hibana.rehearsal.result import Floats, Response, RunResult
from hibana.rehearsal.writers.files import rows
from hibana.rehearsal.writers.xml import VECTOR, varray

THZ = math.sqrt(1.602176634e-19 / 1.66053906892e-27) * 1e10 / (2 * math.pi) * 1e-12
"""Frequency (THz) of a mass of 1 u on a spring of 1 eV/Å^2 (CODATA 2022)."""

WAVENUMBER = 33.356409519815
"""cm^-1 in one THz."""

MILLIELECTRONVOLT = 4.135667696923859
"""meV in one THz."""

_RULE = "-" * 104


def atomic_masses(result: RunResult) -> Floats:
    """Mass of every atom (n_atoms,), u, as vasprun.xml lists them."""
    return np.array([species.mass for species in result.species for _ in range(species.count)])


def hessian(result: RunResult, force_constants: Floats) -> Floats:
    """VASP 6's mass-weighted second derivatives (3 n_atoms, 3 n_atoms), THz^2, negative on the diagonal.

    Parameters
    ----------
    result
        For the masses.
    force_constants
        Second derivatives of the energy (3 n_atoms, 3 n_atoms), eV/Å^2.
    """
    masses = np.repeat(atomic_masses(result), 3)
    return -force_constants / np.sqrt(np.outer(masses, masses)) * THZ**2


def response_elements(result: RunResult) -> str:
    """Elements of the last ``<calculation>``; empty without LEPSILON and displaced ions."""
    response = result.response
    if response is None:
        return ""
    text = "".join(
        varray(name, tensor, "  ")
        for name, tensor in (("epsilon_rpa", response.epsilon_rpa), ("epsilon", response.epsilon))
        if tensor is not None
    )
    if response.born_charges is not None:
        row = f"    <v>{VECTOR * 3} </v>\n"
        text += '  <array name="born_charges" >\n   <dimension dim="1">ion</dimension>\n'
        text += "".join(f"   <set>\n{rows(row, tensor)}   </set>\n" for tensor in response.born_charges) + "  </array>\n"
    text += _dynmat(result, response)
    if response.epsilon_ionic is not None:
        text += varray("epsilon_ion", response.epsilon_ionic, "  ")
    return text


def _dynmat(result: RunResult, response: Response) -> str:
    constants, frequencies, vectors = response.force_constants, response.frequencies, response.eigenvectors
    if constants is None or frequencies is None or vectors is None:
        return ""
    values = "".join(f" {-math.copysign(f * f, f):16.8E}" for f in frequencies.tolist())
    text = '  <dynmat>\n   <i name="unit" type="string">THz^2 </i>\n'
    text += varray("hessian", hessian(result, constants), "   ")
    text += f'   <v name="eigenvalues">{values}</v>\n'
    return text + varray("eigenvectors", vectors.reshape(len(vectors), -1), "   ", " %16.8E") + "  </dynmat>\n"


def response_blocks(result: RunResult) -> str:
    """Blocks of OUTCAR at the end of the last ionic step; empty without LEPSILON and displaced ions.

    The tensor with local fields of the density functional comes after the one of the Hartree potential alone, because
    pymatgen keeps the last of those whose title goes on in brackets.
    """
    response = result.response
    if response is None:
        return ""
    text, title = "", "MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects in {})"
    if response.epsilon_rpa is not None:
        text += _tensor(title.format("RPA (Hartree)"), response.epsilon_rpa)
    if response.epsilon is not None and not result.parameters.get("LRPA"):
        text += _tensor(title.format("DFT"), response.epsilon)
    if response.born_charges is not None:
        text += " BORN EFFECTIVE CHARGES (including local field effects) (in |e|, cummulative output)\n " + "-" * 81 + "\n"
        for ion, tensor in enumerate(response.born_charges, start=1):
            numbered = np.column_stack([np.arange(1, 4), tensor])
            text += f" ion {ion:4d}\n" + rows(" %4d %11.5f %11.5f %11.5f\n", numbered)
        text += f"\n\n{_RULE}\n\n\n"
    text += _modes(result, response)
    if response.epsilon_ionic is not None:
        text += _tensor("MACROSCOPIC STATIC DIELECTRIC TENSOR IONIC CONTRIBUTION", response.epsilon_ionic)
    return text


def _tensor(title: str, tensor: Floats) -> str:
    line = " " + "-" * 54 + "\n"
    return f" {title}\n{line}" + rows("       %12.6f  %12.6f  %12.6f\n", tensor) + f"{line}\n\n{_RULE}\n\n\n"


def _modes(result: RunResult, response: Response) -> str:
    constants, frequencies, vectors = response.force_constants, response.frequencies, response.eigenvectors
    if constants is None or frequencies is None or vectors is None:
        return ""
    labels = [f"{ion}{axis}" for ion in range(1, len(result.symbols) + 1) for axis in "XYZ"]
    text = " SECOND DERIVATIVES (NOT SYMMETRIZED)\n ------------------------------------\n"
    text += "    " + "".join(f"{label:>12s}" for label in labels) + "\n"
    for label, line in zip(labels, (-constants).tolist(), strict=True):
        text += f"{label:>4s}" + "".join(f" {x:11.6f}" for x in line) + "\n"
    text += "\n\n Eigenvectors and eigenvalues of the dynamical matrix\n"
    text += " ----------------------------------------------------\n\n\n"
    last = result.steps[-1]
    places = last.frac_coords @ last.lattice
    for number, (frequency, vector) in enumerate(zip(frequencies.tolist(), vectors, strict=True), start=1):
        size, sign = abs(frequency), "f/i=" if frequency < 0 else "f  ="
        text += f" {number:4d} {sign}{size:12.6f} THz {size * 2 * math.pi:12.6f} 2PiTHz"
        text += f"{size * WAVENUMBER:12.6f} cm-1 {size * MILLIELECTRONVOLT:12.6f} meV\n"
        text += "             X         Y         Z           dx          dy          dz\n"
        text += rows("    %10.6f%10.6f%10.6f  %11.6f %11.6f %11.6f\n", np.hstack([places, vector])) + "\n"
    return f"{text}\n{_RULE}\n\n\n"
