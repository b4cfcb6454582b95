"""Formation energies of vacancies, term by term.

E_f(q) = E[vacancy] - E[perfect] + Σ n_i μ_i + q (ε_VBM + E_F) + E_corr, with n_i atoms of element i removed. Stored with
E_F = 0 and all elements in their standard states; the Fermi level and Δμ_i are added on evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hibana.defects.correction import Correction, NoCorrection
from hibana.defects.run import DefectRun
from hibana.documents.crystal import Crystal
from hibana.documents.vacancy import EdgeSource, LeftOutKind

if TYPE_CHECKING:
    from hibana.documents.properties import ElectronicDoc
    from hibana.protocol.protocol import DefectRule

CHARGE_TOLERANCE = 1e-3
"""Charges of cells nearer than this, e, are one."""

STRANGE_ENERGY = 100.0
"""A formation energy beyond it, eV, is of cells that do not belong together; pydefect's limit."""

UNLIKE_CELLS: frozenset[str] = frozenset({"different_lattices", "not_mapped", "no_defect"})
"""Why there is no correction where the cells cannot be compared at all, so that a neutral vacancy has no energy either."""


@dataclass(frozen=True)
class GapEdges:
    """Band edges of the host, eV on the scale of its cell, by the functional that gave them."""

    source: EdgeSource
    vbm: float
    cbm: float

    @property
    def gap(self) -> float:
        """Their difference, eV."""
        return self.cbm - self.vbm


@dataclass(frozen=True)
class FormationEnergy:
    """The formation energy of a vacancy, term by term.

    Parameters
    ----------
    charge
        Charge of the cell, e.
    defect, perfect
        Energies of the cells, eV.
    removed
        Atoms of each element that are missing; those that were added count negative.
    standard
        Energies of these elements in their standard states, eV/atom.
    vbm
        Valence-band maximum, eV.
    point_charge, alignment
        The corrections, eV.
    """

    charge: int
    defect: float
    perfect: float
    removed: Mapping[str, int]
    standard: Mapping[str, float]
    vbm: float
    point_charge: float
    alignment: float

    @property
    def reservoir(self) -> float:
        """Energy of the removed atoms in their standard states, eV."""
        return sum(number * self.standard[element] for element, number in self.removed.items())

    @property
    def band_edge(self) -> float:
        """Charge times the valence-band maximum, eV."""
        return self.charge * self.vbm

    @property
    def correction(self) -> float:
        """Both corrections, eV."""
        return self.point_charge + self.alignment

    def at(self, fermi: float = 0.0, chemical_potentials: Mapping[str, float] | None = None) -> float:
        """Formation energy, eV.

        Parameters
        ----------
        fermi
            Fermi level above the valence-band maximum, eV.
        chemical_potentials
            Δμ of elements from their standard states, eV; of those not given it is 0.
        """
        potentials = chemical_potentials or {}
        exchanged = sum(number * potentials.get(element, 0.0) for element, number in self.removed.items())
        uncorrected = self.defect - self.perfect + self.reservoir + self.band_edge
        return uncorrected + self.correction + exchanged + self.charge * fermi

    @property
    def terms(self) -> dict[str, float]:
        """The terms, eV, in the order of the formula; their sum is the formation energy at E_F = 0 and Δμ = 0."""
        return {
            "E[vacancy]": self.defect,
            "-E[perfect]": -self.perfect,
            "Σ n μ": self.reservoir,
            "q VBM": self.band_edge,
            "point charge": self.point_charge,
            "alignment": self.alignment,
        }


@dataclass(frozen=True)
class NoEnergy:
    """Why there is no formation energy."""

    kind: LeftOutKind
    reason: str


def gap_edges(electronic: ElectronicDoc, rule: DefectRule) -> GapEdges | None:
    """The band edges that the protocol prefers among those there are; None for a metal or where there are none."""
    known: dict[EdgeSource, tuple[float | None, float | None]] = {
        "ddh_nsc": (electronic.vbm_ddh_nsc, electronic.cbm_ddh_nsc),
        "hse06_nsc": (electronic.vbm_hse06_nsc, electronic.cbm_hse06_nsc),
        "pbesol": (electronic.vbm, electronic.cbm),
    }
    for source in rule.edges:
        vbm, cbm = known[source]
        if vbm is not None and cbm is not None and cbm > vbm:
            return GapEdges(source, vbm, cbm)
    return None


