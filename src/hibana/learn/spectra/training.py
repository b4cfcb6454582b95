"""Training of a network: early stopping on held-out rows, the same weights for the same seed, going on after a kill."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hibana.learn.errors import NO_DEVICE, OTHER_TRAINING
from hibana.learn.spectra.batch import Batch, collate
from hibana.learn.spectra.graph import Graph
from hibana.learn.spectra.network import SpectrumNetwork
from hibana.learn.spectra.weights import read_tensors, write_tensors

Array = NDArray[np.float64]
Say = Callable[[str], None]

CHECKPOINT = "training.safetensors"
WARM_UP = 0.3
"""Share of the steps in which the learning rate rises."""

FIRST_RATE, LAST_RATE = 1 / 25, 1e-4
"""Learning rate at the first and the last step, as a share of the largest."""

LARGEST_GRADIENT = 1.0
"""A gradient that is longer is scaled down to this length."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Parameters
    ----------
    epochs
        Times all training rows are seen, at most.
    batch
        Crystals of one step.
    rate
        Largest learning rate; it rises and falls along a cosine (one cycle).
    decay
        Weight decay of AdamW.
    patience
        Epochs without a smaller error on the validation rows before training stops.
    seed
        Of the first weights and the order of the rows.
    """

    epochs: int = 100
    batch: int = 32
    rate: float = 2e-3
    decay: float = 1e-4
    patience: int = 30
    seed: int = 0


@dataclass
class Progress:
    """State of a training besides the weights.

    Parameters
    ----------
    epoch
        Epochs done.
    best_epoch
        The one with the smallest error on the validation rows, from 1.
    history
        Mean loss on the training and on the validation rows after each epoch.
    """

    epoch: int = 0
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def best(self) -> float:
        """Smallest loss on the validation rows so far."""
        return self.history[self.best_epoch - 1]["validation"] if self.best_epoch else math.inf


@dataclass(frozen=True)
class Rows:
    """Crystals with their spectra.

    Parameters
    ----------
    graphs
        One a crystal.
    spectra
        (n, n_points) in units of the network's output, NaN where a point is missing.
    """

    graphs: Sequence[Graph]
    spectra: Array


def pick_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is a GPU where there is one.

    Raises
    ------
    HibanaError
        HIB-279 if it cannot be used.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise NO_DEVICE.error(f"{name}: {str(error).splitlines()[0]}") from error
    return device


@contextmanager
def reproducible() -> Iterator[None]:
    """Sums are made in one order, on GPUs as well."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, filled = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled


def train(
    network: SpectrumNetwork,
    training: Rows,
    validation: Rows,
    settings: Settings,
    *,
    device: torch.device,
    folder: Path | None = None,
    identity: str = "",
    every: float = 30.0,
    say: Say = lambda _: None,
) -> Progress:
    """Train a network; it ends with the weights that were best on the validation rows.

    Parameters
    ----------
    network
        Changed in place.
    training, validation
        Rows to learn from, and to choose the best epoch by.
    settings
        How.
    device
        Where.
    folder
        Where the state is kept while the training runs (``training.safetensors``); a state that is there is gone on from.
    identity
        What the training depends on, as a hash; a state of another one is refused.
    every
        Seconds between two writings of the state.
    say
        Told how it gets on.

    Returns
    -------
    Progress
        Losses by epoch.

    Raises
    ------
    HibanaError
        HIB-278 if the folder holds the state of another training.
    """
    network.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.decay)
    best = {name: value.clone() for name, value in network.state_dict().items()}
    progress, file = Progress(), None if folder is None else folder / CHECKPOINT
    if file is not None and file.is_file():
        progress, best = _resume(file, identity, network, optimizer)
        say(f"going on after epoch {progress.epoch} of {settings.epochs}")
    checks = _Batches(validation, np.arange(len(validation.graphs)), settings.batch)
    written = time.monotonic()
    with reproducible():
        while progress.epoch < settings.epochs and progress.epoch - progress.best_epoch < settings.patience:
            loss = _epoch(network, optimizer, training, settings, progress.epoch, device)
            held_out = _loss(network, checks, device)
            progress.history.append({"training": loss, "validation": held_out})
            progress.epoch += 1
            if held_out < progress.best or not progress.best_epoch:
                progress.best_epoch = progress.epoch
                best = {name: value.clone() for name, value in network.state_dict().items()}
            say(f"epoch {progress.epoch} of {settings.epochs}: loss {loss:.5f}, validation {held_out:.5f}")
            if file is not None and time.monotonic() - written >= every:
                _keep(file, identity, network, optimizer, best, progress)
                written = time.monotonic()
    network.load_state_dict(best)
    return progress


