"""Several graphs as one: the tensors a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from hibana.learn.spectra.graph import Graph


@dataclass(frozen=True)
class Batch:
    """Graphs side by side; nodes, bonds and pairs of bonds are numbered through.

    Parameters
    ----------
    numbers
        (n_nodes,) atomic numbers.
    weights
        (n_nodes,) share of the node's atoms in its crystal; the sum over a crystal is 1.
    crystals
        (n_nodes,) crystal of the node.
    centres, neighbours
        (n_bonds,) nodes at the two ends of a bond.
    distances
        (n_bonds,) in Å.
    from_bonds, to_bonds
        (n_pairs,) the bonds of a pair: the first ends at the atom from which the second starts.
    cosines
        (n_pairs,) of the angle at that atom.
    n_crystals
        Number of graphs.
    """

    numbers: Tensor
    weights: Tensor
    crystals: Tensor
    centres: Tensor
    neighbours: Tensor
    distances: Tensor
    from_bonds: Tensor
    to_bonds: Tensor
    cosines: Tensor
    n_crystals: int

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        values = (getattr(self, field.name) for field in fields(self))
        return Batch(*(value.to(device) if isinstance(value, Tensor) else value for value in values))


def collate(graphs: Sequence[Graph]) -> Batch:
    """Put graphs side by side."""
    n_nodes = np.array([len(graph.numbers) for graph in graphs])
    n_bonds = np.array([len(graph.centres) for graph in graphs])
    offsets = np.repeat(np.cumsum(n_nodes) - n_nodes, n_bonds)
    centres = np.concatenate([graph.centres for graph in graphs]) + offsets
    neighbours = np.concatenate([graph.neighbours for graph in graphs]) + offsets
    outward = np.concatenate([graph.outward for graph in graphs])
    backward = np.concatenate([graph.backward for graph in graphs])
    distances = np.linalg.norm(outward, axis=1)
    from_bonds, to_bonds = _pairs(centres, neighbours, int(n_nodes.sum()))
    products = np.einsum("pi,pi->p", backward[to_bonds], outward[from_bonds])
    cosines = np.clip(products / (distances[to_bonds] * distances[from_bonds]), -1.0, 1.0)
    weights = np.concatenate([graph.multiplicities / graph.multiplicities.sum() for graph in graphs])
    return Batch(
        numbers=torch.from_numpy(np.concatenate([graph.numbers for graph in graphs]).astype(np.int64)),
        weights=_floats(weights),
        crystals=torch.from_numpy(np.repeat(np.arange(len(graphs)), n_nodes)),
        centres=torch.from_numpy(centres),
        neighbours=torch.from_numpy(neighbours),
        distances=_floats(distances),
        from_bonds=torch.from_numpy(from_bonds),
        to_bonds=torch.from_numpy(to_bonds),
        cosines=_floats(cosines),
        n_crystals=len(graphs),
    )


def _pairs(
    centres: np.ndarray[tuple[int], np.dtype[np.intp]], neighbours: np.ndarray[tuple[int], np.dtype[np.intp]], n_nodes: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Bonds of each pair: every bond with all bonds of the node at its other end."""
    counts = np.bincount(centres, minlength=n_nodes)
    starts = np.cumsum(counts) - counts
    lengths = counts[neighbours]
    to_bonds = np.repeat(np.arange(len(centres)), lengths)
    places = np.arange(len(to_bonds)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(starts[neighbours], lengths) + places, to_bonds


def _floats(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
