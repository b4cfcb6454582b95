"""Property documents from task documents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flow_documents import MATERIAL as MATERIAL_OF_MGO
from flow_documents import METAL, MGO, NOW, UNKNOWN, A, gapped, task
from hibana.documents.arrays import pack, unpack
from hibana.documents.properties import ElectronicDoc, RelaxationDoc
from hibana.documents.spec import Prior
from hibana.documents.task import Failure
from hibana.flows.collect import outcome
from hibana.properties.electronic import build_electronic
from hibana.properties.evidence import Evidence
from hibana.properties.masses import EffectiveMasses
from hibana.properties.registry import build_documents
from hibana.properties.relaxation import build_relaxation
from hibana.protocol.protocol import load_protocol


def evidence(reasons=None, **tasks) -> Evidence:
    return Evidence(MATERIAL_OF_MGO, load_protocol("pbesol-demo"), tasks, NOW, reasons or {})


def relaxation_of(found: Evidence) -> RelaxationDoc:
    document = build_relaxation(found).document
    assert isinstance(document, RelaxationDoc)
    return document


def electronic_of(found: Evidence) -> ElectronicDoc:
    document = build_electronic(found).document
    assert isinstance(document, ElectronicDoc)
    return document


def ended(found: Evidence) -> tuple[str, str]:
    """Outcome of the flow ``electronic``."""
    documents = [item.document for item in build_documents(found)]
    return outcome(documents, "electronic", found.why_not("structure_opt"))


def complete(reasons=None, **changes) -> Evidence:
    tasks = {
        "structure_opt": task("structure_opt"),
        "band": task("band", edges=gapped(4.6)),
        "dos": task("dos", edges=gapped(4.6)),
        "hse06_nsc": task("hse06_nsc", edges=gapped(6.5)),
    }
    return evidence(reasons, **{name: item for name, item in {**tasks, **changes}.items() if item is not None})


def failed(step: str):
    failure = Failure(kind="zpotrf", message="LAPACK failed")
    return task(step, status="failed", failure=failure, edges=UNKNOWN)


def with_dos_arrays(**arrays) -> Evidence:
    """Evidence whose dos run has arrays."""
    packed = {name: pack(values) for name, values in arrays.items()}
    stored = {item.ref: unpack(item) for item in packed.values()}
    dos = task("dos", edges=gapped(4.6), arrays={name: item.ref for name, item in packed.items()})
    return replace(complete(dos=dos), array=stored.__getitem__)


def test_characters_are_those_of_the_dos_at_its_edges():
    energies = np.arange(0.0, 7.0, 0.01)
    partial = np.zeros((2, 1, 4, len(energies)))
    partial[1, 0, 1, energies <= 1.0] = 3.0  # O p below the VBM at 1.0 eV
    partial[0, 0, 0, energies >= 5.6] = 3.0  # Mg s and O p above the CBM at 5.6 eV
    partial[1, 0, 1, energies >= 5.6] = 1.0
    doc = electronic_of(with_dos_arrays(dos_energies=energies, dos_partial=partial))
    assert (doc.vbm_s, doc.vbm_p, doc.vbm_d, doc.vbm_f) == pytest.approx((0, 1, 0, 0))
    assert (doc.cbm_s, doc.cbm_p) == pytest.approx((0.75, 0.25))
    assert electronic_of(complete()).vbm_p is None


def test_masses_are_turned_to_the_conventional_axes_or_have_a_reason(monkeypatch):
    bands = with_dos_arrays(kpoints=np.zeros((1, 3)), eigenvalues=np.zeros((1, 1, 8)))
    monkeypatch.setattr("hibana.properties.electronic.available", lambda: False)
    assert electronic_of(bands).masses_reason == "BoltzTraP2 is not installed"
    monkeypatch.setattr("hibana.properties.electronic.available", lambda: True)
    assert "no bands" in electronic_of(complete()).masses_reason
    tensors = EffectiveMasses(electron=np.diag([0.1, 0.2, 0.3]), hole=np.eye(3), temperature=300, concentration=1e18)
    monkeypatch.setattr("hibana.properties.electronic.effective_masses", lambda *_, **__: tensors)
    doc = electronic_of(bands)
    assert doc.masses_reason is None
    assert doc.electron_mass_average == pytest.approx(0.2)
    assert np.linalg.eigvalsh(doc.electron_mass) == pytest.approx([0.1, 0.2, 0.3])

    def fails(*_, **__):
        raise ValueError("too few points")

    monkeypatch.setattr("hibana.properties.electronic.effective_masses", fails)
    assert electronic_of(bands).masses_reason == "BoltzTraP2: too few points"


def test_relaxation_gives_conventional_lattice():
    doc = relaxation_of(complete())
    assert (doc.a, doc.b, doc.c) == pytest.approx((A, A, A))
    assert (doc.alpha, doc.beta, doc.gamma) == pytest.approx((90, 90, 90))
    assert doc.volume_per_atom == pytest.approx(A**3 / 8)
    assert (doc.space_group_number, doc.initial_space_group_number) == (225, 225)
    assert (doc.status, doc.flags, doc.n_rounds) == ("complete", (), 1)
    assert doc.addresses == {"structure_opt": "address of structure_opt"}


def test_a_changed_space_group_is_flagged():
    long = ((0.0, A / 2, A / 2), (A / 2, 0.0, A / 2), (A / 2 * 1.1, A / 2 * 1.1, 0.0))
    doc = relaxation_of(complete(structure_opt=task("structure_opt", final=MGO.model_copy(update={"lattice": long}))))
    assert doc.space_group_number != 225
    assert any("space group changed from 225" in flag for flag in doc.flags)


def test_failed_relaxation_has_no_numbers_but_a_reason():
    doc = relaxation_of(evidence(structure_opt=failed("structure_opt")))
    assert doc.status == "unavailable"
    assert doc.reason == "zpotrf: LAPACK failed"
    assert doc.a is None
    assert doc.crystal is None


def test_a_relaxation_that_never_settles_is_no_answer():
    reason = "no round converged at its first ionic step; 10 were done"
    last = task("structure_opt", n_ionic_steps=3, round=10)
    doc = relaxation_of(evidence({"structure_opt": reason}, structure_opt=last))
    assert (doc.status, doc.reason, doc.n_rounds) == ("unavailable", reason, 10)


def test_complete_electronic():
    doc = electronic_of(complete())
    assert (doc.status, doc.reason, doc.flags) == ("complete", None, ())
    assert (doc.band_gap_pbesol, doc.band_gap_dos, doc.band_gap_hse06_nsc) == (4.6, 4.6, 6.5)
    assert doc.cbm - doc.vbm == pytest.approx(doc.band_gap_pbesol)
    assert set(doc.addresses) == {"structure_opt", "band", "dos", "hse06_nsc"}
    assert ended(complete()) == ("done", "every step has its answer")


def test_metal_is_complete_without_hybrid_gap():
    doc = electronic_of(complete(band=task("band", edges=METAL), dos=task("dos", edges=METAL), hse06_nsc=None))
    assert (doc.status, doc.gap_class, doc.band_gap_pbesol, doc.band_gap_hse06_nsc) == ("complete", "metal", 0.0, None)
    assert doc.vbm is None


@pytest.mark.parametrize("who", ["band", "dos"])
def test_a_metal_in_one_sampling_is_a_metal_and_flagged(who):
    other = {"band": "dos", "dos": "band"}[who]
    doc = electronic_of(complete(hse06_nsc=None, **{who: task(who, edges=METAL), other: task(other, edges=gapped(0.3))}))
    assert (doc.gap_class, doc.band_gap_pbesol, doc.vbm) == ("metal", 0.0, None)
    assert any("the band run says" in flag for flag in doc.flags)


@pytest.mark.parametrize("band", [None, failed("band"), task("band", edges=UNKNOWN)])
def test_unknown_is_never_a_metal(band):
    doc = electronic_of(complete({"band": "the job ended with an error"} if band is None else None, band=band, hse06_nsc=None))
    assert (doc.gap_class, doc.band_gap_pbesol, doc.status) == ("unknown", None, "unavailable")
    assert doc.reason.startswith("band") or doc.reason.startswith("the band run")
    assert doc.band_gap_dos == 4.6


def test_missing_parts_make_it_partial_with_all_reasons():
    found = complete({"hse06_nsc": "the job ended with an error"}, dos=failed("dos"), hse06_nsc=None)
    doc = electronic_of(found)
    assert doc.status == "partial"
    assert doc.reason == "dos: zpotrf: LAPACK failed; hse06_nsc: the job ended with an error"
    assert ended(found)[0] == "partial"


def test_what_was_not_asked_for_is_not_missing():
    assert electronic_of(complete(hse06_nsc=None)).status == "complete"
    assert electronic_of(complete(hse06_nsc=None, dos=None)).status == "complete"


def test_flags_and_corrections_of_runs_are_carried_over():
    doc = electronic_of(complete(dos=task("dos", flags=("VaspErrorHandler corrected brmix (flagged)",))))
    assert doc.flags == ("dos: VaspErrorHandler corrected brmix (flagged)",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hse06_nsc": task("hse06_nsc", edges=gapped(4.2))}, "HSE06 gap, 4.200 eV, is below the PBEsol gap, 4.600 eV"),
        (
            {"hse06_nsc": task("hse06_nsc", edges=gapped(4.9), semilocal_edges=gapped(5.0))},
            "HSE06 gap, 4.900 eV, is below the PBEsol gap, 5.000 eV",
        ),
        (
            {"hse06_nsc": task("hse06_nsc", edges=gapped(7.0), semilocal_edges=gapped(5.0))},
            "miss the band edges: the PBEsol gap is 5.000 eV on them, 4.600 eV in the band run",
        ),
        ({"dos": task("dos", edges=gapped(4.3))}, "a band edge lies off the path"),
        (
            {"hse06_nsc": task("hse06_nsc", edges=gapped(6.5), semilocal_edges=gapped(4.3))},
            "off the path: the PBEsol gap is 4.300 eV on the k-points of the HSE06 step, 4.600 eV in the band run",
        ),
        (
            {
                "ddh_nsc": task("ddh_nsc", edges=gapped(6.5), semilocal_edges=gapped(4.6)),
                "dielectric": task("dielectric_dfpt", edges=METAL, epsilon_electronic=((9, 0, 0), (0, 9, 0), (0, 0, 9))),
            },
            "the dielectric run that gives the share of exact exchange of the hybrid has no gap",
        ),
        ({"dos": task("dos", edges=gapped(5.2))}, "the dos mesh misses the band edges"),
        ({"band": task("band", edges=gapped(4.6), spec_prior=Prior(band_gap=0.0))}, "k-points were chosen for a gap of 0.000"),
    ],
)
def test_gaps_that_contradict_each_other_are_flagged(changes, said):
    assert any(said in flag for flag in electronic_of(complete(**changes)).flags)


def test_a_hybrid_step_on_the_same_edges_is_not_flagged():
    hybrid = task("hse06_nsc", edges=gapped(6.5), semilocal_edges=gapped(4.63))
    assert electronic_of(complete(hse06_nsc=hybrid)).flags == ()


def test_nothing_calculated_is_nothing_to_say():
    with pytest.raises(ValueError, match="no relaxation"):
        relaxation_of(evidence())
    with pytest.raises(ValueError, match="no calculation"):
        electronic_of(evidence())
    assert ended(evidence({"structure_opt": "the job ended with an error"})) == (
        "failed",
        "relaxation: the job ended with an error",
    )


def test_a_hybrid_run_without_readable_edges_leaves_the_property_partial():
    doc = electronic_of(complete(hse06_nsc=task("hse06_nsc", edges=UNKNOWN)))
    assert (doc.status, doc.band_gap_hse06_nsc) == ("partial", None)
    assert "hse06_nsc" in doc.reason
