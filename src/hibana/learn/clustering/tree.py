"""Ward's hierarchy of weighted points without distances between all pairs, and how a hierarchy is cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


def ward(points: Array, weights: Array) -> Array:
    """Ward's hierarchy by the chain of nearest neighbours (F. Murtagh, Comput. J. 26, 354 (1983)).

    Each point stands for as many coincident ones as its weight says. Memory is proportional to the number of points, time to its
    square. With weights of one the result is that of ``scipy.cluster.hierarchy.linkage(points, "ward")``.

    Parameters
    ----------
    points
        (m, d)
    weights
        (m,) positive.

    Returns
    -------
    ndarray
        (m - 1, 4) as SciPy has it: two nodes, height sqrt(2 w_a w_b / (w_a + w_b)) times the distance of their centres, number of
        points (not of their weights).
    """
    centres, mass = np.array(points, dtype=float), np.array(weights, dtype=float)
    squares = (centres**2).sum(axis=1)
    alive = np.ones(len(centres), dtype=bool)
    merges: list[tuple[int, int, float]] = []
    chain: list[int] = []
    while len(merges) < len(centres) - 1:
        if not chain:
            chain.append(int(np.argmax(alive)))
        tip = chain[-1]
        cost = np.maximum(squares + squares[tip] - 2 * (centres @ centres[tip]), 0.0) * (mass * mass[tip] / (mass + mass[tip]))
        cost[~alive] = np.inf
        cost[tip] = np.inf
        nearest = int(np.argmin(cost))
        if len(chain) > 1 and cost[chain[-2]] <= cost[nearest]:
            other = chain[-2]
            merges.append((tip, other, float(np.sqrt(2 * cost[other]))))
            del chain[-2:]
            centres[other] = (mass[tip] * centres[tip] + mass[other] * centres[other]) / (mass[tip] + mass[other])
            squares[other] = centres[other] @ centres[other]
            mass[other] += mass[tip]
            alive[tip] = False
        else:
            chain.append(nearest)
    return _in_order(merges)


def _in_order(merges: list[tuple[int, int, float]]) -> Array:
    """SciPy's form of merges that name a point of each side: by height, nodes numbered as they come about."""
    n_points = len(merges) + 1
    node, size = np.arange(n_points), np.ones(n_points)
    root = np.arange(n_points)

    def find(point: int) -> int:
        while root[point] != point:
            root[point] = root[root[point]]
            point = int(root[point])
        return point

    linkage = np.empty((len(merges), 4))
    for number, place in enumerate(np.argsort([height for *_, height in merges], kind="stable")):
        first, second, height = merges[place]
        first, second = find(first), find(second)
        linkage[number] = (*sorted((node[first], node[second])), height, size[first] + size[second])
        root[first] = second
        node[second], size[second] = n_points + number, size[first] + size[second]
    return linkage


def cut(linkage: Array, groups: int) -> tuple[Labels, Array]:
    """Undo the last merges until a number of groups is left.

    Parameters
    ----------
    linkage
        (m - 1, 4) as SciPy has it.
    groups
        How many, at most m.

    Returns
    -------
    tuple
        Group of each point (m,), from 0; and the merges of the groups, (groups - 1, 4), as SciPy has them.
    """
    n_points = len(linkage) + 1
    kept = n_points - groups
    children = linkage[:, :2].astype(np.intp)
    label = np.full(n_points + len(linkage), -1, dtype=np.intp)
    tops = [node for pair in children[kept:] for node in pair if node < n_points + kept] if groups > 1 else [2 * n_points - 2]
    label[tops] = np.arange(groups)
    for number in range(kept - 1, -1, -1):
        label[children[number]] = label[n_points + number]
    above = linkage[kept:].copy()
    inner = children[kept:] >= n_points + kept
    above[:, :2] = np.where(inner, children[kept:] - n_points - kept + groups, label[children[kept:]])
    for number, pair in enumerate(above[:, :2].astype(np.intp)):
        above[number, 3] = sum(1 if node < groups else above[node - groups, 3] for node in pair)
    return label[:n_points], above
