"""Band edges, perturbed host states and levels of defects, against pydefect's own and by invariants."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from defect_hosts import defect_rule
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.electronic_structure.core import Spin
from pymatgen.io.vasp import Vasprun
from recorded_defects import document, pydefect

from hibana.defects.band_edges import HostEdges, NoStates, host_edges, kpoint_index
from hibana.defects.edge_outcome import band_edge_outcome, eigenvalue_diagram
from hibana.defects.run import DefectRun, SiteWeights, defect_run
from hibana.documents.crystal import Crystal

GAP = 5.0
ELEMENTS = ("Mg", "O")
VALENCE = np.array([[0.01, 0.02, 0.0, 0.0], [0.0, 0.7, 0.0, 0.0]])
CONDUCTION = np.array([[0.3, 0.02, 0.0, 0.0], [0.25, 0.0, 0.0, 0.0]])
VACANCY = np.array([[0.12, 0.12, 0.05, 0.0], [0.02, 0.15, 0.0, 0.0]])
RULE = defect_rule(edge_window=0.5, edge_dissimilarity=0.2, edge_occupation=0.2)
CELL = Crystal(lattice=((4.2, 0, 0), (0, 4.2, 0), (0, 0, 4.2)), species=ELEMENTS, frac_coords=((0, 0, 0), (0.5, 0.5, 0.5)))
ROUNDING = 0.001
"""Projections of pydefect have three decimals, those compared here four."""

SPINS = 1.5e-4
"""pydefect takes the energy of an edge from the spin-up channel also where the spin-down one has the edge, eV."""

PAIRS = (
    ("GaN_supercell", "GaN_Mg_Ga_q+1"),
    ("GaN_supercell", "GaN_Mg_Ga_q+0"),
    ("GaN_supercell", "GaN_Mg_Ga_q-1"),
    ("GaN_supercell", "GaN_Mg_Ga_q-2"),
    ("GaN_supercell", "GaN_supercell"),
    ("CdTe_supercell_hse", "CdTe_v_Cd_q-2_hse"),
    ("MgO_supercell_perfect", "MgO_supercell_perfect"),
    ("MgO_dos_pbesol", "MgO_dos_pbesol"),
    ("MgO_dos_pbesol", "MgO_conv_Va_O_0"),
    ("MgO_supercell_perfect", "MgO_conv_Va_O_0"),
)
"""Perfect cell and defect; the last one has other k-points than its perfect cell."""


def bands_run(energies, occupations, characters, kpoints=((0.0, 0.0, 0.0),), weights=None, cell=CELL) -> DefectRun:
    energies, occupations, characters = (np.asarray(table, dtype=float) for table in (energies, occupations, characters))
    nk = energies.shape[1]
    return DefectRun(
        cell,
        cell,
        kpoints=np.asarray(kpoints, dtype=float),
        kpoint_weights=np.full(nk, 1 / nk) if weights is None else np.asarray(weights, dtype=float),
        eigenvalues=energies,
        occupations=occupations,
        projections=characters,
    )


def perfect_run(spins=1) -> DefectRun:
    """Three valence and two conduction bands at two k-points; the edges are at the first."""
    energies = [[[-1.4, -0.9, 0.0, GAP, GAP + 1.5], [-1.6, -1.2, -0.7, GAP + 0.8, GAP + 1.9]]] * spins
    characters = np.tile(np.array([VALENCE] * 3 + [CONDUCTION] * 2), (spins, 2, 1, 1, 1))
    return bands_run(energies, [[[1, 1, 1, 0, 0]] * 2] * spins, characters, KPOINTS, WEIGHTS)


KPOINTS = ((0.0, 0.0, 0.0), (0.5, 0.0, 0.0))
WEIGHTS = (0.25, 0.75)


def vacancy_run(level, filling, *, electrons=0.0, holes=0.0, spins=1) -> DefectRun:
    """The perfect supercell with one more band in the gap."""
    perfect = perfect_run(spins)
    energies = np.insert(perfect.eigenvalues, 3, level, axis=2)
    occupations = np.insert(perfect.occupations, 3, filling, axis=2)
    occupations[:, :, 4] = electrons
    occupations[:, :, 2] = 1 - holes
    characters = np.insert(perfect.projections, 3, VACANCY, axis=2)
    return replace(perfect, eigenvalues=energies, occupations=occupations, projections=characters)


def shifted(run: DefectRun, shift: float) -> DefectRun:
    return replace(run, eigenvalues=run.eigenvalues + shift)


def reordered(run: DefectRun, seed: int) -> DefectRun:
    """The same run with bands and k-points in another order."""
    return replace(run, **{name: reordered_table(run, getattr(run, name), seed) for name in BY_BAND}, **_points(run, seed))


BY_BAND = ("eigenvalues", "occupations", "projections")


def _points(run: DefectRun, seed: int) -> dict[str, np.ndarray]:
    points = np.random.default_rng(seed).permutation(len(run.kpoints))
    return {"kpoints": run.kpoints[points], "kpoint_weights": run.kpoint_weights[points]}


def reordered_table(run: DefectRun, table: np.ndarray, seed: int) -> np.ndarray:
    """A table (nspin, nk, nbands, ...) of the run in the order of the reordered one."""
    nspin, nk, nbands = run.eigenvalues.shape
    points = np.random.default_rng(seed).permutation(nk)
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(nbands), (nspin, nk, 1)), axis=-1)
    return np.take_along_axis(table, order.reshape(*order.shape, *[1] * (table.ndim - 3)), axis=2)[:, points]


def numbers(outcome) -> list[float]:
    """All numbers of an outcome."""
    found = []
    for one in outcome.channels:
        for edge in (one.vbm, one.cbm):
            found += [edge.band, edge.energy, edge.occupation, edge.dissimilarity]
        found += [one.vbm_holes, one.cbm_electrons]
        for level in one.levels:
            found += [level.band, level.energy, level.occupation, level.degeneracy, *np.ravel(list(level.characters.values()))]
    return found


def random_runs(seed: int, spins: int, nk: int) -> tuple[DefectRun, DefectRun]:
    """A perfect cell and a defect whose states are like the edges, more or less, in any order.

    Nothing is just at a limit, where pydefect leaves the decision to rounding: energies of the defect end in an odd digit, those
    of the perfect cell's edges in an even one, and projections are multiples of 0.003.
    """
    rng = np.random.default_rng(seed)
    gap = 2 * round(rng.uniform(0.15, 2), 4)
    kpoints = np.round(rng.random((nk, 3)) / 2, 3)
    weights = rng.dirichlet(np.ones(nk))
    valence = -np.sort(-np.round(rng.uniform(-2.5, 0, (1, nk, 3)), 4), axis=-1)[..., ::-1]
    conduction = np.sort(np.round(rng.uniform(gap + 0.1, gap + 2.5, (1, nk, 3)), 4), axis=-1)
    valence[0, rng.integers(nk), -1], conduction[0, rng.integers(nk), 0] = 0.0, gap
    kinds = np.array([VALENCE, CONDUCTION, VACANCY])

    def characters(which):
        return np.round(0.003 * np.round((kinds[which] + rng.uniform(0, 0.05, (*which.shape, 2, 4))) / 0.003), 3)

    perfect = bands_run(
        np.concatenate([valence, conduction], axis=-1),
        [[[1, 1, 1, 0, 0, 0]] * nk],
        characters(np.tile([0, 0, 0, 1, 1, 1], (1, nk, 1))),
        kpoints,
        weights,
    )
    energies = np.sort(2 * np.round(rng.uniform(-1.25, gap / 2 + 1.25, (spins, nk, 9)), 4) + 0.0001, axis=-1)
    occupations = np.where(energies > gap + 1, 0.0, np.where(energies < -1, 1.0, np.round(rng.random(energies.shape), 4)))
    if rng.random() < 0.5:
        occupations = np.where(energies < gap / 2, 1.0, 0.0)
    usual = np.where(energies < 0.2, 0, np.where(energies > gap - 0.2, 1, 2))
    which = np.where(rng.random(usual.shape) < 0.85, usual, rng.integers(0, 3, usual.shape))
    defect = bands_run(energies, occupations, characters(which), kpoints, weights)
    return perfect, defect


def as_vasprun(run: DefectRun) -> SimpleNamespace:
    """What pydefect reads of a vasprun.xml and a PROCAR, of a run with one atom of each element."""
    nspin, nk, nbands = run.eigenvalues.shape
    columns = np.zeros((nspin, nk, nbands, len(run.elements), 16))
    columns[..., [0, 1, 4, 9]] = run.projections
    spins = (Spin.up, Spin.down)[:nspin]
    states = np.stack([run.eigenvalues, run.occupations], axis=-1)
    return SimpleNamespace(
        actual_kpoints=run.kpoints.tolist(),
        actual_kpoints_weights=run.kpoint_weights.tolist(),
        eigenvalues=dict(zip(spins, states, strict=True)),
        projected_eigenvalues=dict(zip(spins, columns, strict=True)),
        final_structure=Structure(Lattice.cubic(4.2), run.elements, np.array(CELL.frac_coords)),
        efermi=0.0,
        parameters={"NELECT": 2 * int((run.occupations[0, 0] > 0.5).sum())},
    )


def pydefect_states(perfect, defect, neighbours=None):
    """pydefect's perfect band edges and band-edge states, or None for the latter where it finds no match."""
    procars = [SimpleNamespace(data=run.projected_eigenvalues) for run in (perfect, defect)]
    outcar = SimpleNamespace(nelect=perfect.parameters["NELECT"], total_mag=0.0)
    edges = pydefect("cli.vasp.make_perfect_band_edge_state", "make_perfect_band_edge_state_from_vasp")(
        procars[0], perfect, outcar
    )
    sites = None if neighbours is None else SimpleNamespace(neighbor_atom_indices=neighbours)
    infos = pydefect("cli.vasp.make_band_edge_orbital_infos", "make_band_edge_orbital_infos")(
        procars[1], defect, edges.vbm_info.energy, edges.cbm_info.energy, sites
    )
    try:
        return edges, pydefect("analyzer.make_band_edge_states", "make_band_edge_states")(infos, edges)
    except ValueError:
        return edges, None


