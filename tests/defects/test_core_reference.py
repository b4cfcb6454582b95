"""The common reference of Fermi levels: from potentials at cores, zero at ZnO of the same series, or a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_documents import MATERIAL, METAL, MGO, NOW, gapped, task
from hibana.defects.core_reference import REFERENCE, CoreAlignment, aligned, core_alignment
from hibana.defects.formation import GapEdges
from hibana.documents.crystal import Crystal
from hibana.documents.task import Failure
from hibana.documents.vacancy import VacancyDoc
from hibana.properties.evidence import Built, Evidence
from hibana.protocol.protocol import load_protocol
from vacancy_runs import Shelf

PROTOCOL = load_protocol("pbesol-demo")
HOST_VBM, HOST_DDH, HOST_CORE = 2.0, 1.2, -55.0
ZNO_VBM, ZNO_DDH, ZNO_CORE = 1.5, 0.1, -57.0
"""Valence-band maxima, eV, and potentials at the cores of oxygen as VASP prints them, V."""

EXPECTED = (HOST_DDH - HOST_CORE) - (ZNO_DDH - ZNO_CORE)
EDGES = GapEdges("ddh_nsc", HOST_DDH, HOST_DDH + 7.0)
FAILED = {"status": "failed", "failure": Failure(kind="zpotrf", message="LAPACK failed")}
WURTZITE = Crystal(
    lattice=((3.25, 0.0, 0.0), (-1.625, 2.8145825, 0.0), (0.0, 0.0, 5.2)),
    species=("Zn", "Zn", "O", "O"),
    frac_coords=((1 / 3, 2 / 3, 0.0), (2 / 3, 1 / 3, 0.5), (1 / 3, 2 / 3, 0.382), (2 / 3, 1 / 3, 0.882)),
)


def runs(shelf: Shelf, crystal: Crystal, vbm: float, ddh: float, core: float, prefix: str = "", **changes):
    """Relaxation, band, DOS and hybrid of a crystal; `changes` of runs by step, None for one that was not done."""
    potentials = np.array([core if name == "O" else -40.0 for name in crystal.species])
    of_crystal = {"initial": crystal, "final": crystal, "n_sites": len(crystal.species)}
    of_crystal["elements"] = tuple(sorted(set(crystal.species)))
    made = {
        "structure_opt": {},
        "band": {"edges": gapped(4.6, vbm), "arrays": shelf.put(site_potentials=potentials)},
        "dos": {"edges": gapped(4.6, vbm), "arrays": shelf.put(site_potentials=potentials)},
        "ddh_nsc": {"edges": gapped(7.0, ddh)},
    }
    return {
        f"{prefix}{step}": task(step, **of_crystal | values | changes.get(step, {}) | {"address": f"address of {prefix}{step}"})
        for step, values in made.items()
        if changes.get(step, {}) is not None
    }


def evidence(shelf: Shelf | None = None, host=None, zno=None, shift: float = 0.0) -> Evidence:
    shelf = shelf or Shelf()
    tasks = runs(shelf, MGO, HOST_VBM + shift, HOST_DDH + shift, HOST_CORE + shift, **(host or {}))
    tasks |= runs(shelf, WURTZITE, ZNO_VBM, ZNO_DDH, ZNO_CORE, f"{REFERENCE}-", **(zno or {}))
    return Evidence(MATERIAL, PROTOCOL, tasks, NOW, array=shelf.get)


def test_the_level_is_that_of_the_host_less_that_of_zno():
    found = core_alignment(evidence(), EDGES)
    assert found.vbm == {"O1": pytest.approx(EXPECTED, abs=1e-4)}
    assert found.addresses == {
        **{"dos": "address of dos", "ddh_nsc": "address of ddh_nsc"},
        **{"reference-dos": "address of reference-dos", "reference-ddh_nsc": "address of reference-ddh_nsc"},
    }


def test_zno_itself_is_the_origin():
    shelf = Shelf()
    tasks = runs(shelf, WURTZITE, ZNO_VBM, ZNO_DDH, ZNO_CORE)
    tasks |= {f"{REFERENCE}-{step}": run for step, run in tasks.items()}
    found = core_alignment(Evidence(MATERIAL, PROTOCOL, tasks, NOW, array=shelf.get), GapEdges("ddh_nsc", ZNO_DDH, 8.0))
    assert found.vbm == {"O1": 0.0}


@given(shift=st.floats(-20, 20))
def test_the_zero_of_potentials_of_the_host_s_cell_does_not_matter(shift):
    moved = GapEdges("ddh_nsc", HOST_DDH + shift, HOST_DDH + shift + 7.0)
    assert core_alignment(evidence(shift=shift), moved).vbm["O1"] == pytest.approx(EXPECTED, abs=1e-4)


def test_both_crystals_have_their_edges_by_one_functional():
    found = core_alignment(evidence(), GapEdges("pbesol", HOST_VBM, HOST_VBM + 4.6))
    assert found.vbm["O1"] == pytest.approx((HOST_VBM - HOST_CORE) - (ZNO_VBM - ZNO_CORE), abs=1e-4)
    missing = core_alignment(evidence(zno={"ddh_nsc": None}), EDGES)
    assert (missing.vbm, missing.reason) == ({}, "ZnO has no band edges by ddh_nsc, as the host has")


def test_inequivalent_sites_have_levels_of_their_own():
    shelf = Shelf()
    places = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.42), (0.5, 0.5, 0.9), (0.0, 0.5, 0.2))
    crystal = Crystal(lattice=((4.0, 0, 0), (0, 4.1, 0), (0, 0, 9.0)), species=("Mg", "Mg", "O", "O"), frac_coords=places)
    potentials = np.array([-40.0, -40.0, -55.0, -56.5])
    bulk = runs(shelf, crystal, HOST_VBM, HOST_DDH, HOST_CORE, dos={"arrays": shelf.put(site_potentials=potentials)})
    tasks = evidence(shelf).tasks | bulk
    found = core_alignment(Evidence(MATERIAL, PROTOCOL, tasks, NOW, array=shelf.get), EDGES).vbm
    assert set(found) == {"O1", "O2"}
    assert found["O2"] - found["O1"] == pytest.approx(1.5, abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": {"dos": {"arrays": {}}, "band": {"arrays": {}}}}, "no potentials at cores in the runs dos and band"),
        ({"zno": {"dos": FAILED, "band": {"arrays": {}}}}, "ZnO: no potentials at cores"),
        ({"zno": {"structure_opt": FAILED}}, "ZnO: structure_opt: "),
        ({"zno": {"band": {"edges": METAL}, "ddh_nsc": {"edges": METAL}}}, "ZnO has no band edges"),
    ],
)
def test_what_is_missing_is_a_reason(changes, said):
    found = core_alignment(evidence(**changes), EDGES)
    assert found.vbm == {}
    assert found.reason.startswith(said)


def test_without_the_dos_run_the_band_run_tells_the_potentials():
    found = core_alignment(evidence(host={"dos": FAILED}, zno={"dos": None}), EDGES)
    assert found.vbm["O1"] == pytest.approx(EXPECTED, abs=1e-4)
    assert "reference-band" in found.addresses


def test_without_zno_or_edges_there_is_none():
    bare = evidence()
    own = {step: run for step, run in bare.tasks.items() if not step.startswith(REFERENCE)}
    assert core_alignment(replace(bare, tasks=own, reasons={REFERENCE: "no ZnO"}), EDGES).reason == "no ZnO"
    assert core_alignment(bare, None).reason == "no band edges of the host are known"


def vacancy(charge: int, energy: float | None) -> Built:
    head = evidence().head("structure_opt")
    about = {"part": f"Va_O1_{charge}", "name": "Va_O1", "site": "O1", "charge": charge, "status": "complete"}
    return Built(VacancyDoc(**head, **about, formation_energy=energy))


@pytest.mark.parametrize("charge", [0, 1, 2])
def test_energies_are_lower_by_the_charge_times_the_level(charge):
    alignment = CoreAlignment({"O1": -1.8}, {"reference-dos": "r"})
    document = aligned(vacancy(charge, 5.0), alignment).document
    assert document.vbm_from_o_core == -1.8
    assert document.formation_energy_core_reference == pytest.approx(5.0 + 1.8 * charge)
    assert document.addresses["reference-dos"] == "r"
    assert REFERENCE not in document.reasons
    assert aligned(vacancy(charge, None), alignment).document.formation_energy_core_reference is None


def test_where_zno_was_not_looked_for_nothing_is_said():
    bare = evidence()
    own = {step: run for step, run in bare.tasks.items() if not step.startswith(REFERENCE)}
    alignment = core_alignment(replace(bare, tasks=own), EDGES)
    assert aligned(vacancy(2, 5.0), alignment).document.reasons == {}


@pytest.mark.parametrize("alignment", [CoreAlignment({}, {}, "no ZnO"), CoreAlignment({"O2": 1.0}, {})])
def test_without_a_level_the_document_says_why(alignment):
    document = aligned(vacancy(2, 5.0), alignment).document
    assert (document.vbm_from_o_core, document.formation_energy_core_reference) == (None, None)
    assert document.reasons[REFERENCE] == (alignment.reason or "the host has no oxygen site O1")
