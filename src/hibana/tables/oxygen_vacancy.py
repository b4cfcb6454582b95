"""The table ``oxygen_vacancy``: formation energies of oxygen vacancies with the descriptors of host and site.

The descriptors have the names, meanings and units of the published table of oxygen vacancies in oxides (Y. Kumagai et al., Phys.
Rev. Mater. 5, 123803 (2021)), so that one program reads both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hibana.documents.chemical_potentials import OXYGEN_STEPS, ChemicalPotentialDoc, ChemicalPotentials, Diagram
from hibana.documents.crystal import Crystal
from hibana.documents.dielectric import DielectricDoc
from hibana.documents.properties import ElectronicDoc, PropertyDoc, RelaxationDoc
from hibana.documents.sites import SiteDescriptor, SitesDoc
from hibana.documents.vacancy import SupercellDoc, VacancyDoc, VacancySummaryDoc
from hibana.tables.columns import Column, Documents, Record, item_projection, projection, property_name, steps_of
from hibana.tables.common import identity_columns
from hibana.tables.missing import missing_column
from hibana.tables.table import Table
from hibana.tables.vacancy_parts import VacancyParts, site_of

ELEMENTS = (
    *("Bi", "Ag", "O", "Hg", "Au", "Ge", "Al", "Pb", "Zn", "As", "Cu", "Sb", "Mo", "Tl", "B", "Ba", "Ca", "Pd", "Cd", "Pt", "Ce"),
    *("Hf", "In", "Ga", "La", "Ta", "Mg", "Si", "Sc", "Sn", "Ti", "Y", "Zr", "Nb", "Na", "Sr", "V", "Li", "Be", "W", "Cr", "Cs"),
    *("K", "Re", "Rb"),
)
"""Elements that have a column, those of the published table; all others are in ``voronoi_weights`` alone."""

ORBITALS = ("d", "f", "p", "s")

HOST: tuple[type[PropertyDoc], ...] = (
    *(RelaxationDoc, ElectronicDoc, DielectricDoc, SitesDoc, SupercellDoc, ChemicalPotentialDoc, VacancySummaryDoc),
)
"""Documents of the host; a row may do without any of them."""

JOINED: tuple[type[PropertyDoc], ...] = (VacancyDoc, *reversed(HOST))
"""All documents of a row; of those that say which run a step was, the first counts."""

SAME_CELL = 1e-5
"""Lattice vectors (Å) and fractional coordinates that differ less are the same."""

NEIGHBOUR_QUANTITIES = {"ave_bec": "born_charge", "bader_charge": "bader_charge", "eleneg": "electronegativity"}
"""Names in the published table to fields of site descriptors."""


def _host(kind: type[PropertyDoc], field: str, name: str | None = None) -> Column:
    """Column of a host's document, missing where there is no such document."""
    column = projection(kind, field, name)
    return replace(column, read=lambda record: column.read(record) if kind in record.documents else None)


def _site(field: str, name: str | None = None, quantity: str | None = None) -> Column:
    """Column of the site, missing where its descriptors are."""
    column = item_projection(SitesDoc, "sites", SiteDescriptor, field, name, after=(quantity,) if quantity else ())
    return replace(column, read=lambda record: None if record.item is None else column.read(record))


def _site_index(record: Record) -> int | None:
    """The removed site in the structure beside the table: itself where that is the host's cell, else the first of its orbit."""
    supercell, structure = record.documents.get(SupercellDoc), OXYGEN_VACANCY.crystal(record.documents)
    vacancy = record.documents[VacancyDoc]
    if isinstance(supercell, SupercellDoc) and isinstance(vacancy, VacancyDoc) and _is_same_cell(supercell.host, structure):
        found = next((site.host_index for site in supercell.sites if site.name == vacancy.site), None)
        if found is not None:
            return found
    return record.item.index if isinstance(record.item, SiteDescriptor) else None


def _is_same_cell(one: Crystal | None, other: Crystal | None) -> bool:
    """Whether two cells are the same site by site, so that an index means the same in both."""
    if one is None or other is None or one.species != other.species:
        return False
    ways = np.array(one.frac_coords) - np.array(other.frac_coords)
    return bool(np.allclose(one.lattice, other.lattice, atol=SAME_CELL) and np.allclose(ways, np.round(ways), atol=SAME_CELL))


def _vacancy(field: str, name: str | None = None) -> Column:
    return projection(VacancyDoc, field, name)


