"""What sets the clusters of spectra apart: elements, and coordination of the elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.spectra.graph import Graph
from hibana.learn.spectra.ward import Indices

Array = NDArray[np.float64]

FEWEST = 3
"""Crystals of a cluster, and of the others, that must have an element for it to be compared."""

ROUNDS = 50
"""Rounds of Hoppe's mean bond length at most."""


def coordination(graph: Graph) -> Array:
    """Effective coordination number of each node (n_nodes,).

    R. Hoppe, Z. Kristallogr. 150, 23 (1979): every neighbour counts exp(1 - (d/d0)^6), d0 is the mean distance with these
    weights. Neighbours of every element count, those of the same element as well.
    """
    found = np.empty(len(graph.numbers))
    for node in range(len(graph.numbers)):
        distances = graph.distances[graph.centres == node]
        mean = distances.min()
        weights = np.ones_like(distances)
        for _ in range(ROUNDS):
            weights = np.exp(1 - (distances / mean) ** 6)
            before, mean = mean, float((weights * distances).sum() / weights.sum())
            if abs(mean - before) < 1e-6 * mean:
                break
        found[node] = np.exp(1 - (distances / mean) ** 6).sum()
    return found


def element_coordinations(graphs: Sequence[Graph]) -> pd.DataFrame:
    """Mean effective coordination number of each element in each crystal; NaN where the crystal does not have the element."""
    from pymatgen.core import Element

    rows = []
    for graph in graphs:
        numbers = coordination(graph)
        row = {}
        for element in np.unique(graph.numbers):
            own = graph.numbers == element
            row[Element.from_Z(int(element)).symbol] = float(np.average(numbers[own], weights=graph.multiplicities[own]))
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame[sorted(frame.columns)]


def compare_groups(labels: Indices, coordinations: pd.DataFrame) -> pd.DataFrame:
    """Each cluster against all other rows, by elements and by coordination.

    Parameters
    ----------
    labels
        (n,) cluster of each row.
    coordinations
        As :func:`element_coordinations` gives them for the same rows.

    Returns
    -------
    DataFrame
        A line a cluster and feature. ``feature``: ``has X`` (crystals with the element: shares of them, Fisher's exact test) or
        ``coordination of X`` (means over crystals with the element: Kolmogorov and Smirnov's two-sample test). ``inside``,
        ``outside``: share or mean; ``statistic``: difference of the shares, or the greatest distance of the distributions, with
        the sign of the difference of the means; ``p``; ``q``: p with the false discovery rate of all lines controlled
        (Benjamini and Hochberg); ``n_inside``: crystals of the cluster.
    """
    from scipy.stats import false_discovery_control, fisher_exact, ks_2samp

    lines = []
    there = coordinations.notna().to_numpy()
    for number in np.unique(labels):
        inside = labels == number
        size = int(inside.sum())
        for column, element in enumerate(coordinations.columns):
            has = there[:, column]
            own, other = int((has & inside).sum()), int((has & ~inside).sum())
            if own < FEWEST or not (~inside).any():
                continue
            table = [[own, size - own], [other, int((~inside).sum()) - other]]
            shares = own / size, other / int((~inside).sum())
            p = float(fisher_exact(table).pvalue)
            lines.append((int(number), size, f"has {element}", *shares, shares[0] - shares[1], p))
            if other < FEWEST:
                continue
            values = coordinations[element].to_numpy()
            first, second = values[has & inside], values[has & ~inside]
            test = ks_2samp(first, second)
            difference = float(first.mean() - second.mean())
            statistic = float(test.statistic) * float(np.sign(difference))
            lines.append((int(number), size, f"coordination of {element}", first.mean(), second.mean(), statistic, test.pvalue))
    names = ["cluster", "n_inside", "feature", "inside", "outside", "statistic", "p"]
    frame = pd.DataFrame(lines, columns=names)
    frame["q"] = false_discovery_control(frame["p"]) if len(frame) else np.empty(0)
    return frame.sort_values(["cluster", "q", "feature"], kind="stable", ignore_index=True)
