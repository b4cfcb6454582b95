"""What one rehearsal run produced: the only thing the writers know.

The engine fills a :class:`RunResult`; the writers turn it into VASP's files. Neither knows the other, so a writer is
tested in milliseconds on a stored result and the engine without any file format.

Units throughout: eV, Å, eV/Å, electrons, Bohr magnetons. Stress is in kB with VASP's sign (the negative of ASE's).
Arrays with a spin axis have it first; it has length 1 (``ISPIN = 1``) or 2. Occupations are 0-1 per spin channel's band,
so that a filled band of a spin-unpolarised run has occupation 1 as in vasprun.xml.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ORBITALS = ("s", "py", "pz", "px", "dxy", "dyz", "dz2", "dxz", "x2-y2")
"""Order of the last axis of every site projection, VASP's own."""


@dataclass(frozen=True)
class Species:
    """One POTCAR of the run, in the order of POSCAR.

    Parameters
    ----------
    symbol
        Chemical symbol.
    count
        Number of atoms of it in this block of POSCAR.
    potcar_header
        First line of the POTCAR, stripped: vasprun.xml must repeat it to the letter.
    titel
        ``TITEL`` of the POTCAR.
    zval
        Number of valence electrons.
    enmax
        Recommended cutoff, eV.
    mass
        Atomic mass, u.
    """

    symbol: str
    count: int
    potcar_header: str
    titel: str
    zval: float
    enmax: float
    mass: float


@dataclass(frozen=True)
class ScfStep:
    """One electronic step: energy (eV), its change, and the density error as GPAW states it (electrons)."""

    energy: float
    change: float
    density_error: float


@dataclass(frozen=True)
class IonicStep:
    """One ionic step.

    Parameters
    ----------
    lattice, frac_coords
        Cell of this step, rows are vectors, Å, (3, 3); fractional coordinates (n_atoms, 3).
    free_energy, energy_wo_entropy, energy_sigma0
        VASP's three energies, eV per cell.
    forces
        (n_atoms, 3), eV/Å; None where the method has none (perturbative hybrids): then no forces are written.
    stress
        (3, 3), kB, VASP's sign; None where it was not calculated (ISIF = 0, perturbative hybrids): then none is written.
    scf
        The electronic steps.
    magnetization
        Total moment, μB; None for a spin-unpolarised run.
    seconds
        Wall time of the step.
    """

    lattice: Floats
    frac_coords: Floats
    free_energy: float
    energy_wo_entropy: float
    energy_sigma0: float
    forces: Floats | None
    stress: Floats | None
    scf: tuple[ScfStep, ...]
    magnetization: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Bands:
    """Eigenvalues on the k-points of the run.

    ``kpoints`` (nk, 3) in reciprocal-lattice units and ``weights`` (nk,), which sum to 1 over the weighted points and are
    0 on appended path points; ``eigenvalues`` and ``occupations`` (nspin, nk, nbands); ``projections``
    (nspin, nk, nbands, n_atoms, 9) in the order of :data:`ORBITALS`, or None when LORBIT asks for none.
    """

    kpoints: Floats
    weights: Floats
    eigenvalues: Floats
    occupations: Floats
    projections: Floats | None = None


@dataclass(frozen=True)
class Dos:
    """Densities of states on ``energies`` (ne,), eV: ``total`` and ``integrated`` (nspin, ne), states/eV per cell and
    states; ``partial`` (n_atoms, nspin, 9, ne) in the order of :data:`ORBITALS`, or None.
    """

    energies: Floats
    total: Floats
    integrated: Floats
    partial: Floats | None = None


@dataclass(frozen=True)
class Response:
    """Static response of a run with LEPSILON.

    ``epsilon`` (3, 3) electronic dielectric tensor with local fields of Hartree and exchange-correlation potential (with LRPA
    of the Hartree potential only); ``epsilon_rpa`` (3, 3) with those of the Hartree potential only; both None without LEPSILON.
    ``born_charges`` (n_atoms, 3, 3), e, rows are the
    direction of the field, columns that of the displacement. ``epsilon_ionic`` (3, 3), ``force_constants``
    (3 n_atoms, 3 n_atoms), eV/Å^2, second derivatives of the energy, and ``frequencies`` (3 n_atoms,), THz, descending,
    imaginary ones negative, with ``eigenvectors`` (3 n_atoms, n_atoms, 3) of the dynamical matrix, orthonormal; these
    four are None where IBRION asks for no displacement of ions.
    """

    epsilon: Floats | None
    epsilon_rpa: Floats | None
    born_charges: Floats | None = None
    epsilon_ionic: Floats | None = None
    force_constants: Floats | None = None
    frequencies: Floats | None = None
    eigenvectors: Floats | None = None


