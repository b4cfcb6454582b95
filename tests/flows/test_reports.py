"""What a run's own files say and what custodian knows of it."""

from __future__ import annotations

import pytest

from hibana.documents.task import Failure
from hibana.flows.attempt import as_reported
from hibana.vasp.reader import read_run
from hibana.vasp.run import RunReport


@pytest.fixture(scope="module")
def converged(recorded):
    return read_run(recorded / "vasp_runs" / "MgO_band_pbesol" / "outputs")[0]


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (RunReport((), "finished", None, 1.0), "converged"),
        (RunReport((), "walltime", None, 1.0), "converged"),
        (RunReport((), "walltime", None, 1.0, complete=False), "walltime"),
        (RunReport((), "failed", Failure(kind="zpotrf", message="LAPACK failed"), 1.0), "failed"),
    ],
)
def test_an_earlier_stage_is_no_answer(converged, report, status):
    """The files of a PBEsol stage that converged are no HSE06 result when the walltime ended before that stage."""
    assert converged.status == "converged"
    assert as_reported(converged, report).status == status
