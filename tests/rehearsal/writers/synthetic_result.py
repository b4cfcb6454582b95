"""Results of runs that never were: random numbers in the shape of a calculation, and the inputs they would have had."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hibana.rehearsal.result import (
    Bands,
    ChargeDensity,
    Dos,
    IonicStep,
    KpointMesh,
    Response,
    RunResult,
    ScfStep,
    Species,
    Spectrum,
)

VALENCES = {"Mg": 2.0, "O": 6.0, "Zn": 12.0, "Al": 3.0}
STATES = {
    "Mg": ["3 0 0.5 -7.0 2.0"],
    "O": ["2 0 0.5 -23.0 2.0", "2 1 1.5 -9.0 4.0"],
    "Al": ["3 0 0.5 -7.8 2.0", "3 1 1.5 -2.7 1.0"],
    "Zn": ["3 2 2.5 -10.0 10.0", "4 0 0.5 -6.0 2.0"],
}
GAP = 3.0


def make_species(blocks: tuple[tuple[str, int], ...]) -> tuple[Species, ...]:
    """One entry a block, with titles in the form of the engine's POTCARs."""
    return tuple(
        Species(
            symbol=symbol,
            count=count,
            potcar_header=f"PAW_GPAW {symbol} PBEsol-0123abcd",
            titel=f"PAW_GPAW {symbol} PBEsol-0123abcd",
            zval=VALENCES[symbol],
            enmax=400.0,
            mass=20.0 + VALENCES[symbol],
        )
        for symbol, count in blocks
    )


