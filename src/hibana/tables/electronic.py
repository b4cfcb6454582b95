"""The table ``electronic``: relaxed lattice, PBEsol and hybrid gaps, band edges."""

from __future__ import annotations

from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.tables.columns import address_column, flags_column, projection
from hibana.tables.table import Table

_IDENTITY = ("material_id", "formula", "calculator", "calculator_version", "protocol", "protocol_version")
_CRYSTAL = (
    "space_group_number",
    "space_group_symbol",
    "a",
    "b",
    "c",
    "alpha",
    "beta",
    "gamma",
    "volume_per_atom",
    "energy_per_atom",
)
_BANDS = (
    "gap_class",
    "band_gap_pbesol",
    "is_gap_direct",
    "direct_gap_pbesol",
    "vbm",
    "cbm",
    "band_gap_hse06_nsc",
    "vbm_hse06_nsc",
    "cbm_hse06_nsc",
    "magnetization",
)

ELECTRONIC = Table(
    name="electronic",
    title="Relaxed lattice, band gap and band edges",
    about=(
        "Each crystal was relaxed with PBEsol until a relaxation converged at its first ionic step. Band structure and density "
        "of states were calculated with PBEsol on the relaxed cell; materials with a gap were then evaluated with HSE06 "
        "non-self-consistently on the PBEsol wave functions. A metal (`gap_class` metal) has `band_gap_pbesol` 0 and no hybrid "
        "gap.",
        "Runs are spin-polarised only for structures submitted with initial moments. For all others `magnetization` is missing, "
        "which means not looked for, and a material that is magnetic stands here in its non-magnetic state.",
        "Lattice parameters are those of the conventional cell. Energies, `vbm` and `cbm` are on the calculator's own zero: "
        "compare them within one row, or as formation energies from one calculator and one protocol.",
    ),
    flow="electronic",
    documents=(RelaxationDoc, ElectronicDoc),
    columns=(
        *(projection(ElectronicDoc, field) for field in _IDENTITY),
        *(projection(RelaxationDoc, field) for field in _CRYSTAL),
        *(projection(ElectronicDoc, field) for field in _BANDS),
        projection(ElectronicDoc, "status"),
        projection(ElectronicDoc, "reason"),
        flags_column(RelaxationDoc, ElectronicDoc),
        address_column(RelaxationDoc, "structure_opt"),
        address_column(ElectronicDoc, "band"),
        address_column(ElectronicDoc, "dos"),
        address_column(ElectronicDoc, "hse06_nsc"),
    ),
)
