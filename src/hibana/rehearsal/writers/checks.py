"""Whether a result is whole and consistent, before any file is written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hibana.rehearsal.result import ORBITALS, Floats, RunResult

REQUIRED = (
    *("ENCUT", "NELM", "NELECT", "ISPIN", "NBANDS", "LORBIT", "NSW", "IBRION", "ISMEAR", "SIGMA"),
    *("GGA", "LHFCALC", "AEXX", "HFSCREEN"),
)
"""Parameters without which pymatgen fails or, worse, takes another functional or another state of convergence."""


def check(result: RunResult) -> None:
    """Check what the files cannot express or would express wrongly.

    Raises
    ------
    ValueError
        With every fault found: a missing parameter, an array of the wrong shape or with a number that is not finite,
        parameters that contradict the arrays or the number of electronic steps.
    """
    faults = [*_parameters(result), *_shapes(result), *_convergence(result), *_response(result), *_volumes(result)]
    if faults:
        raise ValueError("the result cannot be written: " + "; ".join(faults))


def _parameters(result: RunResult) -> Iterator[str]:
    missing = [tag for tag in REQUIRED if result.parameters.get(tag) is None]
    if missing:
        yield f"parameters lack {', '.join(missing)}"
        return
    nspin, _, nbands = result.bands.eigenvalues.shape
    for tag, value in (("ISPIN", nspin), ("NBANDS", nbands), ("NELECT", result.nelect)):
        if abs(float(result.parameters[tag]) - value) > 1e-6:
            yield f"{tag} = {result.parameters[tag]} but the result has {value}"


def _shapes(result: RunResult) -> Iterator[str]:
    atoms = len(result.symbols)
    if not result.steps:
        yield "there is no ionic step"
    for number, step in enumerate(result.steps, start=1):
        if not step.scf:
            yield f"ionic step {number} has no electronic step"
        geometry: list[tuple[str, Floats | None, tuple[int, ...]]] = [
            ("lattice", step.lattice, (3, 3)),
            ("frac_coords", step.frac_coords, (atoms, 3)),
            ("forces", step.forces, (atoms, 3)),
            ("stress", step.stress, (3, 3)),
        ]
        energies = np.array([step.free_energy, step.energy_wo_entropy, step.energy_sigma0, *(s.energy for s in step.scf)])
        geometry.append(("energies", energies, energies.shape))
        for name, array, shape in geometry:
            if array is not None:
                yield from _array(f"{name} of ionic step {number}", array, shape)
    bands, dos = result.bands, result.dos
    nspin, nk, nbands = bands.eigenvalues.shape
    points = len(dos.energies)
    if not points:
        yield "the density of states is empty"
    orbitals = len(ORBITALS)
    expected: list[tuple[str, Floats | None, tuple[int, ...]]] = [
        ("kpoints", bands.kpoints, (nk, 3)),
        ("weights", bands.weights, (nk,)),
        ("eigenvalues", bands.eigenvalues, (nspin, nk, nbands)),
        ("occupations", bands.occupations, (nspin, nk, nbands)),
        ("projections", bands.projections, (nspin, nk, nbands, atoms, orbitals)),
        ("energies of the density of states", dos.energies, (points,)),
        ("total density of states", dos.total, (nspin, points)),
        ("integrated density of states", dos.integrated, (nspin, points)),
        ("partial density of states", dos.partial, (atoms, nspin, orbitals, points)),
        ("core_potentials", result.core_potentials, (atoms,)),
        ("site_charges", result.site_charges, (atoms, 3)),
        ("site_moments", result.site_moments, (atoms, 3)),
        ("efermi", np.array(result.efermi), ()),
    ]
    for name, array, shape in expected:
        if array is not None:
            yield from _array(name, array, shape)


def _response(result: RunResult) -> Iterator[str]:
    n = 3 * len(result.symbols)
    expected: list[tuple[str, Floats | None, tuple[int, ...]]] = []
    if (response := result.response) is not None:
        asked = bool(result.parameters.get("LEPSILON") or result.parameters.get("LCALCEPS"))
        if asked is not (response.epsilon is not None):
            yield f"the dielectric tensor is {'missing with' if asked else 'there without'} LEPSILON and LCALCEPS"
        if response.epsilon is not None and response.epsilon_rpa is None:
            yield "the dielectric tensor in the random-phase approximation is missing"
        expected += [
            ("epsilon", response.epsilon, (3, 3)),
            ("epsilon_rpa", response.epsilon_rpa, (3, 3)),
            ("born_charges", response.born_charges, (n // 3, 3, 3)),
            ("epsilon_ionic", response.epsilon_ionic, (3, 3)),
            ("force_constants", response.force_constants, (n, n)),
            ("frequencies", response.frequencies, (n,)),
            ("eigenvectors", response.eigenvectors, (n, n // 3, 3)),
        ]
        if response.frequencies is not None and (np.diff(response.frequencies) > 0).any():
            yield "frequencies are not in descending order"
    if (spectrum := result.spectrum) is not None:
        if not result.parameters.get("LOPTICS"):
            yield "there is a dielectric function without LOPTICS"
        points = len(spectrum.energies)
        expected += [("energies of the dielectric function", spectrum.energies, (points,))]
        expected += [(f"{n} dielectric function", part, (points, 6)) for n, part in vars(spectrum).items() if n != "energies"]
    for name, array, shape in expected:
        if array is not None:
            yield from _array(name, array, shape)


def _volumes(result: RunResult) -> Iterator[str]:
    grids: list[tuple[str, Floats | None]] = [("potential", result.potential)]
    if result.charge is not None:
        charge = result.charge
        if len(charge.valence) != result.nspin:
            yield f"the charge density has {len(charge.valence)} parts with ISPIN = {result.nspin}"
        grids += [("total charge density", charge.valence[0]), ("charge density of the core", charge.core)]
        grids += [("all-electron charge density", charge.all_electron_valence)]
    shapes = [np.shape(values) for _, values in grids if values is not None]
    for name, values in grids:
        if values is not None:
            yield from _array(name, values, shapes[-1])


def _array(name: str, array: Floats, shape: tuple[int, ...]) -> Iterator[str]:
    if np.shape(array) != shape:
        yield f"{name} has shape {np.shape(array)}, not {shape}"
    elif not np.isfinite(array).all():
        yield f"{name} has numbers that are not finite"


def _convergence(result: RunResult) -> Iterator[str]:
    nelm = result.parameters.get("NELM")
    longest = max((len(step.scf) for step in result.steps), default=0)
    if nelm is not None and longest > nelm:
        yield f"{longest} electronic steps with NELM = {nelm}"


def was_stopped(result: RunResult) -> bool:
    """Whether the run was told to stop: it is unconverged and had steps left.

    Files of VASP have no flag of convergence. Readers compare the numbers of steps with NELM and NSW, and take a run that
    was stopped for converged unless OUTCAR says that it was stopped.
    """
    nelm, nsw = int(result.parameters["NELM"]), int(result.parameters["NSW"])
    if not result.electronic_converged:
        return len(result.steps[-1].scf) < nelm
    return not result.ionic_converged and len(result.steps) < nsw
