"""The table ``materials``: one row a material, with the key numbers of all its properties and the tables it is in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hibana.documents.dielectric import DielectricDoc, PhononDoc
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.optics import OpticsDoc
from hibana.documents.properties import ElectronicDoc, PropertyDoc, RelaxationDoc
from hibana.documents.sites import SitesDoc
from hibana.documents.vacancy import SupercellDoc, VacancyDoc, VacancySummaryDoc
from hibana.tables.columns import Column, Record, address_column, projection
from hibana.tables.common import crystal_columns, identity_columns, quality_columns
from hibana.tables.keys import family_column
from hibana.tables.table import Table

JOINED: tuple[type[PropertyDoc], ...] = (
    *(ElectronicDoc, DielectricDoc, PhononDoc, DispersionDoc, OpticsDoc, SitesDoc),
    *(SupercellDoc, VacancySummaryDoc, VacancyDoc),
)
"""Documents that a row may do without."""

_KEY_NUMBERS: tuple[tuple[type[PropertyDoc], str, str | None], ...] = (
    *((ElectronicDoc, field, None) for field in ("gap_class", "band_gap_pbesol", "is_gap_direct", "direct_gap_pbesol")),
    *((ElectronicDoc, field, None) for field in ("band_gap_hse06_nsc", "band_gap_ddh_nsc")),
    *((ElectronicDoc, field, None) for field in ("electron_mass_average", "hole_mass_average", "magnetization")),
    *((DielectricDoc, f"epsilon_{part}_average", None) for part in ("electronic", "ionic", "static")),
    *((PhononDoc, field, f"{field}_gamma") for field in ("lowest_optical", "highest_optical", "is_stable")),
    *((DispersionDoc, field, f"{field}_dispersion") for field in ("min_frequency", "max_frequency", "is_stable")),
    (OpticsDoc, "onset", "absorption_onset"),
    (OpticsDoc, "refractive_index_zero", None),
)
"""Document, field and name of the joined numbers."""


def materials(tables: Iterable[Table]) -> Table:
    """The table, which names those of other tables that a material is in.

    Parameters
    ----------
    tables
        All other tables.
    """
    others = tuple(tables)
    return Table(
        name="materials",
        title="What is known of each material",
        about=(
            "One row a relaxed material, whatever else is known of it: the key numbers of all properties, each explained in the "
            "table of its property. `tables` names the tables that the material has a row in when flagged rows are left out.",
            "A property with flags has no numbers here (`missing` says `flagged`), unless flagged rows were asked for; `flags` "
            "are those of the relaxation alone. Metals have no hybrid gap, spectra or band edges.",
        ),
        branches=(),
        documents=(RelaxationDoc,),
        optional=JOINED,
        is_overview=True,
        columns=(
            *identity_columns(RelaxationDoc),
            family_column(),
            *crystal_columns(),
            *(_joined(kind, field, name) for kind, field, name in _KEY_NUMBERS),
            Column(
                *("n_vacancies", "integer", None),
                "Oxygen vacancies, by site and charge, that the table `oxygen_vacancy` has a row of.",
                "vacancies",
                lambda record: sum(_parts_in(table, record) for table in others if table.parts is not None),
            ),
            Column(
                *("tables", "list of strings", None),
                "Tables that the material has a row in, flagged rows left out.",
                "status and flags of all documents of the material",
                lambda record: [table.name for table in others if _is_in(table, record)],
            ),
            *quality_columns(RelaxationDoc),
            address_column(RelaxationDoc, "structure_opt"),
            *(_address(ElectronicDoc, step) for step in ("band", "dos", "hse06_nsc", "ddh_nsc")),
            _address(DielectricDoc, "dielectric"),
            _address(OpticsDoc, "dielectric_function"),
            _displacements(),
        ),
    )


def _joined(kind: type[PropertyDoc], field: str, name: str | None) -> Column:
    return _if_there(projection(kind, field, name), kind)


def _address(kind: type[PropertyDoc], step: str) -> Column:
    return _if_there(address_column(kind, step), kind)


def _displacements() -> Column:
    """Column with the runs of all displaced supercells."""

    def read(record: Record) -> list[str]:
        runs = record.documents[DispersionDoc].addresses.items()
        return [address for name, address in sorted(runs) if name.partition("-")[0] == "phonon_force"]

    meaning = "Content addresses of the runs phonon_force that the row rests on."
    column = Column("address_phonon_force", "list of strings", None, meaning, "dispersion.addresses", read)
    return _if_there(column, DispersionDoc)


def _if_there(column: Column, kind: type[PropertyDoc]) -> Column:
    """The column, null where the document is not there or says that it has no value."""

    def read(record: Record) -> Any:
        document = record.documents.get(kind)
        return None if document is None or document.status == "unavailable" else column.read(record)

    return replace(column, read=read)


def _is_in(table: Table, record: Record) -> bool:
    if table.parts is not None:
        return _parts_in(table, record) > 0
    documents = [record.documents.get(kind) for kind in table.documents]
    there = all(document is not None and document.status != "unavailable" and not document.flags for document in documents)
    return there and (table.items is None or bool(getattr(record.documents[table.subject], table.items)))


def _parts_in(table: Table, record: Record) -> int:
    """How many parts of the material have a row."""
    documents = {**record.documents, **record.withheld}
    if table.parts is None or table.parts.refusal(documents):
        return 0
    joined = ({**documents, type(part): part} for part in record.parts if isinstance(part, table.subject))
    return sum(table.parts.why_unavailable(there) is None and not table.parts.flags(there) for there in joined)