@dataclass(frozen=True)
class Spectrum:
    """Frequency-dependent dielectric function of a run with LOPTICS, independent particles.

    ``energies`` (ne,), eV, from 0; ``real`` and ``imag`` (ne, 6) in the order xx yy zz xy yz zx.
    """

    energies: Floats
    real: Floats
    imag: Floats


@dataclass(frozen=True)
class ChargeDensity:
    """Electron densities on the fine grid, times the volume of the cell as VASP's files have them, electrons.

    ``valence`` (nspin, nx, ny, nz), total and, for two spins, difference, pseudo density with compensation charges, for
    CHGCAR; ``all_electron_valence`` and ``core`` (nx, ny, nz) for AECCAR2 and AECCAR0, None without LAECHG.
    """

    valence: Floats
    all_electron_valence: Floats | None = None
    core: Floats | None = None


@dataclass(frozen=True)
class KpointMesh:
    """How KPOINTS defined the points: ``style`` is ``Gamma``, ``Monkhorst-Pack`` or ``listgenerated``; ``divisions`` and
    ``shift`` are None for a list.
    """

    style: str
    divisions: tuple[int, int, int] | None = None
    shift: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class RunResult:
    """Everything the writers need of one run.

    Parameters
    ----------
    incar
        INCAR as read: upper-case tag to typed value.
    parameters
        Every VASP parameter the parsers look for with the value in force (ENCUT, NELM, NELECT, ISPIN, NBANDS, EDIFF,
        ISMEAR, SIGMA, LORBIT, LHFCALC, AEXX, HFSCREEN, GGA, NEDOS, EMIN, EMAX, NSW, IBRION, ISIF, EDIFFG, ...).
    kpoint_mesh
        What KPOINTS said.
    species
        One entry a POTCAR, in POSCAR's order; atoms are listed species by species.
    steps
        Ionic steps, at least one.
    bands, dos, efermi
        Of the last step.
    core_potentials
        Average electrostatic potential at each nucleus as ``OUTCAR`` lists it (n_atoms,), V.
    site_charges, site_moments
        (n_atoms, 3) charge and moment in the sphere by s, p, d; None when not projected or not spin-polarised.
    electronic_converged, ionic_converged
        Whether the last step's SCF met EDIFF within NELM, and the relaxation EDIFFG within NSW.
    provenance
        What made the numbers: engine name and version, data sets with SHA-256, cutoff, how hybrids were done. Written as
        the sidecar file; ``engine`` and ``engine_version`` are named in the files themselves too.
    started
        Start time, seconds since the epoch.
    wall_seconds, cpu_seconds, max_memory_kb
        Measured cost.
    warnings
        What the run has to say; written to the sidecar file.
    selective_dynamics
        Which fractional coordinates may move (n_atoms, 3); None where POSCAR has no selective dynamics.
    comment
        First line of POSCAR, which CONTCAR repeats; if empty, CONTCAR's is the formula.
    response, spectrum, charge
        Of a run with LEPSILON, LOPTICS, LCHARG or LAECHG.
    potential
        Electrostatic potential energy of an electron on the fine grid (nx, ny, nz), eV, of a run with LVHAR.
    """

    incar: dict[str, Any]
    parameters: dict[str, Any]
    kpoint_mesh: KpointMesh
    species: tuple[Species, ...]
    steps: tuple[IonicStep, ...]
    bands: Bands
    dos: Dos
    efermi: float
    core_potentials: Floats
    nelect: float
    provenance: dict[str, Any]
    site_charges: Floats | None = None
    site_moments: Floats | None = None
    electronic_converged: bool = True
    ionic_converged: bool = True
    started: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    max_memory_kb: int = 0
    warnings: tuple[str, ...] = field(default=())
    selective_dynamics: NDArray[np.bool_] | None = None
    comment: str = ""
    response: Response | None = None
    spectrum: Spectrum | None = None
    charge: ChargeDensity | None = None
    potential: Floats | None = None

    @property
    def symbols(self) -> list[str]:
        """Chemical symbol of every atom, in POSCAR's order."""
        return [s.symbol for s in self.species for _ in range(s.count)]

    @property
    def nspin(self) -> int:
        """Number of spin channels, 1 or 2."""
        return int(self.bands.eigenvalues.shape[0])
