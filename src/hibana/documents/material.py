"""The material document: all that is claimed of one material in one series, with the runs each value was read from."""

from __future__ import annotations

from typing import ClassVar, get_args

from pydantic import Field

from hibana.documents.dielectric import DielectricDoc, PhononDoc
from hibana.documents.dispersion import DispersionDoc
from hibana.documents.optics import OpticsDoc
from hibana.documents.properties import ElectronicDoc, PropertyDoc, RelaxationDoc
from hibana.documents.sites import SitesDoc


class MaterialDoc(PropertyDoc):
    """The property documents of one material, by one protocol and one code.

    Status, flags, addresses and reasons are those of all its parts; a flag begins with the name of its part.
    """

    collection: ClassVar[str] = "materials"

    relaxation: RelaxationDoc | None = Field(default=None, description="The relaxed crystal.")
    electronic: ElectronicDoc | None = Field(default=None, description="Gaps and band edges.")
    dielectric: DielectricDoc | None = Field(default=None, description="Static dielectric tensors and Born charges.")
    phonon: PhononDoc | None = Field(default=None, description="Phonons at Γ.")
    optics: OpticsDoc | None = Field(default=None, description="Optical spectra; their arrays are named in it.")
    sites: SitesDoc | None = Field(default=None, description="Descriptors of inequivalent sites.")
    dispersion: DispersionDoc | None = Field(default=None, description="Phonons in the whole Brillouin zone.")
    sources: dict[str, dict[str, tuple[str, ...]]] = Field(
        default_factory=dict, description="Part, then field, to the addresses of the runs that its value was read from."
    )

    @property
    def parts(self) -> dict[str, PropertyDoc]:
        """Its property documents by name."""
        found = {name: getattr(self, name) for name in PARTS}
        return {name: part for name, part in found.items() if part is not None}


PARTS: dict[str, type[PropertyDoc]] = {
    info_name: kind
    for info_name, info in MaterialDoc.model_fields.items()
    for kind in get_args(info.annotation)
    if isinstance(kind, type) and issubclass(kind, PropertyDoc)
}
"""Kinds of property document that a material document is made of, by the name of their field, which is their collection's."""
