"""What a generator learns from: the neutral compounds of a table, one row a formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.dataset import Dataset
from hibana.learn.errors import TOO_FEW_ROWS, UNFIT_TARGET
from hibana.learn.features.composition import element_fractions
from hibana.learn.generation.charges import neutral_charges
from hibana.learn.generation.decoding import MOST_ATOMS, MOST_ELEMENTS
from hibana.learn.regression.groups import formula_column
from hibana.learn.regression.task import numeric_target, selected

Array = NDArray[np.float64]

LEAST = 100
"""Compounds that a generator needs."""

LEAST_OF_AN_ELEMENT = 3
"""Compounds that an element must occur in to be one of the generator's."""

REDUCTIONS = ("lowest", "median", "highest")
"""What stands for a formula with several rows."""


@dataclass(frozen=True)
class Compounds:
    """Neutral compounds and their values.

    Parameters
    ----------
    formulas
        (n,) reduced formulas, each once.
    symbols
        Elements of the columns.
    fractions
        (n, n_symbols) atomic fractions.
    values
        (n,) the target.
    target, unit
        Its column and unit.
    left_out
        How many rows or formulas were left out, by reason.
    """

    formulas: tuple[str, ...]
    symbols: tuple[str, ...]
    fractions: Array
    values: Array
    target: str
    unit: str
    left_out: Mapping[str, int]

    @property
    def numbers(self) -> NDArray[np.intp]:
        """(n,) elements of each formula."""
        return np.asarray((self.fractions > 0).sum(axis=1), dtype=np.intp)

    def part(self, rows: NDArray[np.intp]) -> Compounds:
        """Some of the compounds."""
        formulas = tuple(self.formulas[row] for row in rows)
        return Compounds(formulas, self.symbols, self.fractions[rows], self.values[rows], self.target, self.unit, self.left_out)


def read_compounds(
    dataset: Dataset, target: str, *, reduction: str = "median", where: str = "", most_rows: int | None = None, seed: int = 0
) -> Compounds:
    """The compounds of a table that a generator can learn from.

    Left out, and counted: rows without formula or target, rows against the condition, formulas that no choice of common charges
    makes neutral, those of one element or more than 6, of more than 20 atoms, and those with an element in fewer than 3 others.

    Parameters
    ----------
    dataset
        The table.
    target
        Column that compositions are to be drawn for.
    reduction
        What stands for a formula with several rows: ``lowest``, ``median`` or ``highest``.
    where
        Condition on the rows as ``DataFrame.query`` takes it; empty for all.
    most_rows
        Draw this many formulas if there are more.
    seed
        Of that draw.

    Raises
    ------
    HibanaError
        HIB-261 (no such column), HIB-262 (fewer than 100 compounds), HIB-270 (target without numbers, or constant), HIB-271
        (condition).
    """
    values = numeric_target(dataset, target)
    formulas = dataset.frame[formula_column(dataset)]
    known, chosen = np.isfinite(values) & formulas.notna(), selected(dataset, where)
    left_out = {"condition": int((~chosen).sum()), "no_formula_or_target": int((~known & chosen).sum())}
    rows = known.to_numpy() & chosen
    reduced = _reduced(formulas[rows])
    grouped = values[rows].groupby(reduced.to_numpy())
    of_formula = {"lowest": grouped.min, "median": grouped.median, "highest": grouped.max}[reduction]()
    left_out["several_rows_of_a_formula"] = len(reduced) - len(of_formula)
    of_formula, reasons = _fit(of_formula)
    left_out |= reasons
    if most_rows is not None and len(of_formula) > most_rows:
        left_out["drawn_out"] = len(of_formula) - most_rows
        of_formula = of_formula.sample(most_rows, random_state=seed).sort_index()
    of_formula, fractions, rare = _without_rare(of_formula)
    left_out["rare_element"] = rare
    if len(of_formula) < LEAST:
        said = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        raise TOO_FEW_ROWS.error(
            f"{len(of_formula)} neutral compounds are left of {len(dataset.frame)} rows ({said}); {LEAST} are needed",
            where=dataset.path,
        )
    if np.ptp(of_formula.to_numpy()) == 0:
        raise UNFIT_TARGET.error(f"{target!r} is the same for all compounds", where=dataset.path)
    return Compounds(
        tuple(of_formula.index),
        tuple(fractions.columns),
        fractions.to_numpy(),
        of_formula.to_numpy(),
        target,
        dataset.units.get(target, ""),
        {reason: count for reason, count in left_out.items() if count},
    )


def whole_formula(text: str) -> dict[str, int] | None:
    """Atoms of each element in the reduced formula; None where it is no formula with whole numbers."""
    from pymatgen.core import Composition

    try:
        amounts = Composition(text).element_composition.reduced_composition.as_dict()
    except (ValueError, TypeError, AttributeError):
        return None
    if not amounts or any(abs(amount - round(amount)) > 1e-6 for amount in amounts.values()):
        return None
    return {str(symbol): round(amount) for symbol, amount in amounts.items()}


def _reduced(formulas: pd.Series) -> pd.Series:
    from pymatgen.core import Composition

    names = {}
    for formula in formulas.unique():
        whole = whole_formula(str(formula))
        names[formula] = str(formula) if whole is None else str(Composition(whole).reduced_formula)
    return formulas.map(names)


def _fit(values: pd.Series) -> tuple[pd.Series, dict[str, int]]:
    """Formulas that can be drawn again, and how many cannot, by reason."""
    reasons = values.index.to_series().map(_unfit)
    counts = reasons[reasons != ""].value_counts().sort_index()
    return values[(reasons == "").to_numpy()], {str(reason): int(count) for reason, count in counts.items()}


def _unfit(formula: str) -> str:
    amounts = whole_formula(formula)
    if amounts is None:
        return "no_whole_numbers"
    if not 2 <= len(amounts) <= MOST_ELEMENTS:
        return "number_of_elements"
    if sum(amounts.values()) > MOST_ATOMS:
        return "too_many_atoms"
    return "" if neutral_charges(amounts) else "not_neutral"


def _without_rare(values: pd.Series) -> tuple[pd.Series, pd.DataFrame, int]:
    """Compounds of elements that occur often enough, their fractions, and how many others there were."""
    fractions = element_fractions([str(name) for name in values.index]).set_index(values.index)
    before = len(values)
    while True:
        counts = (fractions > 0).sum()
        rare = fractions.columns[(counts > 0) & (counts < LEAST_OF_AN_ELEMENT)]
        if rare.empty:
            break
        fractions = fractions[(fractions[rare] == 0).all(axis=1)]
    fractions = fractions[fractions.columns[(fractions > 0).any()]]
    return values.loc[fractions.index], fractions, before - len(fractions)
