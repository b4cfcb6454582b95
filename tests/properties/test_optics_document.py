"""The optics document: from synthetic and recorded spectra."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

from hibana.core.units import unit_of
from hibana.documents.arrays import pack, unpack
from hibana.documents.candidate import Material
from hibana.documents.crystal import Crystal
from hibana.documents.optics import OPTICS_ARRAYS, OpticsDoc
from hibana.documents.properties import From, sources_of
from hibana.documents.task import BandEdges, Calculator, Failure, Inputs, Machine, TaskDoc
from hibana.properties import spectra
from hibana.properties.dielectric import build_dielectric
from hibana.properties.evidence import Evidence
from hibana.properties.optics import build_optics
from hibana.protocol.protocol import load_protocol
from hibana.vasp.reader import read_run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ZNO = Crystal(
    lattice=((3.25, 0.0, 0.0), (-1.625, 2.8146, 0.0), (0.0, 0.0, 5.2)),
    species=("Zn", "Zn", "O", "O"),
    frac_coords=((1 / 3, 2 / 3, 0.0), (2 / 3, 1 / 3, 0.5), (1 / 3, 2 / 3, 0.38), (2 / 3, 1 / 3, 0.88)),
)
VOLUME = abs(np.linalg.det(np.array(ZNO.lattice)))
PLASMA = 1378.86 * 36 / VOLUME
ENERGIES = np.linspace(0.0, 40.0, 4001)
DIRECT = 0.8


def gapped(gap: float, direct: float | None = None) -> BandEdges:
    return BandEdges(
        gap_class="gapped",
        band_gap=gap,
        vbm=1.0,
        cbm=1.0 + gap,
        is_direct=direct is None,
        direct_gap=gap if direct is None else direct,
    )


MATERIAL = Material(
    material_id="hib-0123456789abcdef",
    structure_key="0123456789abcdef" * 4,
    formula="ZnO",
    elements=("O", "Zn"),
    space_group_number=186,
)
METAL = BandEdges(gap_class="metal", band_gap=0.0)


def oscillators(energies):
    """A uniaxial dielectric tensor with half of the electrons of the cell: (n, 6) complex."""
    component = {
        axis: 1 + 0.5 * PLASMA / (position**2 - energies**2 - 1.2j * energies) for axis, position in (("x", 8.0), ("z", 9.0))
    }
    zero = np.zeros_like(component["x"])
    return np.stack([component["x"], component["x"], component["z"], zero, zero, zero], axis=1)


def spectrum(energies=ENERGIES, scale=1.0):
    epsilon = oscillators(energies)
    imag = scale * epsilon.imag * np.clip((energies - 0.7) / 0.2, 0.0, 1.0)[:, None]
    return {"dielectric_energies": energies, "dielectric_real": 1 + scale * (epsilon.real - 1), "dielectric_imag": imag}


class Bench:
    """Runs of one material with their arrays."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskDoc] = {}
        self.packed = {}
        self.reasons: dict[str, str] = {}

    def add(self, step, arrays=None, **changes):
        packed = {name: pack(np.asarray(array)) for name, array in (arrays or {}).items()}
        self.packed |= {array.ref.sha256: array for array in packed.values()}
        fields = {
            "formula": "ZnO",
            "elements": ("O", "Zn"),
            "n_sites": 4,
            "status": "converged",
            "calculator": Calculator(name="vasp", version="6.4.2"),
            "inputs": Inputs(incar={}, kpoints={}, potcars=(), nelect=36.0),
            "initial": ZNO,
            "final": ZNO,
            "edges": gapped(DIRECT),
            "arrays": {name: array.ref for name, array in packed.items()},
            "address": f"address of {step}",
            "material_id": "hib-0123456789abcdef",
            "task": step,
            "functional": "pbesol",
            "protocol": "pbesol-demo",
            "protocol_version": 2,
            "machine": Machine(host="here", directory="/", started=NOW, finished=NOW, cores=1, core_hours=0.1),
        }
        self.tasks[step] = TaskDoc(**{**fields, **changes})
        return self

    def build(self):
        evidence = Evidence(
            MATERIAL, load_protocol("pbesol-demo"), self.tasks, NOW, self.reasons, lambda ref: unpack(self.packed[ref.sha256])
        )
        built = build_optics(evidence)
        assert set(built.document.arrays) == set(built.arrays)
        return built.document, {name: unpack(array) for name, array in built.arrays.items()}


