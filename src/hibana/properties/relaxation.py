"""The relaxed crystal."""

from __future__ import annotations

from hibana.documents.properties import RelaxationDoc
from hibana.properties.consistency import relaxation_flags
from hibana.properties.evidence import Built, Evidence
from hibana.structures.convert import to_pymatgen
from hibana.structures.standardise import standardise


def build_relaxation(evidence: Evidence) -> Built:
    """The relaxed crystal and what is left of forces and stress.

    Parameters
    ----------
    evidence
        With the last round of the relaxation under ``structure_opt``, answered or not.

    Raises
    ------
    ValueError
        If no round of the relaxation was done: there is nothing to say, not even by which code.
    """
    last = evidence.tasks.get("structure_opt")
    if last is None:
        raise ValueError("no relaxation was done")
    head = evidence.head("structure_opt") | {
        "initial_space_group_number": evidence.material.space_group_number,
        "n_rounds": last.round,
    }
    if evidence.answer("structure_opt") is None or "structure_opt" in evidence.reasons:
        return Built(RelaxationDoc(**head, status="unavailable", reason=evidence.why_not("structure_opt")))
    rule = evidence.protocol.symmetry
    standard = standardise(to_pymatgen(last.final), symprec=rule.symprec, angle_tolerance=rule.angle_tolerance)
    lattice = standard.conventional.lattice
    n_sites = len(last.final.species)
    document = RelaxationDoc(
        **head,
        status="complete",
        flags=relaxation_flags(evidence.material, last, standard.space_group_number),
        crystal=last.final,
        space_group_number=standard.space_group_number,
        space_group_symbol=standard.space_group_symbol,
        **dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), lattice.parameters, strict=True)),
        volume_per_atom=to_pymatgen(last.final).volume / n_sites,
        energy_per_atom=last.energy_per_atom,
        max_force=last.max_force,
        stress=last.stress,
    )
    return Built(document)