def _element(symbol: str) -> Column:
    def read(record: Record) -> float | None:
        return record.item.voronoi_weights.get(symbol, 0.0) if isinstance(record.item, SiteDescriptor) else None

    return Column(
        name=symbol,
        dtype="number",
        unit="1",
        meaning=f"Share of the full Voronoi solid angle of the site that faces {symbol}; 0 where it faces none.",
        source="sites.sites.voronoi_weights",
        read=read,
        steps=steps_of(SitesDoc, "sites"),
    )


def _neighbours() -> tuple[Column, ...]:
    return tuple(
        _site(f"nn_{what}_{field}", f"nn_{what}_{name}", field)
        for what in ("ave", "max", "min")
        for name, field in NEIGHBOUR_QUANTITIES.items()
    )


def _diagram(documents: Documents) -> Diagram | None:
    """The diagram of chemical potentials by the oxygen reference used."""
    for kind in (ChemicalPotentialDoc, VacancySummaryDoc):
        potentials = getattr(documents.get(kind), "chemical_potentials", None)
        if isinstance(potentials, ChemicalPotentials):
            return potentials.diagram(potentials.oxygen.used)
    return None


def _of_diagram(field: str, name: str, meaning: str) -> Column:
    def read(record: Record) -> Any:
        diagram = _diagram(record.documents)
        return None if diagram is None else getattr(diagram, field)

    return Column(
        name=name,
        dtype="number",
        unit="eV/atom",
        meaning=meaning,
        source=f"chemical_potentials.chemical_potentials.diagrams.{field}",
        read=read,
        steps=("competing", *OXYGEN_STEPS.values()),
    )


def _energy(field: str, name: str, meaning: str, *, neutral: str | None = None) -> Column:
    """Column of a formation energy.

    Parameters
    ----------
    field, name, meaning
        Field of the vacancy's document; name and meaning of the column.
    neutral
        Field for a neutral vacancy, whose energy does not depend on the Fermi level, where the other is missing.
    """

    def read(record: Record) -> Any:
        vacancy = record.documents[VacancyDoc]
        value = getattr(vacancy, field)
        return getattr(vacancy, neutral) if value is None and neutral and getattr(vacancy, "charge", None) == 0 else value

    steps = dict.fromkeys((*steps_of(VacancyDoc, field), *(steps_of(VacancyDoc, neutral) if neutral else ())))
    return Column(name, "number", "eV", meaning, f"vacancies.{field}", read, steps=(*steps, *OXYGEN_STEPS.values()))


def _alignment_error(record: Record) -> float | None:
    """Absolute charge times the standard deviation of what is averaged for the alignment, eV; one atom has none."""
    vacancy = record.documents[VacancyDoc]
    names = ("sheet_differences", "sheet_point_charge", "sheet_outside")
    if not isinstance(vacancy, VacancyDoc):
        return None
    if vacancy.charge == 0:
        return 0.0
    if any(name not in vacancy.arrays for name in names):
        return None
    differences, point_charge, outside = (np.asarray(record.array(vacancy.arrays[name])) for name in names)
    residuals = (differences - point_charge)[outside.astype(bool)]
    return abs(vacancy.charge) * float(residuals.std()) if len(residuals) > 1 else None


def _levels(field: str, meaning: str) -> Column:
    """Column of a number of each of the vacancy's own states; missing where it is not known of all."""

    def read(record: Record) -> list[float] | None:
        vacancy = record.documents[VacancyDoc]
        channels = vacancy.channels if isinstance(vacancy, VacancyDoc) else ()
        values = [getattr(level, field) for channel in channels for level in channel.levels]
        return None if not channels or any(value is None for value in values) else values

    return Column(
        name=f"level_{field}s",
        dtype="list of numbers",
        unit="1",
        meaning=meaning,
        source=f"vacancies.channels.levels.{field}",
        read=read,
        steps=("vacancy", "supercell"),
    )


def _address(step: str) -> Column:
    """Column with the run of a step, or the runs of a step of several."""
    several = step in ("competing", "reference")

    def read(record: Record) -> Any:
        for kind in JOINED:
            document = record.documents.get(kind)
            found = [] if document is None else _runs(document.addresses, step, document.part)
            if found:
                return found if several else found[0]
        return None

    return Column(
        name=f"address_{step}",
        dtype="list of strings" if several else "string",
        unit=None,
        meaning=f"Content address{'es' if several else ''} of the run{'s' if several else ''} {step} that the row rests on.",
        source=", ".join(f"{property_name(kind)}.addresses" for kind in JOINED),
        read=read,
    )


