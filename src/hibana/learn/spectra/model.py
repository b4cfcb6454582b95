"""A trained network as files, without pickle: ``weights.safetensors``, and ``model.json``, which says how it is used."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from hibana.learn.errors import UNREADABLE_MODEL
from hibana.learn.result import plain
from hibana.learn.spectra.graph import VERSION, Graph, crystal_graph
from hibana.learn.spectra.network import Shape, SpectrumNetwork, make_network
from hibana.learn.spectra.training import latents_of, spectra_of
from hibana.learn.spectra.versions import versions
from hibana.learn.spectra.weights import read_tensors, write_tensors

if TYPE_CHECKING:
    from pymatgen.core import Structure

Array = NDArray[np.float64]

WEIGHTS, CARD = "weights.safetensors", "model.json"


@dataclass(frozen=True)
class SpectrumModel:
    """A trained network and what must be known to use it.

    Parameters
    ----------
    network
        The network; its output times `scale` is the spectrum.
    shape
        Size of the network.
    neighbours
        Bonds an atom has at least in the graphs it takes.
    scale
        Unit of the network's output.
    target, unit
        What it predicts.
    grid, grid_name, grid_unit
        Points of the spectrum.
    snapshot
        Identity of the table it was trained on.
    """

    network: SpectrumNetwork
    shape: Shape
    neighbours: int
    scale: float
    target: str
    unit: str
    grid: Array
    grid_name: str
    grid_unit: str
    snapshot: str

    def predict(self, structures: Iterable[Structure], device: str = "cpu") -> Array:
        """Spectra (n, n_points) of crystals, in the unit of the target, 0 or more.

        Raises
        ------
        ValueError
            If a site is disordered.
        """
        return self.predict_graphs([crystal_graph(structure, self.neighbours) for structure in structures], device)

    def predict_graphs(self, graphs: list[Graph], device: str = "cpu") -> Array:
        """Spectra (n, n_points) of graphs."""
        if not graphs:
            return np.empty((0, self.shape.n_points))
        place = torch.device(device)
        return self.scale * spectra_of(self.network.to(place), graphs, place)

    def latents(self, graphs: list[Graph], device: str = "cpu") -> dict[str, Array]:
        """Latent vectors (n, channels) of each layer."""
        place = torch.device(device)
        return latents_of(self.network.to(place), graphs, place)


def save(model: SpectrumModel, folder: Path) -> tuple[Path, Path]:
    """Write a model; see :func:`load`."""
    folder.mkdir(parents=True, exist_ok=True)
    file, card = folder / WEIGHTS, folder / CARD
    write_tensors(file, model.network.state_dict(), {"table_snapshot": model.snapshot})
    said = {
        "shape": asdict(model.shape),
        "graph": {"definition": VERSION, "neighbours": model.neighbours},
        "scale": model.scale,
        "target": {"column": model.target, "unit": model.unit},
        "grid": {"name": model.grid_name, "unit": model.grid_unit, "points": model.grid},
        "table_snapshot": model.snapshot,
        "sha256": sha256(file.read_bytes()).hexdigest(),
        "packages": versions(),
    }
    card.write_text(json.dumps(plain(said), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return file, card


def load(folder: Path) -> SpectrumModel:
    """Read a model that :func:`save` wrote.

    Raises
    ------
    HibanaError
        HIB-269 if a file is missing or damaged, does not belong to the other, or is about other graphs than are made here.
    """
    file, card = folder / WEIGHTS, folder / CARD
    try:
        said: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
        if sha256(file.read_bytes()).hexdigest() != said["sha256"]:
            raise UNREADABLE_MODEL.error(f"{WEIGHTS} is not the file that {CARD} describes", where=folder)
        if said["graph"]["definition"] != VERSION:
            raise UNREADABLE_MODEL.error(f"its graphs are of definition {said['graph']['definition']}, not {VERSION}", where=card)
        shape = Shape(**said["shape"])
        network = make_network(shape, 0)
        network.load_state_dict(read_tensors(file)[0])
        network.eval()
        grid, target = said["grid"], said["target"]
        return SpectrumModel(
            network=network,
            shape=shape,
            neighbours=int(said["graph"]["neighbours"]),
            scale=float(said["scale"]),
            target=target["column"],
            unit=target["unit"],
            grid=np.asarray(grid["points"], dtype=float),
            grid_name=grid["name"],
            grid_unit=grid["unit"],
            snapshot=str(said["table_snapshot"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UNREADABLE_MODEL.error(f"{type(error).__name__}: {error}", where=folder) from error
