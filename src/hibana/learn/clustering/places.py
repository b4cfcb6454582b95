"""Where new rows belong among groups that are there: the nearest centre in the leaf space of the forest that made them.

A forest sends every row to some leaf, however unlike it is to all that was learned from. So two things are told of a new row: how
far it is from the centre of its group compared with the rows the group was made of, and how much of what the forest looks at is
beyond the range of these rows.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.clustering.leaves import LeafSpace, leaf_matrix
from hibana.learn.errors import UNREADABLE_MODEL
from hibana.learn.regression.model import MODEL, SavedModel, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scipy.sparse import csr_array
    from sklearn.ensemble import RandomForestRegressor

Array = NDArray[np.floating]
Labels = NDArray[np.intp]

CENTRES = "centres.npz"
QUANTILES = np.linspace(0, 1, 201)
LIMIT = 0.99
"""A row farther from the centre than this share of the rows of its group is outside."""

BEYOND = 0.1
"""Share of the forest's importances in features beyond the known range from which on a row is outside."""

BLOCK = 20_000
"""Rows placed at once."""


@dataclass(frozen=True)
class Places:
    """Groups in the leaf space of a forest.

    Parameters
    ----------
    centres
        (n_groups, n_leaves) mean of the rows of each group.
    distances
        (n_groups, n_quantiles) quantiles of the distances of these rows to the centre of the others.
    low, high
        (n_features,) range of each feature over all rows; NaN where it is missing in all.
    agreement
        Share of the rows whose nearest centre is that of their own group.
    """

    centres: Array
    distances: Array
    low: Array
    high: Array
    agreement: float


def make_places(space: LeafSpace, labels: Labels, features: Array) -> Places:
    """Centres and ranges of groups.

    Distances of the rows are taken in the trees that were not grown on them, to the centre of the others of their group, as those
    of new rows will be: a row of a small group is near its centre because it is a part of it.

    Parameters
    ----------
    space
        The forest and the leaf space of its rows.
    labels
        (n,) group of each row, from 0, none empty.
    features
        (n, n_features), NaN where a feature is missing.
    """
    from scipy.sparse import csr_array

    n_rows, n_groups = len(labels), int(labels.max()) + 1
    members = csr_array((np.ones(n_rows, dtype=np.float32), (labels, np.arange(n_rows))), shape=(n_groups, n_rows))
    centres = (members @ space.matrix).toarray() / np.bincount(labels, minlength=n_groups)[:, None].astype(np.float32)
    found = _distances(space.matrix, centres)
    own = _distances_to_others(space, centres, labels)
    quantiles = np.stack([np.quantile(own[labels == group], QUANTILES) for group in range(n_groups)])
    known = ~np.isnan(features)
    low = np.where(known, features, np.inf).min(axis=0)
    high = np.where(known, features, -np.inf).max(axis=0)
    agreement = float((found.argmin(axis=1) == labels).mean())
    return Places(
        centres, quantiles, np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan), agreement
    )


def _unseen(space: LeafSpace) -> csr_array:
    """Leaf space of the rows with the trees alone that were not grown on them (all, where there are none), scaled up for that."""
    from scipy.sparse import csr_array

    n_rows, n_trees = space.matrix.shape[0], len(space.model.estimators_)
    unseen = np.ones((n_rows, n_trees), dtype=bool)
    for number, drawn in enumerate(space.model.estimators_samples_):
        unseen[drawn, number] = False
    counts = unseen.sum(axis=1)
    weights = np.where(unseen | (counts == 0)[:, None], n_trees / np.where(counts, counts, n_trees)[:, None], 0)
    entries = space.matrix.data * weights.ravel().astype(np.float32)
    return csr_array((entries, space.matrix.indices, space.matrix.indptr), shape=space.matrix.shape)


def _distances_to_others(space: LeafSpace, centres: Array, labels: Labels) -> Array:
    """Distance (n,) of each row, as it is in the trees that were not grown on it, to the centre of the others of its group.

    Both ways to see the row have the product 1 with the row itself, which is taken out of the centre; 0 for a row on its own.
    """
    rows, sizes = np.arange(len(labels)), np.bincount(labels)[labels]
    squares = (centres.astype(float) ** 2).sum(axis=1)[labels]
    seen, unseen = ((matrix @ centres.T)[rows, labels] for matrix in (space.matrix, _unseen(space)))
    others = np.maximum(sizes - 1, 1)
    products = (sizes * unseen - 1) / others
    lengths = (sizes**2 * squares - 2 * sizes * seen + 1) / others**2
    return np.where(sizes > 1, np.sqrt(np.maximum(1 - 2 * products + lengths, 0)), 0.0)


