"""The common reference of Fermi levels of all hosts: the potential at the cores of oxygen, with the origin at the VBM of ZnO.

The valence-band maximum of a host is counted from the electrostatic potential at the core of an oxygen site in the pristine
crystal, where the surroundings of the atom are felt least. The same quantity of wurtzite ZnO is the origin, as in Y. Kumagai,
N. Tsunoda, A. Takahashi, F. Oba, Phys. Rev. Mater. 5, 123803 (2021). It is no constant: it depends on potentials, functional and
code, and is read from runs of ZnO in the series of the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hibana.core.errors import HibanaError
from hibana.defects.analysis import electronic_of
from hibana.defects.formation import GapEdges, at_core_reference, gap_edges, vbm_from_core
from hibana.documents.vacancy import EdgeSource, VacancyDoc
from hibana.properties.evidence import Built, Evidence
from hibana.properties.site_matching import match_sites
from hibana.properties.sites import orbits_of

if TYPE_CHECKING:
    from hibana.documents.task import TaskDoc

FORMULA, SPACE_GROUP = "ZnO", 186
"""The crystal whose valence-band maximum is the origin: wurtzite ZnO, the choice of the published tables."""

REFERENCE = "reference"
"""What the steps of that crystal's runs begin with: ``reference-dos``."""

RUNS = ("structure_opt", "band", "dos", "hse06_nsc", "ddh_nsc")
"""Steps of it that are used."""

POTENTIALS = ("dos", "band")
"""Steps whose runs give the potentials at cores, the first there is: of the semilocal density on the relaxed crystal."""

ANION = "O"


@dataclass(frozen=True)
class CoreAlignment:
    """Valence-band maxima of a host on the common scale, or why they are not known.

    Parameters
    ----------
    vbm
        Oxygen site to the valence-band maximum counted from its core, that of ZnO being 0, eV.
    addresses
        Step to the address of the run used, those of ZnO under :data:`REFERENCE`.
    reason
        Why there are none.
    is_asked
        Whether runs of ZnO were looked for.
    """

    vbm: Mapping[str, float]
    addresses: Mapping[str, str]
    reason: str | None = None
    is_asked: bool = True


@dataclass(frozen=True)
class _Levels:
    """Valence-band maximum from the core of each oxygen site, eV, with the runs it is read from."""

    by_site: dict[str, float]
    addresses: dict[str, str]


def core_alignment(evidence: Evidence, edges: GapEdges | None) -> CoreAlignment:
    """Valence-band maxima of a host on the common scale.

    Parameters
    ----------
    evidence
        With the runs of the host and, under steps that begin with :data:`REFERENCE`, those of ZnO.
    edges
        Band edges of the host; ZnO's are taken by the same functional.
    """
    try:
        if edges is None:
            raise LookupError("no band edges of the host are known")
        zero = _zero(evidence, edges.source)
        own = _levels(evidence, edges)
    except LookupError as error:
        asked = any(step.partition("-")[0] == REFERENCE for step in (*evidence.tasks, *evidence.reasons))
        return CoreAlignment({}, {}, str(error.args[0]), asked)
    (origin,) = zero.by_site.values()
    steps = {f"{REFERENCE}-{step}": address for step, address in zero.addresses.items()}
    return CoreAlignment({site: value - origin for site, value in own.by_site.items()}, own.addresses | steps)


def aligned(built: Built, alignment: CoreAlignment) -> Built:
    """The document of a vacancy with its energy at the common reference, or with the reason why that is not known."""
    document = built.document
    if not isinstance(document, VacancyDoc):
        raise TypeError(f"{type(document).__name__} is no document of a vacancy")
    vbm = alignment.vbm.get(document.site)
    if vbm is None and not alignment.is_asked:
        return built
    if vbm is None:
        why = alignment.reason or f"the host has no oxygen site {document.site}"
        return replace(built, document=document.model_copy(update={"reasons": {**document.reasons, REFERENCE: why}}))
    energy = document.formation_energy
    values = {
        "vbm_from_o_core": vbm,
        "formation_energy_core_reference": None if energy is None else at_core_reference(energy, document.charge, vbm),
        "addresses": {**document.addresses, **alignment.addresses},
    }
    return replace(built, document=document.model_copy(update=values))


def _zero(evidence: Evidence, source: EdgeSource) -> _Levels:
    """The level of ZnO by a functional."""
    prefix = f"{REFERENCE}-"
    runs = {step.removeprefix(prefix): run for step, run in evidence.tasks.items() if step.startswith(prefix)}
    if not runs:
        raise LookupError(evidence.reasons.get(REFERENCE, f"no run of {FORMULA} is at hand"))
    crystal = replace(evidence, tasks=runs, reasons={})
    rule = evidence.protocol.defects.model_copy(update={"edges": (source,)})
    edges = gap_edges(electronic_of(crystal), rule)
    if edges is None:
        raise LookupError(f"{FORMULA} has no band edges by {source}, as the host has")
    try:
        found = _levels(crystal, edges)
    except LookupError as error:
        raise LookupError(f"{FORMULA}: {error.args[0]}") from error
    if len(found.by_site) != 1:
        raise LookupError(f"{FORMULA} has {len(found.by_site)} inequivalent oxygen sites after its relaxation")
    return found


def _levels(evidence: Evidence, edges: GapEdges) -> _Levels:
    """Valence-band maximum of a crystal from the cores of its oxygen sites, the mean over equivalent ones.

    Raises
    ------
    LookupError
        If that is not known, with the reason.
    """
    relaxation = evidence.answer("structure_opt")
    if relaxation is None:
        raise LookupError(f"structure_opt: {evidence.why_not('structure_opt')}")
    crystal, rule = relaxation.final, evidence.protocol.symmetry
    step, run, potentials = _potentials(evidence)
    sites = match_sites(crystal, run.final)
    if sites is None:
        raise LookupError(f"the sites of the {step} run cannot be matched with those of the relaxed crystal")
    try:
        found = orbits_of(crystal, symprec=rule.symprec, angle_tolerance=rule.angle_tolerance)
    except HibanaError as error:
        raise LookupError(error.what) from error
    felt = -potentials[sites]
    levels = {
        orbit.label: vbm_from_core(edges.vbm, float(felt[list(orbit.members)].mean()))
        for orbit in found.orbits
        if orbit.element == ANION
    }
    source = {"pbesol": "band"}.get(edges.source, edges.source)
    return _Levels(levels, {name: evidence.tasks[name].address for name in (source, step)})


def _potentials(evidence: Evidence) -> tuple[str, TaskDoc, np.ndarray]:
    """The first run with potentials at cores, and those as VASP prints them (n_sites,), V."""
    for step in POTENTIALS:
        run = evidence.answer(step)
        values = None if run is None else evidence.sound(step, "site_potentials", (len(run.final.species),))
        if run is not None and values is not None:
            return step, run, values
    raise LookupError(f"no potentials at cores in the runs {' and '.join(POTENTIALS)}")