def _runs(addresses: dict[str, str], step: str, part: str) -> list[str]:
    """Addresses of a step; of the step of vacancies only that of the vacancy."""
    own = (step, f"{step}-{part}") if step == "vacancy" else None
    return [address for name, address in sorted(addresses.items()) if (name in own if own else name.partition("-")[0] == step)]


def _said(name: str, meaning: str, read: Callable[[Record], Any], *, source: str, several: bool = False) -> Column:
    return Column(name, "list of strings" if several else "string", None, meaning, source, read)


PARTS = VacancyParts(HOST)

OXYGEN_VACANCY = Table(
    name="oxygen_vacancy",
    title="Formation energies of oxygen vacancies, with descriptors of host and site",
    about=(
        "One row a host, inequivalent oxygen site and charge state; `material_id` and `vacancy` are its key. Rows of one `group` "
        "are vacancies of one formula and share the descriptors of the host: never split a group between training and test.",
        "Descriptors are of the pristine crystal with PBEsol, and have the names and units of the published table of Kumagai et "
        "al. (2021). The columns named by an element are shares of the solid angle that the oxygen site sees: 0 means that the "
        "site faces no such atom, null that the site's descriptors are missing. Elements without a column of their own are in "
        "the map `voronoi_weights`, which has all. `nn_max_…` and `nn_min_…` go over neighbours whose share, periodic images of "
        "one atom together, is above 1/12.",
        "**Host formation energy.** `formation_energy` is from hibana's own competing phases, or from the table named in "
        "`formation_energy_table`; the published column is from the Materials Project with its corrections.",
        "**Reference of the Fermi level.** `vacancy_formation_energy` is at Δμ = 0 and, of charged states, with the Fermi level "
        "at a level common to all hosts: the potential at the core of the oxygen site, with the origin that puts the "
        "valence-band maximum of ZnO at 0. It is null where that alignment is not known. `vacancy_formation_energy_vbm` has the "
        "Fermi level at the host's own valence-band maximum, and is higher by the charge times `vbm_from_o_core`. Of neutral "
        "states both are the same number.",
        "**Oxygen reference.** Energies are by the convention in `oxygen_reference`: half of the calculated molecule, or the "
        "calculated atom less half of the measured binding energy. `vacancy_formation_energy_other_oxygen` is by the other one. "
        "Never mix rows of two conventions.",
        "**Error bars.** `alignment_error` is that part of the error of a charged state which is known: the scatter of what is "
        "averaged for the alignment of potentials. The errors of functional, cell size and relaxation are not known and are in "
        "no column.",
        "Charge states with carriers in the bands of the host, and those whose band edges were not found again, are not energies "
        "of a vacancy's own state: `left_out` says so, they count as flagged, and are in the table only where flagged rows are "
        "asked for. A value that is null is explained in `missing` by a code, and in `missing_reasons` in words.",
    ),
    branches=("vacancy",),
    documents=(VacancyDoc,),
    optional=HOST,
    crystal_of=(SitesDoc, RelaxationDoc),
    parts=PARTS,
    columns=(
        *identity_columns(VacancyDoc),
        _said(
            "group",
            "Key that rows must be kept together by in a split: the formula of the host.",
            lambda record: record.documents[VacancyDoc].formula,
            source="vacancies.formula",
        ),
        _said(
            "full_name",
            "Formula and name without charge: ZnO_Va_O1.",
            lambda record: f"{record.documents[VacancyDoc].formula}_{getattr(record.documents[VacancyDoc], 'name', '')}",
            source="vacancies.formula, vacancies.name",
        ),
        _vacancy("part", "vacancy"),
        _vacancy("site"),
        Column(
            *("site_index", "integer", None),
            "The removed site, or one that is equivalent to it: an index, from 0, into the material's structure in "
            "`structures.jsonl.gz`.",
            "supercells.sites.host_index",
            _site_index,
            steps=steps_of(SupercellDoc, "sites"),
        ),
        _vacancy("charge"),
        _host(RelaxationDoc, "space_group_number"),
        _host(RelaxationDoc, "space_group_symbol"),
        *(_site(field) for field in ("wyckoff", "site_symmetry", "multiplicity")),
        _host(DielectricDoc, "epsilon_electronic_average", "ave_ele_diele"),
        _host(DielectricDoc, "epsilon_ionic_average", "ave_ion_diele"),
        _host(ElectronicDoc, "band_gap_pbesol", "band_gap"),
        *(_host(ElectronicDoc, f"cbm_{orbital}") for orbital in ORBITALS),
        _of_diagram(
            "formation_energy_per_atom",
            "formation_energy",
            "Formation energy of the host per atom, from the elements in their standard states, by the oxygen reference used.",
        ),
        *(_host(ElectronicDoc, f"vbm_{orbital}") for orbital in ORBITALS),
        _site("born_charge", "ave_bec"),
        _site("bader_charge"),
        _site("bader_volume"),
        *_neighbours(),
        _site("o2p_center_from_vbm", quantity="p_center_from_vbm"),
        *(_element(symbol) for symbol in ELEMENTS),
        _site("voronoi_weights"),
        _energy(
            "formation_energy_core_reference",
            "vacancy_formation_energy",
            "Formation energy at Δμ = 0, of charged states with the Fermi level at the common reference of all hosts.",
            neutral="formation_energy",
        ),
        _energy(
            "formation_energy",
            "vacancy_formation_energy_vbm",
            "Formation energy at Δμ = 0 with the Fermi level at the host's valence-band maximum.",
        ),
        _energy(
            "formation_energy_other_oxygen",
            "vacancy_formation_energy_other_oxygen",
            "Formation energy at Δμ = 0 with the Fermi level at the host's VBM, by the oxygen reference that is not used.",
        ),
        _vacancy("vbm_from_o_core"),
        Column(
            name="alignment_error",
            dtype="number",
            unit="eV",
            meaning=(
                "Error of the alignment: charge times the standard deviation of the potential that is averaged far from the "
                "vacancy; 0 for a neutral one, which is not aligned."
            ),
            source="vacancies.arrays.sheet_differences, sheet_point_charge, sheet_outside",
            read=_alignment_error,
            steps=("vacancy", "supercell", "dielectric"),
        ),
        _vacancy("oxygen_reference"),
        _vacancy("edges"),
        _vacancy("vbm"),
        _host(VacancySummaryDoc, "band_gap", "band_gap_edges"),
        *(_vacancy(field) for field in ("defect_energy", "perfect_energy", "reservoir_energy", "band_edge_energy")),
        *(_vacancy(field) for field in ("point_charge_correction", "alignment_correction", "correction")),
        _of_diagram(
            "energy_above_hull", "energy_above_hull", "Energy of the host above the competing phases; 0 if it is stable."
        ),
        *(_host(ChemicalPotentialDoc, f"chemical_potential_{limit}") for limit in ("o_rich", "o_poor")),
        _host(ChemicalPotentialDoc, "source", "formation_energy_table"),
        *(_vacancy(field) for field in ("edge_state", "localised_levels")),
        _levels("occupation", "Occupations of the localised levels, from 0 to 1 and in their order."),
        _levels("participation", "Shares of the vacancy's neighbours in the localised levels, in their order."),
        _vacancy("structure_class"),
        *(_vacancy(field) for field in ("symmetry_before", "symmetry_after", "symmetry_relation", "max_displacement")),
        _vacancy("magnetization"),
        _host(SupercellDoc, "n_atoms", "supercell_atoms"),
        _host(SupercellDoc, "anisotropy", "supercell_anisotropy"),
        replace(_vacancy("left_out"), is_note=True),
        _vacancy("status"),
        _vacancy("reason"),
        _said(
            "missing_reasons",
            "What of host and site is null, each with the reason.",
            lambda record: PARTS.missing(record.documents, site_of(record.documents)),
            source=", ".join(f"{property_name(kind)}.reason" for kind in HOST),
            several=True,
        ),
        missing_column(),
        _said(
            "flags",
            PropertyDoc.model_fields["flags"].description or "",
            lambda record: PARTS.flags(record.documents),
            source=", ".join(f"{property_name(kind)}.flags" for kind in JOINED),
            several=True,
        ),
        *(
            _address(step)
            for step in (
                *("structure_opt", "band", "dos", "dielectric", "hse06_nsc", "ddh_nsc"),
                *("supercell", "vacancy", "oxygen_molecule", "oxygen_atom", "competing", "reference"),
            )
        ),
    ),
)
