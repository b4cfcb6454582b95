"""A fitted model as files, without pickle: ``model.skops`` and ``model.json``, which says what goes in and what comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hibana.learn.errors import FEATURES_DIFFER, NO_LEARN_EXTRA, UNREADABLE_MODEL
from hibana.learn.regression.families import FAMILIES, Family, Parameters
from hibana.learn.regression.task import Target, Task
from hibana.learn.result import packages, plain

if TYPE_CHECKING:
    from sklearn.base import RegressorMixin

MODEL, CARD = "model.skops", "model.json"
SHOWN = 5
"""How many names an error lists."""


@dataclass(frozen=True)
class SavedModel:
    """A fitted model and what must be known to use it.

    Parameters
    ----------
    family
        Kind of model.
    estimator
        The fitted model, on the transformed scale.
    target
        What it predicts.
    names
        Features in the order it takes them.
    versions
        Version of each source of features.
    snapshot
        Identity of the table it was fitted on.
    """

    family: Family
    estimator: RegressorMixin
    target: Target
    names: tuple[str, ...]
    versions: Mapping[str, str]
    snapshot: str

    def predict(self, features: pd.DataFrame, versions: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Predict the target.

        Parameters
        ----------
        features
            (n, ...) features by name, in any order; others may stand beside them.
        versions
            Version of each source of the features; None where they are known to be the same.

        Returns
        -------
        DataFrame
            Index of ``features``; ``prediction`` in the column's unit, and ``prediction_transformed`` under a transform.

        Raises
        ------
        HibanaError
            HIB-268 if a feature is missing or a source has another version.
        """
        self._check(features, versions)
        matrix = self.matrix(features)
        values = self.estimator.predict(matrix) if len(matrix) else np.empty(0)
        found = pd.DataFrame({"prediction": self.target.back(values)}, index=features.index)
        if self.target.transform != "none":
            found["prediction_transformed"] = values
        return found

    def matrix(self, features: pd.DataFrame) -> NDArray[np.float32]:
        """Features as the model takes them (n, n_features): in its order, NaN where one is missing."""
        matrix = np.array(features[list(self.names)].to_numpy(dtype=np.float32))
        matrix[~np.isfinite(matrix)] = np.nan
        return matrix

    def _check(self, features: pd.DataFrame, versions: Mapping[str, str] | None) -> None:
        missing = [name for name in self.names if name not in features.columns]
        if missing:
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            raise FEATURES_DIFFER.error(f"{len(missing)} of {len(self.names)} are missing: {', '.join(missing[:SHOWN])}{more}")
        for source, version in self.versions.items() if versions is not None else ():
            if versions is not None and versions.get(source) != version:
                raise FEATURES_DIFFER.error(f"{source!r} is {versions.get(source, 'not there')}; the model takes {version}")


def fit(family: Family, task: Task, parameters: Parameters, *, trees: int, seed: int, jobs: int, snapshot: str) -> SavedModel:
    """Fit a model on all rows of a task."""
    estimator = family.make(parameters, trees=trees, seed=seed, jobs=jobs)
    estimator.fit(task.features, task.target)
    return SavedModel(family, estimator, task.what, task.names, task.versions, snapshot)


def save(model: SavedModel, folder: Path) -> tuple[Path, Path]:
    """Write a model; see :func:`load`.

    Raises
    ------
    HibanaError
        HIB-264 if skops is not installed.
    """
    io = _skops()
    folder.mkdir(parents=True, exist_ok=True)
    file, card = folder / MODEL, folder / CARD
    io.dump(model.estimator, file)
    said = {
        "family": model.family.name,
        "target": {"column": model.target.column, "unit": model.target.unit, "transform": model.target.transform},
        "features": list(model.names),
        "feature_versions": dict(model.versions),
        "table_snapshot": model.snapshot,
        "sha256": sha256(file.read_bytes()).hexdigest(),
        "trusted_types": list(model.family.trusted),
        "parameters": model.estimator.get_params(),
        "packages": packages(),
    }
    card.write_text(json.dumps(plain(said), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return file, card


def load(folder: Path) -> SavedModel:
    """Read a model that :func:`save` wrote. Only types that belong into its kind of model are loaded, whatever the file holds.

    Raises
    ------
    HibanaError
        HIB-264 if skops is not installed; HIB-269 if a file is missing or damaged, does not belong to the other, or holds types
        that do not belong there.
    """
    io = _skops()
    file, card = folder / MODEL, folder / CARD
    try:
        said: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
        family = FAMILIES[said["family"]]
        target = Target(**said["target"])
        names, versions = tuple(said["features"]), dict(said["feature_versions"])
        content = file.read_bytes()
        if sha256(content).hexdigest() != said["sha256"]:
            raise UNREADABLE_MODEL.error(f"{MODEL} is not the file that {CARD} describes", where=folder)
        strange = sorted(set(io.get_untrusted_types(data=content)) - set(family.trusted))
        if strange:
            raise UNREADABLE_MODEL.error(f"it holds types that do not belong there: {', '.join(strange)}", where=file)
        estimator = io.loads(content, trusted=list(family.trusted))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise UNREADABLE_MODEL.error(f"{type(error).__name__}: {error}", where=folder) from error
    return SavedModel(family, estimator, target, names, versions, str(said.get("table_snapshot", "")))


def _skops() -> Any:
    try:
        import skops.io as io
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"skops ({error})") from error
    return io