def assert_same(outcome, edges, theirs, *, neighbours=None, rounding=ROUNDING, energies=SPINS) -> None:
    """The outcome is pydefect's."""
    assert outcome.host.vbm.energy == pytest.approx(edges.vbm_info.energy, abs=energies)
    assert outcome.host.cbm.energy == pytest.approx(edges.cbm_info.energy, abs=energies)
    assert (outcome.host.vbm.band, outcome.host.cbm.band) == (edges.vbm_info.band_idx, edges.cbm_info.band_idx)
    if theirs is None:
        assert outcome.kind == "undetermined"
        assert outcome.is_perturbed_host is None
        return
    if outcome.kind == "undetermined":
        assert "not above" in outcome.reason
        assert any(state.cbm_info.band_idx <= state.vbm_info.band_idx for state in theirs.states)
        return
    assert outcome.is_perturbed_host == theirs.is_shallow
    assert (outcome.kind in ("shallow_hole", "perturbed_host")) == theirs.has_acceptor_phs
    assert (outcome.kind in ("shallow_electron", "perturbed_host")) == theirs.has_donor_phs
    assert len(outcome.channels) == len(theirs.states)
    for ours, state in zip(outcome.channels, theirs.states, strict=True):
        assert_same_channel(ours, state, outcome.host, neighbours, rounding)


