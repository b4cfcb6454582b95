"""How the regression does inside and outside the range of its training rows, beside what else one would use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.errors import NO_LEARN_EXTRA, TOO_FEW_ROWS
from hibana.learn.ilr.columns import Columns
from hibana.learn.ilr.model import COMPONENTS, MINORITY, fit
from hibana.learn.regression.scores import scores
from hibana.learn.splits import CLUSTER, usable_folds
from hibana.tables.splits import Fold, property_range, random_folds

if TYPE_CHECKING:
    from sklearn.base import RegressorMixin

    from hibana.tables.splits_file import StoredSplit

Array = NDArray[np.float64]

ILR = "ILR"
DESCRIPTORS, BOTH = "descriptors", "descriptors and categories"
TREES = 200
KERNEL = "regressor__kernelridge__"
KERNEL_GRID = {f"{KERNEL}alpha": [1e-3, 1e-2, 1e-1, 1.0], f"{KERNEL}gamma": [1e-3, 1e-2, 1e-1]}
"""Regularisation, and inverse square width of the Gaussian kernel on standardised columns."""

KERNEL_ROWS = 5000
"""Most rows that the kernel, a square matrix, is made for; beyond, kernel ridge is not among the peers."""

LEAST_TRAINING = 20
LEAST_TEST = 5


@dataclass(frozen=True)
class Split:
    """One way to part rows into training and test.

    Parameters
    ----------
    name
        How results name it.
    kind
        ``interpolation`` or ``extrapolation``.
    folds
        Training and test rows; the test rows of all folds are scored together.
    """

    name: str
    kind: str
    folds: tuple[Fold, ...]


def make_splits(
    columns: Columns, size: Sequence[float] | None = None, *, share: float = 0.2, folds: int = 5, seed: int = 0
) -> list[Split]:
    """Splits of a table: rows at random, the largest and the smallest values of the target and, where given, of a size.

    Parameters
    ----------
    columns
        The rows.
    size
        (n,) size of each row, for example the number of atoms or the mass.
    share
        Share of the rows that is left out at an end of a range.
    folds, seed
        Of the random split.

    Raises
    ------
    HibanaError
        HIB-262 if there are fewer rows than folds.
    """
    if len(columns.target) < folds:
        raise TOO_FEW_ROWS.error(f"{len(columns.target)} rows for {folds} folds")
    percent = f"{share:.0%}"
    splits = [Split("random", "interpolation", random_folds(columns.descriptors.index.tolist(), folds, seed))]
    ranges: list[tuple[str, Sequence[float] | Array]] = [("target", columns.target)]
    if size is not None:
        ranges.append(("size", size))
    for name, values in ranges:
        splits += [
            Split(f"{name}: top {percent}", "extrapolation", property_range(values, share, "top")),
            Split(f"{name}: bottom {percent}", "extrapolation", property_range(values, share, "bottom")),
        ]
    return splits


def taken(split: StoredSplit, columns: Columns) -> Split:
    """A written split for the benchmark; clusters left out, and ends of a range, are extrapolation.

    Raises
    ------
    HibanaError
        HIB-262 if a fold has too few of the rows.
    """
    folds = usable_folds(split, columns.descriptors.index.tolist(), LEAST_TRAINING, 1)
    kind = "extrapolation" if split.name == CLUSTER or len(folds) == 1 else "interpolation"
    return Split(split.name, kind, folds)


def benchmark(
    columns: Columns,
    splits: Sequence[Split],
    *,
    components: int = COMPONENTS,
    minority: float = MINORITY,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Score the regression and its peers on each split.

    The peers get the descriptors, as in the publication, and once more descriptors and categories, so that it can be told apart
    what the crossing gains and what merely comes from knowing the categories.

    Parameters
    ----------
    columns
        The rows.
    splits
        How to part them.
    components, minority
        Of the regression.
    seed
        Of the forest.
    say
        Told how it gets on.

    Returns
    -------
    DataFrame
        One row a split, method and input: ``split``, ``kind``, ``method``, ``inputs``, ``n_train``, ``n_test``, ``r2`` (about the
        mean of the test rows, so it can be far below 0 where these span a small range), ``mae``, ``rmse``.

    Raises
    ------
    HibanaError
        HIB-262 if a fold has fewer than 20 rows to train on or a split fewer than 5 to test, HIB-264 if scikit-learn is not
        installed.
    """
    rows = []
    for split in splits:
        _check(split)
        test = np.concatenate([fold[1] for fold in split.folds])
        sizes = {"n_train": round(float(np.mean([len(fold[0]) for fold in split.folds]))), "n_test": len(test)}
        for method, inputs, predict in _methods(columns, components, minority, seed):
            found = scores(columns.target[test], np.concatenate([predict(*fold) for fold in split.folds]))
            errors = {"r2": found.r2, "mae": found.mae, "rmse": found.rmse}
            rows.append({"split": split.name, "kind": split.kind, "method": method, "inputs": inputs, **sizes, **errors})
        say(f"{split.name}: R² {next(row['r2'] for row in rows if row['split'] == split.name):.3f}")
    return pd.DataFrame(rows)


