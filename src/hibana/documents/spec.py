"""The Spec: what is to be calculated, and its content address.

The address of a first calculation rests on the crystal's ``structure_key`` (a digest that is the same for every
description of one crystal). The address of a calculation that follows others rests on theirs: what it starts from is
fixed by what they were, not by digits a machine printed. So the addresses of a whole chain are fixed on submission, and a
repeated run of a parent, whose energies differ in the tenth digit, does not make another child.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hibana.core.address import content_address
from hibana.core.units import Unit
from hibana.documents.crystal import Crystal

CalculatorName = Literal["vasp", "gpaw-rehearsal", "synthetic"]
GapClass = Literal["metal", "gapped", "unknown"]

ADDRESS_VERSION = 1
"""Part of every address; raised when the meaning of the hashed fields changes."""


class Prior(BaseModel):
    """What is already known of the material: it decides k-point density, smearing, spin and the DOS window."""

    model_config = ConfigDict(frozen=True)

    band_gap: Annotated[float | None, Unit("eV")] = Field(default=None, description="Gap; None when unknown, 0 for a metal.")
    vbm: Annotated[float | None, Unit("eV")] = Field(default=None, description="Valence-band maximum.")
    cbm: Annotated[float | None, Unit("eV")] = Field(default=None, description="Conduction-band minimum.")
    magnetization: Annotated[float | None, Unit("μB")] = Field(
        default=None, description="Total moment per cell; None when unknown."
    )


class Spec(BaseModel):
    """One question: this crystal, this task, this functional, this protocol, these potentials, after these runs."""

    model_config = ConfigDict(frozen=True)

    material_id: str = Field(description="Identity of the candidate crystal the calculation belongs to.")
    structure_key: str = Field(description="Digest of the candidate crystal, the same for every description of it.")
    crystal: Crystal = Field(description="The cell the calculation starts from.")
    task: str = Field(description="vise's task name.")
    functional: str = Field(description="pbesol, or hse06_nsc or ddh_nsc for a hybrid on PBEsol wave functions.")
    protocol: str = Field(description="Name of the protocol.")
    protocol_version: int = Field(description="Version of the protocol.")
    calculator: CalculatorName = Field(description="Which code has to answer; numbers of two codes are never mixed.")
    potcars: tuple[str, ...] = Field(description="TITEL of each potential, in the order of the species in POSCAR.")
    parents: tuple[str, ...] = Field(default=(), description="Addresses of the calculations this one follows.")
    round: int = Field(default=1, description="Round of a repeated relaxation.")
    variant: str = Field(
        default="", description="Tells runs of one task with the same parents apart, for instance the number of a displacement."
    )
    prior: Prior = Field(default=Prior(), description="Prior knowledge the inputs are chosen by.")

    @cached_property
    def address(self) -> str:
        """Content address, 64 hex digits.

        A Spec without parents is addressed by the crystal and by prior knowledge given by hand; one with parents by
        theirs, which fix both.
        """
        origin: dict[str, object] = {"parents": sorted(self.parents)}
        if not self.parents:
            origin = {"structure": self.structure_key, "prior": _on_grid(self.prior)}
            if self.crystal.magmoms is not None:
                moments = [round(moment * 100) for moment in self.crystal.magmoms]
                origin["magmoms"] = min(sorted(moments), sorted(-moment for moment in moments))
        if self.variant:
            origin["variant"] = self.variant
        return content_address(
            {
                "version": ADDRESS_VERSION,
                "task": self.task,
                "functional": self.functional,
                "protocol": f"{self.protocol}@{self.protocol_version}",
                "calculator": self.calculator,
                "potcars": sorted(self.potcars),
                "round": self.round,
                **origin,
            }
        )


def _on_grid(prior: Prior) -> dict[str, int | None]:
    return {name: None if value is None else round(value * 1000) for name, value in prior.model_dump().items()}
