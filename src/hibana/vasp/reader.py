"""A finished VASP folder as a document: lean, exact, and honest about what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hibana.documents.arrays import pack
from hibana.documents.crystal import Matrix
from hibana.documents.task import BandEdges, Failure, Inputs, RunDoc, RunStatus
from hibana.structures.convert import from_pymatgen
from hibana.vasp.bader import NOTE, RESULT, NoBader, SiteCharges, analyse, site_charges
from hibana.vasp.calculator import identify
from hibana.vasp.cells import composition_fields, crystal_of, space_group_number, vectors
from hibana.vasp.convergence import classify
from hibana.vasp.edges import INTEGRAL, band_edges
from hibana.vasp.errors import NOT_A_RUN
from hibana.vasp.files import find, load, load_text
from hibana.vasp.inputs_read import incar_as_run, read_incar, read_kpoints, read_structure
from hibana.vasp.oszicar import last_magnetization
from hibana.vasp.outcar import OutcarData, read_outcar
from hibana.vasp.response import response_warnings
from hibana.vasp.vasprun import FINITE_DIFFERENCES, VasprunData, read_vasprun
from hibana.vasp.vasprun_header import DamagedVasprunError

Array = NDArray[np.float64]

SYMPREC = 0.01
"""Default tolerance of the space group, Å."""

SAME_ENERGY = 1e-5
"""OUTCAR belongs to vasprun.xml if their energies agree within this, eV."""


def read_run(
    directory: Path, *, symprec: float = SYMPREC, projections: bool = True
) -> tuple[RunDoc, dict[str, NDArray[np.float64]]]:
    """Read a VASP run into a document and its arrays.

    A run that did not finish, or did not converge, is a document with that status; only what is no run at all is an error.
    What the files do not hold is None.

    Parameters
    ----------
    directory
        Folder of the run; its files may be gzipped.
    symprec
        Tolerance of the final cell's space group, Å.
    projections
        Whether to read the site projections of the eigenstates, the largest table.

    Returns
    -------
    RunDoc, dict
        The document, whose ``arrays`` refers to the arrays by name, and the arrays
        (:data:`hibana.documents.task.ARRAY_NAMES`).

    Raises
    ------
    HibanaError
        HIB-050 if the folder is no VASP run, HIB-051 if its inputs are unreadable, HIB-052 or HIB-053 if its files do not
        agree on which code made them.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise NOT_A_RUN.error("there is no such folder", where=directory)
    outcar_file = load(directory, "OUTCAR")
    outcar = read_outcar(outcar_file.data) if outcar_file is not None and outcar_file.data.strip() else None
    vasprun_file = load(directory, "vasprun.xml")
    if vasprun_file is not None:
        try:
            vasprun = read_vasprun(vasprun_file.data, whole=vasprun_file.whole, projections=projections, symprec=symprec)
        except DamagedVasprunError as error:
            failure = Failure(kind="truncated", message=f"vasprun.xml: {error}")
        else:
            return _from_vasprun(directory, vasprun, outcar, symprec)
    else:
        failure = Failure(kind="no_output", message="there is no vasprun.xml; values are those of OUTCAR, if any")
    return _from_inputs(directory, outcar, failure, symprec)


