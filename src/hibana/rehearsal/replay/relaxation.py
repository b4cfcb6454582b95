"""The toy potential: energy, stress and path of a relaxation as functions of the volume alone.

The energy is periodic in the logarithm of the volume, E = N A (1 - cos 2π(x - x0)/P), with A so that its curvature at the minima
is that of the bulk modulus. The crystal goes to the nearest minimum, at most P/2 away, and the end does not depend on where in
its valley the run began: a relaxation in several parts ends where one in one piece does. Shape of the cell and positions in
it are kept, so that the symmetry is; there are no forces but on atoms that are displaced in a supercell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hibana.rehearsal.replay.question import Question
from hibana.rehearsal.replay.traits import Traits
from hibana.rehearsal.result import Floats

PERIOD = 0.04
"""Distance of the minima in the logarithm of the volume."""

APPROACH = 0.25
"""What a step leaves of the distance to the minimum."""

ARRIVED = 1e-5
"""Distance (in the logarithm of the volume) at which nothing is left to do."""

KBAR = 1602.1766
"""1 eV/Å^3 in kB."""


@dataclass(frozen=True)
class Place:
    """A point of the path: lattice (3, 3), Å; energy, eV per cell; stress (3, 3), kB, VASP's sign."""

    lattice: Floats
    energy: float
    stress: Floats


def path(question: Question, traits: Traits) -> tuple[list[Place], bool]:
    """Ionic steps of the question, and whether the relaxation has come to its end."""
    n_atoms = len(question.frac_coords)
    now = math.log(abs(float(np.linalg.det(question.lattice))) / n_atoms)
    offset = PERIOD * traits.phase
    goal = offset + PERIOD * round((now - offset) / PERIOD)
    if not question.relaxes_cell or abs(now - goal) < ARRIVED:
        return [_place(question, traits, now, goal, now)], True
    logs = [now]
    while abs(logs[-1] - goal) > ARRIVED:
        logs.append(goal + APPROACH * (logs[-1] - goal))
    logs[-1] = goal
    steps = question.integer("NSW", 0)
    return [_place(question, traits, x, goal, now) for x in logs[:steps]], len(logs) <= steps


def _place(question: Question, traits: Traits, x: float, goal: float, start: float) -> Place:
    n_atoms = len(question.frac_coords)
    angle = 2 * math.pi * (x - goal) / PERIOD
    amplitude = n_atoms * traits.bulk * math.exp(goal) * (PERIOD / (2 * math.pi)) ** 2
    slope = amplitude * 2 * math.pi / PERIOD * math.sin(angle)
    pressure = -slope / (n_atoms * math.exp(x))
    lattice = question.lattice * math.exp((x - start) / 3)
    return Place(lattice, n_atoms * traits.energy + amplitude * (1 - math.cos(angle)), KBAR * pressure * np.eye(3))