def bench(**arrays) -> Bench:
    full = Bench().add("dielectric_function", {**spectrum(), **arrays})
    static = np.diag([1 + 0.5 * PLASMA / 64, 1 + 0.5 * PLASMA / 64, 1 + 0.5 * PLASMA / 81]) * 0.95
    full.add("dielectric", epsilon_electronic=tuple(map(tuple, static.tolist())))
    return full.add("band", edges=gapped(0.7, DIRECT)).add("ddh_nsc", edges=gapped(3.2), semilocal_edges=gapped(0.75))


def test_complete_document():
    doc, arrays = bench().build()
    assert (doc.status, doc.reason, doc.flags, doc.gap_source) == ("complete", None, (), "ddh_nsc")
    assert doc.scissor_shift == pytest.approx(2.45)
    assert doc.gap_used == pytest.approx(3.15)
    assert doc.direct_gap == pytest.approx(DIRECT + 2.45)
    assert doc.valence_electrons == 36.0
    assert doc.f_sum == pytest.approx(18, rel=0.03)
    assert doc.spectrum_end == 40.0
    assert doc.kramers_kronig_residual < 0.005
    assert set(doc.addresses) == {"dielectric_function", "band", "ddh_nsc", "dielectric"}
    assert set(arrays) == set(OPTICS_ARRAYS)
    assert {name: array.shape for name, array in arrays.items()} == {
        **dict.fromkeys(OPTICS_ARRAYS, (1501,)),
        "epsilon_real": (1501, 6),
        "epsilon_imag": (1501, 6),
        "log10_absorption_axes": (1501, 3),
    }


def test_constant_is_that_of_the_oscillators_in_the_conventional_frame():
    doc, _ = bench().build()
    np.testing.assert_allclose(np.array(doc.epsilon_zero), np.diag(oscillators(np.zeros(1)).real[0][:3]), rtol=0.015, atol=1e-6)
    assert doc.epsilon_zero_average == pytest.approx(np.trace(np.array(doc.epsilon_zero)) / 3)
    assert doc.refractive_index_zero == pytest.approx(doc.epsilon_zero_average**0.5)
    assert doc.epsilon_zero_over_dfpt == pytest.approx(1 / 0.95, abs=0.01)


def test_another_description_of_the_crystal_gives_the_same_spectra():
    """The run's axes turned: its tensor is another one, that of the document is the same."""
    turn = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    lattice = tuple(map(tuple, (np.array(ZNO.lattice) @ turn.T).tolist()))
    arrays = {name: spectra.rotate(array, turn) if name != "dielectric_energies" else array for name, array in spectrum().items()}
    turned = bench()
    turned.add("dielectric_function", arrays, final=ZNO.model_copy(update={"lattice": lattice}))
    doc, got = turned.build()
    reference, expected = bench().build()
    np.testing.assert_allclose(doc.epsilon_zero, reference.epsilon_zero, atol=1e-6)
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, atol=2e-4, err_msg=name)
    assert np.abs(spectra.rotate(arrays["dielectric_imag"], np.array(doc.rotation)) - spectrum()["dielectric_imag"]).max() < 1e-4


def test_moments_that_a_run_ends_with_do_not_turn_the_frame():
    """Equivalent sites end with slightly different moments; spectra stay in the frame of the dielectric tensors."""
    sites = [(0.1, 0.2, 0.3), (-0.1, 0.2, -0.3), (-0.1, -0.2, -0.3), (0.1, -0.2, 0.3)]
    cell = ZNO.model_copy(
        update={
            "lattice": ((6.0, 0.0, 0.0), (0.0, 3.0, 0.0), (-1.5, 0.0, 5.0)),
            "species": ("O",) * 4,
            "frac_coords": tuple(sites),
        }
    )
    ended = cell.model_copy(update={"magmoms": (0.31, 0.33, 0.36, 0.33)})
    full = bench()
    cells = {"initial": cell, "final": ended}
    full.add("dielectric_function", spectrum(), **cells)
    full.add("dielectric", epsilon_electronic=((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0)), **cells)
    evidence = Evidence(MATERIAL, load_protocol("pbesol-demo"), full.tasks, NOW, {}, lambda ref: unpack(full.packed[ref.sha256]))
    dielectric = build_dielectric(evidence).document
    assert dielectric.space_group_number == 10
    assert np.array(build_optics(evidence).document.rotation) == pytest.approx(np.array(dielectric.rotation))


