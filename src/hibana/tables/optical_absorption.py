"""The table ``optical_absorption``: absorption spectra on one grid of energies, with onset and gaps."""

from __future__ import annotations

from hibana.documents.optics import OPTICS_ARRAYS, OpticsDoc
from hibana.documents.properties import RelaxationDoc
from hibana.tables.columns import address_column, component_columns, projection, spectrum_column, steps_of
from hibana.tables.common import identity_columns, quality_columns, space_group_columns
from hibana.tables.grids import Grid
from hibana.tables.table import Table

ENERGIES = Grid("energy", "eV", 0.0, 0.01, 1501)
"""Photon energies of the spectra."""

_EDGE = ("gap_source", "scissor_shift", "gap_used", "direct_gap", "onset", "absorption_edge_integral")
_STATIC = ("refractive_index_zero", "epsilon_zero_over_dfpt")
_QUALITY = ("spectrum_end", "f_sum", "valence_electrons", "kramers_kronig_residual")

OPTICAL_ABSORPTION = Table(
    name="optical_absorption",
    title="Optical absorption spectra",
    about=(
        "Independent-particle dielectric function of the relaxed crystal with PBEsol on a dense k-point mesh, interband "
        "transitions only: no excitons, no local fields, no phonons. Where a hybrid gap is known (`gap_source`), the imaginary "
        "part is shifted by the difference of the gaps, `scissor_shift`, and scaled by (E - shift)/E; the real part follows by "
        "the Kramers-Kronig relation. `gap_source` none means that the spectrum is the PBEsol one.",
        "`log10_absorption` is the decadic logarithm of the absorption coefficient in 1/cm, of the dielectric function averaged "
        "over the three axes; coefficients below 10^2 1/cm stand as 2. Energies beyond the end of the calculated spectrum are "
        "missing.",
        "`epsilon_zero` is the static electronic limit before the shift, in the conventional frame: its components have the "
        "axes of the table `dielectric`.",
    ),
    branches=("optics",),
    documents=(RelaxationDoc, OpticsDoc),
    columns=(
        *identity_columns(OpticsDoc),
        *space_group_columns(),
        *(projection(OpticsDoc, field) for field in _EDGE),
        *component_columns(OpticsDoc, "epsilon_zero"),
        projection(OpticsDoc, "epsilon_zero_average", after=("epsilon_zero",)),
        *(projection(OpticsDoc, field, after=("epsilon_zero", "epsilon_zero_average")) for field in _STATIC),
        *(projection(OpticsDoc, field) for field in _QUALITY),
        spectrum_column(
            OpticsDoc,
            "log10_absorption",
            grid=ENERGIES,
            points="energy",
            unit=OPTICS_ARRAYS["log10_absorption"],
            meaning="Decadic logarithm of the averaged absorption coefficient in 1/cm.",
            steps=steps_of(OpticsDoc, "onset"),
        ),
        *quality_columns(RelaxationDoc, OpticsDoc),
        address_column(RelaxationDoc, "structure_opt"),
        *(address_column(OpticsDoc, step) for step in ("dielectric_function", "band", "hse06_nsc", "ddh_nsc", "dielectric")),
    ),
)
