"""One run from the input files to a :class:`~hibana.rehearsal.result.RunResult`."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import Ha

from hibana.rehearsal import restart
from hibana.rehearsal.bands import (
    MeshStates,
    fermi_energy,
    filled_bands,
    fixed_density,
    mesh_states,
    occupation,
    path_calculators,
    reported_bands,
)
from hibana.rehearsal.charge import charge_density, electrostatic_potential
from hibana.rehearsal.datasets import DatasetFile, default_folder, ensure
from hibana.rehearsal.dos import density_of_states
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.hybrid import PerturbativeHybrid
from hibana.rehearsal.inputs import RunInputs
from hibana.rehearsal.listener import Listener, StopFile
from hibana.rehearsal.optics import optical_spectrum
from hibana.rehearsal.projections import SphereMatrices, SymmetryOperations, charges_by_momentum, join, sphere_matrices
from hibana.rehearsal.provenance import parameters_in_force, provenance
from hibana.rehearsal.relax import Trajectory, run_ionic_steps
from hibana.rehearsal.response import regular_grid, static_response
from hibana.rehearsal.result import Bands, Dos, Floats, IonicStep, Response, RunResult, ScfStep, Spectrum
from hibana.rehearsal.scf import (
    converge,
    gpaw_parameters,
    make_atoms,
    minus_entropy_term,
    occupations,
    sampling,
    search_path,
    symmetry,
)


@dataclass(frozen=True)
class _Ground:
    """The ground state a run's bands are made from, and how it was come by."""

    calculator: Any
    trajectory: Trajectory
    origin: str


def run(inputs: RunInputs, directory: Path, listener: Listener, *, datasets: Path | None = None) -> RunResult:
    """Do what the input files ask for.

    Parameters
    ----------
    inputs
        From :func:`hibana.rehearsal.inputs.read_inputs`.
    directory
        Where WAVECAR and STOPCAR are looked for and GPAW's log goes.
    listener
        Hears of every step.
    datasets
        Folder of the data sets; :func:`hibana.rehearsal.datasets.default_folder` if None.

    Raises
    ------
    RehearsalError
        If a data set or WAVECAR is missing, or GPAW fails.
    """
    started, wall = time.time(), time.perf_counter()
    settings = inputs.settings
    _check_response(inputs)
    files = [ensure(r.symbol, settings.functional, datasets or default_folder()) for r in inputs.recipes]
    search_path(files)
    stop = StopFile(directory)
    ground = _ground_state(inputs, files, directory, listener, stop)
    calculator, trajectory = ground.calculator, ground.trajectory
    projected = settings.lorbit >= 10
    hybrid = rotations = None
    if settings.hybrid is not None:
        hybrid = PerturbativeHybrid(calculator, settings.hybrid, _grid(inputs), settings.nbands)
        rotations = hybrid.rotations(calculator.dft.ibzwfs) if projected else None
    mesh = mesh_states(calculator, settings.nbands, projected=projected, rotations=rotations)
    path = _path_states(inputs, calculator, listener, hybrid, projected=projected)
    if hybrid is not None:
        mesh, trajectory = _with_hybrid(hybrid, mesh, trajectory, listener)
    path_values = None
    if path is not None:
        path_values = path.eigenvalues(hybrid), path.matrices
    efermi = fermi_energy(calculator, mesh, None if path_values is None else path_values[0])
    if len(inputs.kpoints.full):
        bands = reported_bands(inputs, calculator, mesh, path_values, efermi)
        dos = _mesh_dos(inputs, calculator, mesh)
    else:
        bands, dos = _path_only(inputs, path_values, efermi, filled_bands(mesh.occupations))
    charges, moments = _site_charges(mesh, calculator, settings.nspin)
    density, integrals = None, {}
    if settings.lcharg or settings.laechg:
        density, integrals = charge_density(calculator, all_electron=settings.laechg)
    potential = electrostatic_potential(calculator) if settings.lvhar else None
    if settings.lwave:
        restart.save(calculator, directory)
    answers = _answers(inputs, files, calculator, mesh, listener, stop)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return RunResult(
        incar=inputs.incar,
        parameters=parameters_in_force(inputs, calculator, dos),
        kpoint_mesh=inputs.kpoints.mesh,
        species=inputs.species,
        steps=trajectory.steps,
        bands=bands,
        dos=dos,
        efermi=efermi,
        core_potentials=np.array(calculator.get_atomic_electrostatic_potentials()),
        nelect=settings.nelect,
        provenance=provenance(inputs, files, ground.origin)
        | answers.account
        | ({"electrons_in_densities": integrals} if integrals else {}),
        site_charges=charges,
        site_moments=moments,
        electronic_converged=trajectory.electronic_converged,
        ionic_converged=trajectory.ionic_converged,
        started=started,
        wall_seconds=time.perf_counter() - wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        max_memory_kb=usage.ru_maxrss,
        warnings=inputs.warnings + answers.warnings,
        selective_dynamics=inputs.movable,
        comment=inputs.comment,
        response=answers.response,
        spectrum=answers.spectrum,
        charge=density,
        potential=potential,
    )