def test_spectra_are_moved_to_the_hybrid_gap():
    doc, arrays = bench().build()
    energy, imag = arrays["energy"], arrays["epsilon_imag"]
    assert not imag[energy < doc.gap_used - 1e-6].any()
    np.testing.assert_array_equal(arrays["log10_absorption"][energy < doc.gap_used - 0.01], 2.0)
    assert doc.gap_used < doc.onset < doc.gap_used + 1.5
    at = np.searchsorted(energy, doc.onset)
    assert arrays["log10_absorption"][at - 1] <= 4.0 <= arrays["log10_absorption"][at]
    old = np.interp(9.0 - 2.45, ENERGIES, spectrum()["dielectric_imag"][:, 0])
    assert imag[900, 0] == pytest.approx(old * (9.0 - 2.45) / 9.0, rel=1e-3)
    # A smaller response at zero energy than before the shift.
    assert 1 < arrays["epsilon_real"][0, :3].mean() < doc.epsilon_zero_average
    edge = (energy >= doc.onset) & (energy <= doc.onset + 1)
    assert doc.absorption_edge_integral == pytest.approx(0.01 * (10 ** arrays["log10_absorption"][edge]).sum(), rel=0.05)


def test_optical_functions_belong_to_the_average_of_the_tensor():
    _, arrays = bench().build()
    mean = (arrays["epsilon_real"] + 1j * arrays["epsilon_imag"])[:, :3].mean(axis=1)
    index = arrays["refractive_index"] + 1j * arrays["extinction"]
    np.testing.assert_allclose(index**2, mean, atol=1e-4)
    np.testing.assert_allclose(arrays["reflectivity"], np.abs((index - 1) / (index + 1)) ** 2, atol=1e-5)
    axes = 10 ** arrays["log10_absorption_axes"]
    np.testing.assert_allclose(axes[:, 0], axes[:, 1])
    assert (np.abs(axes[1000] - axes[1000, 2])[:2] > 1e3).all()


def test_second_hybrid_stands_in_and_says_why():
    other = bench().add("hse06_nsc", edges=gapped(2.4), semilocal_edges=gapped(0.7))
    other.add("ddh_nsc", status="failed", failure=Failure(kind="killed", message="by the queue"), edges=gapped(3.0))
    doc, _ = other.build()
    assert (doc.gap_source, doc.status) == ("hse06_nsc", "partial")
    assert doc.scissor_shift == pytest.approx(1.7)
    assert doc.reason == "ddh_nsc: killed: by the queue"
    assert "ddh_nsc" not in doc.addresses
    del other.tasks["ddh_nsc"]
    assert other.build()[0].status == "complete"


def test_without_hybrid_gap_spectra_stay_and_are_flagged():
    bare = bench()
    del bare.tasks["ddh_nsc"]
    doc, arrays = bare.build()
    assert (doc.gap_source, doc.scissor_shift, doc.status) == ("none", 0.0, "partial")
    assert doc.reason == "ddh_nsc: not calculated; hse06_nsc: not calculated"
    assert any("not shifted" in flag for flag in doc.flags)
    at = np.searchsorted(ENERGIES, 8.0)
    assert arrays["epsilon_imag"][800, 0] == pytest.approx(spectrum()["dielectric_imag"][at, 0], rel=1e-4)
    assert arrays["epsilon_real"][0, :3].mean() == pytest.approx(doc.epsilon_zero_average, rel=1e-6)


def test_hybrid_gap_below_semilocal_is_refused_with_numbers():
    doc, _ = bench().add("ddh_nsc", edges=gapped(0.5), semilocal_edges=gapped(0.75)).build()
    assert (doc.gap_source, doc.scissor_shift) == ("none", 0.0)
    assert any("0.500 eV, is below the semilocal gap, 0.750 eV" in flag for flag in doc.flags)
    equal, _ = bench().add("ddh_nsc", edges=gapped(0.745), semilocal_edges=gapped(0.75)).build()
    assert (equal.gap_source, equal.scissor_shift, equal.flags) == ("ddh_nsc", 0.0, ())


def test_gap_of_a_hybrid_step_that_starts_from_a_metal_is_refused():
    """Its gap less none would be added to the gap of the band run."""
    doc, _ = bench().add("ddh_nsc", edges=gapped(3.2), semilocal_edges=METAL).build()
    assert (doc.gap_source, doc.scissor_shift, doc.gap_used) == ("none", 0.0, 0.7)
    assert "ddh_nsc: its semilocal stage finds a metal" in doc.flags


def test_gap_that_closes_on_the_mesh_of_the_spectrum_is_flagged():
    doc, _ = bench().add("dielectric_function", spectrum(), edges=METAL).build()
    assert doc.flags == ("dielectric_function: the run finds a metal; the spectrum has no intraband part",)


