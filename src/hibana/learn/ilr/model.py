"""The model: a linear regression on descriptors crossed with categories, by partial least squares.

Each category c that is neither rare nor almost always there splits every descriptor x (and the constant) into x·[c = 1] and
x·[c = 0], beside the plain x; partial least squares with few components then says how much each matters. The result is linear
in the descriptors for each combination of categories, so it goes on where a tree stops.
H. Shimakawa, A. Kumada, M. Sato, npj Comput. Mater. 10, 11 (2024).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.errors import FEATURES_DIFFER, NO_FEATURES, NO_LEARN_EXTRA, UNREADABLE_MODEL

Array = NDArray[np.float64]

COMPONENTS = 8
MINORITY = 0.1
"""A category is crossed with the descriptors if its rarer value has more than this share of the training rows."""

MODEL = "model.json"


@dataclass(frozen=True)
class Term:
    """One column of the regression: a descriptor, or the constant, where a category has a value.

    Parameters
    ----------
    descriptor
        Its name; empty for the constant.
    category
        The category it is crossed with; empty for the plain descriptor.
    value
        The category's value, 0 or 1, for which the term counts.
    """

    descriptor: str = ""
    category: str = ""
    value: int = 1


@dataclass(frozen=True)
class InteractionModel:
    """A fitted model: the sum over the terms of coefficient times descriptor where the category has the term's value.

    Parameters
    ----------
    descriptors, categories
        Names, in the order of the matrices; of the categories those that are crossed.
    terms
        (n_terms,) the terms.
    coefficients
        (n_terms,) in units of the target over that of the descriptor.
    intercept
        In the target's unit.
    """

    descriptors: tuple[str, ...]
    categories: tuple[str, ...]
    terms: tuple[Term, ...]
    coefficients: Array
    intercept: float

    def predict(self, descriptors: pd.DataFrame, categories: pd.DataFrame) -> Array:
        """Predictions (n,).

        Raises
        ------
        HibanaError
            HIB-268 if a descriptor or category is missing.
        """
        missing = [name for name in self.descriptors if name not in descriptors.columns]
        missing += [name for name in self.categories if name not in categories.columns]
        if missing:
            raise FEATURES_DIFFER.error(f"missing: {', '.join(missing)}")
        matrix = crossed(
            descriptors[list(self.descriptors)].to_numpy(dtype=float), categories[list(self.categories)].to_numpy(dtype=float)
        )
        found: Array = matrix @ self.coefficients + self.intercept
        return found

    def as_dict(self) -> dict[str, Any]:
        """The model as it is written: everything that a prediction needs, in words and numbers."""
        return {
            "descriptors": list(self.descriptors),
            "categories": list(self.categories),
            "intercept": self.intercept,
            "terms": [
                {"descriptor": term.descriptor, "category": term.category, "value": term.value, "coefficient": float(coefficient)}
                for term, coefficient in zip(self.terms, self.coefficients, strict=True)
            ],
        }


def fit(
    descriptors: pd.DataFrame,
    categories: pd.DataFrame,
    target: Array,
    *,
    components: int = COMPONENTS,
    minority: float = MINORITY,
) -> InteractionModel:
    """Fit a model; which categories are crossed is decided on the rows given.

    Parameters
    ----------
    descriptors
        (n, n_descriptors), no value missing.
    categories
        (n, n_categories), 0 and 1.
    target
        (n,).
    components
        Of the partial least squares; fewer where rows or columns are fewer.
    minority
        Least share of a category's rarer value.

    Raises
    ------
    HibanaError
        HIB-264 if scikit-learn is not installed, HIB-272 if there is no descriptor.
    """
    try:
        from sklearn.cross_decomposition import PLSRegression
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"scikit-learn ({error})") from error
    if not len(descriptors.columns):
        raise NO_FEATURES.error("no descriptor")
    shares = categories.to_numpy(dtype=float).mean(axis=0)
    kept = [str(name) for name, share in zip(categories.columns, shares, strict=True) if min(share, 1 - share) > minority]
    names = [str(name) for name in descriptors.columns]
    matrix = crossed(descriptors.to_numpy(dtype=float), categories[kept].to_numpy(dtype=float))
    rank = min(components, len(target) - 1, matrix.shape[1])
    regression = PLSRegression(n_components=rank, scale=True).fit(matrix, target)
    coefficients = np.asarray(regression.coef_, dtype=float).ravel()
    intercept = float(np.ravel(regression.predict(np.zeros((1, matrix.shape[1]))))[0])
    return InteractionModel(tuple(names), tuple(kept), terms_of(names, kept), coefficients, intercept)


def terms_of(descriptors: Sequence[str], categories: Sequence[str]) -> tuple[Term, ...]:
    """The terms in the order of the columns of :func:`crossed`."""
    plain = [Term(name) for name in descriptors]
    pairs = [Term(name, category, value) for category in categories for value in (1, 0) for name in (*descriptors, "")]
    return (*plain, *pairs)


def crossed(descriptors: Array, categories: Array) -> Array:
    """The columns of the regression, (n, d + 2 c (d + 1)), from descriptors (n, d) and categories (n, c) of 0 and 1."""
    with_constant = np.hstack([descriptors, np.ones((len(descriptors), 1))])
    blocks = [descriptors]
    for column in categories.T[:, :, None]:
        blocks += [with_constant * column, with_constant * (1 - column)]
    return np.hstack(blocks)


def save(model: InteractionModel, folder: Path, about: Mapping[str, Any]) -> Path:
    """Write a model as JSON, with what else is to be known of it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL
    path.write_text(json.dumps({**about, **model.as_dict()}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> InteractionModel:
    """Read a model that :func:`save` wrote.

    Raises
    ------
    HibanaError
        HIB-269 if it cannot be read.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        terms = tuple(Term(term["descriptor"], term["category"], term["value"]) for term in said["terms"])
        if terms != terms_of(said["descriptors"], said["categories"]):
            raise UNREADABLE_MODEL.error("its terms are not those of its descriptors and categories", where=path)
        coefficients = np.array([term["coefficient"] for term in said["terms"]], dtype=float)
        return InteractionModel(
            tuple(said["descriptors"]), tuple(said["categories"]), terms, coefficients, float(said["intercept"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UNREADABLE_MODEL.error(f"{type(error).__name__}: {error}", where=path) from error