def atoms_removed(perfect: Crystal, defect: Crystal) -> dict[str, int]:
    """Atoms of each element that a cell has less than the perfect one, negative for more; elements alphabetically."""
    before, after = Counter(perfect.species), Counter(defect.species)
    return {element: before[element] - after[element] for element in sorted(before | after) if before[element] != after[element]}


def formation_energy(
    charge: int,
    perfect: DefectRun,
    defect: DefectRun,
    edges: GapEdges | None,
    standard: Mapping[str, float],
    correction: Correction | NoCorrection,
    *,
    removed: Mapping[str, int] | None = None,
) -> FormationEnergy | NoEnergy:
    """Formation energy of a vacancy from its runs.

    Parameters
    ----------
    charge
        Charge that its name says, e.
    perfect, defect
        Runs of the perfect supercell and of the one with the vacancy.
    edges
        Band edges of the host, which a charged state needs.
    standard
        Energies of the removed elements in their standard states, eV/atom.
    correction
        Correction of the cell, or why there is none; a neutral one needs none if it can be compared with the perfect one.
    removed
        Atoms that its name says are missing; by default one of oxygen.

    Returns
    -------
    FormationEnergy or NoEnergy
        The latter where a run failed, is of another charge or composition, or a term is not known.
    """
    expected = {"O": 1} if removed is None else dict(removed)
    if problem := _problem(charge, perfect, defect, expected):
        return problem
    if missing := sorted(element for element in expected if element not in standard):
        return NoEnergy("no_reference", f"no energy of {' and '.join(missing)} in the standard state is known")
    if edges is None and charge:
        return NoEnergy("no_band_edges", "no band edges of the host are known")
    if isinstance(correction, NoCorrection):
        if charge or correction.kind in UNLIKE_CELLS:
            return NoEnergy("no_correction", correction.reason)
        point_charge = alignment = 0.0
    else:
        point_charge, alignment = correction.point_charge, correction.alignment
    found = FormationEnergy(
        charge=charge,
        defect=float(defect.energy),  # type: ignore[arg-type]
        perfect=float(perfect.energy),  # type: ignore[arg-type]
        removed=expected,
        standard={element: standard[element] for element in expected},
        vbm=0.0 if edges is None else edges.vbm,
        point_charge=point_charge,
        alignment=alignment,
    )
    if abs(found.at()) > STRANGE_ENERGY:
        return NoEnergy("strange_energy", f"a formation energy of {found.at():.1f} eV at the VBM and standard states")
    return found


def _problem(charge: int, perfect: DefectRun, defect: DefectRun, expected: Mapping[str, int]) -> NoEnergy | None:
    """What is wrong with the runs."""
    for run, name in ((perfect, "perfect supercell"), (defect, "vacancy")):
        if run.status != "converged":
            return NoEnergy("failed", f"{name}: the run ended as {run.status}")
        if run.energy is None:
            return NoEnergy("failed", f"{name}: {run.why_not('energy')}")
    for run, wanted, name in ((perfect, 0, "perfect supercell"), (defect, charge, "vacancy")):
        if run.charge is not None and abs(run.charge - wanted) > CHARGE_TOLERANCE:
            return NoEnergy("charge", f"{name}: its cell has the charge {run.charge:+g}, not {wanted:+d}")
    found = atoms_removed(perfect.crystal, defect.crystal)
    if found != dict(expected):
        return NoEnergy("atoms", f"{_atoms(found)} missing from the cell, expected {_atoms(expected)}")
    return None


def _atoms(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {element}" for element, number in numbers.items()) or "nothing"


def vbm_from_core(vbm: float, site_potential: float, zero: float = 0.0) -> float:
    """Valence-band maximum of a host counted from the electrostatic potential at the core of a site, eV.

    Parameters
    ----------
    vbm
        On the scale of the cell, eV.
    site_potential
        Potential a positive charge feels at the core, V, the negative of what VASP prints.
    zero
        The same quantity of the host whose valence-band maximum is the origin, ZnO's in published tables, eV.
    """
    return vbm + site_potential - zero


def at_core_reference(energy: float, charge: int, vbm: float) -> float:
    """Formation energy with the Fermi level at the common reference of all hosts, eV.

    The Fermi level is not at the host's valence-band maximum but where the origin of :func:`vbm_from_core` lies:
    E(core) = E(VBM) - q VBM, as in the published tables of charged oxygen vacancies.

    Parameters
    ----------
    energy
        Formation energy with the Fermi level at the valence-band maximum, eV.
    charge
        Charge, e.
    vbm
        Valence-band maximum from the common reference, eV.
    """
    return energy - charge * vbm