@pytest.mark.parametrize(
    ("changes", "shift"),
    [
        ({"edges": gapped(np.nan), "semilocal_edges": gapped(0.75)}, 0.0),
        ({"edges": gapped(3.2), "semilocal_edges": gapped(np.nan)}, 2.5),
    ],
)
def test_gaps_that_are_no_numbers_are_unknown(changes, shift):
    doc, _ = bench().add("ddh_nsc", **changes).build()
    assert doc.scissor_shift == pytest.approx(shift)
    doc, _ = bench().add("band", edges=gapped(np.nan)).build()
    assert doc.gap_used is None


def test_gap_of_the_band_run_where_the_hybrid_has_no_semilocal_stage():
    doc, _ = bench().add("ddh_nsc", edges=gapped(3.2)).build()
    assert doc.scissor_shift == pytest.approx(2.5)
    assert doc.gap_used == pytest.approx(3.2)


def test_without_band_run_gaps_are_unknown():
    blind = bench()
    blind.reasons["band"] = "stopped by hand"
    del blind.tasks["band"]
    doc, _ = blind.build()
    assert (doc.status, doc.reason) == ("partial", "band: stopped by hand")
    assert (doc.gap_used, doc.direct_gap) == (None, None)
    assert doc.scissor_shift == pytest.approx(2.45)


def test_metal_is_not_shifted():
    doc, _ = bench().add("band", edges=METAL).build()
    assert (doc.gap_source, doc.scissor_shift, doc.gap_used, doc.status) == ("none", 0.0, None, "partial")
    assert any("finds a metal" in flag for flag in doc.flags)


def test_short_spectrum_has_missing_points_and_no_zeros():
    short = bench()
    short.add("dielectric_function", spectrum(np.linspace(0.0, 11.0, 1101)))
    doc, arrays = short.build()
    end = 11.0 + doc.scissor_shift
    missing = arrays["energy"] > end + 1e-6
    assert any(f"{end:.2f} eV" in flag and f"{missing.sum()} of 1501" in flag for flag in doc.flags)
    for name in set(arrays) - {"energy"}:
        assert np.isnan(arrays[name][missing]).all(), name
        assert np.isfinite(arrays[name][~missing]).all(), name


def imag_with(change):
    values = spectrum()["dielectric_imag"].copy()
    change(values)
    return values


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dielectric_imag": imag_with(lambda v: v.__setitem__((500, 0), -2.0))}, "negative eigenvalue, -2.000 at 5.00 eV"),
        ({"dielectric_imag": imag_with(lambda v: v.__setitem__((850, 3), 40.0))}, "negative eigenvalue"),
        ({"dielectric_imag": 0 * spectrum()["dielectric_imag"]}, "nowhere positive"),
        ({"dielectric_imag": 3 * spectrum()["dielectric_imag"]}, "f-sum: the spectrum accounts for 5"),
        ({"dielectric_imag": 0.3 * spectrum()["dielectric_imag"]}, "of 36 electrons (0.15"),
        ({"dielectric_imag": 0.7 * spectrum()["dielectric_imag"]}, "0.9 to 1.25 is expected"),
        ({"dielectric_real": 1.1 * spectrum()["dielectric_real"]}, "Kramers-Kronig"),
        ({"dielectric_real": np.nan * spectrum()["dielectric_real"]}, "not finite"),
    ],
)
def test_what_is_not_physical_is_flagged(changes, said):
    doc, _ = bench(**changes).build()
    assert any(said in flag for flag in doc.flags), doc.flags


def test_overflow_that_codes_print_at_zero_energy_is_left_out():
    """A code without a complex shift prints 99999 there; single points of the real part do not count either."""
    imag, real = spectrum()["dielectric_imag"].copy(), spectrum()["dielectric_real"].copy()
    imag[0, 3:] = 99999.0
    real[0] = np.nan
    doc, arrays = bench(dielectric_imag=imag, dielectric_real=real).build()
    reference, expected = bench().build()
    assert doc.flags == ()
    assert doc.epsilon_zero == reference.epsilon_zero
    np.testing.assert_array_equal(arrays["epsilon_real"], expected["epsilon_real"])


