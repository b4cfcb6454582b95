"""The PAW data sets of this release: one recipe an element, made on demand and kept in a folder the user can see.

GPAW's own sets are too hard for VASP-like cutoffs (MgO relaxes 3.6 % wrong at 500 eV), so each element has a recipe with a
stronger Fourier filter of its projectors (``datasets.toml``). A recipe's identity is the hash of the recipe and not of the
file made from it: the last digits of a file depend on the machine, what it approximates does not.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import tempfile
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from hibana.rehearsal.errors import RehearsalError

FUNCTIONALS = ("PBEsol", "PBE", "LDA", "revPBE", "RPBE")
"""Functionals a set can be made for, by GPAW's names."""

TITEL_PREFIX = "PAW_GPAW"
"""First word of every ``TITEL``: what is computed with these is never taken for VASP's PAW_PBE."""

_GENERATOR_KEYS = ("core", "rcut", "filter", "rcutcomp", "vbar", "empty_states", "extra")


@dataclass(frozen=True)
class Recipe:
    """How the data set of one element is made.

    Parameters
    ----------
    symbol
        Chemical symbol.
    release
        Name of the table it belongs to.
    parameters
        Arguments of GPAW's generator.
    zval
        Number of valence electrons.
    enmax
        Cutoff declared in POTCAR, eV.
    labels
        POTCAR folder names it is laid out in.
    """

    symbol: str
    release: str
    parameters: dict[str, Any]
    zval: int
    enmax: float
    labels: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of the recipe: symbol, release, generator arguments and valence."""
        content = [self.symbol, self.release, self.parameters, self.zval]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """GPAW's name of the set, which is also the last word of ``TITEL``: release and eight digits of the hash."""
        return f"{self.release}-{self.sha256[:8]}"

    def titel(self, label: str) -> str:
        """``TITEL`` of the POTCAR of this set in the folder ``label``."""
        return f"{TITEL_PREFIX} {label} {self.name}"


@dataclass(frozen=True)
class DatasetFile:
    """A data set on disk: its recipe, functional, path and the SHA-256 of the file."""

    recipe: Recipe
    functional: str
    path: Path
    sha256: str


@functools.cache
def table() -> dict[str, Recipe]:
    """All recipes of this release by chemical symbol."""
    raw = tomllib.loads(resources.files("hibana.rehearsal").joinpath("datasets.toml").read_text())
    recipes = {}
    for symbol, entry in raw["elements"].items():
        parameters = {key: entry[key] for key in _GENERATOR_KEYS if key in entry}
        recipes[symbol] = Recipe(symbol, raw["release"], parameters, entry["zval"], entry["enmax"], tuple(entry["labels"]))
    return recipes


def recipe_of(symbol: str) -> Recipe:
    """The recipe of an element.

    Raises
    ------
    RehearsalError
        HIB-187 if this release has none.
    """
    try:
        return table()[symbol]
    except KeyError:
        known = " ".join(table())
        raise RehearsalError(187, f"{symbol} is not in the table of this release", fix=f"It has: {known}.") from None


def default_folder() -> Path:
    """Folder of the data sets: ``HIBANA_DATASETS``, or ``~/.cache/hibana/datasets``."""
    return Path(os.environ.get("HIBANA_DATASETS") or Path.home() / ".cache" / "hibana" / "datasets")


def ensure(symbol: str, functional: str = "PBEsol", folder: Path | None = None) -> DatasetFile:
    """Return the data set of an element, making it if it is not there yet.

    Two processes that need the same one at once both make it; the last one renames its complete file into place.

    Parameters
    ----------
    symbol, functional
        Chemical symbol; one of :data:`FUNCTIONALS`.
    folder
        Where the sets are kept; :func:`default_folder` if None.

    Raises
    ------
    RehearsalError
        HIB-187 for an element outside the table, HIB-188 if the file cannot be made.
    """
    recipe = recipe_of(symbol)
    folder = folder or default_folder()
    path = folder / f"{symbol}.{recipe.name}.{functional}"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _generate(recipe, functional, path)
        except OSError as error:
            raise RehearsalError(188, str(error), where=path) from error
    return DatasetFile(recipe, functional, path, hashlib.sha256(path.read_bytes()).hexdigest())


def _generate(recipe: Recipe, functional: str, path: Path) -> None:
    """Make a data set and move it to ``path`` in one step."""
    try:
        from gpaw.atom.generator import Generator
    except ImportError as error:
        raise RehearsalError(191, str(error)) from error
    parameters = copy.deepcopy(recipe.parameters)  # the generator completes its lists in place
    if "extra" in parameters:
        parameters["extra"] = {int(momentum): energies for momentum, energies in parameters["extra"].items()}
    if "vbar" in parameters:
        parameters["vbar"] = tuple(parameters["vbar"])
    generator = Generator(recipe.symbol, functional, scalarrel=True, nofiles=True, txt=None)
    setup = generator.run(exx=True, logderiv=False, name=recipe.name, write_xml=False, **parameters)
    if round(setup.Nv) != recipe.zval:
        raise RehearsalError(188, f"{recipe.symbol} came out with {setup.Nv} valence electrons, not {recipe.zval}", where=path)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as partial:
        temporary = Path(partial.name)
    try:
        setup.write_xml(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
