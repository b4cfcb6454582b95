"""The steps of a material: the names under which a property document gives the addresses of its runs."""

from __future__ import annotations

from typing import Literal, get_args

Step = Literal[
    "structure_opt",
    "band",
    "dos",
    "hse06_nsc",
    "dielectric",
    "ddh_nsc",
    "dielectric_function",
    "phonon_force",
    "supercell",
    "vacancy",
]
"""Relaxation, band structure, density of states, HSE06 gap, static dielectric tensors with Γ phonons, dielectric-dependent
hybrid gap, dielectric function on a dense mesh, forces in displaced supercells (``phonon_force-001``, ... in addresses), the
perfect supercell of a host, and the vacancies in it (``vacancy-Va_O1_0``, ...)."""

STEPS: tuple[Step, ...] = get_args(Step)
