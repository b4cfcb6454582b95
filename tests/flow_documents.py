"""Small documents for the tests of flows and property documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hibana.documents.candidate import CandidateDoc, Material
from hibana.documents.crystal import Crystal
from hibana.documents.task import BandEdges, Calculator, Inputs, Machine, TaskDoc
from hibana.protocol.protocol import load_protocol

A = 4.22
"""Cubic lattice constant of the MgO of the tests, Å."""

MGO = Crystal(
    lattice=((0.0, A / 2, A / 2), (A / 2, 0.0, A / 2), (A / 2, A / 2, 0.0)),
    species=("Mg", "O"),
    frac_coords=((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
)
CANDIDATE = CandidateDoc(
    material_id="hib-0123456789abcdef",
    structure_key="0123456789abcdef" * 4,
    formula="MgO",
    elements=("Mg", "O"),
    n_sites=2,
    space_group_number=225,
    space_group_symbol="Fm-3m",
    crystal=MGO,
    sources=("MgO.cif",),
)
MATERIAL = Material.of(CANDIDATE)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
METAL = BandEdges(gap_class="metal", band_gap=0.0)
UNKNOWN = BandEdges(gap_class="unknown")


def gapped(gap: float, vbm: float = 1.0) -> BandEdges:
    return BandEdges(
        gap_class="gapped",
        band_gap=gap,
        vbm=vbm,
        cbm=vbm + gap,
        is_direct=True,
        vbm_kpoint=(0.0, 0.0, 0.0),
        cbm_kpoint=(0.0, 0.0, 0.0),
        direct_gap=gap,
    )


def task(step: str, **changes: Any) -> TaskDoc:
    """The document of a converged run of a step, with changes."""
    name, _, variant = step.partition("-")
    fields = {
        "formula": "MgO",
        "elements": ("Mg", "O"),
        "n_sites": 2,
        "status": "converged",
        "calculator": Calculator(name="gpaw-rehearsal", version="1"),
        "inputs": Inputs(incar={}, kpoints={}, potcars=()),
        "initial": MGO,
        "final": MGO,
        "space_group_number": 225,
        "energy": -12.0,
        "energy_per_atom": -6.0,
        "max_force": 0.001,
        "stress": ((0.1, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1)),
        "n_ionic_steps": 1,
        "electronic_converged": True,
        "ionic_converged": True,
        "edges": gapped(4.6),
        "address": f"address of {step}",
        "material_id": CANDIDATE.material_id,
        "task": {"dielectric": "dielectric_dfpt"}.get(name, "band" if name.endswith("_nsc") else name),
        "functional": name if name.endswith("_nsc") else "pbesol",
        "variant": variant,
        "protocol": "pbesol-demo",
        "protocol_version": load_protocol("pbesol-demo").version,
        "machine": Machine(host="here", directory="/", started=NOW, finished=NOW, cores=1, core_hours=0.1),
    }
    return TaskDoc(**{**fields, **changes})
