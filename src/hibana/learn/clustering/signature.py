"""What sets a group apart: two-sample Kolmogorov-Smirnov statistic of each feature, group against rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Labels = NDArray[np.intp]

FEWEST = 5
"""Fewest known values of a feature in the group and in the rest for a comparison."""

ALIKE = 0.9
"""Features of this rank correlation (absolute) say the same."""

ROWS_FOR_ALIKE = 2_000
"""Most rows that rank correlations are worked out on."""


def signatures(features: NDArray[np.float32], names: Sequence[str], labels: Labels, groups: Sequence[int]) -> pd.DataFrame:
    """Compare each feature between a group and all other rows.

    The statistic is the largest distance of the two cumulative distributions, with the sign of the side the group is on: positive
    where its values are larger. Values that are missing do not count; the share that is known stands beside. P values are those
    of the asymptotic distribution, which is on the safe side for values with ties; false discovery rates are Benjamini and
    Hochberg's over the features of a group. The groups were made with the same features, so both are a measure of clarity and no
    test of a hypothesis.

    Parameters
    ----------
    features
        (n, n_features); NaN where a feature is missing.
    names
        (n_features,)
    labels
        (n,) group of each row.
    groups
        Which groups.

    Returns
    -------
    DataFrame
        One row a group and feature, the clearest first within a group: ``group``, ``feature``, ``ks`` (signed, -1 to 1),
        ``median`` and ``median_rest``, ``known`` and ``known_rest`` (shares), ``p``, ``fdr``. Features with too few known values
        are not there.
    """
    from scipy.stats import false_discovery_control, kstwo

    inside = np.stack([labels == group for group in groups], axis=1)
    found = [_compare(features[:, place], inside) for place in range(features.shape[1])]
    parts = []
    for place, group in enumerate(groups):
        frame = pd.DataFrame(
            [row[place] for row in found], columns=["ks", "median", "median_rest", "known", "known_rest", "weight"]
        )
        frame.insert(0, "feature", list(names))
        frame.insert(0, "group", group)
        frame = frame[frame["ks"].notna()]
        frame["p"] = kstwo.sf(frame["ks"].abs(), frame.pop("weight").round())
        frame["fdr"] = false_discovery_control(frame["p"]) if len(frame) else frame["p"]
        parts.append(frame.iloc[np.argsort(-frame["ks"].abs().to_numpy(), kind="stable")])
    return pd.concat(parts, ignore_index=True)


def _compare(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> list[tuple[float, ...]]:
    """Of one feature, for all groups (n, n_groups): statistic, medians, shares, and n m / (n + m) of the numbers of values."""
    known = ~np.isnan(values)
    shares = known[:, None] & inside
    own = shares.sum(axis=0)
    others = known.sum() - own
    order = np.flatnonzero(known)[np.argsort(values[known], kind="stable")]
    ordered = values[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    rows = []
    for group, (n_own, n_others) in enumerate(zip(own.tolist(), others.tolist(), strict=True)):
        known_own = n_own / max(1, int(inside[:, group].sum()))
        known_others = n_others / max(1, int((~inside[:, group]).sum()))
        if min(n_own, n_others) < FEWEST:
            rows.append((np.nan, np.nan, np.nan, known_own, known_others, np.nan))
            continue
        is_own = inside[order, group]
        up = np.cumsum(is_own)[last]
        position = np.flatnonzero(last) + 1
        gap = (position - up) / n_others - up / n_own
        ks = float(gap[np.argmax(np.abs(gap))])
        medians = float(np.median(ordered[is_own])), float(np.median(ordered[~is_own]))
        rows.append((ks, *medians, known_own, known_others, n_own * n_others / (n_own + n_others)))
    return rows


def distinct(features: NDArray[np.float32], names: Sequence[str], ranked: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """The first features of a ranking that say different things: none has a rank correlation of 0.9 or more with one before it.

    Parameters
    ----------
    features
        (n, n_features); NaN where a feature is missing.
    names
        (n_features,)
    ranked
        Names, the clearest first.
    count
        How many, at most.
    seed
        Of the rows drawn where there are many.
    """
    from scipy.stats import rankdata

    rows = np.sort(np.random.default_rng(seed).permutation(len(features))[:ROWS_FOR_ALIKE])
    places = {name: place for place, name in enumerate(names)}
    chosen: list[str] = []
    vectors: list[NDArray[np.float64]] = []
    for name in ranked:
        column = features[rows, places[name]].astype(float)
        column[np.isnan(column)] = np.nanmedian(column) if np.isfinite(column).any() else 0.0
        vector = rankdata(column) - (len(column) + 1) / 2
        length = np.linalg.norm(vector)
        if length == 0:
            continue
        vector /= length
        if all(abs(float(vector @ other)) < ALIKE for other in vectors):
            chosen.append(name)
            vectors.append(vector)
        if len(chosen) == count:
            break
    return chosen
