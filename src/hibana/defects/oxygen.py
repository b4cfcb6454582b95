"""The energy of oxygen in its standard state, by the two conventions in use.

Semilocal functionals bind the O2 molecule too strongly, PBEsol by 0.7 eV an atom. Half of the calculated molecule is therefore a
low reference; the other convention takes the calculated, spin-polarised atom and the measured binding energy. Both are given,
and which of them is used is the protocol's choice: formation energies of vacancies differ by their difference.
"""

from __future__ import annotations

from hibana.defects.phases import Conditions, conditions_of
from hibana.documents.chemical_potentials import OxygenConvention, OxygenReferences
from hibana.documents.task import TaskDoc, why_no_answer

KJ_PER_MOL = 96.48533212
"""kJ/mol in 1 eV (CODATA 2018)."""

CM = 8065.543937
"""cm^-1 in 1 eV (CODATA 2018)."""

ATOM_ENTHALPY = 249.18
"""Enthalpy of formation of the O atom at 298.15 K, kJ/mol. J. D. Cox, D. D. Wagman, V. A. Medvedev, CODATA Key Values for
Thermodynamics, Hemisphere, New York (1989)."""

ATOM_THERMAL, MOLECULE_THERMAL = 6.725, 8.683
"""H(298.15 K) - H(0) of the O atom and the O2 molecule, kJ/mol. The same."""

FREQUENCY, ANHARMONICITY = 1580.193, 11.981
"""ω_e and ω_e x_e of O2, cm^-1. K. P. Huber, G. Herzberg, Constants of Diatomic Molecules, Van Nostrand Reinhold (1979)."""

DISSOCIATION_ENERGY = (2 * (ATOM_ENTHALPY - ATOM_THERMAL) + MOLECULE_THERMAL) / KJ_PER_MOL
"""Measured dissociation energy D0 of O2 at 0 K, 5.116 eV."""

ZERO_POINT_ENERGY = (FREQUENCY / 2 - ANHARMONICITY / 4) / CM
"""Zero-point energy of O2, 0.098 eV."""

MEASURED_BINDING = (DISSOCIATION_ENERGY + ZERO_POINT_ENERGY) / 2
"""Half of the measured binding energy D_e of O2, 2.607 eV. Zero-point motion is taken out, since total energies are without it;
with it half of D0 would be 2.558 eV."""

SOURCE = "D_e(O2)/2: D0 at 0 K from CODATA Key Values for Thermodynamics (1989), zero-point energy from Huber and Herzberg (1979)"

TRIPLET = 2.0
"""Moment of the O2 molecule and of the O atom in their ground states, μB."""

TRIPLET_TOLERANCE = 0.1

ATOMS: dict[OxygenConvention, int] = {"molecule": 2, "atom": 1}


def oxygen_references(
    molecule: TaskDoc | None,
    atom: TaskDoc | None,
    used: OxygenConvention,
    *,
    host: Conditions = Conditions(),  # noqa: B008 - frozen
    reasons: dict[OxygenConvention, str] | None = None,
) -> OxygenReferences:
    """Energies of oxygen by both conventions.

    Parameters
    ----------
    molecule, atom
        Runs of the O2 molecule and of the O atom in a box; None where there is none.
    used
        The convention of the protocol.
    host
        How the host was calculated: a run by another code, protocol or cutoff is of no use.
    reasons
        Why there is no run.

    Returns
    -------
    OxygenReferences
        A run that failed, is no triplet or was done otherwise leaves its convention without a value and with a reason.
    """
    why: dict[str, str] = {}
    energies: dict[OxygenConvention, float | None] = {}
    runs: dict[OxygenConvention, TaskDoc | None] = {"molecule": molecule, "atom": atom}
    for convention, run in runs.items():
        problem = (reasons or {}).get(convention, "not calculated") if run is None else _problem(run, convention, host)
        energies[convention] = None if run is None or problem else run.energy_per_atom
        if problem:
            why[convention] = problem
    return references_of(energies["molecule"], energies["atom"], used, reasons=why)


def references_of(
    molecule: float | None, atom: float | None, used: OxygenConvention, *, reasons: dict[str, str] | None = None
) -> OxygenReferences:
    """Energies of oxygen by both conventions from energies already at hand.

    Parameters
    ----------
    molecule, atom
        Calculated energy of O2 per atom and of the spin-polarised O atom, eV.
    used
        The convention of the protocol.
    reasons
        Convention to why its energy is None.
    """
    return OxygenReferences(
        used=used,
        molecule=molecule,
        atom=None if atom is None else atom - MEASURED_BINDING,
        atom_energy=atom,
        measured_binding=MEASURED_BINDING,
        measured_binding_source=SOURCE,
        calculated_binding=None if atom is None or molecule is None else atom - molecule,
        reasons=reasons or {},
    )


def _problem(run: TaskDoc, convention: OxygenConvention, host: Conditions) -> str | None:
    """Why a run gives no reference of oxygen."""
    atoms = ATOMS[convention]
    if run.status != "converged":
        return why_no_answer(run)
    if run.energy_per_atom is None:
        return "the run gives no energy"
    if run.final.species != ("O",) * atoms:
        return f"the run is of {run.formula} with {run.n_sites} atoms, not of O{atoms if atoms > 1 else ''}"
    if run.magnetization is None or abs(abs(run.magnetization) - TRIPLET) > TRIPLET_TOLERANCE:
        moment = "none" if run.magnetization is None else f"{run.magnetization:.2f} μB"
        return f"the moment is {moment}, {TRIPLET:g} μB in the ground state"
    if found := conditions_of(run).differences(host):
        return f"calculated otherwise than the host: {', '.join(found)}"
    return None
