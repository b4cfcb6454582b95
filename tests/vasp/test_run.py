"""Running under custodian: real processes, a scripted executable, recorded outputs and error logs."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from pymatgen.io.vasp import Incar, Kpoints, Poscar

from hibana.core.errors import HibanaError
from hibana.protocol.inputs import Stage, VaspInputs
from hibana.vasp import guard
from hibana.vasp.handlers import RunWalltimeHandler
from hibana.vasp.policy import load_policy
from hibana.vasp.quiet import plain_log
from hibana.vasp.reader import read_run
from hibana.vasp.run import run_vasp

FAKE = Path(__file__).with_name("fake_vasp.py")


class WithoutPotcar(VaspInputs):
    """Inputs of a recorded run: its POTCAR may not be passed on."""

    def texts(self, *, all_incars: bool = False) -> dict[str, str]:
        return {name: text for name, text in super().texts(all_incars=all_incars).items() if name != "POTCAR"}


def fake(*arguments: object) -> str:
    return shlex.join([sys.executable, "-S", str(FAKE), *map(str, arguments)])


def inputs_of(run: Path, *stages: tuple[str, dict]) -> VaspInputs:
    """Inputs of a recorded run, with tags over its INCAR for each stage."""
    incar = dict(Incar.from_file(run / "inputs" / "INCAR"))
    kpoints = Kpoints.gamma_automatic((4, 4, 4))
    made = tuple(Stage(name, {**incar, **tags}, kpoints) for name, tags in stages or (("pbesol", {}),))
    return WithoutPotcar(made, Poscar.from_file(run / "inputs" / "POSCAR").structure, ())


@pytest.fixture
def relaxation(recorded) -> Path:
    return recorded / "vasp_runs" / "Si_double_relax_2"


def start(inputs: VaspInputs, directory: Path, command: str, **options):
    given = {"task": "structure_opt", "functional": "pbesol", "policy": load_policy(), **options}
    return run_vasp(inputs, directory, vasp_cmd=command, polling_seconds=0.1, monitor_seconds=0.2, **given)


def starts(directory: Path) -> int:
    return len((directory / "starts.txt").read_text().split())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def test_a_run_without_trouble(relaxation, tmp_path):
    report = start(inputs_of(relaxation), tmp_path / "run", fake("--outputs", relaxation / "outputs"))
    assert (report.status_hint, report.failure, report.corrections) == ("finished", None, ())
    assert report.seconds > 0
    assert starts(tmp_path / "run") == 1
    run, _ = read_run(tmp_path / "run")
    assert run.status == "converged"
    assert (tmp_path / "run" / "INCAR.orig").is_file()


@pytest.mark.parametrize("mode", ["log", "stick"])
def test_an_error_is_corrected_and_recorded(mode, relaxation, recorded, tmp_path):
    log = recorded / "vasp_errors" / "brmix" / "vasp.out"
    command = fake("--first", mode, "--log", log, "--outputs", relaxation / "outputs")
    report = start(inputs_of(relaxation), tmp_path, command)
    assert report.status_hint == "finished"
    (correction,) = report.corrections
    assert (correction.handler, correction.errors, correction.verdict) == ("VaspErrorHandler", ("brmix",), "accepted")
    assert correction.actions == ({"dict": "INCAR", "action": {"_set": {"IMIX": 1}}},)
    assert Incar.from_file(tmp_path / "INCAR")["IMIX"] == 1
    assert starts(tmp_path) == 2
    log_file = json.loads((tmp_path / "custodian.json").read_text())
    assert log_file[0]["corrections"][0]["errors"] == ["brmix"]


def test_a_correction_that_changes_physics_is_flagged(relaxation, recorded, tmp_path):
    log = recorded / "vasp_errors" / "tet_bzint" / "vasp.out"
    report = start(inputs_of(relaxation), tmp_path, fake("--first", "log", "--log", log, "--outputs", relaxation / "outputs"))
    (correction,) = report.corrections
    assert (correction.errors, correction.verdict) == (("tet",), "flagged")


def test_a_refused_correction_is_not_run(relaxation, recorded, tmp_path):
    log = recorded / "vasp_errors" / "rot_matrix" / "vasp.out"
    inputs = inputs_of(relaxation)
    monkhorst = Kpoints.monkhorst_automatic((4, 4, 4))
    inputs = WithoutPotcar((Stage("pbesol", inputs.stages[0].incar, monkhorst),), inputs.structure, ())
    command = fake("--first", "log", "--log", log, "--outputs", relaxation / "outputs")
    report = start(inputs, tmp_path, command, task="band")
    assert report.status_hint == "failed"
    assert report.failure.kind == "rot_matrix"
    assert "refuses" in report.failure.message
    assert report.corrections[0].verdict == "refused"
    assert starts(tmp_path) == 1


def test_corrections_are_given_up_at_the_limit(relaxation, recorded, tmp_path):
    log = recorded / "vasp_errors" / "posmap" / "vasp.out"
    policy = load_policy().model_copy(update={"max_errors": 2})
    report = start(inputs_of(relaxation), tmp_path, fake("--first", "log", "--then", "log", "--log", log), policy=policy)
    assert report.status_hint == "failed"
    assert report.failure.kind == "posmap"
    assert len(report.corrections) == 2
    assert starts(tmp_path) == 2


def test_an_error_without_a_correction_is_a_failure_with_its_key(relaxation, recorded, tmp_path):
    log = recorded / "vasp_errors" / "too_few_bands" / "vasp.out"
    report = start(inputs_of(relaxation, ("pbesol", {})), tmp_path, fake("--first", "log", "--log", log))
    assert (report.status_hint, report.failure.kind) == ("failed", "too_few_bands")
    assert report.failure.message == "Unrecoverable error for handler: VaspErrorHandler. Errors: too_few_bands."


def test_the_log_of_a_run_names_handlers_and_no_addresses_and_calls_no_walltime_an_error(caplog):
    log = logging.getLogger("custodian.custodian")
    with plain_log(), caplog.at_level("ERROR"):
        log.error(f"Maximum number of corrections 2 reached for handler={policy_handler()}")
        log.error(f"Unrecoverable error for handler: {RunWalltimeHandler(wall_time=5.0)}")
        log.error("RunWalltimeHandler", extra={"handler": "RunWalltimeHandler"})
        log.error("what is 100 % plain stays")
    assert caplog.messages == [
        "Maximum number of corrections 2 reached for handler=VaspErrorHandler",
        "what is 100 % plain stays",
    ]


def policy_handler():
    return load_policy().handlers("band", "pbesol")[0]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("", "truncated"),
        ("forrtl: No space left on device\nforrtl: severe (38): error during write, unit 8", "disk"),
        ("write failed: Disk quota exceeded", "disk"),
        (" ----> I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! <----", "vasp_error"),
        ("|     EEEEEEE  RRRRRR   RRRRRR   OOOOOOO  RRRRRR      ###     ###     ###     |", "vasp_error"),
        ("VERY BAD NEWS! internal error in subroutine SOMETHING", "vasp_error"),
    ],
)
def test_a_vasp_that_ends_in_the_middle_says_whether_it_was_its_own_doing(words, kind, relaxation, tmp_path):
    log = tmp_path / "words"
    log.write_text(words)
    report = start(
        inputs_of(relaxation), tmp_path / "run", fake("--first", "cut", "--log", log, "--outputs", relaxation / "outputs")
    )
    assert (report.status_hint, report.failure.kind) == ("failed", kind), report.failure
    assert "status 1 " in report.failure.message


def test_an_error_of_vasp_counts_though_the_starter_kills_the_other_ranks_for_it(relaxation, tmp_path):
    log = tmp_path / "words"
    log.write_text("VERY BAD NEWS! internal error in subroutine SOMETHING")
    report = start(
        inputs_of(relaxation), tmp_path / "run", fake("--first", "die", "--log", log, "--outputs", relaxation / "outputs")
    )
    assert (report.status_hint, report.failure.kind) == ("failed", "vasp_error"), report.failure
    assert "status 137 " in report.failure.message


def test_a_killed_vasp_is_a_failure(relaxation, tmp_path):
    report = start(inputs_of(relaxation), tmp_path, fake("--first", "die", "--outputs", relaxation / "outputs"))
    assert report.failure.kind == "killed"
    assert "137" in report.failure.message
    assert read_run(tmp_path)[0].failure.kind == "truncated"


def test_what_the_engine_refuses_is_said(relaxation, tmp_path):
    report = start(inputs_of(relaxation), tmp_path, fake("--first", "refuse"))
    assert report.failure.kind == "input"
    assert report.failure.message.startswith("HIB-181 tag not honoured: LSORBIT")


def test_stages_follow_one_another_in_one_folder(recorded, tmp_path):
    band = recorded / "vasp_runs" / "MgO_band_nhse"
    semilocal = {"LHFCALC": False, "ALGO": "Normal", "NELM": 100, "LWAVE": True}
    inputs = inputs_of(band, ("pbesol", semilocal), ("hse06_nsc", {}))
    report = start(inputs, tmp_path, fake("--outputs", band / "outputs"), task="band", functional="hse06_nsc")
    # The copied output has NELM = 1, which the first stage did not ask for by its INCAR, but says so in vasprun.xml.
    assert (report.status_hint, report.corrections) == ("finished", ())
    assert starts(tmp_path) == 2
    first, second = (Incar.from_file(tmp_path / f"INCAR.start{number}") for number in (1, 2))
    assert (first["ALGO"], first["NELM"], first["LHFCALC"]) == ("Normal", 100, False)
    assert (second["ALGO"], second["NELM"], second["LHFCALC"]) == ("Subrot", 1, True)
    assert Incar.from_file(tmp_path / "INCAR.pbesol") == first
    assert (tmp_path / "vasprun.xml.pbesol").is_file()
    assert not (tmp_path / "vasprun.xml.hse06_nsc").exists()


def test_a_failed_stage_is_not_followed(recorded, tmp_path):
    band = recorded / "vasp_runs" / "MgO_band_nhse"
    inputs = inputs_of(band, ("pbesol", {}), ("hse06_nsc", {}))
    report = start(inputs, tmp_path, fake("--first", "refuse"), task="band", functional="hse06_nsc")
    assert report.failure.kind == "input"
    assert starts(tmp_path) == 1


def test_a_stage_that_dies_does_not_answer_with_the_results_of_the_one_before(recorded, tmp_path):
    band = recorded / "vasp_runs" / "MgO_band_nhse"
    inputs = inputs_of(band, ("pbesol", {"LHFCALC": False, "ALGO": "Normal", "NELM": 100}), ("hse06_nsc", {}))
    command = fake("--then", "crash", "--outputs", band / "outputs")
    report = start(inputs, tmp_path, command, task="band", functional="hse06_nsc")
    assert starts(tmp_path) >= 2
    assert report.failure is not None
    run, arrays = read_run(tmp_path)
    assert (run.status, run.edges.gap_class, arrays) == ("failed", "unknown", {})
    assert (tmp_path / "vasprun.xml.pbesol").is_file()


def test_a_correction_that_kills_the_run_does_not_answer_with_the_results_before_it(relaxation, recorded, tmp_path):
    log = recorded / "vasp_errors" / "brmix" / "vasp.out"
    command = fake("--first", "spoilt", "--then", "crash", "--log", log, "--outputs", relaxation / "outputs")
    report = start(inputs_of(relaxation), tmp_path, command)
    assert starts(tmp_path) == 2
    assert report.failure is not None
    assert read_run(tmp_path)[0].status == "failed"


def test_a_walltime_that_ends_before_the_last_stage_is_said(recorded, tmp_path):
    band = recorded / "vasp_runs" / "MgO_band_nhse"
    inputs = inputs_of(band, ("pbesol", {"LHFCALC": False, "ALGO": "Normal", "NELM": 100}), ("hse06_nsc", {}))
    command = fake("--first", "slow", "--outputs", band / "outputs")
    report = start(inputs, tmp_path, command, task="band", functional="hse06_nsc", walltime=4.0)
    assert starts(tmp_path) == 1
    assert (report.status_hint, report.complete) == ("walltime", False)


def test_the_walltime_stops_a_run_cleanly(recorded, tmp_path):
    run = recorded / "vasp_runs" / "V2O5_relax_pbesolU"
    source = recorded / "vasp_errors" / "unconverged_ionic"
    command = fake("--first", "stop", "--outputs", source)
    before = dict(os.environ)
    report = start(inputs_of(run), tmp_path, command, walltime=3.0)
    assert report.status_hint == "walltime"
    assert report.failure is None
    assert report.corrections == ()
    assert read_run(tmp_path)[0].status == "walltime"
    assert starts(tmp_path) == 1
    assert os.environ == before


def test_a_notice_stops_a_run_that_has_no_walltime(recorded, tmp_path):
    """Behind the electronic step, whatever the run is: a queue that gives notice leaves little time."""
    run, source = recorded / "vasp_runs" / "V2O5_relax_pbesolU", recorded / "vasp_errors" / "unconverged_ionic"
    notice, asked = threading.Event(), []

    def give_notice() -> None:
        assert wait_for(lambda: (tmp_path / "starts.txt").exists())
        notice.set()
        asked.append(wait_for(lambda: "LABORT" in text_of(tmp_path / "STOPCAR")))

    other = threading.Thread(target=give_notice)
    other.start()
    report = start(inputs_of(run), tmp_path, fake("--first", "stop", "--outputs", source), notice=notice)
    other.join()
    assert asked == [True]
    assert (report.status_hint, report.failure, report.corrections) == ("walltime", None, ())
    assert read_run(tmp_path)[0].status == "walltime"


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def test_a_deaf_vasp_and_its_children_are_ended_when_an_error_shows(relaxation, recorded, tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "GRACE", 1.0)
    pids = tmp_path / "pids"
    log = recorded / "vasp_errors" / "brmix" / "vasp.out"
    command = fake("--first", "deaf", "--log", log, "--pids", pids, "--outputs", relaxation / "outputs")
    report = start(inputs_of(relaxation), tmp_path / "run", command)
    assert report.status_hint == "finished"
    assert starts(tmp_path / "run") == 2
    numbers = [int(line) for line in pids.read_text().split()]
    assert len(numbers) == 3
    assert not any(alive(number) for number in numbers)


LAUNCHER = """
import signal
import sys
from pathlib import Path
from tests.vasp.test_run import fake, inputs_of, start

