"""VASP inputs for (crystal, task, functional, protocol, prior knowledge), made by vise."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_args

import spglib
from pymatgen.core import Structure
from pymatgen.io.vasp import Incar, PotcarSingle

from hibana.documents.crystal import Crystal
from hibana.documents.spec import Prior
from hibana.protocol.binding import load_vise, refuse_vise_yaml
from hibana.protocol.errors import NO_EXCHANGE_RATIO, NO_INPUTS, ORDERED_MAGNET_BAND, UNKNOWN_TASK
from hibana.protocol.options import FROM_DIELECTRIC, checked_options, hybrid_options, vise_options
from hibana.protocol.potcar import element_order, potcars
from hibana.protocol.protocol import HybridName, Protocol
from hibana.protocol.vasp_inputs import Stage, VaspInputs
from hibana.structures.convert import MAGMOM, collinear_moments, plain_structure, to_pymatgen

__all__ = ["HYBRIDS", "Stage", "VaspInputs", "build_inputs"]

HYBRIDS: tuple[HybridName, ...] = get_args(HybridName)
"""Functionals of the non-self-consistent hybrid steps; their task is ``band``."""


def build_inputs(
    crystal: Crystal,
    task: str,
    functional: str,
    protocol: Protocol,
    prior: Prior = Prior(),  # noqa: B008 - frozen
    *,
    cores: int = 1,
    options: Mapping[str, Any] | None = None,
) -> VaspInputs:
    """Inputs of a task.

    Parameters
    ----------
    crystal
        Any cell of the crystal. Bulk tasks take its primitive cell as vise chooses it; tasks on supercells, and crystals
        with ordered moments, keep the cell given.
    task
        vise's task name: ``structure_opt``, ``band``, ``dos``, ...
    functional
        The protocol's functional, or ``hse06_nsc`` or ``ddh_nsc`` (task ``band``): its run with the wave functions kept, then
        the hybrid on them.
    protocol
        Numbers of the calculation.
    prior
        What runs before have found; a gap that is not known is unknown, not zero.
    cores
        Cores of the run, for KPAR.
    options
        vise's input options that replace those of the protocol, and ``incar``: tags that replace all others. ``ddh_nsc``
        needs ``exchange_ratio`` where the protocol says ``from_dielectric``.

    Raises
    ------
    HibanaError
        HIB-032 (vise.yaml in force), HIB-033 to HIB-035 and HIB-039 (potentials), HIB-036 (task or functional), HIB-037
        (option), HIB-038 (band path of an ordered magnet), HIB-041 (vise fails).
    """
    _check_task(task, functional, protocol)
    refuse_vise_yaml()
    given = dict(options or {})
    tags = given.pop("incar", {})
    chosen = vise_options(task, protocol, prior, crystal.species, cores=cores)
    if functional in protocol.hybrids:
        chosen |= hybrid_options(functional, prior, protocol)
    structure = plain_structure(to_pymatgen(crystal))
    moments = collinear_moments(structure)
    if moments is not None:
        if task == "band" and chosen["kpt_mode"] is None:
            raise ORDERED_MAGNET_BAND.error(f"{structure.composition.reduced_formula} has moments {moments}")
        chosen |= {"kpt_mode": "uniform", "is_magnetization": True}
        tags = {"MAGMOM": list(moments), **tags}
    chosen |= checked_options(given, chosen)
    if chosen["exchange_ratio"] == FROM_DIELECTRIC:
        raise NO_EXCHANGE_RATIO.error(f"{functional} of {structure.composition.reduced_formula}")
    return _assemble(structure, task, functional, protocol, chosen, tags)


def _check_task(task: str, functional: str, protocol: Protocol) -> None:
    tasks = [str(item) for item in load_vise().task]
    if task not in tasks:
        raise UNKNOWN_TASK.error(f"task {task!r}; vise has {', '.join(tasks)}")
    known = (protocol.functional, *protocol.hybrids)
    if functional not in known:
        raise UNKNOWN_TASK.error(f"functional {functional!r}; the protocol {protocol.name} has {', '.join(known)}")
    if functional in protocol.hybrids and task != "band":
        raise UNKNOWN_TASK.error(f"{functional} is a step of the task band, not of {task}")


def _assemble(
    structure: Structure, task: str, functional: str, protocol: Protocol, options: dict[str, Any], tags: Mapping[str, Any]
) -> VaspInputs:
    """Run vise's generators and put their results together."""
    mesh = _mesh(structure, task, options)
    cell = _plain_cell(mesh.structure)
    potentials = potcars([site.specie.symbol for site in cell], protocol)

    def incar(functional_of_stage: str, stage_tags: Mapping[str, Any]) -> dict[str, Any]:
        made = _vise_settings(cell, potentials, mesh, task, functional_of_stage, options)
        return dict(Incar({**made, **protocol.incar.get(task, {}), **stage_tags, **tags}))

    semilocal = protocol.functional
    incars = {semilocal: incar(semilocal, {})}
    for name, rule in protocol.hybrids.items():
        if name == functional:
            incars = {semilocal: incar(semilocal, rule.semilocal_incar), name: incar(rule.functional, rule.hybrid_incar)}
    return VaspInputs(tuple(Stage(name, tags, mesh.kpoints) for name, tags in incars.items()), cell, potentials)


def _mesh(structure: Structure, task: str, options: Mapping[str, Any]) -> Any:
    """Vise's generator of cell and k-points, run."""
    vise = load_vise()
    try:
        mesh = vise.kpoints_generator(
            initial_structure=_Uncompared.from_sites(structure.sites),
            task=vise.task(task),
            **_accepted(vise.kpoints_generator, options),
        )
        mesh.generate_input()
    except (*vise.errors, spglib.SpglibError) as error:
        raise NO_INPUTS.error(f"{type(error).__name__}: {error}", where=structure.composition.formula) from error
    return mesh


def _vise_settings(
    cell: Structure, potentials: tuple[PotcarSingle, ...], mesh: Any, task: str, functional: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """All INCAR settings that vise makes; its own writer would drop those it does not know."""
    vise = load_vise()
    try:
        generator = vise.incar_generator(
            structure=cell,
            symbol_list=list(element_order([site.specie.symbol for site in cell])),
            num_kpts=mesh.num_kpts,
            num_kpt_multiplication_factor=mesh.num_kpt_factor,
            potcar=list(potentials),
            task=vise.task(task),
            xc=vise.xc(functional),
            **_accepted(vise.incar_generator, options),
        )
    except vise.errors as error:
        raise NO_INPUTS.error(f"{type(error).__name__}: {error}", where=cell.composition.formula) from error
    return dict(generator.incar_settings)


def _accepted(generator: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that one of vise's two generators takes."""
    names = inspect.signature(generator).parameters
    return {name: value for name, value in options.items() if name in names}


def _plain_cell(structure: Structure) -> Structure:
    """A structure of pymatgen's own class, sorted, without what vise left on the sites."""
    cell = Structure(structure.lattice, structure.species, structure.frac_coords)
    moments = structure.site_properties.get(MAGMOM)
    if moments is not None:
        cell.add_site_property(MAGMOM, moments)
    return cell.get_sorted_structure()


class _Uncompared(Structure):
    """A structure that vise need not compare with its primitive cell.

    vise compares them for a line of its log only, and the comparison takes seconds for a few hundred atoms.
    """

    def __eq__(self, other: object) -> bool:
        return self is other