def assert_same_channel(ours, state, host: HostEdges, neighbours, rounding) -> None:
    vbm = host.vbm.energy
    summed = rounding * 8 * len(host.elements)
    for edge, info, difference in (
        (ours.vbm, state.vbm_info, state.vbm_orbital_diff),
        (ours.cbm, state.cbm_info, state.cbm_orbital_diff),
    ):
        assert edge.band == info.band_idx
        assert edge.energy == pytest.approx(info.energy - vbm, abs=1e-6)
        assert edge.occupation == pytest.approx(info.occupation, abs=1e-9)
        assert edge.dissimilarity == pytest.approx(difference, abs=summed + 1e-6)
        if neighbours is not None:
            assert edge.participation(neighbours) == pytest.approx(info.p_ratio, abs=1e-9)
    assert ours.vbm_holes == pytest.approx(state.vbm_hole_occupation, abs=1e-6)
    assert ours.cbm_electrons == pytest.approx(state.cbm_electron_occupation, abs=1e-6)
    assert [level.band for level in ours.levels] == [orbital.band_idx for orbital in state.localized_orbitals]
    for level, orbital in zip(ours.levels, state.localized_orbitals, strict=True):
        assert level.energy == pytest.approx(orbital.ave_energy - vbm, abs=1e-6)
        assert level.occupation == pytest.approx(orbital.occupation, abs=1e-6)
        for element, shells in orbital.orbitals.items():
            assert level.characters[element][: len(shells)] == pytest.approx(shells, abs=rounding)
        if neighbours is not None:
            assert level.participation(neighbours) == pytest.approx(orbital.participation_ratio, abs=1e-9)