@dataclass(frozen=True)
class _Answers:
    """What LEPSILON, LOPTICS and displaced ions gave, what there is to say about it, and how it was made."""

    response: Response | None = None
    spectrum: Spectrum | None = None
    warnings: tuple[str, ...] = ()
    account: dict[str, Any] = field(default_factory=dict)


def _check_response(inputs: RunInputs) -> None:
    """Refuse what the k points or selective dynamics do not allow, before anything is calculated."""
    settings = inputs.settings
    for asked, tag in ((settings.lepsilon, "LEPSILON"), (settings.loptics, "LOPTICS")):
        if asked:
            regular_grid(inputs, tag)
    if settings.displaces_ions and inputs.movable is not None and not inputs.movable.all():
        raise RehearsalError(
            184, f"IBRION = {settings.ibrion} with selective dynamics; the engine displaces all ions", where="INCAR"
        )


def _answers(
    inputs: RunInputs, files: list[DatasetFile], calculator: Any, mesh: MeshStates, listener: Listener, stop: StopFile
) -> _Answers:
    """Spectrum first: the response replaces the calculation's states."""
    settings = inputs.settings
    answers = _Answers()
    if settings.loptics:
        optics = optical_spectrum(inputs, calculator, mesh)
        answers = _Answers(None, optics.spectrum, (), {"optics": optics.account})
    if settings.lepsilon or settings.displaces_ions:
        found = static_response(inputs, files, calculator, mesh, listener, stop)
        answers = replace(
            answers, response=found.response, warnings=found.warnings, account=answers.account | {"response": found.account}
        )
    return answers


def _grid(inputs: RunInputs) -> Any:
    """The regular mesh, which the checks of the inputs guarantee for a hybrid."""
    if inputs.kpoints.grid is None:
        raise RehearsalError(195, "a hybrid with k points that form no regular mesh", where="KPOINTS")
    return inputs.kpoints.grid


def _ground_state(inputs: RunInputs, files: list[DatasetFile], directory: Path, listener: Listener, stop: StopFile) -> _Ground:
    """Ions relaxed or static, with the density of this run or of WAVECAR."""
    settings = inputs.settings
    if not (settings.fixed_density or settings.hybrid):
        calculator = _new_calculator(inputs, files, directory)
        trajectory = run_ionic_steps(calculator, make_atoms(inputs), inputs, listener, stop)
        return _Ground(calculator, trajectory, f"{settings.functional} ground state of this run")
    restored = restart.load(directory)
    reason = "there is no WAVECAR"
    if restored is not None:
        reason = restart.mismatch(restored, inputs, same_sampling=settings.hybrid is not None)
    if restored is not None and not reason:
        return _from_wavecar(inputs, restored, listener)
    if settings.fixed_density:
        raise RehearsalError(
            184,
            f"ICHARG = {settings.icharg}, but {reason}",
            where=directory,
            fix="Run a mesh with LWAVE = .TRUE. first and copy its WAVECAR here.",
        )
    listener.note(f" {reason}: the {settings.functional} ground state is calculated first")
    calculator = _new_calculator(inputs, files, directory)
    outcome = converge(calculator, make_atoms(inputs), _Aside(listener), stop)
    step = _static_step(inputs, calculator, with_forces=False)
    trajectory = Trajectory((step,), outcome.converged, ionic_converged=True)
    return _Ground(calculator, trajectory, f"{settings.functional} ground state calculated in this run ({reason})")


