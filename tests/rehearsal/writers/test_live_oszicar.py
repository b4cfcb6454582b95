"""OSZICAR while the run goes on."""

from __future__ import annotations

import io

import pytest
from pymatgen.io.vasp.outputs import Oszicar
from synthetic_result import make_result

from hibana.rehearsal.writers import LiveOszicar, write_outputs


def play(result, path, stream):
    with LiveOszicar(path, stream) as live:
        for number, step in enumerate(result.steps, start=1):
            for n, scf in enumerate(step.scf, start=1):
                live.scf_step(n, scf)
                yield "scf"
            live.ionic_step(number, step)
            yield "ionic"


@pytest.mark.parametrize("nspin", [1, 2])
def test_every_step_is_there_at_once(tmp_path, nspin):
    result, path, stream = (
        make_result(steps=3, nspin=nspin, magnetization=0.25 * (nspin - 1)),
        tmp_path / "OSZICAR",
        io.StringIO(),
    )
    seen = []
    for event in play(result, path, stream):
        seen.append(event)
        oszicar = Oszicar(path)
        assert sum(len(steps) for steps in oszicar.electronic_steps) == seen.count("scf")
        assert len(oszicar.ionic_steps) == seen.count("ionic")
        assert stream.getvalue() == path.read_text()
    assert seen.count("ionic") == 3


def test_live_file_is_that_of_the_finished_run(tmp_path):
    result, path = make_result(steps=3, nspin=2, magnetization=1.0), tmp_path / "OSZICAR"
    list(play(result, path, io.StringIO()))
    live = path.read_text()
    path.unlink()
    write_outputs(result, tmp_path)
    assert path.read_text() == live


def test_live_file_stays_and_a_stale_one_does_not(tmp_path):
    result, path = make_result(steps=3), tmp_path / "OSZICAR"
    list(play(result, path, io.StringIO()))
    with path.open("a") as file:
        file.write("\n")
    kept = path.read_text()
    write_outputs(result, tmp_path)
    assert path.read_text() == kept
    list(play(make_result(seed=1, steps=2), path, io.StringIO()))
    write_outputs(result, tmp_path)
    assert path.read_text() + "\n" == kept


def test_old_file_is_replaced_at_the_start(tmp_path):
    path = tmp_path / "OSZICAR"
    path.write_text("old")
    LiveOszicar(path, io.StringIO()).close()
    assert path.read_text() == ""