def _distances(space: csr_array, centres: Array) -> Array:
    """Distance of each row to each centre (n, n_groups); a row has the length 1."""
    products = space @ centres.T
    return np.sqrt(np.maximum(1 - 2 * products + (centres.astype(float) ** 2).sum(axis=1), 0))


def place(places: Places, forest: RandomForestRegressor, features: Array) -> pd.DataFrame:
    """Put rows into groups.

    Parameters
    ----------
    places
        The groups.
    forest
        The forest that made them.
    features
        (n, n_features) float32 in the order of the forest; NaN where a feature is missing.

    Returns
    -------
    DataFrame
        ``cluster``; ``distance`` to its centre (0: in the same leaves as all its rows); ``novelty``, the share of the rows the
        group was made of that are nearer; ``beyond``, the share of the forest's importances in features
        outside the range of the rows it was grown on; ``outside``, whether ``novelty`` is above 0.99 or ``beyond`` at least 0.1.
    """
    parts = [_placed(places, forest, features[start : start + BLOCK]) for start in range(0, len(features), BLOCK)]
    return pd.concat(parts, ignore_index=True) if parts else _frame(np.empty(0, int), np.empty(0), np.empty(0), np.empty(0))


def _placed(places: Places, forest: RandomForestRegressor, features: Array) -> pd.DataFrame:
    found = _distances(leaf_matrix(forest, features.astype(np.float32)), places.centres)
    group = found.argmin(axis=1)
    distance = found[np.arange(len(group)), group]
    novelty = np.array([np.interp(one, places.distances[at], QUANTILES) for one, at in zip(distance, group, strict=True)])
    unlike = (features < places.low) | (features > places.high)
    return _frame(group, distance, novelty, unlike @ forest.feature_importances_)


def _frame(group: Array, distance: Array, novelty: Array, beyond: Array) -> pd.DataFrame:
    columns = {"cluster": group.astype(np.int32), "distance": distance, "novelty": novelty, "beyond": beyond}
    return pd.DataFrame(columns | {"outside": (novelty > LIMIT) | (beyond >= BEYOND)})


def save_places(places: Places, folder: Path) -> Path:
    """Write centres and ranges beside the forest that is saved in the folder."""
    file = folder / CENTRES
    forest = np.frombuffer(sha256((folder / MODEL).read_bytes()).digest(), dtype=np.uint8)
    arrays = {"centres": places.centres, "distances": places.distances, "low": places.low, "high": places.high}
    np.savez_compressed(file, forest=forest, agreement=places.agreement, **arrays)
    return file


def load_places(folder: Path) -> tuple[Places, SavedModel]:
    """Read groups and their forest.

    Parameters
    ----------
    folder
        The folder of a clustering, or the folder ``forest`` in it.

    Raises
    ------
    HibanaError
        HIB-264 if skops is not installed, HIB-269 if a file is missing or damaged, or they do not belong together.
    """
    folder = folder / "forest" if (folder / "forest").is_dir() else folder
    model = load(folder)
    file = folder / CENTRES
    try:
        with np.load(file) as held:
            forest, agreement = held["forest"].tobytes(), float(held["agreement"])
            arrays = {name: held[name] for name in ("centres", "distances", "low", "high")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UNREADABLE_MODEL.error(f"{CENTRES}: {type(error).__name__}: {error}", where=folder) from error
    if forest != sha256((folder / MODEL).read_bytes()).digest():
        raise UNREADABLE_MODEL.error(f"{CENTRES} belongs to another forest than {MODEL}", where=folder)
    return Places(**arrays, agreement=agreement), model


def place_rows(folder: Path, features: pd.DataFrame, versions: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Put rows of a table into the groups of a clustering.

    Parameters
    ----------
    folder
        As in :func:`load_places`.
    features
        (n, ...) features by name.
    versions
        Version of each source of the features; None where they are known to be the same.

    Returns
    -------
    DataFrame
        Index of ``features``; the columns of :func:`place`, and the forest's ``prediction`` of the target.

    Raises
    ------
    HibanaError
        Those of :func:`load_places`; HIB-268 if the features are not those of the forest.
    """
    places, model = load_places(folder)
    predicted = model.predict(features, versions)
    found = place(places, model.estimator, model.matrix(features)).set_index(predicted.index)
    return found.assign(prediction=predicted["prediction"])
