"""Packages of the extra that generation needs, asked for before anything of it is imported."""

from __future__ import annotations

from importlib.util import find_spec

from hibana.learn.errors import NO_LEARN_EXTRA


def needs(*names: str) -> None:
    """Make sure that packages are installed.

    Raises
    ------
    HibanaError
        HIB-264 if one is not.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise NO_LEARN_EXTRA.error(", ".join(missing))
