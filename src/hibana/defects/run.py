"""What the physics of defects needs of a run, perfect cell or defect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hibana.documents.arrays import ArrayRef
from hibana.documents.crystal import Crystal
from hibana.documents.task import RunDoc, RunStatus

Array = NDArray[np.float64]

PRINTED = 4
"""Decimals VASP prints of potentials, eigenvalues, occupations and projections; packing into single precision loses none."""


@dataclass(frozen=True)
class SiteWeights:
    """Projections of some bands onto single sites.

    Parameters
    ----------
    bands
        (m,) bands as numbered in the tables of the run, from 0.
    weights
        (nspin, nk, m, n_sites) projections, all orbitals summed.
    """

    bands: NDArray[np.intp]
    weights: Array


@dataclass(frozen=True)
class DefectRun:
    """A run of a supercell.

    Parameters
    ----------
    crystal, initial
        Cell after the last ionic step and before the first.
    status
        How the run ended.
    energy
        energy(sigma->0) of the cell, eV.
    magnetization
        Total moment, μB; 0 for a run that is not spin-polarised.
    charge
        Charge of the cell in e: electrons of the neutral cell less NELECT.
    efermi
        Fermi level as printed, eV.
    electronic_converged, ionic_converged
        Whether the last ionic step and the relaxation met their criteria.
    site_potentials
        (n_sites,) V. Potential a positive charge feels, pydefect's sign: the negative of the one VASP prints.
    kpoints, kpoint_weights
        (nk, 3) and (nk,).
    eigenvalues, occupations
        (nspin, nk, nbands); eV, and 0 to 1.
    projections
        (nspin, nk, nbands, n_elements, 4) by element, in the order of their first appearance, and s p d f.
    site_weights
        The same of single sites, of the bands around the gap.
    missing
        Why something above is None, by its name.
    """

    crystal: Crystal
    initial: Crystal
    status: RunStatus = "converged"
    energy: float | None = None
    magnetization: float | None = None
    charge: float | None = None
    efermi: float | None = None
    electronic_converged: bool = False
    ionic_converged: bool = False
    site_potentials: Array | None = None
    kpoints: Array | None = None
    kpoint_weights: Array | None = None
    eigenvalues: Array | None = None
    occupations: Array | None = None
    projections: Array | None = None
    site_weights: SiteWeights | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements in the order of their first appearance, that of ``projections``."""
        return tuple(dict.fromkeys(self.crystal.species))

    def why_not(self, name: str) -> str:
        """Why a field is None."""
        return self.missing.get(name, "not known")


def defect_run(run: RunDoc, array: Callable[[ArrayRef], NDArray[np.generic]]) -> DefectRun:
    """Take what the physics of defects needs out of a run document.

    Parameters
    ----------
    run
        The document.
    array
        Gives the array that a reference names.
    """
    missing: dict[str, str] = {}
    potentials = _array(run, "site_potentials", array, missing, PRINTED)
    if potentials is not None and len(potentials) != len(run.final.species):
        missing["site_potentials"] = f"the run has {len(potentials)} site potentials and {len(run.final.species)} sites"
        potentials = None
    found = DefectRun(
        crystal=run.final,
        initial=run.initial,
        status=run.status,
        energy=run.energy,
        magnetization=_magnetization(run),
        charge=_charge(run),
        efermi=run.edges.efermi,
        electronic_converged=run.electronic_converged,
        ionic_converged=run.ionic_converged,
        site_potentials=None if potentials is None else -potentials,
        kpoints=_array(run, "kpoints", array, missing),
        kpoint_weights=_array(run, "kpoint_weights", array, missing),
        eigenvalues=_array(run, "eigenvalues", array, missing, PRINTED),
        occupations=_array(run, "occupations", array, missing, PRINTED),
        projections=_array(run, "projections", array, missing, PRINTED),
        site_weights=_site_weights(run, array, missing),
        missing=missing,
    )
    numbers = {
        "energy": "the run gives no energy",
        "magnetization": "the run gives no total moment",
        "charge": "the run does not say how many electrons it has and the neutral cell would have",
        "efermi": "the run gives no Fermi level",
    }
    missing |= {name: why for name, why in numbers.items() if getattr(found, name) is None}
    return found


def _site_weights(run: RunDoc, array: Callable[[ArrayRef], NDArray[np.generic]], missing: dict[str, str]) -> SiteWeights | None:
    """Site weights; they are sums of printed numbers and have their decimals."""
    weights = _array(run, "site_weights", array, missing, PRINTED)
    bands = None if weights is None else _array(run, "site_weight_bands", array, missing)
    if weights is None or bands is None:
        return None
    if weights.ndim != 4 or bands.ndim != 1 or weights.shape[2:] != (len(bands), len(run.final.species)):
        missing["site_weights"] = "the site weights are not of the sites of the run"
        return None
    return SiteWeights(bands.astype(np.intp), weights)


def _array(
    run: RunDoc,
    name: str,
    array: Callable[[ArrayRef], NDArray[np.generic]],
    missing: dict[str, str],
    decimals: int | None = None,
) -> Array | None:
    """An array of the run, rounded to the decimals that were printed; where there is none, the reason goes into `missing`."""
    ref = run.arrays.get(name)
    if ref is None:
        missing[name] = f"the run has no {name.replace('_', ' ')}"
        return None
    try:
        values = np.asarray(array(ref), dtype=np.float64)
    except (LookupError, ValueError) as error:
        missing[name] = str(error)
        return None
    return values if decimals is None else np.asarray(np.round(values, decimals))


def _magnetization(run: RunDoc) -> float | None:
    unpolarised = bool(run.inputs.incar) and run.inputs.incar.get("ISPIN", 1) == 1 and not run.inputs.incar.get("LNONCOLLINEAR")
    return 0.0 if run.magnetization is None and unpolarised else run.magnetization


def _charge(run: RunDoc) -> float | None:
    valence, nelect = run.inputs.valence, run.inputs.nelect
    return None if valence is None or nelect is None else valence - nelect
