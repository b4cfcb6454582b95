"""A crystal as it is stored: small, plain, free of any library's own format."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hibana.core.units import Unit

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]


class Crystal(BaseModel):
    """A periodic arrangement of atoms."""

    model_config = ConfigDict(frozen=True)

    lattice: Annotated[Matrix, Unit("Å")] = Field(description="Lattice vectors as rows.")
    species: tuple[str, ...] = Field(description="Chemical symbol of each site.")
    frac_coords: Annotated[tuple[Vector, ...], Unit("1")] = Field(description="Fractional coordinates of each site.")
    magmoms: Annotated[tuple[float, ...] | None, Unit("μB")] = Field(
        default=None, description="Initial moment of each site; None for a non-magnetic start."
    )

    @model_validator(mode="after")
    def _one_coordinate_a_site(self) -> Crystal:
        if len(self.species) != len(self.frac_coords) or not self.species:
            raise ValueError("a crystal needs one coordinate a site and at least one site")
        if self.magmoms is not None and len(self.magmoms) != len(self.species):
            raise ValueError("a crystal needs one moment a site")
        return self