@cache
def recorded_states(folder: Path) -> DefectRun:
    """Run of a recorded case, with projections."""
    run, arrays = document(folder, projections=True)
    by_hash = {run.arrays[name].sha256: array for name, array in arrays.items()}
    return defect_run(run, lambda ref: by_hash[ref.sha256])


@cache
def recorded_vasprun(folder: Path) -> Vasprun:
    return Vasprun(folder / "outputs" / "vasprun.xml.gz", parse_projected_eigen=True, parse_potcar_file=False, parse_dos=False)


class TestAgainstPydefect:
    @pytest.mark.parametrize(("perfect", "defect"), PAIRS)
    def test_recorded_supercells(self, perfect, defect, recorded):
        host, run = (recorded / "vasp_runs" / case for case in (perfect, defect))
        vasprun = recorded_vasprun(run)
        neighbours = [0, 1]
        weights = np.array([vasprun.projected_eigenvalues[spin].sum(axis=-1) for spin in vasprun.eigenvalues])
        ours = replace(recorded_states(run), site_weights=SiteWeights(np.arange(weights.shape[2]), weights))
        outcome = band_edge_outcome(recorded_states(host), ours, RULE)
        edges, theirs = pydefect_states(recorded_vasprun(host), vasprun, neighbours)
        assert_same(outcome, edges, theirs, neighbours=neighbours)
        assert (outcome.kind == "undetermined") == (defect == "MgO_conv_Va_O_0")

    @settings(max_examples=150)
    @given(seed=st.integers(0, 10**6), spins=st.sampled_from([1, 2]), nk=st.integers(1, 3))
    def test_random_states(self, seed, spins, nk):
        perfect, defect = random_runs(seed, spins, nk)
        edges, theirs = pydefect_states(as_vasprun(perfect), as_vasprun(defect))
        assert_same(band_edge_outcome(perfect, defect, RULE), edges, theirs, rounding=1e-9, energies=1e-9)


