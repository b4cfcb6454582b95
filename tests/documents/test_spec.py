"""The content address of a Spec: the same question has one address, another question another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hibana.documents.crystal import Crystal
from hibana.documents.spec import Prior, Spec

CRYSTAL = Crystal(
    lattice=((0.0, 2.1, 2.1), (2.1, 0.0, 2.1), (2.1, 2.1, 0.0)),
    species=("Mg", "O"),
    frac_coords=((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
)


def spec(**changes) -> Spec:
    fields = {
        "material_id": "hib-1",
        "structure_key": "a" * 64,
        "crystal": CRYSTAL,
        "task": "structure_opt",
        "functional": "pbesol",
        "protocol": "pbesol",
        "protocol_version": 1,
        "calculator": "vasp",
        "potcars": ("PAW_PBE Mg 13Apr2007", "PAW_PBE O 08Apr2002"),
    }
    return Spec(**{**fields, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"structure_key": "b" * 64},
        {"task": "band"},
        {"functional": "hse06_nsc"},
        {"protocol": "pbesol-demo"},
        {"protocol_version": 2},
        {"calculator": "gpaw-rehearsal"},
        {"potcars": ("PAW_PBE Mg_pv 13Apr2007", "PAW_PBE O 08Apr2002")},
        {"parents": ("c" * 64,)},
        {"round": 2},
        {"variant": "displacement-1"},
        {"prior": Prior(band_gap=4.5)},
        {"crystal": CRYSTAL.model_copy(update={"magmoms": (1.0, 0.0)})},
    ],
)
def test_another_question_has_another_address(change):
    assert spec(**change).address != spec().address


def test_addresses_of_earlier_releases_are_kept():
    """Address of this Spec by version 0.1.0: an answer once stored is found by every later version."""
    assert spec().address == "434b6ba377f83a73cb03fbec64c4a01df1266fd4126337c8d19f913511605e2a"


def test_all_moments_reversed_are_the_same_question():
    up, down = (spec(crystal=CRYSTAL.model_copy(update={"magmoms": (sign * 3.0, sign * -1.0)})) for sign in (1, -1))
    assert up.address == down.address


def test_unknown_gap_is_not_a_metal():
    assert spec(prior=Prior(band_gap=0.0)).address != spec(prior=Prior(band_gap=None)).address


def test_order_of_parents_and_potentials_does_not_matter():
    one = spec(parents=("a", "b"))
    other = spec(parents=("b", "a"), potcars=tuple(reversed(spec().potcars)))
    assert one.address == other.address


@given(st.floats(-20, 20), st.floats(0, 12))
def test_what_the_parents_printed_does_not_change_the_address(vbm, gap):
    """A repeated parent whose digits differ leads to the same child."""
    child = spec(parents=("a" * 64,), prior=Prior(band_gap=gap, vbm=vbm, cbm=vbm + gap))
    assert child.address == spec(parents=("a" * 64,)).address


@given(st.floats(-1e-5, 1e-5))
def test_noise_on_a_prior_given_by_hand_does_not_change_the_address(noise):
    assert spec(prior=Prior(band_gap=4.5 + noise)).address == spec(prior=Prior(band_gap=4.5)).address
