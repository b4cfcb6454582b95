"""Packages that a result about spectra depends on."""

from __future__ import annotations

from hibana.learn.result import PACKAGES, packages


def versions() -> dict[str, str]:
    """Versions of Python and the packages."""
    return packages((*PACKAGES, "torch", "spglib"))
