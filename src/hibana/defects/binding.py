"""The one place where pydefect is imported, and where its side effects are held.

pydefect reads ``pydefect.yaml`` from the working directory and every folder above it when it is imported, imports vise, and
gives each of its modules a logger that writes to standard output. Here its import leaves warnings, loggers and standard output
as they were, and is refused where such a file was read.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from functools import cache
from types import ModuleType

from hibana.defects.errors import PYDEFECT_YAML
from hibana.protocol.binding import load_vise, refuse_vise_yaml

LIBRARIES = ("pydefect", "vise")


@cache
def pydefect_module(name: str) -> ModuleType:
    """A module of pydefect, imported without its side effects.

    Parameters
    ----------
    name
        Its name below the package, for instance ``input_maker.supercell``.

    Raises
    ------
    HibanaError
        HIB-220, HIB-032 where pydefect or vise took settings from a file.
    """
    _refuse_settings()
    return _import(f"pydefect.{name}")


@cache
def vise_module(name: str) -> ModuleType:
    """A module of vise that pydefect rests on, imported without side effects.

    Parameters
    ----------
    name
        Its name below the package, for instance ``util.centering``.

    Raises
    ------
    HibanaError
        HIB-032 where vise took settings from a file.
    """
    refuse_vise_yaml()
    return _import(f"vise.{name}")


def _refuse_settings() -> None:
    refuse_vise_yaml()
    files = _import("pydefect.defaults").defaults.yaml_files
    if files:
        raise PYDEFECT_YAML.error("pydefect read its settings from a file at import", where=", ".join(map(str, files)))


def _import(name: str) -> ModuleType:
    load_vise()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        module = importlib.import_module(name)
    _quieten_loggers()
    return module


def _quieten_loggers() -> None:
    """Take the libraries' own handlers away: warnings go the way of every other library's."""
    for name in list(logging.Logger.manager.loggerDict):
        if name.split(".")[0] in LIBRARIES:
            logger = logging.getLogger(name)
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
            logger.setLevel(logging.ERROR)
