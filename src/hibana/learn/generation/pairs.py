"""Which known crystal has the prototype of a formula: a classifier of pairs of formulas, and the nearest descriptor beside it.

After Kusaba, Liu and Yoshida, Comput. Mater. Sci. 211, 111496 (2022): the classifier sees how two compositions differ and says
whether their crystals are alike. Here the crystals of a pair are alike if they have one prototype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.learn.errors import NO_LEARN_EXTRA, TOO_FEW_ROWS
from hibana.learn.features.composition import composition_features
from hibana.learn.generation.templates import Template

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Array = NDArray[np.float64]

NEAR, FAR = 12, 12
"""Partners of each template in training: the nearest by descriptor, and others at random."""

CONSTANT = 1e-6
"""Relative deviation below which a feature does not vary but for rounding."""

DEPTHS = (1, 5)
"""How many of the first templates are looked at in the report."""

TESTED = 0.2
"""Share of the formulas that the report asks about; the rest are templates."""


@dataclass(frozen=True)
class Descriptors:
    """Scaled features of formulas.

    Parameters
    ----------
    low, scale
        Mean and standard deviation of each feature over the templates.
    """

    mean: Array
    scale: Array

    def __call__(self, formulas: Sequence[str]) -> Array:
        """(n, n_features) of mean 0 and variance 1 over the templates; unknown features are at the mean."""
        return np.asarray(np.nan_to_num((raw_features(formulas) - self.mean) / self.scale, posinf=0.0, neginf=0.0))


@dataclass(frozen=True)
class Ranker:
    """Ranks templates for formulas.

    Parameters
    ----------
    templates
        What it chooses from.
    descriptors
        Scaling of the features.
    features
        (n_templates, n_features) of the templates.
    classifier
        The fitted classifier of pairs.
    """

    templates: tuple[Template, ...]
    descriptors: Descriptors
    features: Array
    classifier: ClassifierMixin

    def rank(self, formula: str) -> list[tuple[int, float, float]]:
        """Templates of the formula's kind, best first: place, chance of one prototype, distance of the descriptors.

        The formula's own crystals are not among them. Empty where there is none.
        """
        from hibana.learn.generation.templates import anonymous_of

        kind = anonymous_of(formula)
        places = [i for i, item in enumerate(self.templates) if item.anonymous == kind and item.formula != formula]
        if not places:
            return []
        differences = np.abs(self.features[places] - self.descriptors([formula])[0])
        chances = self.classifier.predict_proba(differences)[:, 1]
        far = np.sqrt((differences**2).sum(axis=1))
        order = np.lexsort((far, -chances))
        return [(places[i], float(chances[i]), float(far[i])) for i in order]


def raw_features(formulas: Sequence[str]) -> Array:
    """(n, n_features) features of compositions, NaN where not known."""
    return np.asarray(composition_features(formulas).to_numpy(), dtype=float)


def fit_ranker(templates: Sequence[Template], *, trees: int = 200, seed: int = 0) -> Ranker:
    """Fit a classifier to pairs of templates.

    Parameters
    ----------
    templates
        Known crystals.
    trees
        Rounds of boosting.
    seed
        Of the pairs and the trees.

    Raises
    ------
    HibanaError
        HIB-262 if no two templates of one kind are alike, or none are not; HIB-264 if scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise NO_LEARN_EXTRA.error(f"scikit-learn ({error})") from error
    raw = raw_features([item.formula for item in templates])
    raw[~np.isfinite(raw)] = np.nan
    known = ~np.isnan(raw)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, raw, 0.0).sum(axis=0) / counts
    deviation = np.sqrt((np.where(known, raw - mean, 0.0) ** 2).sum(axis=0) / counts)
    descriptors = Descriptors(mean, np.where(deviation > CONSTANT * (1 + np.abs(mean)), deviation, 1.0))
    features = np.nan_to_num((raw - descriptors.mean) / descriptors.scale)
    pairs = pairs_of(templates, features, seed)
    alike = np.array([templates[one].prototype == templates[other].prototype for one, other in pairs], dtype=bool)
    if not alike.any() or alike.all():
        raise TOO_FEW_ROWS.error(f"{len(templates)} templates make {len(pairs)} pairs, {int(alike.sum())} of one prototype")
    differences = np.abs(features[pairs[:, 0]] - features[pairs[:, 1]])
    classifier = HistGradientBoostingClassifier(
        max_iter=trees, learning_rate=0.08, max_features=0.3, max_leaf_nodes=31, early_stopping=False, random_state=seed
    )
    classifier.fit(differences, alike)
    return Ranker(tuple(templates), descriptors, features, classifier)


