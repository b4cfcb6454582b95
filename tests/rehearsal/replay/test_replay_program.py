"""hibana-vasp in the modes replay and chaos, as it is started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from questions import CRYSTALS, RELAX, STATIC, ask

from hibana.launch.submit import CALCULATORS
from hibana.rehearsal.errors import RehearsalError
from hibana.rehearsal.replay.faults import KINDS, Fault, Rates, count_attempt, messages, read_rates
from hibana.rehearsal.replay.question import read_question
from hibana.vasp.calculator import identify
from hibana.vasp.reader import read_run

MGO = CRYSTALS["rock salt"].get_primitive_structure()
OUTPUTS = ("vasprun.xml", "OUTCAR", "CONTCAR", "OSZICAR", "EIGENVAL", "DOSCAR", "PROCAR")


def start(folder: Path, *words: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hibana.rehearsal", *map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(folder: Path, *words: str | Path, **environment: str) -> tuple[int, str, str]:
    process = start(folder, *words, **environment)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def chaos(tmp_path: Path, fault: str, seconds: float = 0.0, **more) -> list[str | Path]:
    """Options under which a fault befalls every first attempt."""
    table = tmp_path / "rates.yaml"
    lines = [f"{key}: {value}" for key, value in {"attempts": 1, **more}.items()]
    table.write_text("\n".join([*lines, f"rates: {{{fault}: 1}}", f"seconds: {{{fault}: {seconds}}}"]))
    return ["--mode", "chaos", "--chaos", table, "--attempts", tmp_path / "attempts"]


def energy(folder: Path) -> float:
    found, _ = read_run(folder)
    assert found.status == "converged"
    return found.energy


def test_the_answer_says_that_it_is_synthetic_everywhere(tmp_path):
    ask(tmp_path, MGO, RELAX)
    status, output, _ = run(tmp_path, "--mode", "replay")
    assert status == 0
    assert "NOT VASP" in output
    assert "SYNTHETIC" in output
    assert "NOT VASP" in (tmp_path / "OUTCAR").read_text()[:200]
    assert "synthetic" in (tmp_path / "vasprun.xml").read_text()[:500]
    found, _ = read_run(tmp_path)
    assert found.calculator.name == "synthetic"
    assert found.calculator.name in CALCULATORS
    assert found.calculator.provenance["is_vasp"] is False


def test_synthetic_outputs_on_other_potentials_are_synthetic_and_vasp_s_outputs_on_synthetic_ones_are_refused(tmp_path):
    generator = {"program": "hibana-vasp", "subversion": "hibana-vasp (NOT VASP), numbers by synthetic hibana 0"}
    (tmp_path / "HIBANA-VASP.json").write_text('{"engine": "synthetic"}')
    assert identify(tmp_path, ("PAW_PBE Mg 13Apr2007",), generator).name == "synthetic"
    assert identify(tmp_path, ("PAW_GPAW Mg x",), generator).name == "synthetic"
    vasp = {"program": "vasp", "version": "6.4.2", "subversion": "(build)"}
    with pytest.raises(Exception, match="HIB-052"):
        identify(tmp_path, ("PAW_PBE Mg 13Apr2007",), vasp)
    (tmp_path / "HIBANA-VASP.json").unlink()
    with pytest.raises(Exception, match="HIB-052"):
        identify(tmp_path, ("PAW_SYNTHETIC Mg model1",), vasp)


def test_it_starts_at_once(tmp_path):
    ask(tmp_path, MGO, STATIC)
    modules = "import sys; from hibana.rehearsal.main import main; main(['--mode', 'replay']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", modules], cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"gpaw", "ase", "scipy", "pymatgen", "ruamel.yaml", "urllib.request", "custodian", "pymongo"}
    before = os.times()
    assert run(tmp_path, "--mode", "replay")[0] == 0
    after = os.times()
    assert (after.children_user + after.children_system) - (before.children_user + before.children_system) < 1.0


def test_a_recorded_answer_is_given_again_and_labelled(tmp_path):
    ask(tmp_path / "run", MGO, RELAX)
    assert run(tmp_path / "run", "--mode", "replay")[0] == 0
    expected = energy(tmp_path / "run")
    path = tmp_path / "run" / "vasprun.xml"
    path.write_text(path.read_text().replace("hibana-vasp (NOT VASP), numbers by synthetic", "somebody's VASP"))
    assert run(tmp_path / "run", "--record", tmp_path / "recordings")[0] == 0
    ask(tmp_path / "again", MGO, {**RELAX, "ALGO": "Fast"})
    assert run(tmp_path / "again", "--mode", "replay", "--recordings", tmp_path / "recordings", "--only-recorded")[0] == 0
    found, _ = read_run(tmp_path / "again")
    assert found.calculator.name == "synthetic"
    assert found.energy == expected
    assert "of: somebody's VASP" in (tmp_path / "again" / "vasprun.xml").read_text()[:600]
    ask(tmp_path / "other", MGO, {**RELAX, "ENCUT": 700})
    status, _, errors = run(tmp_path / "other", "--mode", "replay", "--recordings", tmp_path / "recordings", "--only-recorded")
    assert status == 2
    assert "HIB-199" in errors


@pytest.mark.parametrize("kind", ["error", "truncate", "signal", "disk", "oscillate"])
def test_a_fault_befalls_the_first_attempt_and_the_second_is_undisturbed(tmp_path, kind):
    ask(tmp_path / "quiet", MGO, RELAX)
    assert run(tmp_path / "quiet", "--mode", "replay")[0] == 0
    ask(tmp_path / "run", MGO, RELAX)
    options = chaos(tmp_path, kind)
    status, output, errors = run(tmp_path / "run", *options)
    spoilt, _ = read_run(tmp_path / "run")
    assert spoilt.status != "converged"
    expected = {"error": 1, "truncate": 0, "disk": 38, "oscillate": 0}
    assert status == expected[kind] if kind in expected else status < 0
    if kind == "error":
        assert any(text in output or text in errors for _, text in messages().values())
    if kind == "disk":
        assert "No space left on device" in errors
    assert run(tmp_path / "run", *options)[0] == 0
    assert energy(tmp_path / "run") == energy(tmp_path / "quiet")
    for name in OUTPUTS[2:]:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "quiet" / name).read_bytes(), name
    assert (tmp_path / "attempts" / "faults.tsv").read_text().split("\t")[2] == kind


def test_a_deaf_run_ignores_sigterm_and_a_hanging_one_does_not(tmp_path):
    for kind, survives in (("hang", False), ("deaf", True)):
        ask(tmp_path / kind, MGO, STATIC)
        (tmp_path / kind / "x").mkdir()
        process = start(tmp_path / kind, *chaos(tmp_path / kind / "x", kind, seconds=300))
        for _ in range(600):
            if (tmp_path / kind / "OUTCAR").exists():
                break
            time.sleep(0.05)
        process.terminate()
        try:
            process.wait(timeout=1 if survives else 60)
        except subprocess.TimeoutExpired:
            assert survives
        else:
            assert not survives
        process.kill()
        process.communicate()


def test_a_slow_run_stops_at_stopcar_and_the_next_part_ends_where_an_undisturbed_one_does(tmp_path):
    ask(tmp_path / "quiet", MGO, RELAX)
    assert run(tmp_path / "quiet", "--mode", "replay")[0] == 0
    ask(tmp_path / "run", MGO, RELAX)
    process = start(tmp_path / "run", *chaos(tmp_path, "slow", seconds=20))
    time.sleep(1.0)
    (tmp_path / "run" / "STOPCAR").write_text("LSTOP = .TRUE.\n")
    process.communicate(timeout=120)
    assert process.returncode == 0
    stopped, _ = read_run(tmp_path / "run")
    assert stopped.status != "converged"
    assert not (tmp_path / "run" / "STOPCAR").exists()
    assert "soft stop encountered" in (tmp_path / "run" / "OUTCAR").read_text()
    (tmp_path / "run" / "POSCAR").write_text((tmp_path / "run" / "CONTCAR").read_text())
    assert run(tmp_path / "run", "--mode", "replay")[0] == 0
    assert energy(tmp_path / "run") == pytest.approx(energy(tmp_path / "quiet"), abs=1e-8)


def test_every_error_that_custodian_knows_is_printed_so_that_it_knows_it(tmp_path):
    from custodian.vasp.handlers import LrfCommutatorHandler, StdErrHandler, VaspErrorHandler

    known = messages()
    assert set(known) >= {*VaspErrorHandler.error_msgs, *StdErrHandler.error_msgs, *LrfCommutatorHandler.error_msgs} - {
        "auto_nbands"
    }
    ask(tmp_path, MGO, {**STATIC, "ISMEAR": -5})
    for key, (_, text) in known.items():
        (tmp_path / "vasp.out").write_text(f" {text}\n")
        (tmp_path / "std_err.txt").write_text(f" {text}\n")
        fired = set()
        for handler in (
            VaspErrorHandler(output_filename="vasp.out"),
            StdErrHandler(output_filename="std_err.txt"),
            LrfCommutatorHandler(output_filename="std_err.txt"),
        ):
            if handler.check(str(tmp_path)):
                fired |= {str(error) for error in handler.errors}
        assert key in fired or key == "mesh_symmetry", key


def test_the_errors_of_recorded_runs_have_the_words_that_are_printed(recorded):
    """What a real VASP printed holds the words by which the error is known, and so does what is printed here."""
    from custodian.vasp.handlers import VaspErrorHandler

    compared = 0
    for key, (_, text) in messages().items():
        log = recorded / "vasp_errors" / key / "vasp.out"
        if log.is_file() and key in VaspErrorHandler.error_msgs:
            real = log.read_text(errors="replace")
            words = VaspErrorHandler.error_msgs[key]
            assert any(word in real for word in words), key
            assert any(word in text for word in words), key
            compared += 1
    assert compared > 8


def test_faults_are_drawn_from_the_question_and_the_attempt_alone():
    rates = Rates(seed=3, rates={"error": 0.2, "signal": 0.1, "slow": 0.1}, attempts=2, permanent=0.05)
    digests = [f"{n:064x}" for n in range(4000)]
    first = [rates.fault(digest, 0) for digest in digests]
    assert first == [rates.fault(digest, 0) for digest in digests]
    counts = Counter(fault.kind for fault in first if fault is not None)
    assert counts["error"] == pytest.approx(800, abs=100)
    assert counts["signal"] == pytest.approx(400, abs=80)
    later = [rates.fault(digest, 7) for digest in digests]
    assert sum(fault is not None for fault in later) == pytest.approx(0.05 * 0.4 * 4000, abs=40)
    assert all(fault in (None, origin) for fault, origin in zip(later, first, strict=True))
    assert first != [Rates(seed=4, rates=rates.rates).fault(digest, 0) for digest in digests]
    assert isinstance(first[[fault is not None for fault in first].index(True)], Fault)


def test_attempts_are_counted_by_question(tmp_path):
    assert [count_attempt(tmp_path, "aa"), count_attempt(tmp_path, "aa"), count_attempt(tmp_path, "ab")] == [0, 1, 0]


@pytest.mark.parametrize(
    "text", ["rates: {explode: 1}", "rates: {hang: 0.7, error: 0.7}", "rates: 3", "errors: [no_such]", "rate: {}", "[", "- 1"]
)
def test_a_table_of_faults_that_means_nothing_is_refused(tmp_path, text):
    path = tmp_path / "rates.yaml"
    path.write_text(text)
    with pytest.raises(RehearsalError) as caught:
        read_rates(path)
    assert caught.value.number == 200


def test_the_table_of_the_package_has_every_fault():
    assert set(read_rates(None).rates) == set(KINDS)


def test_inputs_that_are_wrong_are_numbered_errors(tmp_path):
    ask(tmp_path, MGO, STATIC)
    (tmp_path / "POTCAR").write_text((tmp_path / "POTCAR").read_text().replace("VRHFIN =O", "VRHFIN =S"))
    status, _, errors = run(tmp_path, "--mode", "replay")
    assert (status, errors[:7]) == (2, "HIB-186")
    (tmp_path / "POTCAR").unlink()
    with pytest.raises(RehearsalError) as caught:
        read_question(tmp_path)
    assert caught.value.number == 180
    assert run(tmp_path, "--mode", "gaap")[0] == 2