def spectra_of(network: SpectrumNetwork, graphs: Sequence[Graph], device: torch.device, batch: int = 64) -> Array:
    """Spectra (n, n_points) that a network predicts."""
    network.eval()
    with torch.no_grad(), reproducible():
        parts = [network(part.to(device)).cpu().numpy() for part in _collated(graphs, batch)]
    return np.concatenate(parts).astype(float)


def latents_of(network: SpectrumNetwork, graphs: Sequence[Graph], device: torch.device, batch: int = 64) -> dict[str, Array]:
    """Latent vectors (n, channels) of each layer: means over the atoms."""
    network.eval()
    with torch.no_grad(), reproducible():
        parts = [
            {name: value.cpu().numpy() for name, value in network.layers(part.to(device))} for part in _collated(graphs, batch)
        ]
    return {name: np.concatenate([part[name] for part in parts]).astype(float) for name in parts[0]}


def rate_at(step: int, steps: int, settings: Settings) -> float:
    """Learning rate of a step: rises along a cosine, then falls along one.

    L. N. Smith and N. Topin, arXiv:1708.07120.
    """
    top = max(1.0, WARM_UP * steps)
    first, last = settings.rate * FIRST_RATE, settings.rate * LAST_RATE
    if step < top:
        return settings.rate + (first - settings.rate) * 0.5 * (1 + math.cos(math.pi * step / top))
    done = (step - top) / max(1.0, steps - top)
    return last + (settings.rate - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _epoch(
    network: SpectrumNetwork,
    optimizer: torch.optim.Optimizer,
    rows: Rows,
    settings: Settings,
    epoch: int,
    device: torch.device,
) -> float:
    """One pass over the training rows in the order of the seed and the epoch; mean loss of its points."""
    network.train()
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(rows.graphs))
    n_steps = math.ceil(len(order) / settings.batch)
    total, count = 0.0, 0
    for index, (batch, truth) in enumerate(_Batches(rows, order, settings.batch)):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(epoch * n_steps + index, settings.epochs * n_steps, settings)
        optimizer.zero_grad(set_to_none=True)
        squares, n_points = _squares(network(batch.to(device)), truth.to(device))
        (squares / max(1, n_points)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        total, count = total + float(squares.detach()), count + n_points
    return total / max(1, count)


def _loss(network: SpectrumNetwork, batches: Sequence[tuple[Batch, Tensor]], device: torch.device) -> float:
    network.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch, truth in batches:
            squares, n_points = _squares(network(batch.to(device)), truth.to(device))
            total, count = total + float(squares), count + n_points
    return total / max(1, count)


def _squares(found: Tensor, truth: Tensor) -> tuple[Tensor, int]:
    """Sum of squared errors over the points that are known, and their number."""
    known = torch.isfinite(truth)
    errors = torch.where(known, found - torch.nan_to_num(truth), torch.zeros_like(found))
    return (errors**2).sum(), int(known.sum())


class _Batches(Sequence[tuple[Batch, Tensor]]):
    """Batches in a given order, put together when they are asked for."""

    def __init__(self, rows: Rows, order: NDArray[np.intp], size: int) -> None:
        self._rows = rows
        self._parts = [order[start : start + size] for start in range(0, len(order), size)]

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int) -> tuple[Batch, Tensor]:  # type: ignore[override]
        part = self._parts[index]
        truth = torch.from_numpy(self._rows.spectra[part].astype(np.float32))
        return collate([self._rows.graphs[row] for row in part]), truth


def _collated(graphs: Sequence[Graph], size: int) -> Iterator[Batch]:
    for start in range(0, len(graphs), size):
        yield collate(graphs[start : start + size])


def _keep(
    file: Path,
    identity: str,
    network: SpectrumNetwork,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    progress: Progress,
) -> None:
    """Write the state of a training."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    said = {"identity": identity, "epoch": progress.epoch, "best_epoch": progress.best_epoch, "history": progress.history}
    write_tensors(file, tensors, {"state": json.dumps(said)})


def _resume(
    file: Path, identity: str, network: SpectrumNetwork, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor]]:
    """Bring network and optimizer into a state that was written."""
    try:
        tensors, texts = read_tensors(file)
        said = json.loads(texts["state"])
        if said["identity"] != identity:
            raise OTHER_TRAINING.error("its table, rows, seed or options are others", where=file)
        network.load_state_dict(_part(tensors, "network."))
        states: dict[int, dict[str, Any]] = {}
        for name, value in _part(tensors, "optimizer.").items():
            number, _, key = name.partition(".")
            states.setdefault(int(number), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        device = next(network.parameters()).device
        best = {name: value.to(device) for name, value in _part(tensors, "best.").items()}
        return Progress(said["epoch"], said["best_epoch"], said["history"]), best
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise OTHER_TRAINING.error(f"it cannot be read ({error})", where=file) from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
