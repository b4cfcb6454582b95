"""The table ``electronic``: relaxed lattice, PBEsol and hybrid gaps, band edges."""

from __future__ import annotations

from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.tables.columns import address_column, projection
from hibana.tables.common import crystal_columns, identity_columns, quality_columns
from hibana.tables.table import Table

_BANDS = (
    "gap_class",
    "band_gap_pbesol",
    "is_gap_direct",
    "direct_gap_pbesol",
    "vbm",
    "cbm",
    "band_gap_hse06_nsc",
    "direct_gap_hse06_nsc",
    "vbm_hse06_nsc",
    "cbm_hse06_nsc",
    "recipe_hse06_nsc",
    "band_gap_ddh_nsc",
    "direct_gap_ddh_nsc",
    "vbm_ddh_nsc",
    "cbm_ddh_nsc",
    "exchange_ratio_ddh",
    "recipe_ddh_nsc",
    "vbm_s",
    "vbm_p",
    "vbm_d",
    "vbm_f",
    "cbm_s",
    "cbm_p",
    "cbm_d",
    "cbm_f",
    "electron_mass_average",
    "hole_mass_average",
    "magnetization",
)

ELECTRONIC = Table(
    name="electronic",
    title="Relaxed lattice, band gap and band edges",
    about=(
        "Each crystal was relaxed with PBEsol until a relaxation converged at its first ionic step. Band structure and density "
        "of states were calculated with PBEsol on the relaxed cell; materials with a gap were then evaluated with HSE06 "
        "non-self-consistently on the PBEsol wave functions (`_hse06_nsc`), and where the flow had that branch with the "
        "dielectric-dependent hybrid (`_ddh_nsc`), whose share of exact exchange `exchange_ratio_ddh` is 3/tr ε∞ of the same "
        "crystal. A metal (`gap_class` metal) has `band_gap_pbesol` 0 and no band edges, orbital characters of them, masses "
        "or hybrid gap.",
        "`vbm_s` to `cbm_f` are shares of the projected density of states on the spheres of all atoms within 0.5 eV of an edge; "
        "s, p, d and f of an edge sum to 1. Effective masses are those of conduction at 300 K and 10^18 carriers per cm^3; they "
        "need BoltzTraP2 on the machine that collects the results; `masses_reason` says why there are none.",
        "Runs are spin-polarised where the structure was submitted with initial moments or has one of the elements the protocol "
        "names. For all others `magnetization` is missing, which means not looked for.",
        "Lattice parameters are those of the conventional cell. Energies, `vbm` and `cbm` are on the calculator's own zero: "
        "compare them within one row, or as formation energies from one calculator and one protocol.",
    ),
    branches=("band", "dos", "hse06", "ddh"),
    documents=(RelaxationDoc, ElectronicDoc),
    columns=(
        *identity_columns(ElectronicDoc),
        *crystal_columns(),
        *(projection(ElectronicDoc, field) for field in _BANDS),
        projection(ElectronicDoc, "masses_reason", is_note=True),
        *quality_columns(RelaxationDoc, ElectronicDoc),
        address_column(RelaxationDoc, "structure_opt"),
        *(address_column(ElectronicDoc, step) for step in ("band", "dos", "dielectric", "hse06_nsc", "ddh_nsc")),
    ),
)