class TestInvariants:
    @settings(max_examples=60)
    @given(
        seed=st.integers(0, 10**6),
        spins=st.sampled_from([1, 2]),
        nk=st.integers(1, 3),
        shift=st.floats(-20, 20).map(lambda value: round(value, 4)),
    )
    def test_common_shift_of_all_energies(self, seed, spins, nk, shift):
        perfect, defect = random_runs(seed, spins, nk)
        before = band_edge_outcome(perfect, defect, RULE)
        after = band_edge_outcome(shifted(perfect, shift), shifted(defect, shift), RULE)
        assert (after.kind, after.reason) == (before.kind, before.reason)
        assert numbers(after) == pytest.approx(numbers(before), abs=2e-6)

    @settings(max_examples=60)
    @given(seed=st.integers(0, 10**6), spins=st.sampled_from([1, 2]), nk=st.integers(1, 3), order=st.integers(0, 99))
    def test_order_of_bands_and_kpoints(self, seed, spins, nk, order):
        perfect, defect = random_runs(seed, spins, nk)
        before = band_edge_outcome(perfect, defect, RULE)
        after = band_edge_outcome(reordered(perfect, order), reordered(defect, order + 1), RULE)
        assert (after.kind, after.reason) == (before.kind, before.reason)
        assert numbers(after) == pytest.approx(numbers(before), abs=1e-9)

    @given(
        level=st.floats(0.6, GAP - 0.6),
        filling=st.floats(0, 1),
        holes=st.floats(0, 1),
        electrons=st.floats(0, 1),
        spins=st.sampled_from([1, 2]),
    )
    def test_carriers_in_the_bands_decide(self, level, filling, holes, electrons, spins):
        outcome = band_edge_outcome(
            perfect_run(), vacancy_run(level, filling, holes=holes, electrons=electrons, spins=spins), RULE
        )
        over = (round(holes, 6) > 0.2, round(electrons, 6) > 0.2)
        kinds = {
            (False, False): "localised",
            (True, False): "shallow_hole",
            (False, True): "shallow_electron",
            (True, True): "perturbed_host",
        }
        assert outcome.kind == kinds[over]
        assert outcome.is_perturbed_host == any(over)
        assert (outcome.reason is None) == (not any(over))
        assert outcome.vbm_holes == pytest.approx(holes)
        assert outcome.cbm_electrons == pytest.approx(electrons)
        assert [found.energy for found in outcome.levels] == pytest.approx([level] * spins, abs=1e-5)
        assert [found.occupation for found in outcome.levels] == pytest.approx([filling] * spins)

    @given(filling=st.floats(0, 1))
    def test_electrons_above_the_edge_count_too(self, filling):
        run = vacancy_run(2.0, 1.0)
        run.occupations[:, :, 5] = filling
        outcome = band_edge_outcome(perfect_run(), run, RULE)
        assert outcome.cbm_electrons == pytest.approx(filling)

    def test_one_kpoint_counts_by_its_weight(self):
        run = vacancy_run(2.0, 1.0)
        run.occupations[:, 0, 4] = 1.0
        outcome = band_edge_outcome(perfect_run(), run, RULE)
        assert outcome.kind == "shallow_electron"
        assert outcome.cbm_electrons == pytest.approx(WEIGHTS[0])
        assert "0.25 electrons" in outcome.reason


