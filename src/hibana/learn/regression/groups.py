"""Labels of the rows that must not be torn apart between training and test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from hibana.learn.errors import NO_COLUMN

if TYPE_CHECKING:
    from hibana.learn.dataset import Dataset

FORMULA_COLUMNS = ("reduced_formula", "formula", "host_formula")
SPACE_GROUP_COLUMNS = ("space_group_number", "spacegroup_number", "space_group")


def group_labels(dataset: Dataset, name: str) -> pd.Series:
    """Label of each row, missing where there is none.

    A column of this name is taken as it is. Where the table has none, ``reduced_formula``, ``chemical_system``,
    ``anonymous_formula`` and ``prototype`` (anonymous formula and space group) are made from the formula.

    Parameters
    ----------
    dataset
        The table.
    name
        Column, or one of the four.

    Raises
    ------
    HibanaError
        HIB-261 if there is no such column and it cannot be made.
    """
    frame = dataset.frame
    if name in frame.columns:
        return frame[name].map(str, na_action="ignore")
    if name not in MAKERS:
        raise NO_COLUMN.error(f"{name!r} for the groups; there are: {', '.join(map(str, frame.columns))}", where=dataset.path)
    formulas = dataset.frame[formula_column(dataset)]
    labels = formulas.map({formula: MAKERS[name](formula) for formula in formulas.dropna().unique()})
    if name != "prototype":
        return labels
    numbers = next((column for column in SPACE_GROUP_COLUMNS if column in frame.columns), None)
    if numbers is None:
        raise NO_COLUMN.error(f"no space group ({', '.join(SPACE_GROUP_COLUMNS)}) to tell prototypes apart", where=dataset.path)
    return (labels + "_" + frame[numbers].map(str, na_action="ignore")).where(frame[numbers].notna())


def formula_column(dataset: Dataset) -> str:
    """Name of the column with formulas.

    Raises
    ------
    HibanaError
        HIB-261 if there is none.
    """
    found = next((column for column in FORMULA_COLUMNS if column in dataset.frame.columns), None)
    if found is None:
        raise NO_COLUMN.error(f"no formula ({', '.join(FORMULA_COLUMNS)})", where=dataset.path)
    return found


def _reduced(formula: str) -> str:
    from pymatgen.core import Composition

    return Composition(formula).reduced_formula


def _system(formula: str) -> str:
    from pymatgen.core import Composition

    return Composition(formula).chemical_system


def _anonymous(formula: str) -> str:
    from pymatgen.core import Composition

    return Composition(formula).reduced_composition.anonymized_formula


MAKERS: dict[str, Callable[[str], str]] = {
    "reduced_formula": _reduced,
    "chemical_system": _system,
    "anonymous_formula": _anonymous,
    "prototype": _anonymous,
}