def pairs_of(templates: Sequence[Template], features: Array, seed: int) -> NDArray[np.intp]:
    """(m, 2) places of pairs with one anonymous formula and different elements: near ones and random ones of each template."""
    random = np.random.default_rng(seed)
    groups: dict[str, list[int]] = {}
    for place, item in enumerate(templates):
        groups.setdefault(item.anonymous, []).append(place)
    found: set[tuple[int, int]] = set()
    for group in groups.values():
        places = np.array(group)
        for place in group:
            others = places[[templates[other].formula != templates[place].formula for other in group]]
            if not len(others):
                continue
            order = np.argsort(((features[others] - features[place]) ** 2).sum(axis=1), kind="stable")
            chosen = {*others[order[:NEAR]].tolist(), *random.permutation(others)[:FAR].tolist()}
            found |= {(min(place, other), max(place, other)) for other in chosen}
    return np.array(sorted(found), dtype=np.intp).reshape(-1, 2)


def accuracy(templates: Sequence[Template], *, trees: int = 200, seed: int = 0) -> dict[str, dict[str, float]]:
    """How often a template of the right prototype comes first, for formulas that were held out.

    Formulas are held out with all their crystals. Asked are those with an answer: a template of one of their prototypes.

    Parameters
    ----------
    templates
        Known crystals.
    trees
        Rounds of boosting.
    seed
        Of the formulas that are held out, and of the fit.

    Returns
    -------
    dict
        ``top_1`` and ``top_5`` of the ``classifier``, of the ``nearest_descriptor``, and of a choice at ``random`` (expected);
        ``asked``: how many formulas.
    """
    formulas = sorted({item.formula for item in templates})
    held = set(np.random.default_rng(seed).permutation(formulas)[: max(1, round(TESTED * len(formulas)))].tolist())
    ranker = fit_ranker([item for item in templates if item.formula not in held], trees=trees, seed=seed)
    answers: dict[str, set[str]] = {}
    for item in templates:
        if item.formula in held:
            answers.setdefault(item.formula, set()).add(item.prototype)
    hits: dict[str, list[list[float]]] = {"classifier": [], "nearest_descriptor": [], "random": []}
    for formula, right in sorted(answers.items()):
        ranked = ranker.rank(formula)
        is_right = np.array([ranker.templates[place].prototype in right for place, _, _ in ranked], dtype=bool)
        if not is_right.any():
            continue
        nearest = np.argsort([far for _, _, far in ranked], kind="stable")
        hits["classifier"].append([float(is_right[:depth].any()) for depth in DEPTHS])
        hits["nearest_descriptor"].append([float(is_right[nearest[:depth]].any()) for depth in DEPTHS])
        hits["random"].append([_chance(int(is_right.sum()), len(is_right), depth) for depth in DEPTHS])
    asked = len(hits["random"])
    if not asked:
        raise TOO_FEW_ROWS.error(f"none of {len(answers)} formulas that were held out has a template of its prototype")
    means = {name: np.mean(found, axis=0) for name, found in hits.items()}
    named = {name: {f"top_{depth}": float(x) for depth, x in zip(DEPTHS, mean, strict=True)} for name, mean in means.items()}
    return {**named, "asked": {"n": asked, "held_out": len(answers)}}


def _chance(n_right: int, n_all: int, depth: int) -> float:
    """Chance that one of the right ones is among some drawn at random."""
    from math import comb

    return 1 - comb(n_all - n_right, depth) / comb(n_all, depth) if n_all >= depth else 1.0
