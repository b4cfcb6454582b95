"""Which bands an SCF waits for."""

from __future__ import annotations

import pytest

from hibana.rehearsal.result import Species
from hibana.rehearsal.scf import converged_bands, solved_bands
from hibana.rehearsal.settings import Settings, resolve

RELAXATION = {"IBRION": 2, "NSW": 50, "ISIF": 2}


def settings(magnesium: int, oxygen: int, **tags) -> Settings:
    species = tuple(
        Species(symbol, count, f"PAW_GPAW {symbol}", f"PAW_GPAW {symbol}", zval, 450.0, 20.0)
        for symbol, count, zval in (("Mg", magnesium, 2.0), ("O", oxygen, 6.0))
    )
    return resolve(tags, species)


def test_a_static_run_waits_for_all_that_it_reports():
    found = settings(32, 31, NSW=0)
    assert converged_bands(found) == found.nbands == 156 + 1


def test_a_relaxation_of_a_large_cell_waits_for_the_filled_bands_and_some_empty_ones():
    """250 electrons less 2 for the charge; the others are iterated and reported all the same."""
    for nelect, filled in ((250.0, 125), (248.0, 124)):
        found = settings(32, 31, NELECT=nelect - 2, **RELAXATION)
        assert filled - 1 + 15 == converged_bands(found) < found.nbands < solved_bands(found)


def test_small_cells_leave_nothing_out_and_moments_are_counted():
    assert converged_bands(small := settings(1, 1, **RELAXATION)) == small.nbands
    spins = settings(32, 31, ISPIN=2, MAGMOM=[1.0] * 63, **RELAXATION)
    assert (250 + 63) / 2 < converged_bands(spins) < spins.nbands


@pytest.mark.parametrize("moment", [0.0, 2.0, 6.0])
def test_every_filled_band_is_waited_for(moment):
    found = settings(32, 31, ISPIN=2, MAGMOM=[0.0] * 63, NUPDOWN=moment, **RELAXATION)
    assert converged_bands(found) > (found.nelect + moment) / 2