@pytest.mark.parametrize(("code", "judged"), [("vasp", False), ("gpaw-rehearsal", True)])
def test_real_part_of_vasp_without_complex_shift_is_not_judged(code, judged):
    arrays = {**spectrum(), "dielectric_real": 1.1 * spectrum()["dielectric_real"]}
    run = Inputs(incar={"CSHIFT": 0.0}, kpoints={}, potcars=(), nelect=36.0)
    calculator = Calculator(name=code, version="1")
    doc, _ = bench().add("dielectric_function", arrays, inputs=run, calculator=calculator).build()
    assert (doc.kramers_kronig_residual is not None) == judged
    assert any("Kramers-Kronig" in flag for flag in doc.flags) == judged


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dielectric_energies": ENERGIES**2}, "not a uniform grid"),
        ({"dielectric_imag": imag_with(lambda v: v.__setitem__((7, 1), np.nan))}, "not finite"),
    ],
)
def test_unusable_spectrum_is_no_answer(changes, said):
    doc, arrays = bench(**changes).build()
    assert doc.status == "unavailable"
    assert said in doc.reason
    assert not arrays
    assert doc.onset is None


def test_arrays_of_another_length_are_not_used():
    doc, _ = bench(dielectric_imag=spectrum()["dielectric_imag"][:-5]).build()
    assert doc.reason == "dielectric_function: the imaginary part has the shape (3996, 6), not (4001, 6)"
    doc, _ = bench(dielectric_real=spectrum()["dielectric_real"][:-5]).build()
    assert (doc.status, doc.kramers_kronig_residual) == ("complete", None)


def test_no_run_no_answer():
    failed = bench().add("dielectric_function", status="failed", failure=Failure(kind="killed", message="by the queue"))
    doc, _ = failed.build()
    assert (doc.status, doc.reason) == ("unavailable", "dielectric_function: killed: by the queue")
    empty, _ = bench().add("dielectric_function").build()
    assert empty.reason == "dielectric_function: the run has no dielectric function"
    with pytest.raises(ValueError, match="no calculation"):
        Bench().build()


def test_flags_of_the_runs_used_are_carried_over():
    doc, _ = bench().add("band", edges=gapped(0.7), flags=("corrected",)).build()
    assert doc.flags == ("band: corrected",)


def test_every_value_has_a_unit_and_the_runs_it_is_from():
    doc, _ = bench().build()
    sources = sources_of(doc)
    own = set(OpticsDoc.model_fields) - set(OpticsDoc.__mro__[1].model_fields) - {"gap_source"}
    assert set(sources) == own
    assert sources["gap_used"] == ("address of band", "address of ddh_nsc")
    assert sources["epsilon_zero"] == ("address of dielectric_function",)
    for name in own:
        assert unit_of(OpticsDoc, name) is not None, name
        assert any(isinstance(item, From) for item in OpticsDoc.model_fields[name].metadata), name


RECORDED = {  # the average of the real part at zero energy that VASP printed
    "MgSe_optics_pbe": 5.4311,
    "Si_optics_2_optics": (13.6062 + 13.6063 + 13.6062) / 3,
    "Li6Bi2O7_optics_hse06": (4.9826 + 3.8666 + 5.6079) / 3,
}


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_spectra_pass_every_check(recorded, tmp_path, case):
    for part in ("inputs", "outputs"):
        for path in (recorded / "vasp_runs" / case / part).iterdir():
            if path.is_file() and not path.name.startswith(("POTCAR", "custodian")):
                shutil.copy(path, tmp_path)
    run, arrays = read_run(tmp_path, projections=False)
    spectra_of = {name: array for name, array in arrays.items() if name.startswith("dielectric")}
    full = Bench().add("dielectric_function", spectra_of, final=run.final, inputs=run.inputs, edges=run.edges)
    gap = run.edges.band_gap
    full.add("band", edges=run.edges, final=run.final)
    full.add("ddh_nsc", edges=gapped(gap + 1.2345), semilocal_edges=gapped(gap))
    doc, built = full.build()
    tail = [flag for flag in doc.flags if "the spectrum is broadened" in flag]
    assert list(doc.flags) == tail, "nothing but a tail below the gap is flagged"
    assert bool(tail) == (case == "Si_optics_2_optics"), "CSHIFT of 0.1 eV, and a direct gap far above the smallest one"
    assert doc.status == "complete"
    assert doc.epsilon_zero_average == pytest.approx(RECORDED[case], abs=1e-3)
    assert doc.kramers_kronig_residual < 0.005
    assert 0.5 < doc.f_sum / doc.valence_electrons < 1.05
    assert doc.direct_gap == pytest.approx(run.edges.direct_gap + 1.2345)
    assert gap + 1.2345 < doc.onset < doc.direct_gap + 0.5
    assert built["log10_absorption"].min() == 2.0
    assert 5.5 < built["log10_absorption"].max() < 6.5
