"""The one place where vise is imported, and where its side effects are held.

vise reads ``vise.yaml`` from the working directory and every folder above it when it is imported, silences all user
warnings of the process, and gives each of its modules a logger that writes to standard output. Here its import leaves
warnings and loggers as they were, and inputs are refused where such a file was read.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

from hibana.protocol.errors import NO_POTCAR_CHOICE, VISE_YAML


@dataclass(frozen=True)
class Vise:
    """The names of vise that hibana uses."""

    task: Any
    xc: Any
    kpoints_generator: Any
    incar_generator: Any
    errors: tuple[type[Exception], ...]
    generator_options: frozenset[str]
    yaml_files: tuple[str, ...]
    version: str


@cache
def load_vise() -> Vise:
    """Import vise (2 s, once in a process) without its side effects."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        task = importlib.import_module("vise.input_set.task").Task
        xc = importlib.import_module("vise.input_set.xc").Xc
        kpoints = importlib.import_module("vise.input_set.structure_kpoints_generator").StructureKpointsGenerator
        incar = importlib.import_module("vise.input_set.incar_settings_generator").IncarSettingsGenerator
        defaults = importlib.import_module("vise.defaults").defaults
        error = importlib.import_module("vise.error").ViseError
        version = importlib.import_module("vise.version").__version__
    _quieten_loggers()
    names = {*inspect.signature(kpoints).parameters, *inspect.signature(incar).parameters}
    return Vise(
        task=task,
        xc=xc,
        kpoints_generator=kpoints,
        incar_generator=incar,
        errors=(error, ValueError, KeyError, NotImplementedError),
        generator_options=frozenset(names),
        yaml_files=tuple(str(path) for path in defaults.yaml_files),
        version=str(version),
    )


def refuse_vise_yaml() -> None:
    """Refuse to go on where vise took settings from a file.

    Raises
    ------
    HibanaError
        HIB-032.
    """
    files = load_vise().yaml_files
    if files:
        raise VISE_YAML.error("vise read its settings from a file at import", where=", ".join(files))


@cache
def potcar_labels_of_set(name: str) -> dict[str, str | None]:
    """Element to POTCAR label of one of vise's sets; vise itself parses its table anew for every input."""
    load_vise()
    sets = importlib.import_module("vise.input_set.datasets.potcar_set").PotcarSet
    return dict(sets(name).potcar_dict())


def potcar_label(element: str, set_name: str, overrides: dict[str, str]) -> str:
    """POTCAR label of an element.

    Raises
    ------
    HibanaError
        HIB-035 where neither the overrides nor the set name one.
    """
    label = overrides.get(element) or potcar_labels_of_set(set_name).get(element)
    if label is None:
        raise NO_POTCAR_CHOICE.error(f"vise's set {set_name!r} has no potential for {element}")
    return label


def _quieten_loggers() -> None:
    """Take vise's own handlers away: warnings go the way of every other library's."""
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("vise."):
            logger = logging.getLogger(name)
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
            logger.setLevel(logging.ERROR)