from hibana.vasp import guard

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process is born ignoring it
guard.GRACE = 1.0
run, folder, pids, log = map(Path, sys.argv[1:5])
start(inputs_of(run), folder, fake("--first", sys.argv[5], "--log", log, "--pids", pids))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("mode", ["stick", "deaf"])
def test_no_vasp_outlives_its_launcher(number, mode, relaxation, tmp_path):
    pids, log = tmp_path / "pids", tmp_path / "quiet.log"
    log.write_text("running on 1 core\n")
    repository = Path(__file__).resolve().parents[2]
    launcher = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LAUNCHER), str(relaxation), str(tmp_path / "run"), str(pids), str(log), mode],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": f"{repository / 'src'}{os.pathsep}{repository}"},
        stderr=subprocess.DEVNULL,
    )
    wanted = 2 if mode == "deaf" else 1
    try:
        assert wait_for(lambda: pids.exists() and len(pids.read_text().split()) == wanted, 60)
        numbers = [int(line) for line in pids.read_text().split()]
        assert all(alive(pid) for pid in numbers)
        launcher.send_signal(number)
        assert wait_for(lambda: not any(alive(pid) for pid in numbers), 20)
    finally:
        launcher.kill()
        launcher.wait()


def test_a_vasp_whose_guard_is_killed_ends_too(relaxation, tmp_path):
    pids, log = tmp_path / "pids", tmp_path / "quiet.log"
    log.write_text("running on 1 core\n")
    command = [
        sys.executable,
        "-I",
        "-S",
        guard.__file__,
        "1",
        *shlex.split(fake("--first", "stick", "--log", log, "--pids", pids)),
    ]
    (tmp_path / "INCAR").write_text("NSW = 0\n")
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    assert wait_for(lambda: pids.exists() and pids.read_text().strip())
    process.kill()
    process.wait()
    assert wait_for(lambda: not alive(int(pids.read_text())))
    process.stdin.close()