def _new_calculator(inputs: RunInputs, files: list[DatasetFile], directory: Path) -> Any:
    from gpaw.new.ase_interface import GPAW

    try:
        return GPAW(**gpaw_parameters(inputs, files), txt=str(directory / "gpaw.log"))
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise RehearsalError(193, f"{type(error).__name__}: {error}") from error


def _from_wavecar(inputs: RunInputs, restored: Any, listener: Listener) -> _Ground:
    """Keep the density of WAVECAR; for a fixed density, solve the states on this run's own mesh in it."""
    settings = inputs.settings
    functional = restored.params.xc.name
    listener.note(f" density and potential are those of WAVECAR ({functional})")
    step = _static_step(inputs, restored, with_forces=settings.hybrid is None)
    calculator = restored
    if settings.fixed_density and len(inputs.kpoints.full):
        calculator = fixed_density(
            restored,
            settings,
            kpts=sampling(inputs),
            symmetry=symmetry(inputs),
            occupations=occupations(settings),
            update_fermi_level=True,
        )
    if settings.hybrid is None:
        listener.scf_step(1, step.scf[0])
        listener.ionic_step(1, step)
    return _Ground(calculator, Trajectory((step,), True, True), f"{functional} ground state of WAVECAR")


class _Aside:
    """Tells the steps of a ground state that another calculation is built on as notes, not as steps of this run."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def scf_step(self, n: int, step: ScfStep) -> None:
        """Electronic step of the ground state."""
        self.listener.note(f" ground state: step {n:4d}  energy {step.energy:18.8f} eV  density error {step.density_error:10.2E}")

    def ionic_step(self, n: int, step: IonicStep) -> None:
        """Ionic step of the ground state."""

    def note(self, text: str) -> None:
        """A line for the reader."""
        self.listener.note(text)


def _static_step(inputs: RunInputs, calculator: Any, *, with_forces: bool) -> IonicStep:
    """The geometry of POSCAR with the energy of a calculation that is converged already, as one electronic step."""
    results = calculator.dft.results
    free, sigma0 = float(results["free_energy"] * Ha), float(results["energy"] * Ha)
    forces = np.array(calculator.dft.calculate_forces()) if with_forces else None
    return IonicStep(
        lattice=inputs.lattice,
        frac_coords=inputs.frac_coords,
        free_energy=free,
        energy_wo_entropy=free + minus_entropy_term(inputs.settings, free, sigma0),
        energy_sigma0=sigma0,
        forces=forces,
        stress=None,
        scf=(ScfStep(free, free, 0.0),),
        magnetization=float(results["magmom"]) if inputs.settings.nspin == 2 else None,
    )


def _with_hybrid(
    hybrid: PerturbativeHybrid, mesh: MeshStates, trajectory: Trajectory, listener: Listener
) -> tuple[MeshStates, Trajectory]:
    """Replace eigenvalues and energy by the hybrid's."""
    start = time.perf_counter()
    eigenvalues = hybrid.eigenvalues(hybrid.calculator.dft.ibzwfs)
    shift = hybrid.energy_shift()
    old = trajectory.steps[-1]
    step = replace(
        old,
        free_energy=old.free_energy + shift,
        energy_wo_entropy=old.energy_wo_entropy + shift,
        energy_sigma0=old.energy_sigma0 + shift,
        scf=(ScfStep(old.free_energy + shift, shift, 0.0),),
        seconds=time.perf_counter() - start,
    )
    listener.scf_step(1, step.scf[0])
    listener.ionic_step(1, step)
    return replace(mesh, eigenvalues=eigenvalues), replace(trajectory, steps=(step,))


