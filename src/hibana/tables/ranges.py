"""Allowed ranges of the numbers of tables: a value outside is no result of a calculation that went right.

The bounds are of two kinds. Some follow from what the quantity is (a share is between 0 and 1, a gap is not negative, an
electronic dielectric constant is at least that of the vacuum). The others are so wide that no crystal is near them; they catch a
wrong unit and a number that was never set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TOLERANCE = 1e-6
"""A bound is met by a value that misses it by so much of the bound (at least of 1): rounding."""


@dataclass(frozen=True)
class Range:
    """The numbers from a lowest to a highest.

    Parameters
    ----------
    low, high
        Bounds, themselves inside; None for none.
    """

    low: float | None = None
    high: float | None = None

    def has(self, value: float) -> bool:
        """Whether a number is inside."""
        above = self.low is None or value >= self.low - TOLERANCE * max(1.0, abs(self.low))
        return above and (self.high is None or value <= self.high + TOLERANCE * max(1.0, abs(self.high)))

    def as_list(self) -> list[float | None]:
        """Both bounds as plain data."""
        return [self.low, self.high]

    def __str__(self) -> str:
        if self.low is None:
            return "any number" if self.high is None else f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"


SHARE = Range(0.0, 1.0)
COUNT = Range(1, None)
GAP = Range(0.0, 40.0)
LEVEL = Range(-200.0, 200.0)
"""A band edge or a potential, eV."""

CELL_ENERGY = Range(-1e6, 1e6)
"""Energy of a cell, eV."""

FORMATION = Range(-50.0, 50.0)
FREQUENCY = Range(-150.0, 150.0)
"""THz, imaginary ones negative; a stretching mode of hydrogen is near 120."""

CHARGE = Range(-20.0, 20.0)
LENGTH = Range(0.5, 500.0)
ANGLE = Range(5.0, 175.0)
TENSOR = Range(-1e6, 1e6)
"""Component of a dielectric tensor; an ionic one may be negative where the crystal is unstable."""

MASS = Range(0.0, 1e5)
ELECTRONEGATIVITY = Range(0.5, 4.5)

_RELAXATION = {
    **dict.fromkeys(("a", "b", "c"), LENGTH),
    **dict.fromkeys(("alpha", "beta", "gamma"), ANGLE),
    "space_group_number": Range(1, 230),
    "initial_space_group_number": Range(1, 230),
    "volume_per_atom": Range(1.0, 1000.0),
    "energy_per_atom": Range(-1000.0, 1000.0),
    "max_force": Range(0.0, 1000.0),
    "n_rounds": Range(0, 1000),
}

_ELECTRONIC = {
    **{f"{gap}_{functional}": GAP for gap in ("band_gap", "direct_gap") for functional in ("pbesol", "hse06_nsc", "ddh_nsc")},
    **{f"{edge}{functional}": LEVEL for edge in ("vbm", "cbm") for functional in ("", "_hse06_nsc", "_ddh_nsc")},
    **{f"{edge}_{orbital}": SHARE for edge in ("vbm", "cbm") for orbital in "spdf"},
    "exchange_ratio_ddh": SHARE,
    "electron_mass_average": MASS,
    "hole_mass_average": MASS,
    "magnetization": Range(-1e4, 1e4),
}

_DIELECTRIC = {
    "epsilon_electronic": TENSOR,
    "epsilon_ionic": TENSOR,
    "epsilon_electronic + dielectric.epsilon_ionic": TENSOR,
    "epsilon_electronic_average": Range(1.0, 1e4),
    "epsilon_electronic_eigenvalues": Range(1.0, 1e4),
    "epsilon_ionic_average": TENSOR,
    "epsilon_ionic_eigenvalues": TENSOR,
    "epsilon_static_average": TENSOR,
    "born_average_abs_trace": Range(0.0, 50.0),
    "born_sum_rule_residual": Range(0.0, 100.0),
    "born_symmetry_residual": Range(0.0, 100.0),
}

_PHONON = {
    "frequencies": FREQUENCY,
    "frequencies_raw": FREQUENCY,
    "lowest_optical": FREQUENCY,
    "highest_optical": FREQUENCY,
    "acoustic_residual": Range(0.0, 150.0),
    "threshold": FREQUENCY,
    "n_imaginary": Range(0, None),
}

_OPTICS = {
    **dict.fromkeys(("gap_used", "direct_gap"), GAP),
    "onset": Range(0.0, 100.0),
    "scissor_shift": Range(-5.0, 40.0),
    "absorption_edge_integral": Range(0.0, None),
    "epsilon_zero": TENSOR,
    "epsilon_zero_average": Range(1.0, 1e4),
    "refractive_index_zero": Range(1.0, 100.0),
    "epsilon_zero_over_dfpt": Range(0.0, 100.0),
    "spectrum_end": Range(0.0, 1e4),
    "f_sum": Range(0.0, 1e4),
    "valence_electrons": Range(1.0, 1e4),
    "kramers_kronig_residual": Range(0.0, None),
    "arrays.log10_absorption": Range(0.0, 10.0),
}

_SITES = {
    **{f"sites.{at}{name}": CHARGE for at in ("", "nn_ave_", "nn_max_", "nn_min_") for name in ("born_charge", "bader_charge")},
    **{f"sites.{at}electronegativity": ELECTRONEGATIVITY for at in ("", "nn_ave_", "nn_max_", "nn_min_")},
    "sites.voronoi_weights": SHARE,
    "sites.index": Range(0, None),
    "sites.multiplicity": COUNT,
    "sites.bader_volume": Range(0.0, 1000.0),
    "sites.p_center_from_vbm": Range(-5.0, 50.0),
    "sites.o2p_center_from_vbm": Range(-5.0, 50.0),
}

_VACANCIES = {
    **dict.fromkeys(("defect_energy", "perfect_energy", "reservoir_energy"), CELL_ENERGY),
    **dict.fromkeys(("formation_energy", "formation_energy_core_reference", "formation_energy_other_oxygen"), FORMATION),
    **dict.fromkeys(("point_charge_correction", "alignment_correction", "correction"), FORMATION),
    "arrays.sheet_differences, sheet_point_charge, sheet_outside": Range(0.0, 50.0),
    "band_edge_energy": Range(-2000.0, 2000.0),
    "charge": Range(-10, 10),
    "channels.levels.occupation": SHARE,
    "channels.levels.participation": Range(0.0, 1.5),
    "localised_levels": LEVEL,
    "magnetization": Range(-1e4, 1e4),
    "max_displacement": Range(0.0, 50.0),
    "vbm": LEVEL,
    "vbm_from_o_core": LEVEL,
}

_CHEMICAL_POTENTIALS = {
    "chemical_potential_o_rich": Range(-50.0, 1e-3),
    "chemical_potential_o_poor": Range(-50.0, 1e-3),
    "chemical_potentials.diagrams.energy_above_hull": Range(-1e-3, 20.0),
    "chemical_potentials.diagrams.formation_energy_per_atom": Range(-20.0, 20.0),
}

_OTHERS = {
    "supercells.anisotropy": Range(0.0, 10.0),
    "supercells.n_atoms": COUNT,
    "supercells.sites.host_index": Range(0, None),
    "vacancy_summaries.band_gap": Range(-5.0, 40.0),
    "dispersion.min_frequency": FREQUENCY,
    "dispersion.max_frequency": FREQUENCY,
}

_BY_DOCUMENT: Mapping[str, Mapping[str, Range]] = {
    "relaxation": _RELAXATION,
    "electronic": _ELECTRONIC,
    "dielectric": _DIELECTRIC,
    "phonon": _PHONON,
    "optics": _OPTICS,
    "sites": _SITES,
    "vacancies": _VACANCIES,
    "chemical_potentials": _CHEMICAL_POTENTIALS,
}

RANGES: Mapping[str, Range] = {
    **{f"{document}.{field}": span for document, fields in _BY_DOCUMENT.items() for field, span in fields.items()},
    **_OTHERS,
}
"""Range of each source of numbers, as columns name their sources."""

ALIKE: Mapping[str, Range] = {"protocol_version": COUNT, "n_vacancies": Range(0, None), "n_sites": COUNT, "n_elements": COUNT}
"""Range of columns that have one whatever document they are from."""

BY_COLUMN: Mapping[str, Range] = {"spectrum": Range(0.0, None)}
"""Range of columns made of a source that has another."""


def allowed_range(source: str, column: str) -> Range | None:
    """Range of the numbers of a column; None where none is declared.

    Parameters
    ----------
    source
        Property document and field the column shows.
    column
        Name of the column.
    """
    return BY_COLUMN.get(column) or RANGES.get(source) or ALIKE.get(column)


def outside(span: Range, numbers: Iterable[float | None]) -> float | None:
    """The first number outside a range; None where all are inside or missing."""
    return next((number for number in numbers if number is not None and not span.has(number)), None)
