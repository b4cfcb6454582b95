"""A conditional variational autoencoder of compositions: shares of elements and their number, for a wanted value.

A formula is taken as :data:`COUNTS` atoms drawn from its fractions, so the reconstruction is a multinomial likelihood
(Kingma and Welling, arXiv:1312.6114; Sohn, Lee and Yan, NIPS 2015, for the condition). A second network, the guide, predicts the
value from shares; while the decoder learns, compositions drawn for random values must have these values by the guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from hibana.learn.generation.decoding import MOST_ELEMENTS

COUNTS = 20.0
"""Atoms that a formula counts as in the likelihood."""

BATCH = 256
REPORTED = 100
RATE = 2e-3
NOISE = 0.02
"""Noise on the fractions that the guide learns from, so that it is smooth between formulas."""


@dataclass(frozen=True)
class Effort:
    """How long and how wide.

    Parameters
    ----------
    steps
        Batches, of the guide and of the autoencoder each.
    latent
        Width of the latent space.
    hidden
        Width of the layers.
    guidance
        Weight of the guide's error, in units of the target's variance.
    """

    steps: int = 1500
    latent: int = 16
    hidden: int = 192
    guidance: float = 4.0


def layers(before: int, hidden: int, after: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(before, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, after))


class Network(nn.Module):
    """Encoder, decoder and guide.

    Parameters
    ----------
    n_symbols
        Elements.
    latent, hidden
        Widths.
    """

    def __init__(self, n_symbols: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.n_symbols, self.latent, self.hidden = n_symbols, latent, hidden
        self.encoder = layers(n_symbols + 1, hidden, 2 * latent)
        self.decoder = layers(latent + 1, hidden, n_symbols + MOST_ELEMENTS)
        self.guide = layers(n_symbols, hidden, 1)

    def decode(self, latent: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the shares (n, n_symbols) and of the chances (n, 6) of 1 to 6 elements."""
        found = self.decoder(torch.cat([latent, value], dim=1))
        shares, number = found.split([self.n_symbols, MOST_ELEMENTS], dim=1)
        return functional.log_softmax(shares, dim=1), functional.log_softmax(number, dim=1)

    def loss(self, fractions: Tensor, value: Tensor, number: Tensor) -> Tensor:
        """Negative evidence lower bound of some rows, in nats a formula."""
        mean, spread = self.encoder(torch.cat([fractions, value], dim=1)).chunk(2, dim=1)
        spread = spread.clamp(-8, 4)
        latent = mean + torch.randn_like(mean) * (0.5 * spread).exp()
        shares, chances = self.decode(latent, value)
        likelihood = COUNTS * (fractions * shares).sum(dim=1) - functional.nll_loss(chances, number - 1, reduction="none")
        divergence = 0.5 * (mean**2 + spread.exp() - spread - 1).sum(dim=1)
        return (divergence - likelihood).mean()

    def predict(self, fractions: Tensor) -> Tensor:
        """The guide's value (n, 1) of some shares."""
        found: Tensor = self.guide(fractions)
        return found


def train(
    network: Network, fractions: Tensor, value: Tensor, number: Tensor, effort: Effort, say: Callable[[str], None]
) -> list[float]:
    """Fit the guide, then encoder and decoder under its eyes.

    Parameters
    ----------
    network
        Changed in place.
    fractions
        (n, n_symbols).
    value
        (n, 1), of mean 0 and variance 1.
    number
        (n,) elements of each row.
    effort
        Epochs and guidance.
    say
        Told how it gets on.

    Returns
    -------
    list
        Mean loss of each :data:`REPORTED` batches, in nats a formula.
    """
    _fit_guide(network, fractions, value, effort)
    network.guide.requires_grad_(requires_grad=False)
    parameters = [*network.encoder.parameters(), *network.decoder.parameters()]
    losses = []

    def step(rows: Tensor) -> Tensor:
        loss = network.loss(fractions[rows], value[rows], number[rows])
        if effort.guidance > 0:
            wanted = value[torch.randint(len(value), (len(rows),))]
            shares, _ = network.decode(torch.randn(len(rows), network.latent), wanted)
            loss = loss + effort.guidance * functional.mse_loss(network.predict(shares.exp()), wanted)
        return loss

    for count, loss in enumerate(_optimise(parameters, len(fractions), effort.steps, step), start=1):
        losses.append(loss)
        say(f"{min(count * REPORTED, effort.steps)} of {effort.steps} batches: {loss:.3f} nats a formula")
    return losses


def _fit_guide(network: Network, fractions: Tensor, value: Tensor, effort: Effort) -> None:
    def step(rows: Tensor) -> Tensor:
        noisy = (fractions[rows] + NOISE * torch.rand_like(fractions[rows]) / network.n_symbols).clamp(min=0)
        return functional.mse_loss(network.predict(noisy / noisy.sum(dim=1, keepdim=True)), value[rows])

    for _ in _optimise(list(network.guide.parameters()), len(fractions), effort.steps, step):
        pass


def _optimise(parameters: list[nn.Parameter], n_rows: int, steps: int, step: Callable[[Tensor], Tensor]) -> Iterator[float]:
    """Take a number of steps, all rows in turn; the mean loss of each :data:`REPORTED` of them."""
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1)
    losses: list[float] = []
    for count, rows in enumerate(islice(_batches(n_rows), steps), start=1):
        optimiser.zero_grad()
        loss = step(rows)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if len(losses) == REPORTED or count == steps:
            yield sum(losses) / len(losses)
            losses.clear()


def _batches(n_rows: int) -> Iterator[Tensor]:
    """Rows in random order, over and over."""
    while True:
        yield from torch.randperm(n_rows).split(BATCH)
