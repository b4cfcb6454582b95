"""Features of many crystals in several processes; a crystal that fails, or takes its process with it, is an answer too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hibana.core.errors import HibanaError
from hibana.learn.errors import NO_LEARN_EXTRA

if TYPE_CHECKING:
    from pymatgen.core import Structure

Array = NDArray[np.float64]
Outcome = Array | str
"""Features, or the reason why there are none."""


class PassingReason(str):
    """Reason that says nothing of the crystal, so that another try may succeed: not to be kept."""


DIED = PassingReason("its process died, perhaps for want of memory")

OF_CRYSTALS = (HibanaError, ArithmeticError, IndexError, RuntimeError, ValueError)
"""What crystals raise that have no features; anything else is a fault of the program or of the machine."""


@dataclass(frozen=True)
class Task:
    """What is wanted of one crystal.

    Parameters
    ----------
    number
        Number of the task, by which its results are known.
    structure
        The crystal.
    whole
        Whether its own features are wanted.
    sites
        Sites whose features are wanted.
    """

    number: int
    structure: Structure
    whole: bool
    sites: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcomes:
    """What came of a task: of the crystal, if asked for, and of its sites."""

    whole: Outcome | None
    sites: dict[int, Outcome]


def work_on(tasks: Iterable[Task], workers: int) -> Iterator[tuple[Task, Outcomes]]:
    """Outcomes of tasks, in the order in which they come; no more than a few tasks are held."""
    from hibana.structures.parallel import work

    yield from work(outcomes_of, tasks, workers=workers, died=_died)


def outcomes_of(task: Task) -> Outcomes:
    """Work on one task in this process; neighbours are looked up once for all that is wanted."""
    from hibana.learn.features.sites import site_values
    from hibana.learn.features.structure import values_of
    from hibana.learn.features.surroundings import Surroundings

    try:
        surroundings = Surroundings(task.structure)
    except HibanaError as error:
        return _alike(task, reason_of(error))
    sites: dict[int, Outcome] = {}
    for site in task.sites:
        try:
            sites[site] = site_values(surroundings, site)
        except Exception as error:
            sites[site] = reason_of(error)
    if not task.whole:
        return Outcomes(None, sites)
    try:
        return Outcomes(values_of(surroundings), sites)
    except Exception as error:
        return Outcomes(reason_of(error), sites)


def _died(task: Task) -> Outcomes:
    return _alike(task, DIED)


def _alike(task: Task, reason: str) -> Outcomes:
    return Outcomes(reason if task.whole else None, dict.fromkeys(task.sites, reason))


def reason_of(error: Exception) -> str:
    """Reason in one line."""
    if isinstance(error, HibanaError):
        text = f"{error.kind.code} {error.kind.title}: {error.what}"
    else:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    lacking = isinstance(error, HibanaError) and error.kind is NO_LEARN_EXTRA
    return text if isinstance(error, OF_CRYSTALS) and not lacking else PassingReason(text)