def make_kpoints(
    rng: np.random.Generator, kind: str, divisions: tuple[int, int, int]
) -> tuple[KpointMesh, np.ndarray, np.ndarray]:
    """Points and weights of a mesh, a list with points of zero weight, or a path alone."""
    points = np.array(list(itertools.product(*(np.arange(n) / n for n in divisions))))
    chosen = points[: max(1, len(points) // 2)]
    multiplicities = 1 + rng.multinomial(len(points) - len(chosen), np.full(len(chosen), 1 / len(chosen)))
    weights = multiplicities / len(points)
    line = np.linspace(0, 0.5, 5)[:, None] * np.array([1, 0, 1]) + np.array([0, 0.013, 0])
    if kind == "mesh":
        return KpointMesh("Gamma", divisions, (0.0, 0.0, 0.0)), chosen, weights
    if kind == "zero-weight":
        return KpointMesh("listgenerated"), np.vstack([chosen, line]), np.append(weights, np.zeros(len(line)))
    return KpointMesh("listgenerated"), line, np.zeros(len(line))


def make_bands(
    rng: np.random.Generator, points: np.ndarray, weights: np.ndarray, filled: list[float], nbands: int, atoms: int
) -> Bands:
    """Bands with a gap of at least :data:`GAP` above the whole bands of each spin, the rest of ``filled`` in the next one."""
    shape = (len(filled), len(points), nbands)
    eigenvalues, occupations = np.empty(shape), np.zeros(shape)
    for spin, electrons in enumerate(filled):
        whole = int(electrons)
        eigenvalues[spin, :, :whole] = np.sort(rng.uniform(-8, 0, (len(points), whole)), axis=1)
        eigenvalues[spin, :, whole:] = np.sort(rng.uniform(GAP, 9, (len(points), nbands - whole)), axis=1)
        occupations[spin, :, :whole] = 1
        if whole < nbands:
            occupations[spin, :, whole] = electrons - whole
    return Bands(points, weights, eigenvalues, occupations, rng.uniform(0, 0.3, (*shape, atoms, 9)))


def make_dos(rng: np.random.Generator, nspin: int, atoms: int, points: int = 31) -> Dos:
    energies = np.linspace(-10, 12, points)
    total = rng.uniform(0, 5, (nspin, points))
    return Dos(energies, total, np.cumsum(total, axis=1), rng.uniform(0, 0.5, (atoms, nspin, 9, points)))


def make_steps(
    rng: np.random.Generator, count: int, atoms: int, scf: int, magnetization: float | None, entropy: float
) -> tuple[IonicStep, ...]:
    cell = np.array([[0.0, 3.9, 4.1], [4.0, 0.0, 4.2], [4.0, 4.1, 0.2]]) * (atoms / 2) ** (1 / 3)
    places = (np.arange(atoms)[:, None] / atoms + np.array([0.0, 0.01, 0.02])) % 1
    steps = []
    for number in range(count):
        free = -7.0 * atoms - 0.1 * number + rng.uniform(-0.01, 0.01)
        stress = rng.normal(0, 10, (3, 3))
        energies = [*(free + 2.0 * 0.1 ** np.arange(1, scf)), free]
        changes = np.diff(energies, prepend=0.0)
        steps.append(
            IonicStep(
                lattice=cell * (1 + 0.002 * number),
                frac_coords=places + rng.normal(0, 1e-4, (atoms, 3)),
                free_energy=free,
                energy_wo_entropy=free + entropy,
                energy_sigma0=free + entropy / 2,
                forces=rng.normal(0, 0.2, (atoms, 3)),
                stress=(stress + stress.T) / 2,
                scf=tuple(ScfStep(e, d, 10.0**-n) for n, (e, d) in enumerate(zip(energies, changes, strict=True))),
                magnetization=magnetization,
                seconds=rng.uniform(0.1, 9),
            )
        )
    return tuple(steps)


def make_response(rng: np.random.Generator, masses: list[float], *, ions: bool) -> Response:
    """Tensors without any symmetry but their own, force constants of either sign, and their modes.

    The modes are those of ``D v = f^2 v`` with ``D = constants / sqrt(m m') / (2 pi)^2`` in units of THz^2.
    """
    atoms = len(masses)
    epsilon, rpa, ionic = ((m + m.T) / 2 for m in rng.normal(3, 1, (3, 3, 3)))
    born = rng.normal(0, 2, (atoms, 3, 3))
    if not ions:
        return Response(epsilon, rpa, born)
    constants = rng.normal(0, 8, (3 * atoms, 3 * atoms))
    constants = (constants + constants.T) / 2
    spread = np.repeat(masses, 3)
    values, vectors = np.linalg.eigh(constants / np.sqrt(np.outer(spread, spread)))
    frequencies = np.sign(values) * np.sqrt(np.abs(values)) * 15.633302
    return Response(epsilon, rpa, born, ionic, constants, frequencies[::-1], vectors.T[::-1].reshape(-1, atoms, 3))


def with_response(result: RunResult, *, ions: bool = True, seed: int = 0) -> RunResult:
    """The result with LEPSILON (and IBRION = 8 with ``ions``)."""
    masses = [s.mass for s in result.species for _ in range(s.count)]
    response = make_response(np.random.default_rng(seed), masses, ions=ions)
    tags = {"LEPSILON": True, "IBRION": 8 if ions else -1}
    return replace(result, incar=result.incar | tags, parameters=result.parameters | tags, response=response)


def with_spectrum(result: RunResult, *, seed: int = 0) -> RunResult:
    """The result with LOPTICS."""
    rng = np.random.default_rng(seed)
    spectrum = Spectrum(np.linspace(0, 20, 41), rng.normal(1, 3, (41, 6)), rng.normal(1, 3, (41, 6)))
    tags = {"LOPTICS": True, "CSHIFT": 0.05}
    return replace(result, incar=result.incar | tags, parameters=result.parameters | tags, spectrum=spectrum)


def with_volumes(result: RunResult, grid: tuple[int, int, int] = (4, 5, 3), *, seed: int = 0) -> RunResult:
    """The result with CHGCAR, AECCAR0, AECCAR2 and LOCPOT."""
    rng = np.random.default_rng(seed)
    charge = ChargeDensity(rng.uniform(-1, 90, (result.nspin, *grid)), *rng.uniform(0, 9e4, (2, *grid)))
    return replace(result, charge=charge, potential=rng.normal(0, 50, grid))


def make_result(
    seed: int = 0,
    *,
    nspin: int = 1,
    blocks: tuple[tuple[str, int], ...] = (("Mg", 1), ("O", 1)),
    kind: str = "mesh",
    divisions: tuple[int, int, int] = (2, 2, 1),
    charge: float = 0.0,
    magnetization: float = 0.0,
    steps: int = 1,
    scf: int = 5,
    entropy: float = 0.0,
    projected: bool = True,
    tags: dict[str, Any] | None = None,
    **fields: Any,
) -> RunResult:
    """A result full of random numbers that hang together.

    Parameters
    ----------
    seed
        Of the random numbers.
    charge
        Valence electrons missing from the neutral cell.
    magnetization
        Electrons more with spin up than down.
    entropy
        Energy without entropy less the free energy, eV.
    tags
        Tags over the usual ones, in INCAR and among the parameters.
    fields
        Other fields of the result.
    """
    rng = np.random.default_rng(seed)
    species = make_species(blocks)
    atoms = sum(s.count for s in species)
    nelect = sum(s.zval * s.count for s in species) - charge
    mesh, points, weights = make_kpoints(rng, kind, divisions)
    filled = [nelect / 2] if nspin == 1 else [(nelect + magnetization) / 2, (nelect - magnetization) / 2]
    nbands = math.ceil(max(filled)) + 3
    incar = {"ENCUT": 400.0, "ISPIN": nspin, "ISMEAR": 0, "SIGMA": 0.05, "EDIFF": 1e-7, "NSW": steps - 1 and 50, "GGA": "Ps"}
    incar |= {"NELM": 60, "LORBIT": 11, "IBRION": 2 if steps > 1 else -1, "EDIFFG": -0.005, "ISIF": 3 if steps > 1 else 2}
    incar |= {"MAGMOM": [0.6] * atoms} if nspin == 2 else {}
    incar |= {"NELECT": nelect} if charge else {}
    incar |= tags or {}
    parameters = {**incar, "GGA": "PS", "NELECT": nelect, "NBANDS": nbands, "LHFCALC": False, "AEXX": 0.0, "HFSCREEN": 0.0}
    bands, dos = make_bands(rng, points, weights, filled, nbands, atoms), make_dos(rng, nspin, atoms)
    if not projected:
        bands = Bands(bands.kpoints, bands.weights, bands.eigenvalues, bands.occupations)
        dos = Dos(dos.energies, dos.total, dos.integrated)
    known = {
        "site_charges": rng.uniform(0, 2, (atoms, 3)) if projected else None,
        "site_moments": rng.normal(0, 0.5, (atoms, 3)) if projected and nspin == 2 else None,
        "provenance": {"engine": "none", "engine_version": "0.0", "datasets": {"Mg": "sha256 of nothing"}},
        "started": 1.7e9,
        "wall_seconds": 12.5,
        "cpu_seconds": 11.25,
        "max_memory_kb": 123456,
        "core_potentials": rng.uniform(-110, -30, atoms),
    }
    return RunResult(
        incar=incar,
        parameters=parameters,
        kpoint_mesh=mesh,
        species=species,
        steps=make_steps(rng, steps, atoms, scf, magnetization if nspin == 2 else None, entropy),
        bands=bands,
        dos=dos,
        efermi=GAP / 3,
        nelect=nelect,
        **{**known, **fields},
    )


def write_inputs(result: RunResult, directory: Path) -> None:
    """POSCAR, INCAR, KPOINTS and POTCAR of a result, as the run would have found them."""
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.vasp import Incar, Poscar

    first = result.steps[0]
    Poscar(Structure(Lattice(first.lattice), result.symbols, first.frac_coords)).write_file(str(directory / "POSCAR"))
    Incar(result.incar).write_file(str(directory / "INCAR"))
    (directory / "KPOINTS").write_text(kpoints_text(result))
    (directory / "POTCAR").write_text("".join(potcar_text(s) for s in result.species))


def kpoints_text(result: RunResult) -> str:
    """KPOINTS: a mesh, or the list of points with labels on the ends of the zero-weight part."""
    if result.kpoint_mesh.divisions is not None:
        return "mesh\n0\nGamma\n" + " ".join(str(n) for n in result.kpoint_mesh.divisions) + "\n0 0 0\n"
    points, weights = result.bands.kpoints, result.bands.weights
    if not weights.any():
        first, last = ("  ".join(f"{x:.8f}" for x in point) for point in (points[0], points[-1]))
        return f"path\n{len(points)}\nLine_mode\nReciprocal\n{first} A\n{last} B\n"
    path = np.flatnonzero(weights == 0)
    labels = {path[0]: "A", path[-1]: "B"} if len(path) else {}
    lines = [
        f"{x:.8f} {y:.8f} {z:.8f} {weight:.8f} {labels.get(n, '')}\n"
        for n, ((x, y, z), weight) in enumerate(zip(points, weights, strict=True))
    ]
    return f"list\n{len(points)}\nReciprocal\n" + "".join(lines)


def potcar_text(species: Species) -> str:
    """A POTCAR with the keywords that pymatgen reads and no potential."""
    states = STATES[species.symbol]
    return "\n".join(
        [
            f"  {species.potcar_header}",
            f"  {species.zval:.14f}",
            " parameters from PSCTR are:",
            f"   VRHFIN ={species.symbol}: none",
            "   LEXCH  = PE",
            f"   TITEL  = {species.titel}",
            "   LULTRA =        F    use ultrasoft PP ?",
            f"   POMASS = {species.mass:8.3f}; ZVAL   = {species.zval:8.3f}    mass and valenz",
            "   RWIGS  =    2.000; RWIGS  =    1.058    wigner-seitz radius (au A)",
            f"   ENMAX  = {species.enmax:8.3f}; ENMIN  = {0.75 * species.enmax:8.3f} eV",
            "   Atomic configuration",
            f"   {len(states):2d} entries",
            "     n  l   j            E        occ.",
            *(f"     {state}" for state in states),
            "END of PSCTR-controll parameters",
            f"   {species.zval:.8f}",
            " End of Dataset",
            "",
        ]
    )


BLOCKS = ((("Mg", 1),), (("Mg", 1), ("O", 1)), (("Mg", 2), ("O", 1), ("Mg", 1)), (("Al", 2), ("Zn", 1), ("O", 4)))


def results() -> st.SearchStrategy[RunResult]:
    """Results of every shape: spins, atoms, kinds of k-points, charges, entropies, numbers of steps."""
    return st.builds(
        make_result,
        st.integers(0, 2**32 - 1),
        nspin=st.sampled_from((1, 2)),
        blocks=st.sampled_from(BLOCKS),
        kind=st.sampled_from(("mesh", "zero-weight", "path")),
        divisions=st.tuples(*[st.integers(1, 3)] * 3),
        charge=st.sampled_from((0.0, 1.0, -1.0, 0.37)),
        magnetization=st.sampled_from((0.0, 1.0, 0.25)),
        steps=st.sampled_from((1, 1, 3)),
        scf=st.integers(1, 12),
        entropy=st.sampled_from((0.0, 0.0123)),
        projected=st.booleans(),
        tags=st.sampled_from(({}, {"LORBIT": 10}, {"ISMEAR": 1, "SIGMA": 0.2}, {"SYSTEM": "a < b & c"})),
        comment=st.sampled_from(("", "cell of a test")),
    )