@dataclass(frozen=True)
class _PathStates:
    """Non-self-consistent states at the different points of zero weight, and which one each point of KPOINTS is."""

    calculators: list[Any]
    matrices: SphereMatrices | None
    where: Any
    nbands: int

    def eigenvalues(self, hybrid: PerturbativeHybrid | None) -> Floats:
        """(nspin, n_path, nbands) in KPOINTS' order, eV."""
        parts = [c.eigenvalues() if hybrid is None else hybrid.eigenvalues(c.dft.ibzwfs) for c in self.calculators]
        return np.concatenate(parts, axis=1)[:, self.where, : self.nbands]


def _path_states(
    inputs: RunInputs, calculator: Any, listener: Listener, hybrid: PerturbativeHybrid | None, *, projected: bool
) -> _PathStates | None:
    """Solve the points of zero weight, each different one once."""
    path = inputs.kpoints.path
    if not len(path):
        return None
    different, where = np.unique(np.round(path, 9), axis=0, return_inverse=True)
    calculators = path_calculators(calculator, different, inputs.settings, listener)
    where = where.ravel()
    matrices = None
    if projected:
        turned = [None if hybrid is None else hybrid.rotations(c.dft.ibzwfs) for c in calculators]
        joined = join([sphere_matrices(c, inputs.settings.nbands, r) for c, r in zip(calculators, turned, strict=True)])
        matrices = SphereMatrices(tuple(block[:, where] for block in joined.blocks))
    return _PathStates(calculators, matrices, where, inputs.settings.nbands)


def _mesh_dos(inputs: RunInputs, calculator: Any, mesh: MeshStates) -> Dos:
    """Density of states of the mesh, its characters averaged over the crystal's operations."""
    characters = None
    if mesh.matrices is not None:
        characters = SymmetryOperations.of(calculator).average(mesh.matrices).diagonal()
    grid = inputs.kpoints.grid
    regular = None
    if grid is not None and len(grid.points) > 1:
        ibz = calculator.dft.ibzwfs.ibz
        reciprocal = np.linalg.inv(np.array(calculator.atoms.cell)).T
        regular = (grid, np.array(ibz.bz2ibz_K), reciprocal)
    return density_of_states(inputs.settings, mesh.eigenvalues, characters, mesh.weights, regular)


def _path_only(
    inputs: RunInputs, path: tuple[Floats, SphereMatrices | None] | None, efermi: float, filled: list[int] | None
) -> tuple[Bands, Dos]:
    """Bands and, as VASP does with equal weights, density of states of a path without a mesh."""
    points = inputs.kpoints.points
    if path is None or points is None:
        raise RehearsalError(189, "there are no k points", where="KPOINTS")
    eigenvalues, matrices = path
    weights = np.full(len(points), 1 / len(points))
    characters = None if matrices is None else matrices.diagonal()
    on_path = occupation(inputs.settings, eigenvalues, efermi, filled)
    bands = Bands(points, weights, eigenvalues, on_path, characters)
    return bands, density_of_states(inputs.settings, eigenvalues, characters, weights, None)


def _site_charges(mesh: MeshStates, calculator: Any, nspin: int) -> tuple[Floats | None, Floats | None]:
    """Charges in the spheres by s, p, d, and for two spins their differences (n_atoms, 3)."""
    if mesh.matrices is None:
        return None, None
    characters = SymmetryOperations.of(calculator).average(mesh.matrices).diagonal()
    charges = charges_by_momentum(characters, mesh.occupations, mesh.weights)
    if nspin == 1:
        return 2 * charges[0], None
    return charges[0] + charges[1], charges[0] - charges[1]