def _from_vasprun(
    directory: Path, vasprun: VasprunData, outcar: OutcarData | None, symprec: float
) -> tuple[RunDoc, dict[str, Array]]:
    last, warnings = vasprun.last, []
    if outcar is not None and not _same_run(vasprun, outcar):
        warnings.append("OUTCAR is of another run than vasprun.xml and was not used")
        outcar = None
    ending = classify(vasprun, outcar)
    spinors = bool(vasprun.parameters.get("LNONCOLLINEAR"))
    spin = vasprun.parameters.get("ISPIN") == 2 and not spinors
    initial_moments = _moments(vasprun.incar, directory, len(vasprun.species)) if spin else None
    final_moments = initial_moments if outcar is None or outcar.site_moments is None else outcar.site_moments.tolist()
    edges = band_edges(
        last.tables.get("eigenvalues"),
        last.tables.get("occupations"),
        vasprun.kpoints,
        nelect=vasprun.parameters.get("NELECT"),
        electrons_per_state=1 if spin or spinors else 2,
        efermi=last.efermi if last.efermi is not None or outcar is None else outcar.efermi,
    )
    arrays = _arrays(vasprun, outcar)
    if (sites := _bader(directory, vasprun, ending.status)) is not None:
        if isinstance(sites, NoBader):
            warnings.append(f"{NOTE}{sites.reason}")
        else:
            arrays |= {"bader_charges": sites.charges, "bader_volumes": sites.volumes}
    run = RunDoc(
        **composition_fields(vasprun.species),
        status=ending.status,
        failure=ending.failure,
        calculator=identify(directory, vasprun.potcars, vasprun.generator),
        inputs=Inputs(
            incar=incar_as_run(vasprun.incar, read_incar(directory)),
            kpoints=vasprun.kpoint_scheme,
            potcars=vasprun.potcars,
            encut=vasprun.parameters.get("ENMAX", vasprun.incar.get("ENCUT")),
            nelect=vasprun.parameters.get("NELECT"),
            valence=vasprun.valence,
        ),
        initial=crystal_of(vasprun.initial, vasprun.species, initial_moments),
        final=crystal_of(vasprun.final, vasprun.species, final_moments if spin else None),
        space_group_number=space_group_number(vasprun.final, vasprun.species, symprec),
        **_mechanics(last.energy, last.forces, last.stress, len(vasprun.species)),
        n_ionic_steps=vasprun.n_ionic_steps,
        n_electronic_steps=last.scf_steps,
        electronic_converged=ending.electronic_converged,
        ionic_converged=ending.ionic_converged,
        magnetization=_magnetization(directory, outcar) if spin else None,
        edges=edges,
        epsilon_electronic=_matrix(_first(_finite(last.epsilon), None if outcar is None else outcar.epsilon)),
        epsilon_ionic=_matrix(_first(_finite(last.epsilon_ion), None if outcar is None else outcar.epsilon_ion)),
        arrays={name: pack(array).ref for name, array in arrays.items()},
        warnings=(*warnings, *_warnings(vasprun, outcar, edges)),
    )
    return run, arrays


def _from_inputs(directory: Path, outcar: OutcarData | None, failure: Failure, symprec: float) -> tuple[RunDoc, dict[str, Array]]:
    """Document of a run without a usable vasprun.xml: its inputs, and what OUTCAR says."""
    final = read_structure(directory, "CONTCAR")
    initial = read_structure(directory, "POSCAR") or final
    incar = read_incar(directory)
    if initial is None or (outcar is None and not incar):
        others = [name for name in ("OUTCAR", "INCAR", "POSCAR", "CONTCAR") if find(directory, name) is not None]
        beside = f"only {', '.join(others)}" if others else "nothing of a run"
        raise NOT_A_RUN.error(f"there is no usable vasprun.xml, and {beside}", where=directory)
    start = from_pymatgen(initial)
    end = from_pymatgen(final) if final is not None and len(final) == len(initial) else start
    n_sites = len(start.species)
    found: dict[str, Any] = {} if outcar is None else _outcar_fields(outcar, n_sites)
    arrays = {} if outcar is None else _outcar_arrays(outcar, n_sites)
    titles = () if outcar is None else outcar.potcars
    version = None if outcar is None else outcar.version
    run = RunDoc(
        **composition_fields(start.species),
        status="failed",
        failure=failure,
        calculator=identify(directory, titles, {"program": "vasp", "version": version} if version else {}),
        inputs=Inputs(incar=incar, kpoints=read_kpoints(directory), potcars=titles, encut=incar.get("ENCUT")),
        initial=start,
        final=end,
        space_group_number=space_group_number(end, end.species, symprec),
        edges=BandEdges(gap_class="unknown", efermi=None if outcar is None else outcar.efermi),
        arrays={name: pack(array).ref for name, array in arrays.items()},
        **found,
    )
    return run, arrays


def _same_run(vasprun: VasprunData, outcar: OutcarData) -> bool:
    """Whether both files tell of one run, by the energy; only a finished vasprun.xml can disagree.

    Of finite differences the energy is that of the crystal, behind which OUTCAR has those of the displacements.
    """
    if not vasprun.complete or vasprun.last.energy is None or outcar.energy is None:
        return True
    displaced = vasprun.parameters.get("IBRION") in FINITE_DIFFERENCES
    energies = outcar.ionic_energies if displaced and outcar.ionic_energies else (outcar.energy,)
    return any(abs(vasprun.last.energy - energy) <= SAME_ENERGY for energy in energies)


def _outcar_fields(outcar: OutcarData, n_sites: int) -> dict[str, Any]:
    forces = outcar.forces if outcar.forces is not None and len(outcar.forces) == n_sites else None
    return {
        **_mechanics(outcar.energy, forces, outcar.stress, n_sites),
        "n_ionic_steps": outcar.n_ionic_steps,
        "magnetization": outcar.magnetization,
        "epsilon_electronic": _matrix(outcar.epsilon),
        "epsilon_ionic": _matrix(outcar.epsilon_ion),
    }


