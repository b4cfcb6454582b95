"""The table ``sites``: descriptors of every inequivalent site."""

from __future__ import annotations

from hibana.documents.properties import RelaxationDoc
from hibana.documents.sites import SiteDescriptor, SitesDoc
from hibana.tables.columns import Column, address_column, item_projection
from hibana.tables.common import identity_columns, quality_columns, space_group_columns
from hibana.tables.table import Table

_KEY = {"index": "site_index", "label": "site_label"}
_SITE = ("element", "multiplicity", "wyckoff", "site_symmetry", "voronoi_weights")
_WITH_NEIGHBOURS = ("electronegativity", "born_charge", "bader_charge")
_MORE = ("bader_volume", "p_center_from_vbm")


def _column(field: str, name: str | None = None, quantity: str | None = None) -> Column:
    return item_projection(SitesDoc, "sites", SiteDescriptor, field, name, after=(quantity,) if quantity else ())


def _neighbours(quantity: str) -> tuple[Column, ...]:
    """Columns of a quantity at the site and around it."""
    return _column(quantity), *(_column(f"nn_{what}_{quantity}", quantity=quantity) for what in ("ave", "max", "min"))


def _reasons(site: SiteDescriptor) -> tuple[str, ...]:
    return tuple(f"{quantity}: {why}" for quantity, why in sorted(site.reasons.items()))


SITES = Table(
    name="sites",
    title="Descriptors of inequivalent sites",
    about=(
        "One row an inequivalent site of the relaxed crystal; `material_id` and `site_index` are its key. `site_label` counts "
        "the inequivalent sites of an element: O1, O2. All quantities are of the pristine crystal with PBEsol.",
        "`voronoi_weights` has a number for each element whose atoms the site faces: a map in Parquet, `Zn:0.93;O:0.07` in CSV. "
        "An element that is not named has weight 0. The columns `nn_ave_…` are means over all Voronoi neighbours with these "
        "solid angles; `nn_max_…` and `nn_min_…` go over the neighbours whose weight, periodic images of one atom together, is "
        "above 1/12.",
        "A quantity that is missing is null; `missing` says why by a code and `missing_reasons` in words.",
    ),
    branches=("dos", "dielectric"),
    documents=(RelaxationDoc, SitesDoc),
    items="sites",
    crystal_of=(SitesDoc, RelaxationDoc),
    columns=(
        *identity_columns(SitesDoc, lambda record: getattr(record.item, "label", "")),
        *(_column(field, name) for field, name in _KEY.items()),
        *space_group_columns(),
        *(_column(field) for field in _SITE),
        *(column for quantity in _WITH_NEIGHBOURS for column in _neighbours(quantity)),
        *(_column(field) for field in _MORE),
        _column("o2p_center_from_vbm", quantity="p_center_from_vbm"),
        Column(
            name="missing_reasons",
            dtype="list of strings",
            unit=None,
            meaning="Quantities of the site that are null, each with the reason.",
            source="sites.sites.reasons",
            read=lambda record: _reasons(record.item) if isinstance(record.item, SiteDescriptor) else None,
        ),
        *quality_columns(RelaxationDoc, SitesDoc),
        address_column(RelaxationDoc, "structure_opt"),
        *(address_column(SitesDoc, step) for step in ("band", "dos", "dielectric")),
    ),
)
