"""Site descriptors: what each inequivalent site of the relaxed crystal is like."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.crystal import Crystal
from hibana.documents.properties import From, PropertyDoc
from hibana.documents.task import Document

Number = Annotated[float | None, Unit("1")]
Charge = Annotated[float | None, Unit("e")]


class SiteDescriptor(Document):
    """One inequivalent site. A quantity that is not known is null, and ``reasons`` says why."""

    index: int = Field(description="First site of the orbit, an index into the document's crystal.")
    equivalent: tuple[int, ...] = Field(description="All sites of the orbit, indices into the document's crystal.")
    element: str = Field(description="Chemical symbol.")
    label: str = Field(description="Element and number among its inequivalent sites, as in names of defects: O1, O2.")
    multiplicity: int = Field(description="Number of equivalent sites in the crystal's cell.")
    wyckoff: str = Field(description="Wyckoff letter.")
    site_symmetry: str = Field(description="Site symmetry, Hermann-Mauguin symbol in spglib's notation.")
    voronoi_weights: Annotated[dict[str, float], Unit("1")] = Field(
        description="Share of the full Voronoi solid angle that faces each element, the site's own included; sum 1."
    )
    electronegativity: Number = Field(default=None, description="Pauling electronegativity of the element.")
    nn_ave_electronegativity: Number = Field(default=None, description="Solid-angle weighted mean over the neighbours.")
    nn_max_electronegativity: Number = Field(default=None, description="Largest of the significant neighbours.")
    nn_min_electronegativity: Number = Field(default=None, description="Smallest of the significant neighbours.")
    born_charge: Charge = Field(
        default=None, description="Third of the trace of the Born effective charge tensor, as calculated, without the sum rule."
    )
    nn_ave_born_charge: Charge = Field(default=None, description="Solid-angle weighted mean over the neighbours.")
    nn_max_born_charge: Charge = Field(default=None, description="Largest of the significant neighbours.")
    nn_min_born_charge: Charge = Field(default=None, description="Smallest of the significant neighbours.")
    bader_charge: Charge = Field(default=None, description="Net Bader charge, positive for a cation.")
    nn_ave_bader_charge: Charge = Field(default=None, description="Solid-angle weighted mean over the neighbours.")
    nn_max_bader_charge: Charge = Field(default=None, description="Largest of the significant neighbours.")
    nn_min_bader_charge: Charge = Field(default=None, description="Smallest of the significant neighbours.")
    bader_volume: Annotated[float | None, Unit("Å^3")] = Field(default=None, description="Volume of the Bader region.")
    p_center_from_vbm: Annotated[float | None, Unit("eV")] = Field(
        default=None, description="Anions: centroid of the valence p states, a positive distance below the VBM."
    )
    o2p_center_from_vbm: Annotated[float | None, Unit("eV")] = Field(
        default=None, description="The same of an oxygen site; null for other elements."
    )
    reasons: dict[str, str] = Field(default_factory=dict, description="Quantity to why it is null.")


class SitesDoc(PropertyDoc):
    """The inequivalent sites of the relaxed crystal."""

    collection: ClassVar[str] = "sites"

    crystal: Annotated[Crystal | None, From("structure_opt")] = Field(
        default=None, description="Relaxed primitive cell; indices of sites refer to it."
    )
    space_group_number: Annotated[int | None, From("structure_opt")] = Field(
        default=None, description="Space group that makes sites equivalent, moments aside."
    )
    sites: Annotated[tuple[SiteDescriptor, ...], From("structure_opt", "dielectric", "dos", "band")] = Field(
        default=(), description="One entry an inequivalent site, in the order of their first atoms."
    )
