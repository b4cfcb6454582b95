"""A fitted generator of compositions: from a wanted value to formulas, and to files without pickle."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hibana.learn.errors import NO_SUCH_VALUE, UNREADABLE_GENERATOR
from hibana.learn.generation.compounds import Compounds, whole_formula
from hibana.learn.generation.decoding import Kinds, decode, text_of
from hibana.learn.generation.network import Effort, Network, train
from hibana.learn.spectra.weights import read_tensors, write_tensors

Array = NDArray[np.float64]

FILE = "generator.safetensors"
LEAST_OF_A_KIND = 2
FORMAT = "hibana generator 1"
SAFE_DIGITS = 1e-6
"""How far rounding may take a value beyond the range."""


@dataclass(frozen=True)
class Generator:
    """What draws formulas for a value.

    Parameters
    ----------
    network
        The fitted network.
    symbols
        Elements it knows.
    kinds
        Amounts that occur in at least two compounds; formulas have these wherever they can.
    target, unit
        What the values are of.
    mean, deviation
        Of the values it learned from.
    lowest, highest
        Range of these values.
    snapshot
        Identity of the table.
    """

    network: Network
    symbols: tuple[str, ...]
    kinds: Kinds
    target: str
    unit: str
    mean: float
    deviation: float
    lowest: float
    highest: float
    snapshot: str

    def check(self, value: float) -> float:
        """The value, if it can be asked for.

        Raises
        ------
        HibanaError
            HIB-281 if it is no number or not within the range of the values it learned from.
        """
        return check_value(value, self.lowest, self.highest, self.target)

    def draw(self, values: Array, seed: int) -> list[str]:
        """One formula for each value, all neutral, some perhaps equal; the same for the same seed.

        Parameters
        ----------
        values
            (n,) wanted values.
        seed
            Of the draw.

        Raises
        ------
        HibanaError
            HIB-281 for a value that cannot be asked for.
        """
        wanted = torch.tensor([(self.check(float(value)) - self.mean) / self.deviation for value in values], dtype=torch.float32)
        noise = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            latent = torch.randn(len(wanted), self.network.latent, generator=noise)
            shares, chances = self.network.decode(latent, wanted[:, None])
            numbers = torch.multinomial(chances.exp(), 1, generator=noise)[:, 0] + 1
        rows = zip(shares.exp().double().numpy(), numbers.tolist(), strict=True)
        return [text_of(decode(row, number, self.symbols, self.kinds)) for row, number in rows]


def check_value(value: float, lowest: float, highest: float, target: str) -> float:
    """A wanted value, if it lies within a range.

    Raises
    ------
    HibanaError
        HIB-281 if it does not, or is no number.
    """
    if not lowest - SAFE_DIGITS <= value <= highest + SAFE_DIGITS:
        raise NO_SUCH_VALUE.error(f"{value:g}; {target} lies between {lowest:g} and {highest:g}")
    return value


def fit_generator(
    compounds: Compounds, effort: Effort, seed: int, snapshot: str, say: Callable[[str], None] = lambda _: None
) -> tuple[Generator, list[float]]:
    """Fit a generator to compounds.

    Parameters
    ----------
    compounds
        What it learns from.
    effort
        How long and how wide.
    seed
        Of weights, batches and noise.
    snapshot
        Identity of the table.
    say
        Told how it gets on.

    Returns
    -------
    tuple
        The generator, and the mean loss of each 100 batches in nats a formula.
    """
    mean, deviation = float(compounds.values.mean()), float(compounds.values.std())
    with _seeded(seed):
        network = Network(len(compounds.symbols), effort.latent, effort.hidden)
        fractions = torch.tensor(compounds.fractions, dtype=torch.float32)
        values = torch.tensor((compounds.values - mean) / deviation, dtype=torch.float32)[:, None]
        losses = train(network, fractions, values, torch.tensor(compounds.numbers), effort, say)
    network.requires_grad_(requires_grad=False)
    lowest, highest = float(compounds.values.min()), float(compounds.values.max())
    found = Generator(
        network,
        compounds.symbols,
        kinds_of(compounds),
        compounds.target,
        compounds.unit,
        mean,
        deviation,
        lowest,
        highest,
        snapshot,
    )
    return found, losses


def kinds_of(compounds: Compounds) -> Kinds:
    """Amounts, ascending, that occur in at least two compounds."""
    counts = Counter(tuple(sorted((whole_formula(formula) or {}).values())) for formula in compounds.formulas)
    return frozenset(kind for kind, count in counts.items() if count >= LEAST_OF_A_KIND)


def save_generator(generator: Generator, folder: Path) -> Path:
    """Write a generator; see :func:`load_generator`."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {field.name: getattr(generator, field.name) for field in fields(generator) if field.name != "network"}
    said |= {"kinds": sorted(generator.kinds), "latent": generator.network.latent, "hidden": generator.network.hidden}
    write_tensors(folder / FILE, generator.network.state_dict(), {"format": FORMAT, "generator": json.dumps(said)})
    return folder / FILE


def load_generator(folder: Path) -> Generator:
    """Read a generator that :func:`save_generator` wrote.

    Raises
    ------
    HibanaError
        HIB-283 if there is none, or it is damaged.
    """
    try:
        tensors, texts = read_tensors(folder / FILE)
        if texts.get("format") != FORMAT:
            raise ValueError(f"it is no {FORMAT!r}")
        said = json.loads(texts["generator"])
        network = Network(len(said["symbols"]), said.pop("latent"), said.pop("hidden"))
        network.load_state_dict(tensors)
        network.requires_grad_(requires_grad=False)
        kinds = frozenset(tuple(kind) for kind in said.pop("kinds"))
        return Generator(network, tuple(said.pop("symbols")), kinds, **said)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UNREADABLE_GENERATOR.error(str(error).splitlines()[0], where=folder / FILE) from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """A seed of torch's own generator that ends with the block."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