class TestOutcome:
    def test_a_perfect_cell_has_nothing_of_its_own(self):
        outcome = band_edge_outcome(perfect_run(), perfect_run(), RULE)
        assert outcome.kind == "none"
        assert outcome.levels == ()
        assert outcome.channels[0].vbm.dissimilarity == 0

    def test_level_of_a_vacancy(self):
        (level,) = band_edge_outcome(perfect_run(), vacancy_run(2.25, 1.0), RULE).levels
        assert (level.spin, level.band, level.degeneracy) == (0, 3, 1)
        assert level.characters["O"] == pytest.approx(tuple(VACANCY[1]))
        assert level.site_shares is None
        assert level.participation([0]) is None

    @pytest.mark.parametrize(("split", "degeneracies"), [(0.004, [2, 2]), (0.2, [1, 1])])
    def test_degenerate_levels(self, split, degeneracies):
        run = vacancy_run(2.0, 1.0)
        run = replace(
            run,
            eigenvalues=np.insert(run.eigenvalues, 4, 2.0 + split, axis=2),
            occupations=np.insert(run.occupations, 4, 0.0, axis=2),
            projections=np.insert(run.projections, 4, VACANCY, axis=2),
        )
        levels = band_edge_outcome(perfect_run(), run, RULE).levels
        assert [level.degeneracy for level in levels] == degeneracies
        assert [level.energy for level in levels] == pytest.approx([2.0, 2.0 + split])

    def test_an_occupied_level_in_one_spin_channel_only(self):
        run = vacancy_run(2.0, 1.0, spins=2)
        run.occupations[1, :, 3] = 0.0
        outcome = band_edge_outcome(perfect_run(), run, RULE)
        assert outcome.kind == "localised"
        assert [(level.spin, level.occupation) for level in outcome.levels] == [(0, 1.0), (1, 0.0)]

    def test_elements_only_one_of_the_cells_has_count_fully(self):
        cell = CELL.model_copy(update={"species": ("Ca", "O")})
        run = replace(perfect_run(), crystal=cell, initial=cell)
        outcome = band_edge_outcome(perfect_run(), run, RULE)
        assert outcome.kind == "undetermined"
        assert f"{2 * CONDUCTION[0].sum():.2f}" in outcome.reason

    def test_a_lower_limit_of_dissimilarity_finds_no_edges(self):
        run = vacancy_run(2.0, 1.0)
        run.projections[:, 0, 4] += 0.01
        assert band_edge_outcome(perfect_run(), run, RULE).kind == "localised"
        strict = RULE.model_copy(update={"edge_dissimilarity": 0.05})
        outcome = band_edge_outcome(perfect_run(), run, strict)
        assert outcome.kind == "undetermined"
        assert "differs by 0.08, the limit is 0.05" in outcome.reason

    def test_a_valence_band_out_of_the_window(self):
        outcome = band_edge_outcome(perfect_run(), shifted(vacancy_run(2.0, 1.0), 2.1), RULE)
        assert outcome.kind == "undetermined"
        assert "VBM" in outcome.reason

    def test_levels_far_from_the_gap(self):
        outcome = band_edge_outcome(perfect_run(), shifted(perfect_run(), -50), RULE)
        assert outcome.kind == "undetermined"
        assert "near the gap" in outcome.reason

    @pytest.mark.parametrize("name", ["eigenvalues", "occupations", "projections", "kpoints", "kpoint_weights"])
    @pytest.mark.parametrize("which", ["perfect", "defect"])
    def test_what_is_missing_is_said(self, name, which):
        runs = {"perfect": perfect_run(), "defect": vacancy_run(2.0, 1.0)}
        runs[which] = replace(runs[which], **{name: None}, missing={name: "it was not kept"})
        outcome = band_edge_outcome(runs["perfect"], runs["defect"], RULE)
        assert outcome.kind == "undetermined"
        assert "it was not kept" in outcome.reason
        assert which in outcome.reason

    @pytest.mark.parametrize("name", ["eigenvalues", "occupations", "projections", "kpoints", "kpoint_weights"])
    def test_tables_of_other_shapes_or_no_numbers(self, name):
        run = vacancy_run(2.0, 1.0)
        for table in (getattr(run, name)[:, :1] if name != "kpoint_weights" else np.ones(3), getattr(run, name) * np.nan):
            outcome = band_edge_outcome(perfect_run(), replace(run, **{name: table}), RULE)
            assert outcome.kind == "undetermined"
            assert outcome.reason.startswith("defect: ")

    def test_a_metal_has_no_edges(self):
        perfect = perfect_run()
        perfect.occupations[0, 1, 3] = 1.0
        assert isinstance(host_edges(perfect), NoStates)
        overlapping = perfect_run()
        overlapping.eigenvalues[0, 1, 2] = GAP + 0.1
        assert isinstance(host_edges(overlapping), NoStates)
        outcome = band_edge_outcome(perfect, vacancy_run(2.0, 1.0), RULE)
        assert outcome.kind == "undetermined"
        assert "no band gap" in outcome.reason
        assert isinstance(eigenvalue_diagram(outcome, perfect), NoStates)

    def test_edges_in_the_wrong_order(self):
        perfect = perfect_run()
        perfect.eigenvalues[0, :, 3:] -= GAP - 0.3
        run = replace(perfect)
        run = replace(run, projections=run.projections.copy())
        run.projections[0, 0, [2, 3]] = run.projections[0, 0, [3, 2]]
        outcome = band_edge_outcome(perfect, run, RULE)
        assert outcome.kind == "undetermined"
        assert "not above" in outcome.reason


