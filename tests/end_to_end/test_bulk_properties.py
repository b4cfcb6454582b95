"""Everything of a bulk crystal by one flow: commands, launchers, and real DFT by the rehearsal engine on a coarse protocol.

MgO, and at full size (``HIBANA_FULL=1``) ZnO. The values in the tests are those of VASP with the production protocol.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from working_folder import campaign_in, write_potcars

from hibana.documents.material import MaterialDoc
from hibana.store.connection import connect
from size import FULL

STRUCTURES = ["MgO.cif", "ZnO.cif"] if FULL else ["MgO.cif"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A campaign of the flow ``bulk``, run to its end."""
    potcars = write_potcars(tmp_path_factory.mktemp("potcars"))
    with campaign_in(tmp_path_factory.mktemp("bulk"), potcars, STRUCTURES, "bulk") as campaign:
        campaign.submit()
        campaign.hibana("run", "--workers", "2")
        yield campaign


@pytest.fixture(scope="module")
def materials(campaign) -> dict[str, MaterialDoc]:
    store = connect(campaign.launchpad)
    found = {doc.formula: doc for doc in store.properties(MaterialDoc)}
    store.database.client.close()
    return found


@pytest.fixture
def mgo(materials) -> MaterialDoc:
    return materials["MgO"]


def test_every_step_has_its_answer(campaign, mgo):
    outcomes = json.loads(campaign.hibana("query", "{}", "--collection", "outcomes", "--json"))
    assert [(item["state"], item["reason"]) for item in outcomes] == [("done", "every step has its answer")] * len(STRUCTURES)
    assert (mgo.status, mgo.reason) == ("complete", None)
    steps = {"structure_opt", "band", "dos", "dielectric", "hse06_nsc", "ddh_nsc", "dielectric_function"}
    assert mgo.addresses.keys() == steps


def test_dielectric_tensors(mgo):
    """3.2 electronic, 6.9 ionic."""
    doc = mgo.dielectric
    assert doc.epsilon_electronic_average == pytest.approx(3.2, rel=0.05)
    assert doc.epsilon_ionic_average == pytest.approx(6.9, rel=0.20)
    for tensor in (doc.epsilon_electronic, doc.epsilon_ionic):
        assert np.array(tensor) == pytest.approx(np.eye(3) * tensor[0][0], abs=0.01)


def test_acoustic_modes_are_at_zero_and_the_crystal_is_stable(mgo):
    lowest = sorted(abs(frequency) for frequency in mgo.phonon.frequencies)[:3]
    assert max(lowest) < 0.3
    assert len(mgo.phonon.frequencies) == 6
    assert mgo.phonon.is_stable
    assert mgo.phonon.lowest_optical == pytest.approx(12.0, rel=0.15)


def test_hybrid_gaps(mgo):
    """Non-self-consistent: 6.57 eV HSE06, 7.90 eV dielectric-dependent hybrid."""
    doc = mgo.electronic
    assert doc.band_gap_pbesol == pytest.approx(4.66, abs=0.25)
    assert doc.band_gap_hse06_nsc == pytest.approx(6.57, abs=0.35)
    assert doc.band_gap_ddh_nsc == pytest.approx(7.90, abs=0.5)
    assert doc.exchange_ratio_ddh == pytest.approx(1 / mgo.dielectric.epsilon_electronic_average, abs=1e-3)
    assert (doc.recipe_hse06_nsc, doc.recipe_ddh_nsc) == ("subrot", "subrot")
    assert doc.vbm_p > 0.8
    assert doc.cbm_s > 0.8


def test_optics_agrees_with_the_dielectric_run(mgo):
    doc = mgo.optics
    assert doc.epsilon_zero_average == pytest.approx(mgo.dielectric.epsilon_electronic_average, rel=0.05)
    assert doc.gap_source == "ddh_nsc"
    assert doc.direct_gap == pytest.approx(mgo.electronic.direct_gap_pbesol + doc.scissor_shift)
    assert doc.onset >= doc.direct_gap - 0.05


def test_no_invariant_is_broken(mgo):
    assert mgo.flags == ()


def test_every_value_names_a_run_in_the_store(campaign, mgo):
    found = json.loads(campaign.hibana("query", "{}", "--collection", "tasks", "--fields", "address,status", "--json"))
    converged = {item["address"] for item in found if item["status"] == "converged"}
    for part, fields in mgo.sources.items():
        for field, addresses in fields.items():
            assert addresses, f"{part}.{field}"
            assert set(addresses) <= converged


def test_a_rebuild_changes_nothing(campaign):
    report = json.loads(campaign.hibana("rebuild", "--json"))
    assert (report["rebuilt"], report["changed"], report["left_as_is"]) == (len(STRUCTURES), [], [])


def test_the_electronic_flow_has_nothing_left_to_calculate(campaign):
    campaign.flow = "electronic"
    assert len(campaign.submit()["added"]) == len(STRUCTURES)
    before = len(json.loads(campaign.hibana("query", "{}", "--collection", "tasks", "--fields", "address", "--json")))
    campaign.hibana("run", "--workers", "2")
    after = len(json.loads(campaign.hibana("query", "{}", "--collection", "tasks", "--fields", "address", "--json")))
    assert after == before
    campaign.flow = "bulk"


@pytest.mark.skipif(not FULL, reason="ZnO is part of the full size: HIBANA_FULL=1")
def test_tensors_of_zno_are_uniaxial(materials):
    doc = materials["ZnO"].dielectric
    for tensor, least in ((np.array(doc.epsilon_electronic), 1e-3), (np.array(doc.epsilon_ionic), 0.1)):
        assert tensor[0, 0] == pytest.approx(tensor[1, 1], rel=1e-4)
        assert abs(tensor[2, 2] - tensor[0, 0]) > least
        assert tensor - np.diag(np.diag(tensor)) == pytest.approx(np.zeros((3, 3)), abs=1e-2)
