"""The network: edge-gated convolutions on the bonds of a crystal and on pairs of bonds.

The architecture is ALIGNN's, K. Choudhary and B. DeCost, npj Comput. Mater. 7, 185 (2021), with the convolution of
X. Bresson and T. Laurent, arXiv:1711.07553 (2017). Layers are normalised by vector and not by batch, so that a prediction does
not depend on what is predicted beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hibana.learn.spectra.batch import Batch
from hibana.learn.spectra.elements import N_NUMBERS, element_table

RADIUS = 8.0
"""Å; distances are expanded in Gaussians between 0 and this."""


@dataclass(frozen=True)
class Shape:
    """Size of a network.

    Parameters
    ----------
    n_points
        Points of the spectrum.
    channels
        Length of the vectors of nodes, bonds and pairs.
    alignn_layers
        Layers on bonds and pairs of bonds.
    gcn_layers
        Layers on bonds only, after them.
    distance_bins, angle_bins
        Gaussians for distances, and for cosines of angles.
    expansion
        Length of the vectors between Gaussians and channels.
    """

    n_points: int
    channels: int = 64
    alignn_layers: int = 2
    gcn_layers: int = 2
    distance_bins: int = 80
    angle_bins: int = 40
    expansion: int = 64


class Gaussians(nn.Module):
    """A number as Gaussians on evenly spaced points, each as wide as the points are apart."""

    def __init__(self, low: float, high: float, bins: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(low, high, bins))
        self.inverse = (bins - 1) / (high - low)

    def forward(self, values: Tensor) -> Tensor:
        """(n,) to (n, bins)."""
        return torch.exp(-(((values[:, None] - self.centres) * self.inverse) ** 2))


class Dense(nn.Sequential):
    """Linear map, normalisation, SiLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.SiLU())


class GatedConvolution(nn.Module):
    """Edge-gated convolution: every node takes the mean of its neighbours, weighted by gates that the edges learn.

    Parameters
    ----------
    channels
        Length of the vectors.
    last
        Whether the edges are not needed afterwards.
    """

    def __init__(self, channels: int, *, last: bool = False) -> None:
        super().__init__()
        self.from_gate, self.to_gate = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.edge_gate = nn.Linear(channels, channels)
        self.from_update, self.to_update = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.node_norm = nn.LayerNorm(channels)
        self.edge_norm = None if last else nn.LayerNorm(channels)

    def forward(self, nodes: Tensor, edges: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """New vectors of nodes (n, channels) and edges (m, channels); edges lead from sources (m,) to targets (m,)."""
        starts, ends = self.from_gate(nodes).index_select(0, sources), self.to_gate(nodes).index_select(0, targets)
        gates = starts + ends + self.edge_gate(edges)
        shares = torch.sigmoid(gates)
        sent = shares * self.from_update(nodes).index_select(0, sources)
        messages = torch.zeros_like(nodes).index_add(0, targets, sent)
        total = torch.zeros_like(nodes).index_add(0, targets, shares)
        nodes = nodes + functional.silu(self.node_norm(self.to_update(nodes) + messages / (total + 1e-6)))
        if self.edge_norm is None:
            return nodes, edges
        return nodes, edges + functional.silu(self.edge_norm(gates))


class SpectrumNetwork(nn.Module):
    """Spectrum of a crystal, never negative.

    Parameters
    ----------
    shape
        Its size.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        channels, expansion = shape.channels, shape.expansion
        table = torch.from_numpy(element_table())
        self.register_buffer("properties", table)
        self.symbol = nn.Embedding(N_NUMBERS, channels)
        self.element = Dense(table.shape[1], channels)
        self.distance = nn.Sequential(
            Gaussians(0.0, RADIUS, shape.distance_bins), Dense(shape.distance_bins, expansion), Dense(expansion, channels)
        )
        self.angle = nn.Sequential(
            Gaussians(-1.0, 1.0, shape.angle_bins), Dense(shape.angle_bins, expansion), Dense(expansion, channels)
        )
        count, after = shape.alignn_layers, shape.gcn_layers
        self.bond_layers = nn.ModuleList(GatedConvolution(channels) for _ in range(count))
        self.pair_layers = nn.ModuleList(GatedConvolution(channels, last=index == count - 1) for index in range(count))
        self.gcn_layers = nn.ModuleList(GatedConvolution(channels, last=index == after - 1) for index in range(after))
        self.readout = nn.Linear(channels, shape.n_points)
        nn.init.zeros_(self.symbol.weight)

    def start_from(self, spectrum: Tensor) -> None:
        """Let the untrained network say a spectrum (n_points,), positive, of every crystal."""
        with torch.no_grad():
            self.readout.bias.copy_(torch.log(torch.expm1(spectrum.clamp(min=1e-3))))
            self.readout.weight.mul_(0.1)

    def forward(self, batch: Batch) -> Tensor:
        """Spectra (n_crystals, n_points), 0 or more."""
        return functional.softplus(self.readout(self.layers(batch)[-1][1]))

    def layers(self, batch: Batch) -> list[tuple[str, Tensor]]:
        """Mean over the atoms of each crystal after each layer, (n_crystals, channels), with the layer's name."""
        nodes = self.symbol(batch.numbers) + self.element(self.properties[batch.numbers])
        bonds, pairs = self.distance(batch.distances), self.angle(batch.cosines)
        found = [("embedding", _mean(nodes, batch))]
        for index, (bond_layer, pair_layer) in enumerate(zip(self.bond_layers, self.pair_layers, strict=True)):
            nodes, bonds = bond_layer(nodes, bonds, batch.neighbours, batch.centres)
            bonds, pairs = pair_layer(bonds, pairs, batch.from_bonds, batch.to_bonds)
            found.append((f"alignn_{index + 1}", _mean(nodes, batch)))
        for index, layer in enumerate(self.gcn_layers):
            nodes, bonds = layer(nodes, bonds, batch.neighbours, batch.centres)
            found.append((f"gcn_{index + 1}", _mean(nodes, batch)))
        return found


def layer_names(shape: Shape) -> list[str]:
    """Names of the layers that have latent vectors."""
    alignn = [f"alignn_{index + 1}" for index in range(shape.alignn_layers)]
    return ["embedding", *alignn, *(f"gcn_{index + 1}" for index in range(shape.gcn_layers))]


def make_network(shape: Shape, seed: int) -> SpectrumNetwork:
    """A network whose first weights are those of the seed; the state of torch's random numbers stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SpectrumNetwork(shape)


def n_parameters(network: nn.Module) -> int:
    """Number of weights that are learned."""
    return int(np.sum([parameter.numel() for parameter in network.parameters()]))


def _mean(nodes: Tensor, batch: Batch) -> Tensor:
    """Mean over the atoms of each crystal."""
    empty = torch.zeros((batch.n_crystals, nodes.shape[1]), dtype=nodes.dtype, device=nodes.device)
    return empty.index_add(0, batch.crystals, nodes * batch.weights[:, None])
