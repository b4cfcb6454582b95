from __future__ import annotations

import pytest

from hibana.core.errors import HibanaError
from hibana.tables.series import Series, choose_series

VASP = Series("pbesol", 1, "vasp")
VASP_NEW = Series("pbesol", 2, "vasp")
REHEARSAL = Series("pbesol-demo", 1, "gpaw-rehearsal")


def test_the_only_series_needs_no_choice() -> None:
    assert choose_series([VASP]) == VASP


def test_a_choice_must_leave_one_series() -> None:
    there = [VASP, VASP_NEW, REHEARSAL]
    assert choose_series(there, calculator="gpaw-rehearsal") == REHEARSAL
    assert choose_series(there, protocol="pbesol", protocol_version=2) == VASP_NEW
    with pytest.raises(HibanaError, match="HIB-131") as caught:
        choose_series(there, calculator="vasp")
    assert str(VASP) in str(caught.value)
    assert str(VASP_NEW) in str(caught.value)
    assert str(REHEARSAL) not in str(caught.value)
    assert caught.value.fix == "Choose with --protocol-version 1|2"


def test_two_calculators_are_never_mixed() -> None:
    with pytest.raises(HibanaError, match="HIB-131") as caught:
        choose_series([VASP, REHEARSAL])
    assert "--calculator gpaw-rehearsal|vasp" in caught.value.fix


def test_a_series_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(HibanaError, match=r"HIB-132.*asked for calculator wasp; there is: vasp, protocol pbesol version 1"):
        choose_series([VASP], calculator="wasp")


def test_an_empty_store_is_an_error_because_it_is_usually_the_wrong_one() -> None:
    with pytest.raises(HibanaError, match="HIB-133"):
        choose_series([], calculator="vasp")
