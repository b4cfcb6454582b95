"""The table ``dielectric``: static dielectric tensors and their averages."""

from __future__ import annotations

from collections.abc import Callable

from hibana.documents.dielectric import DielectricDoc
from hibana.documents.properties import RelaxationDoc
from hibana.tables.columns import (
    TENSOR_COMPONENTS,
    Column,
    Record,
    address_column,
    component_columns,
    projection,
    steps_of,
)
from hibana.tables.common import crystal_columns, identity_columns, quality_columns
from hibana.tables.table import Table

_PARTS = ("epsilon_electronic", "epsilon_ionic")
_PRINCIPAL = {"1": (0,), "2": (1,), "3": (2,)}
_BORN = ("born_average_abs_trace", "born_sum_rule_residual", "born_symmetry_residual")


def _static(component: str, indices: tuple[int, ...]) -> Column:
    """Column with a component of the sum of both tensors."""
    return Column(
        name=f"epsilon_static_{component}",
        dtype="number",
        unit="1",
        meaning=f"Static dielectric tensor, electronic and ionic part together: component {component}.",
        source="dielectric.epsilon_electronic + dielectric.epsilon_ionic",
        read=_sum(indices),
        steps=steps_of(DielectricDoc, "epsilon_ionic"),
    )


def _sum(indices: tuple[int, ...]) -> Callable[[Record], float | None]:
    row, column = indices

    def read(record: Record) -> float | None:
        tensors = [getattr(record.documents[DielectricDoc], name) for name in _PARTS]
        return None if None in tensors else sum(tensor[row][column] for tensor in tensors)

    return read


DIELECTRIC = Table(
    name="dielectric",
    title="Static dielectric constants",
    about=(
        "Density-functional perturbation theory with PBEsol on the relaxed crystal, or finite electric fields and displacements "
        "(`method`). The electronic part has local fields and clamped ions; the static constant is the electronic and the ionic "
        "part together. Averages are a third of the trace.",
        "**Axes.** Components are in the conventional frame of the crystal: Cartesian x along a of the conventional cell, z "
        "along c* (perpendicular to a and b), and y = z×x. It is the same for every description of one crystal. Of the symmetric "
        "tensors the six components xx, yy, zz, yz, xz, xy are given, with pure numbers relative to vacuum; "
        "`…_eigenvalues_1` to `_3` are the principal values, ascending, and need no axes.",
        "`born_sum_rule_residual` is the largest component of the sum of the Born effective charges over the cell before it was "
        "corrected to zero: a measure of convergence. The ionic part is large and uncertain where an optical mode is soft; see "
        "`lowest_optical` in the table `phonon_gamma`.",
    ),
    branches=("dielectric",),
    documents=(RelaxationDoc, DielectricDoc),
    crystal_of=(DielectricDoc, RelaxationDoc),
    columns=(
        *identity_columns(DielectricDoc),
        *crystal_columns(),
        projection(DielectricDoc, "method"),
        *(projection(DielectricDoc, f"{part}_average") for part in (*_PARTS, "epsilon_static")),
        *(column for part in _PARTS for column in component_columns(DielectricDoc, part)),
        *(_static(component, indices) for component, indices in TENSOR_COMPONENTS.items()),
        *(column for part in _PARTS for column in component_columns(DielectricDoc, f"{part}_eigenvalues", _PRINCIPAL)),
        *(projection(DielectricDoc, field) for field in _BORN),
        *quality_columns(RelaxationDoc, DielectricDoc),
        address_column(RelaxationDoc, "structure_opt"),
        address_column(DielectricDoc, "dielectric"),
    ),
)
