"""What every learning module leaves behind: ``result.json`` with parameters, seed, versions and the table's identity."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hibana.learn.dataset import Dataset

RESULT = "result.json"
PACKAGES = ("hibana", "numpy", "scipy", "pandas", "scikit-learn", "skops", "matminer", "pymatgen")


def packages(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def table_of(dataset: Dataset) -> dict[str, Any]:
    """Name and identity of the table as a result states them."""
    return {"name": dataset.name, "snapshot": dataset.snapshot, "n_rows": len(dataset.frame)}


def write_result(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write ``result.json``. A number that is none (NaN, infinite) is written as null, so that the file is valid JSON.

    Parameters
    ----------
    folder
        Folder of the module's artefact; made where it is missing.
    result
        What is to be written; NumPy's numbers and paths are taken too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RESULT
    path.write_text(json.dumps(plain(result), ensure_ascii=False, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