@pytest.mark.parametrize(
    ("command", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("sleep 300 & exit 5", 5), (None, 127)]
)
def test_the_guard_passes_on_the_exit_status(command, status, tmp_path):
    words = ["sh", "-c", command] if command else ["no-such-command-anywhere"]
    made = [sys.executable, "-I", "-S", guard.__file__, "1", *words]
    process = subprocess.Popen(made, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert process.wait(timeout=120) == status
    process.stdin.close()


def test_what_a_command_leaves_running_is_ended_with_it(tmp_path):
    script = f"sleep 300 & echo $! > {tmp_path / 'pid'}"
    made = [sys.executable, "-I", "-S", guard.__file__, "1", "sh", "-c", script]
    process = subprocess.Popen(made, stdin=subprocess.PIPE, start_new_session=True)
    assert process.wait(timeout=120) == 0
    assert wait_for(lambda: not alive(int((tmp_path / "pid").read_text())))
    process.stdin.close()


@pytest.mark.parametrize(
    ("command", "code"), [(None, "HIB-054"), ("  ", "HIB-054"), ("'vasp", "HIB-054"), ("no-such-vasp -n 4", "HIB-055")]
)
def test_a_bad_command_is_a_numbered_error_and_nothing_is_written(command, code, relaxation, tmp_path):
    with pytest.raises(HibanaError) as caught:
        start(inputs_of(relaxation), tmp_path / "run", command)
    assert caught.value.kind.code == code
    assert not (tmp_path / "run").exists()


def test_a_folder_with_another_run_is_a_numbered_error(relaxation, tmp_path):
    (tmp_path / "OUTCAR.gz").write_bytes(b"")
    with pytest.raises(HibanaError) as caught:
        start(inputs_of(relaxation), tmp_path, fake())
    assert caught.value.kind.code == "HIB-057"
    assert not (tmp_path / "INCAR").exists()


def test_an_unwritable_folder_is_a_numbered_error(relaxation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HibanaError) as caught:
        start(inputs_of(relaxation), tmp_path / "file" / "run", fake())
    assert caught.value.kind.code == "HIB-056"


def test_an_unknown_task_is_a_numbered_error(relaxation, tmp_path):
    with pytest.raises(HibanaError) as caught:
        start(inputs_of(relaxation), tmp_path / "run", fake(), task="relax")
    assert caught.value.kind.code == "HIB-060"
    assert not (tmp_path / "run").exists()