class TestKpoints:
    @given(st.lists(st.tuples(*[st.integers(-6, 6)] * 3), min_size=1, max_size=4), st.integers(0, 3), st.booleans())
    def test_equivalent_kpoints_are_one(self, points, index, opposite):
        kpoints = np.array(points) / 12
        wanted = kpoints[index % len(kpoints)]
        found = kpoint_index(kpoints, (-wanted if opposite else wanted) + np.array([1, -2, 0]))
        steps = [(kpoints[found] - sign * wanted) for sign in (1, -1)]
        assert min(np.abs(step - np.round(step)).sum() for step in steps) < 1e-9

    def test_another_kpoint(self):
        assert kpoint_index(np.array([[0.25, 0.25, 0.25]]), np.zeros(3)) is None

    def test_the_point_itself_is_preferred_to_its_opposite(self):
        assert kpoint_index(np.array([[-0.25, 0, 0], [0.25, 0, 0]]), np.array([0.25, 0, 0])) == 1


class TestSiteShares:
    def test_shares_are_averaged_and_follow_the_order_of_the_file(self):
        run = vacancy_run(2.0, 1.0)
        weights = np.zeros((1, 2, 6, 2))
        weights[0, :, 3] = [[0.3, 0.1], [0.1, 0.1]]
        known = replace(run, site_weights=SiteWeights(np.arange(6), weights))
        (plain,) = band_edge_outcome(perfect_run(), known, RULE).levels
        assert plain.participation([0]) == pytest.approx(0.25 * 0.75 + 0.75 * 0.5)
        assert plain.site_shares.sum() == pytest.approx(1)
        mixed = replace(reordered(run, 3), site_weights=SiteWeights(np.arange(6), reordered_table(run, weights, 3)))
        (again,) = band_edge_outcome(perfect_run(), mixed, RULE).levels
        np.testing.assert_allclose(again.site_shares, plain.site_shares)

    def test_bands_that_are_not_known(self):
        run = vacancy_run(2.0, 1.0)
        known = replace(run, site_weights=SiteWeights(np.array([0, 1, 4]), np.ones((1, 2, 3, 2))))
        (channel,) = band_edge_outcome(perfect_run(), known, RULE).channels
        assert channel.levels[0].site_shares is None
        assert channel.vbm.participation([0]) is None
        assert channel.cbm.participation([0]) == pytest.approx(0.5)
        assert channel.cbm.participation([]) is None


class TestDiagram:
    def test_levels_from_the_vbm(self):
        perfect, defect = shifted(perfect_run(), 3.3), shifted(vacancy_run(2.0, 1.0, spins=2), 3.3)
        outcome = band_edge_outcome(perfect, defect, RULE)
        diagram = eigenvalue_diagram(outcome, defect)
        assert diagram.energies.shape == diagram.occupations.shape == (2, 2, 4)
        assert diagram.first_band == 1
        np.testing.assert_array_equal(diagram.localised, [[False, False, True, False]] * 2)
        np.testing.assert_allclose(diagram.edges, [[0, GAP]] * 2, atol=1e-6)
        np.testing.assert_allclose(diagram.energies[diagram.localised.nonzero()[0], :, 2], 2.0, atol=1e-6)
        np.testing.assert_allclose(diagram.weights, WEIGHTS)
        assert diagram.gap == pytest.approx(GAP)

    def test_a_defect_without_edges_is_drawn_too(self):
        defect = replace(vacancy_run(2.0, 1.0), projections=None)
        diagram = eigenvalue_diagram(band_edge_outcome(perfect_run(), defect, RULE), defect)
        assert np.isnan(diagram.edges).all()
        assert not diagram.localised.any()
        assert diagram.energies.shape == (1, 2, 4)

    def test_without_eigenvalues(self):
        defect = replace(vacancy_run(2.0, 1.0), eigenvalues=None)
        assert isinstance(eigenvalue_diagram(band_edge_outcome(perfect_run(), defect, RULE), defect), NoStates)
