"""Results of vacancies, put into a real store by hand: numbers that follow simple laws, so that tests know them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bulk_results import BulkCampaign, site
from flow_documents import task
from hibana.defects.charge_states import ChargeState, site_energies, site_levels
from hibana.defects.chemical_potentials import PhaseEnergy, chemical_potentials
from hibana.defects.formation import FormationEnergy, NoEnergy
from hibana.documents.arrays import pack
from hibana.documents.chemical_potentials import ChemicalPotentialDoc, ChemicalPotentials, OxygenReferences
from hibana.documents.vacancy import SupercellDoc, VacancyDoc, VacancySite, VacancySummaryDoc
from hibana.flows.branches import BRANCHES, Branch
from hibana.store.owner import Owner
from hibana.tables.registry import TABLES
from results import ROCK_SALT, SERIES, material_id

GAP = 6.0
NEUTRAL = 7.5
"""Formation energy of the neutral vacancy at standard states, eV."""

LEVEL_10, LEVEL_21 = 3.0, 2.0
"""Levels (1+/0) and (2+/1+) above the VBM, eV."""

ENERGIES = {0: NEUTRAL, 1: NEUTRAL - LEVEL_10, 2: NEUTRAL - LEVEL_10 - LEVEL_21}
MOLECULE, ATOM = -4.9, -4.2
VBM_FROM_CORE = -1.5

OXYGEN = OxygenReferences(
    used="molecule",
    molecule=MOLECULE,
    atom=ATOM,
    atom_energy=-1.6,
    measured_binding=2.6,
    measured_binding_source="measured",
    calculated_binding=3.3,
)


def binary() -> ChemicalPotentials:
    """MgO with 3 eV/atom of formation energy: Δμ of oxygen from 0 to -6 eV."""
    return potentials("MgO", {"Mg": -1.6, "O2": MOLECULE, "MgO": (-1.6 + MOLECULE) / 2 - 3.0})


def ternary() -> ChemicalPotentials:
    """MgTiO3 between MgO and TiO2."""
    zero = {"Mg": -1.6, "Ti": -7.8, "O": MOLECULE}

    def energy(formation: float, **amounts: int) -> float:
        return formation + sum(zero[name] * number for name, number in amounts.items()) / sum(amounts.values())

    return potentials(
        "MgTiO3",
        {
            "Mg": zero["Mg"],
            "Ti": zero["Ti"],
            "O2": zero["O"],
            "MgO": energy(-3.0, Mg=1, O=1),
            "TiO2": energy(-3.2, Ti=1, O=2),
            "MgTiO3": energy(-3.2, Mg=1, Ti=1, O=3),
        },
    )


def potentials(target: str, energies: dict[str, float]) -> ChemicalPotentials:
    phases = [PhaseEnergy(formula, energy, "total", "test") for formula, energy in energies.items()]
    return chemical_potentials(phases, target, OXYGEN)


def states(site_name: str, energies: dict[int, float], failed: dict[int, NoEnergy] | None = None) -> list[ChargeState]:
    """Charge states of a site with given energies at the VBM and standard states."""
    found = [
        ChargeState(f"Va_{site_name}_{charge}", site_name, charge, FormationEnergy(charge, energy, 0.0, {}, {}, 0.0, 0.0, 0.0))
        for charge, energy in energies.items()
    ]
    for charge, why in (failed or {}).items():
        found.append(ChargeState(f"Va_{site_name}_{charge}", site_name, charge, why))
    return found


def sheet(charge: int) -> dict[str, NDArray]:
    """A sheet of potentials: ten atoms on a line, the outer four with residuals of 0.1 ± 0.02 V times the charge."""
    distances = np.arange(1.0, 11.0)
    point_charge = -charge / distances
    residuals = np.where(distances > 6, 0.1 + 0.02 * (-1.0) ** np.arange(10), 0.5)
    return {
        "sheet_sites": np.arange(10),
        "sheet_partners": np.arange(1, 11),
        "sheet_distances": distances,
        "sheet_differences": point_charge + charge * residuals,
        "sheet_point_charge": point_charge,
        "sheet_outside": distances > 6,
    }


class VacancyCampaign(BulkCampaign):
    """Fills a store with hosts and their vacancies."""

    def host(self, formula: str = "MgO", *oxygens: str) -> None:
        """A host with all its bulk properties and its supercell."""
        labels = oxygens or ("O1",)
        self.submit(formula, "bulk:vacancy")
        self.relaxation(formula)
        self.electronic(formula, vbm_s=0.1, vbm_p=0.9, vbm_d=0.0, vbm_f=0.0, cbm_s=0.7, cbm_p=0.2, cbm_d=0.1, cbm_f=0.0)
        self.dielectric(formula)
        values = {"bader_charge": -1.46, "bader_volume": 12.6, "o2p_center_from_vbm": 1.8}
        values |= {"nn_ave_electronegativity": 1.77, "nn_max_bader_charge": 1.04, "nn_min_born_charge": -2.02}
        described = (
            site(index, "O", label=label, born_charge=-1.86 - 0.1 * index, **values) for index, label in enumerate(labels, 1)
        )
        self.sites(formula, site(0, "Zn"), *described)
        self.supercell(formula, *labels)
        self.chemical_potentials(formula)

    def supercell(self, formula: str, *oxygens: str, **fields: Any) -> None:
        """Store the SupercellDoc of a host with these sites."""
        sites = tuple(
            VacancySite(name=name, element="O", wyckoff="b", site_symmetry="m-3m", index=1, multiplicity=32) for name in oxygens
        )
        values = {"n_atoms": 64, "anisotropy": 0.0, "sites": sites, "crystal": ROCK_SALT, "addresses": {"supercell": "5" * 64}}
        self.put(SupercellDoc, formula, **values | fields)

    def vacancy(self, formula: str, name: str = "O1", charge: int = 0, **fields: Any) -> VacancyDoc:
        """Store a VacancyDoc with its sheet."""
        part = f"Va_{name}_{charge}"
        energy = ENERGIES[charge]
        values = {
            "part": part,
            "name": f"Va_{name}",
            "site": name,
            "charge": charge,
            "crystal": ROCK_SALT,
            "oxygen_reference": "molecule",
            "edges": "ddh_nsc",
            "vbm": 3.0,
            "formation_energy": energy,
            "formation_energy_other_oxygen": energy + ATOM - MOLECULE,
            "vbm_from_o_core": VBM_FROM_CORE,
            "formation_energy_core_reference": energy - charge * VBM_FROM_CORE,
            "point_charge_correction": 0.2 * charge**2,
            "alignment_correction": -0.1 * charge,
            "correction": 0.2 * charge**2 - 0.1 * charge,
            "edge_state": "localised",
            "structure_class": "simple",
            "sphere_radius": 6.0,
            "sheet_elements": ("Mg", "O") * 5,
            "addresses": {f"vacancy-{part}": "7" * 64, "supercell": "5" * 64, "oxygen_molecule": "6" * 64},
        }
        arrays = fields.pop("arrays", None)
        document = self.put(VacancyDoc, formula, sheet(charge) if arrays is None else arrays, **values | fields)
        assert isinstance(document, VacancyDoc)
        return document

    def summary(self, formula: str = "MgO", *charge_states: ChargeState, **fields: Any) -> VacancySummaryDoc:
        """Store the VacancySummaryDoc of charge states, made as hibana makes it."""
        potentials = fields.pop("chemical_potentials", binary())
        levels = [site_levels(name, charge_states, GAP) for name in sorted({state.site for state in charge_states})]
        values = {
            "edges": "ddh_nsc",
            "vbm": 3.0,
            "cbm": 3.0 + GAP,
            "band_gap": GAP,
            "supercell_vbm": 0.6,
            "supercell_cbm": 5.0,
            "oxygen_reference": "molecule",
            "chemical_potentials": potentials,
            "sites": tuple(levels),
            "energies": tuple(item for one in levels for item in site_energies(one, potentials, GAP)),
        }
        document = self.put(VacancySummaryDoc, formula, **values | fields)
        assert isinstance(document, VacancySummaryDoc)
        return document

    def chemical_potentials(self, formula: str, **fields: Any) -> ChemicalPotentialDoc:
        """Store the ChemicalPotentialDoc of MgO."""
        values = {
            "chemical_potentials": binary(),
            "energy_above_hull": 0.0,
            "chemical_potential_o_rich": 0.0,
            "chemical_potential_o_poor": -6.0,
            "addresses": {"competing-MgO": "3" * 64, "competing-Mg": "4" * 64, "oxygen_molecule": "6" * 64},
        }
        document = self.put(ChemicalPotentialDoc, formula, **values | fields)
        assert isinstance(document, ChemicalPotentialDoc)
        return document

    def run(self, formula: str, address: str, energies: NDArray, occupations: NDArray, **fields: Any) -> None:
        """Store a run with eigenvalues (nspin, nk, nbands) whose states are p of oxygen below 1 eV and s of Mg above."""
        nspin, nk, nbands = energies.shape
        projections = np.zeros((nspin, nk, nbands, 2, 4))
        projections[..., 1, 1] = np.where(energies < 1.0, 0.8, 0.0)
        projections[..., 0, 0] = np.where(energies < 1.0, 0.0, 0.8)
        arrays = {
            "eigenvalues": energies,
            "occupations": occupations,
            "kpoints": np.linspace([0, 0, 0], [0.5, 0, 0], nk),
            "kpoint_weights": np.full(nk, 1 / nk),
            "projections": projections,
        }
        packed = {name: pack(array) for name, array in arrays.items()}
        values = {"formula": formula, "address": address, "material_id": material_id(formula)}
        values |= {name: SERIES[name] for name in ("protocol", "protocol_version")}
        run = task("defect", **values | {"arrays": {name: item.ref for name, item in packed.items()}} | fields)
        assert self.store.complete(run, packed, self.store.claim(address, owner=Owner.here()))


@pytest.fixture
def vacancies(store, monkeypatch) -> VacancyCampaign:
    """An empty campaign of vacancies on a real server."""
    (branch,) = TABLES["oxygen_vacancy"].branches
    if branch not in BRANCHES:
        monkeypatch.setitem(BRANCHES, branch, Branch("vacancy"))
    return VacancyCampaign(store)