def _mechanics(energy: float | None, forces: Array | None, stress: Array | None, n_sites: int) -> dict[str, Any]:
    """Energy, forces and stress, and what follows from them."""
    forces = _finite(forces)
    return {
        "energy": energy,
        "energy_per_atom": None if energy is None else energy / n_sites,
        "forces": None if forces is None else vectors(forces),
        "stress": _matrix(stress),
        "max_force": None if forces is None else float(np.linalg.norm(forces, axis=1).max()),
    }


def _finite(array: Array | None) -> Array | None:
    """The array, or None where VASP printed NaN or stars in place of a number."""
    return array if array is not None and np.all(np.isfinite(array)) else None


def _matrix(tensor: Array | None) -> Matrix | None:
    tensor = _finite(tensor)
    if tensor is None or tensor.shape != (3, 3):
        return None
    x, y, z = vectors(tensor)
    return x, y, z


def _first(*arrays: Array | None) -> Array | None:
    return next((array for array in arrays if array is not None), None)


def _magnetization(directory: Path, outcar: OutcarData | None) -> float | None:
    """Total moment from OUTCAR, else from OSZICAR."""
    if outcar is not None:
        return outcar.magnetization
    text = load_text(directory, "OSZICAR")
    return None if text is None else last_magnetization(text)


def _moments(incar: dict[str, Any], directory: Path, n_sites: int) -> list[float] | None:
    """Initial moment of each site; vasprun.xml overflows for repeated ones, INCAR does not."""
    for moments in (incar.get("MAGMOM"), read_incar(directory).get("MAGMOM")):
        if isinstance(moments, list) and len(moments) == n_sites:
            return [float(moment) for moment in moments]
    return None


def _arrays(vasprun: VasprunData, outcar: OutcarData | None) -> dict[str, Array]:
    from_outcar = {} if outcar is None else _outcar_arrays(outcar, len(vasprun.species))
    arrays = {"kpoints": vasprun.kpoints, "kpoint_weights": vasprun.kpoint_weights, **vasprun.last.tables, **from_outcar}
    charges = _finite(vasprun.last.born_charges)
    if charges is not None and len(charges) == len(vasprun.species):
        arrays["born_charges"] = charges
    return arrays


def _bader(directory: Path, vasprun: VasprunData, status: RunStatus) -> SiteCharges | NoBader | None:
    """Bader charges of an answered run; None for one that was not asked for its all-electron density."""
    asked = any(settings.get("LAECHG") is True for settings in (vasprun.incar, vasprun.parameters))
    if status != "converged" or not (asked or find(directory, RESULT)):
        return None
    found = analyse(directory)
    if isinstance(found, NoBader):
        return found
    volume = float(abs(np.linalg.det(vasprun.final.lattice)))
    return site_charges(found, vasprun.site_valence, vasprun.parameters.get("NELECT"), volume)


def _outcar_arrays(outcar: OutcarData, n_sites: int) -> dict[str, Array]:
    found = {
        "site_potentials": (outcar.site_potentials, n_sites),
        "born_charges": (outcar.born_charges, n_sites),
        "gamma_frequencies": (outcar.frequencies, 3 * n_sites),
    }
    return {name: array for name, (array, length) in found.items() if array is not None and len(array) == length}


def _warnings(vasprun: VasprunData, outcar: OutcarData | None, edges: BandEdges) -> list[str]:
    warnings = [f"the table of {name} in vasprun.xml is damaged or not whole and was left out" for name in vasprun.last.damaged]
    last = vasprun.last
    for name, array in (
        ("forces", last.forces),
        ("stress", last.stress),
        ("electronic dielectric tensor", last.epsilon),
        ("ionic dielectric tensor", last.epsilon_ion),
        ("Born charges", last.born_charges),
    ):
        if array is not None and _finite(array) is None:
            warnings.append(f"{name}: what is in vasprun.xml is not all numbers and was left out")
    if edges.gap_class == "gapped" and (edges.occupation_deviation or 0) > INTEGRAL:
        warnings.append("occupations are fractional: band edges are those of the filled bands, not of the occupation tail")
    if outcar is None:
        warnings.append("no OUTCAR: site potentials and site moments are unknown")
    elif not outcar.complete and vasprun.complete:
        warnings.append("OUTCAR is cut off")
    if outcar is not None and outcar.noncollinear:
        warnings.append("non-collinear moments are not read")
    return [*warnings, *response_warnings(vasprun, outcar)]
