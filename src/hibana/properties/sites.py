"""Site descriptors of the relaxed crystal, from the runs that say something of its sites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hibana.core.errors import HibanaError
from hibana.documents.crystal import Crystal
from hibana.documents.sites import SiteDescriptor, SitesDoc
from hibana.documents.task import TaskDoc
from hibana.properties.consistency import run_flags
from hibana.properties.dielectric import born_flags
from hibana.properties.electronic import combined_gap_class
from hibana.properties.evidence import Built, Evidence
from hibana.properties.neighbours import neighbour_statistics, weights_by_element
from hibana.properties.p_centre import p_centre_below
from hibana.properties.site_matching import match_sites
from hibana.properties.voronoi import voronoi_weights
from hibana.structures.convert import to_pymatgen
from hibana.structures.symmetry import kind_cell, symmetry_dataset
from hibana.vasp.bader import NOTE

Array = NDArray[np.float64]

STEPS = ("structure_opt", "dielectric", "dos", "band")
"""The runs that sites are described from."""

NOT_A_NUMBER = "the run holds no number for it"
NOT_MATCHED = "the sites of the {step} run cannot be matched with those of the relaxed crystal"


@dataclass(frozen=True)
class Orbit:
    """The sites that the space group makes one.

    ``members`` are indices into the crystal, ascending; ``label`` is the element and its number among the element's orbits.
    """

    element: str
    label: str
    members: tuple[int, ...]
    wyckoff: str
    site_symmetry: str


@dataclass(frozen=True)
class Orbits:
    """Orbits in the order of their first sites, with the space group and the translation class (n_sites,) of each site."""

    orbits: tuple[Orbit, ...]
    space_group_number: int
    translations: NDArray[np.intp]


@dataclass(frozen=True)
class SiteValues:
    """A quantity at every site (n_sites,), NaN where unknown, and why it is unknown where it is."""

    values: Array
    reason: str | None = None

    @classmethod
    def unknown(cls, n_sites: int, reason: str) -> SiteValues:
        """No value at any site."""
        return cls(np.full(n_sites, np.nan), reason)


def orbits_of(crystal: Crystal, *, symprec: float, angle_tolerance: float) -> Orbits:
    """Orbits of the space group of the atoms, moments aside.

    They are numbered as vise and pydefect number inequivalent sites: by element, in the order of their first atoms.

    Raises
    ------
    HibanaError
        HIB-017 where spglib finds no symmetry.
    """
    cell = kind_cell(to_pymatgen(crystal.model_copy(update={"magmoms": None})))
    dataset = symmetry_dataset(cell, symprec, angle_tolerance)
    numbers: dict[str, int] = {}
    orbits = []
    for first in np.unique(dataset.equivalent_atoms):
        element = crystal.species[first]
        numbers[element] = numbers.get(element, 0) + 1
        orbits.append(
            Orbit(
                element=element,
                label=f"{element}{numbers[element]}",
                members=tuple(np.flatnonzero(dataset.equivalent_atoms == first).tolist()),
                wyckoff=str(dataset.wyckoffs[first]),
                site_symmetry=str(dataset.site_symmetry_symbols[first]),
            )
        )
    return Orbits(tuple(orbits), int(dataset.number), np.asarray(dataset.mapping_to_primitive))


def build_sites(evidence: Evidence) -> Built:
    """Descriptors of every inequivalent site of the relaxed crystal.

    Geometry comes from the relaxation, Born charges from the dielectric run, Bader charges and projected densities of states
    from the DOS run, the valence-band maximum from the band run, or from the DOS run where there is none. The cells of these
    runs are matched with the relaxed one site by site.

    Parameters
    ----------
    evidence
        Runs of the steps in :data:`STEPS`, as far as they were made.

    Raises
    ------
    ValueError
        If no calculation was done at all.
    """
    head = evidence.head(*STEPS)
    relaxation = evidence.answer("structure_opt")
    if relaxation is None or "structure_opt" in evidence.reasons:
        reason = f"structure_opt: {evidence.why_not('structure_opt')}"
        return Built(SitesDoc(**head, status="unavailable", reason=reason))
    crystal, rule = relaxation.final, evidence.protocol.symmetry
    try:
        found = orbits_of(crystal, symprec=rule.symprec, angle_tolerance=rule.angle_tolerance)
    except HibanaError as error:
        return Built(SitesDoc(**head, status="unavailable", reason=error.what, crystal=crystal))
    quantities = {
        "electronegativity": _electronegativities(crystal),
        "born_charge": _of_orbits(_born_charges(evidence, crystal), found),
        "bader_charge": _of_orbits(_bader(evidence, crystal, "bader_charges"), found),
        "bader_volume": _of_orbits(_bader(evidence, crystal, "bader_volumes"), found),
    }
    centres = _p_centres(evidence, crystal, found)
    sites = tuple(
        _descriptor(crystal, orbit, found.translations, quantities, centres[index]) for index, orbit in enumerate(found.orbits)
    )
    missing = [step for step in STEPS[1:] if evidence.asked(step) and evidence.answer(step) is None]
    document = SitesDoc(
        **head,
        status="partial" if missing else "complete",
        reason="; ".join(f"{step}: {evidence.why_not(step)}" for step in missing) or None,
        flags=_flags(evidence),
        crystal=crystal,
        space_group_number=found.space_group_number,
        sites=sites,
    )
    return Built(document)


def _flags(evidence: Evidence) -> tuple[str, ...]:
    """Flags of the runs that the sites are described from, and of the Born charges."""
    of_runs = [flag for step in STEPS if (run := evidence.answer(step)) is not None for flag in run_flags(step, run)]
    return tuple(dict.fromkeys([*of_runs, *born_flags(evidence)]))


def _descriptor(
    crystal: Crystal,
    orbit: Orbit,
    translations: NDArray[np.intp],
    quantities: dict[str, SiteValues],
    centre: float | str,
) -> SiteDescriptor:
    first = orbit.members[0]
    weights = voronoi_weights(crystal, first)
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name, quantity in quantities.items():
        if np.isfinite(quantity.values[first]):
            values[name] = float(quantity.values[first])
        else:
            reasons[name] = quantity.reason or NOT_A_NUMBER
        if name == "bader_volume":
            continue
        statistics = neighbour_statistics(weights, quantity.values, translations)
        if statistics is None:
            reasons[f"nn_{name}"] = quantity.reason or NOT_A_NUMBER
            continue
        values |= {
            f"nn_ave_{name}": statistics.average,
            f"nn_max_{name}": statistics.maximum,
            f"nn_min_{name}": statistics.minimum,
        }
    if not _is_anion(orbit.element, values):
        centre = "no anion: its neighbours are not less electronegative"
    for name in ("p_center_from_vbm", "o2p_center_from_vbm") if orbit.element == "O" else ("p_center_from_vbm",):
        if isinstance(centre, str):
            reasons[name] = centre
        else:
            values[name] = centre
    return SiteDescriptor(
        index=first,
        equivalent=orbit.members,
        element=orbit.element,
        label=orbit.label,
        multiplicity=len(orbit.members),
        wyckoff=orbit.wyckoff,
        site_symmetry=orbit.site_symmetry,
        voronoi_weights=weights_by_element(weights, crystal.species),
        **values,
        reasons=reasons,
    )


def _is_anion(symbol: str, values: dict[str, float]) -> bool:
    """Whether the element has valence p states and is more electronegative than its neighbours."""
    from pymatgen.core import Element

    own, around = values.get("electronegativity"), values.get("nn_ave_electronegativity")
    return Element(symbol).block == "p" and own is not None and around is not None and own > around


def _electronegativities(crystal: Crystal) -> SiteValues:
    from pymatgen.core import Element

    table = {symbol: Element(symbol).data.get("X") for symbol in set(crystal.species)}
    unknown = sorted(symbol for symbol, value in table.items() if not isinstance(value, int | float))
    values = np.array([np.nan if symbol in unknown else table[symbol] for symbol in crystal.species], dtype=float)
    return SiteValues(values, f"no Pauling electronegativity of {', '.join(unknown)}" if unknown else None)


def _of_orbits(quantity: SiteValues, found: Orbits) -> SiteValues:
    """The same value for the sites of one orbit: their mean."""
    values = quantity.values.copy()
    for orbit in found.orbits:
        values[list(orbit.members)] = values[list(orbit.members)].mean()
    return SiteValues(values, quantity.reason)


def _matched(
    evidence: Evidence, crystal: Crystal, step: str, name: str, shape: tuple[int, ...] | None = None
) -> tuple[TaskDoc, Array, NDArray[np.intp]] | str:
    """A run, one of its arrays, and its sites in the order of the crystal; or why there is none."""
    run = evidence.answer(step)
    if run is None:
        return f"{step}: {evidence.why_not(step)}"
    values = evidence.sound(step, name, shape)
    if values is None:
        lacking = f"the run has no {name.replace('_', ' ')}"
        return f"{step}: {evidence.fault(step, name, shape) or lacking}"
    sites = match_sites(crystal, run.final)
    return (run, values, sites) if sites is not None else NOT_MATCHED.format(step=step)


def _born_charges(evidence: Evidence, crystal: Crystal) -> SiteValues:
    n_sites = len(crystal.species)
    found = _matched(evidence, crystal, "dielectric", "born_charges", (n_sites, 3, 3))
    if isinstance(found, str):
        return SiteValues.unknown(n_sites, found)
    _, tensors, sites = found
    return SiteValues(np.trace(tensors, axis1=1, axis2=2)[sites] / 3)


def _bader(evidence: Evidence, crystal: Crystal, array: str) -> SiteValues:
    n_sites = len(crystal.species)
    found = _matched(evidence, crystal, "dos", array, (n_sites,))
    if isinstance(found, str):
        return SiteValues.unknown(n_sites, _no_analysis(evidence) or found)
    _, values, sites = found
    return SiteValues(values[sites])


def _no_analysis(evidence: Evidence) -> str | None:
    """What the DOS run says of why it has no Bader analysis."""
    run = evidence.answer("dos")
    notes = () if run is None else run.warnings
    return next((f"dos: no Bader analysis: {note.removeprefix(NOTE)}" for note in notes if note.startswith(NOTE)), None)


def _p_centres(evidence: Evidence, crystal: Crystal, found: Orbits) -> list[float | str]:
    """Centre of the valence p states of each orbit below the VBM, or why it is not known."""
    matched = _matched(evidence, crystal, "dos", "site_dos")
    energies, rows = evidence.sound("dos", "dos_energies"), evidence.load("dos", "inequivalent_sites")
    band = evidence.answer("band")
    if isinstance(matched, str):
        return [matched] * len(found.orbits)
    run, densities, sites = matched
    vbm = run.edges.vbm if band is None or band.edges.vbm is None else band.edges.vbm
    if combined_gap_class(band, run) == "metal":
        vbm = None
    if energies is None or rows is None:
        return ["dos: the run does not say which sites and energies its densities are of"] * len(found.orbits)
    if vbm is None:
        return ["no valence-band maximum"] * len(found.orbits)
    row_of = {int(site): row for row, site in enumerate(rows)}
    centres: list[float | str] = []
    for orbit in found.orbits:
        known = [row_of[int(sites[member])] for member in orbit.members if int(sites[member]) in row_of]
        if not known:
            centres.append("dos: the run has no density of states of this site")
            continue
        try:
            centres.append(p_centre_below(energies, densities[known[0]], vbm))
        except ValueError as error:
            centres.append(f"dos: {error}")
    return centres