def best_peers(found: pd.DataFrame) -> pd.DataFrame:
    """For each split the regression beside the best peer, with descriptors alone and with categories as well.

    Returns
    -------
    DataFrame
        Index ``split``; ``ilr_rmse``, and for ``descriptors`` and ``both`` the best peer's name, its error and whether the
        regression loses to it.
    """
    rows = {}
    for name, part in found.groupby("split", sort=False):
        own = float(part.loc[part["method"] == ILR, "rmse"].iloc[0])
        row: dict[str, object] = {"ilr_rmse": own}
        for label, inputs in (("descriptors", DESCRIPTORS), ("both", BOTH)):
            peers = part[(part["method"] != ILR) & (part["inputs"] == inputs)]
            best = peers.loc[peers["rmse"].idxmin()]
            row |= {f"best_{label}": best["method"], f"rmse_{label}": best["rmse"], f"loses_{label}": bool(own > best["rmse"])}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("split")


def _check(split: Split) -> None:
    training = min((len(fold[0]) for fold in split.folds), default=0)
    test = sum(len(fold[1]) for fold in split.folds)
    if training < LEAST_TRAINING or test < LEAST_TEST:
        what = f"the split {split.name!r} has {training} rows to train on and {test} to test"
        raise TOO_FEW_ROWS.error(f"{what}; {LEAST_TRAINING} and {LEAST_TEST} are needed")


def _methods(
    columns: Columns, components: int, minority: float, seed: int
) -> Iterator[tuple[str, str, Callable[[NDArray[np.intp], NDArray[np.intp]], Array]]]:
    """Name and inputs of each method, and a function that predicts test rows from training rows."""

    def interaction(train: NDArray[np.intp], test: NDArray[np.intp]) -> Array:
        descriptors, categories = columns.descriptors, columns.categories
        model = fit(
            descriptors.iloc[train], categories.iloc[train], columns.target[train], components=components, minority=minority
        )
        return model.predict(descriptors.iloc[test], categories.iloc[test])

    yield ILR, BOTH, interaction
    plain = columns.descriptors.to_numpy()
    for inputs, matrix in ((DESCRIPTORS, plain), (BOTH, np.hstack([plain, columns.categories.to_numpy()]))):
        for name, make in peers(min(components, matrix.shape[1]), seed, len(matrix)).items():

            def predict(
                train: NDArray[np.intp],
                test: NDArray[np.intp],
                make: Callable[[], RegressorMixin] = make,
                matrix: Array = matrix,
            ) -> Array:
                return np.ravel(make().fit(matrix[train], columns.target[train]).predict(matrix[test]))

            yield name, inputs, predict


def peers(components: int, seed: int, n_rows: int) -> dict[str, Callable[[], RegressorMixin]]:
    """What the regression is compared with, for a table of ``n_rows``.

    Kernel ridge chooses its parameters by cross-validation inside the training rows.

    Raises
    ------
    HibanaError
        HIB-264 if scikit-learn is not installed.
    """
    try:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.cross_decomposition import PLSRegression
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.kernel_ridge import KernelRidge
        from sklearn.linear_model import LinearRegression
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"scikit-learn ({error})") from error

    def kernel_ridge() -> RegressorMixin:
        pipeline = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf"))
        model = TransformedTargetRegressor(regressor=pipeline, transformer=StandardScaler())
        return GridSearchCV(model, KERNEL_GRID, cv=3, scoring="neg_mean_squared_error")

    found: dict[str, Callable[[], RegressorMixin]] = {
        "LR": LinearRegression,
        "PLS": lambda: PLSRegression(components),
        "RF": lambda: RandomForestRegressor(TREES, random_state=seed, n_jobs=1),
    }
    return found | ({"KRR": kernel_ridge} if n_rows <= KERNEL_ROWS else {})
