"""Optical spectra of the relaxed crystal, independent particles, with the onset moved to a hybrid gap."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hibana.core.units import Unit
from hibana.documents.crystal import Matrix
from hibana.documents.properties import From, PropertyDoc

GapSource = Literal["ddh_nsc", "hse06_nsc", "none"]
"""Step whose gap the spectra are shifted to; ``none``: they are as calculated."""

OPTICS_ARRAYS: dict[str, str] = {
    "energy": "eV",
    "log10_absorption": "log10(1/cm)",
    "log10_absorption_axes": "log10(1/cm)",
    "epsilon_real": "1",
    "epsilon_imag": "1",
    "refractive_index": "1",
    "extinction": "1",
    "reflectivity": "1",
}
"""Arrays of an optics document and their units. All but two are (n,) over ``energy``, of the averaged dielectric function;
``epsilon_real`` and ``epsilon_imag`` are (n, 6), xx yy zz xy yz zx, and ``log10_absorption_axes`` (n, 3) is of light polarised
along x, y, z of the conventional frame. Energies beyond the end of the calculated spectrum are NaN."""


class OpticsDoc(PropertyDoc):
    """Dielectric function and what follows from it."""

    collection: ClassVar[str] = "optics"

    gap_source: GapSource = Field(default="none", description="Step whose gap the spectra are shifted to.")
    scissor_shift: Annotated[float | None, Unit("eV"), From("dielectric_function", "band", "ddh_nsc", "hse06_nsc")] = Field(
        default=None, description="Shift of the spectra: hybrid minus PBEsol gap; 0 where they are as calculated."
    )
    gap_used: Annotated[float | None, Unit("eV"), From("band", "ddh_nsc", "hse06_nsc")] = Field(
        default=None, description="Fundamental gap below which the spectra do not absorb: PBEsol gap plus shift."
    )
    direct_gap: Annotated[float | None, Unit("eV"), From("band", "ddh_nsc", "hse06_nsc")] = Field(
        default=None, description="Smallest direct PBEsol gap plus shift."
    )
    onset: Annotated[float | None, Unit("eV"), From("dielectric_function", "band", "ddh_nsc", "hse06_nsc")] = Field(
        default=None, description="Lowest energy at which the averaged absorption coefficient exceeds 10^4 cm^-1."
    )
    absorption_edge_integral: Annotated[
        float | None, Unit("eV/cm"), From("dielectric_function", "band", "ddh_nsc", "hse06_nsc")
    ] = Field(default=None, description="Integral of the averaged absorption coefficient over the 1 eV above the onset.")
    epsilon_zero: Annotated[Matrix | None, Unit("1"), From("dielectric_function")] = Field(
        default=None, description="Electronic dielectric tensor at zero energy before the shift, conventional frame."
    )
    epsilon_zero_average: Annotated[float | None, Unit("1"), From("dielectric_function")] = Field(
        default=None, description="Third of the trace of it."
    )
    refractive_index_zero: Annotated[float | None, Unit("1"), From("dielectric_function")] = Field(
        default=None, description="Square root of that average."
    )
    epsilon_zero_over_dfpt: Annotated[float | None, Unit("1"), From("dielectric_function", "dielectric")] = Field(
        default=None, description="That average over the one with local fields of the dielectric step."
    )
    rotation: Annotated[Matrix | None, Unit("1"), From("dielectric_function")] = Field(
        default=None, description="Rotation from the run's Cartesian axes to the conventional frame."
    )
    spectrum_end: Annotated[float | None, Unit("eV"), From("dielectric_function")] = Field(
        default=None, description="Last energy of the calculated spectrum, before the shift."
    )
    f_sum: Annotated[float | None, Unit("e"), From("dielectric_function")] = Field(
        default=None, description="Electrons per cell that the calculated spectrum accounts for by the f-sum rule."
    )
    valence_electrons: Annotated[float | None, Unit("e"), From("dielectric_function")] = Field(
        default=None, description="Electrons per cell in the calculation."
    )
    kramers_kronig_residual: Annotated[float | None, Unit("1"), From("dielectric_function")] = Field(
        default=None,
        description="Median difference between the code's real part and the one transformed from its imaginary part, relative.",
    )
