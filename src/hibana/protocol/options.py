"""Every input option of vise, set from the protocol and from what is known: none is left to vise's defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hibana.documents.spec import Prior
from hibana.protocol.errors import INVALID_OPTION
from hibana.protocol.protocol import Protocol

FROM_DIELECTRIC = "from_dielectric"
"""Share of exact exchange that is not known before a dielectric run."""

DEFECT_TASKS = ("defect", "defect_2d")


def known_gap(prior: Prior, protocol: Protocol) -> float | None:
    """The band gap (eV) if it is known to be one, else None: for a metal and for what is unknown."""
    gap = prior.band_gap
    if gap is None and prior.vbm is not None and prior.cbm is not None:
        gap = prior.cbm - prior.vbm
    return gap if gap is not None and gap > protocol.prior.gap_criterion else None


def is_magnetic(prior: Prior, protocol: Protocol, elements: Collection[str]) -> bool:
    """Whether a run is spin-polarised: the run before found a moment, or none has looked and the elements may have one."""
    rule = protocol.prior
    if prior.magnetization is None:
        return not set(rule.spin_polarised_elements).isdisjoint(elements)
    return abs(prior.magnetization) > rule.magnetization_criterion


def kpoint_density(task: str, prior: Prior, protocol: Protocol) -> float:
    """k-point density in Å for a task: dense for metals and unknown gaps, coarser for gaps."""
    if task in DEFECT_TASKS:
        return protocol.kpoints.defect_density
    return protocol.kpoints.density if known_gap(prior, protocol) is None else protocol.kpoints.insulator_density


def hybrid_options(functional: str, prior: Prior, protocol: Protocol) -> dict[str, Any]:
    """Options in which a non-self-consistent hybrid step differs from the task it is made from."""
    (rule,) = (rule for name, rule in protocol.hybrids.items() if name == functional)
    density = rule.density if known_gap(prior, protocol) is None else rule.insulator_density
    mesh = {"kpt_mode": "primitive", "gamma_centered": True} if rule.kpoints == "mesh" else {}
    return {"kpt_density": density, "exchange_ratio": rule.exchange_ratio, **mesh}


def vise_options(task: str, protocol: Protocol, prior: Prior, elements: Collection[str], *, cores: int = 1) -> dict[str, Any]:
    """All input options of vise.

    Parameters
    ----------
    task
        vise's task name.
    protocol, prior
        What fixes them.
    elements
        Chemical symbols of the crystal.
    cores
        Cores of the run. With one, KPAR is not set.
    """
    gap = known_gap(prior, protocol)
    edges = [prior.vbm, prior.cbm] if gap is not None and None not in (prior.vbm, prior.cbm) else None
    magnetic = is_magnetic(prior, protocol, elements)
    return {
        "kpt_density": kpoint_density(task, prior, protocol),
        "kpt_mode": None,
        "gamma_centered": None,
        "only_even_num_kpts": False,
        "num_kpt_factor": protocol.kpoints.factors.get(task, 1),
        "band_ref_dist": protocol.kpoints.band_spacing,
        "symprec": protocol.symmetry.symprec,
        "angle_tolerance": protocol.symmetry.angle_tolerance,
        "time_reversal": protocol.symmetry.time_reversal and not magnetic,
        "dos_step_size": protocol.spectrum_step,
        "charge": 0.0,
        "band_gap": gap,
        "vbm_cbm": edges,
        "exchange_ratio": 0.25,
        "set_hubbard_u": protocol.hubbard_u,
        "auto_kpar": cores > 1,
        "cutoff_energy": protocol.cutoff.energy,
        "is_magnetization": magnetic,
        "num_cores_for_kpar": cores,
        "unused_core_ratio_threshold": protocol.parallel.unused_core_ratio,
        "str_opt_encut_multi_factor": protocol.cutoff.relaxation_factor,
        "multiples_for_grids": None,
        "set_spin_orbit": False,
    }


def checked_options(options: Mapping[str, Any], allowed: Mapping[str, Any]) -> dict[str, Any]:
    """The user's options, if vise has them.

    Raises
    ------
    HibanaError
        HIB-037 for a name that vise does not have; potentials are chosen in the protocol alone.
    """
    unknown = sorted(options.keys() - allowed.keys())
    if unknown:
        raise INVALID_OPTION.error(f"{', '.join(unknown)}; there are {', '.join(sorted(allowed))} and incar")
    return dict(options)
