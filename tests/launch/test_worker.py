"""``hibana run`` and FireWorks' own launchers, as processes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from farm import MGO, SCRIPTS, STEPS_OF_MGO, wait_until

from hibana.core.errors import HibanaError
from hibana.launch.launcher import read_fworker

pytestmark = pytest.mark.timeout(600)
DEMO = MGO.parent


def test_two_workers_do_everything_once(farm):
    farm.submit(DEMO)
    said = farm.run("--workers", "2")
    assert "14 COMPLETED" in said
    assert farm.ran() == sorted(2 * STEPS_OF_MGO)
    assert set(farm.states().values()) == {"COMPLETED"}
    assert {"MgO relax 2", "MgO hse06", "ZnO hse06"} <= set(farm.states())
    assert {(doc["formula"], doc["status"]) for doc in farm.results()} == {("MgO", "complete"), ("ZnO", "complete")}
    assert len({launch["launch_id"] for launch in farm.launchpad.launches.find()}) == 14

    assert farm.submit(DEMO)["added"] == []
    farm.work()
    assert len(farm.ran()) == 2 * len(STEPS_OF_MGO)


def test_fireworks_own_launcher_gives_the_same(farm, undisturbed):
    """lpad add and rlaunch rapidfire with the stock LaunchPad."""
    project = farm.folder / "workflows"
    (project / "demo").mkdir(parents=True)
    (project / "demo" / "MgO.cif").write_bytes(MGO.read_bytes())
    (project / "demo.yaml").write_bytes((DEMO.parent / "demo.yaml").read_bytes())
    farm.lpad("add", "workflows/demo.yaml")
    farm.call(SCRIPTS / "rlaunch", "-l", farm.launchpad_file, "-w", farm.fworker, "rapidfire")
    assert set(farm.states().values()) == {"COMPLETED"}
    assert farm.results() == undisturbed
    assert farm.ran() == STEPS_OF_MGO
    assert "COMPLETED : 8" in farm.lpad("report")


def test_kill_9_in_the_middle_changes_nothing(farm, undisturbed):
    farm.behave(seconds=30)
    farm.submit(MGO)
    first = farm.start(*farm.run_command("--workers", "2"))
    wait_until(farm.ran, 180, "the first calculation")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert "RUNNING" in farm.states().values()
    farm.behave()
    farm.run("--workers", "2")
    assert farm.results() == undisturbed
    assert farm.ran() == sorted([*STEPS_OF_MGO, "relax"])
    assert set(farm.states().values()) == {"COMPLETED"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM] if os.environ.get("HIBANA_FULL") else [signal.SIGINT])
def test_stopped_it_goes_on_where_it_was(farm, undisturbed, number):
    farm.behave(seconds=30)
    farm.submit(MGO)
    first = farm.start(*farm.run_command())
    wait_until(farm.ran, 180, "the first calculation")
    first.send_signal(number)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 130, output
    assert "stopped" in output
    assert farm.states()["MgO relax 1"] == "READY"
    assert [claim["state"] for claim in farm.store.query("claims", {})] == ["released"]
    farm.behave()
    farm.work()
    assert farm.results() == undisturbed
    assert farm.ran() == sorted([*STEPS_OF_MGO, "relax"])


def test_nothing_to_run_ends_at_once(farm):
    assert "nothing to run" in farm.run()


def test_a_launcher_that_dies_is_replaced(farm):
    farm.behave(seconds=3)
    farm.submit(MGO)
    run = farm.start(*farm.run_command())
    wait_until(farm.ran, 180, "the first calculation")
    (launcher,) = children(run.pid)
    os.kill(launcher, signal.SIGKILL)
    farm.behave()
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    assert farm.outcome()[0] == "done"


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["-w", "nowhere.yaml"], "HIB-113"), (["-d", "/proc/nowhere"], "HIB-118"), (["-l", "nowhere.yaml"], "HIB-072")],
)
def test_bad_settings_are_numbered_errors(farm, words, code):
    command = [*farm.run_command(), *words]
    done = subprocess.run(command, cwd=farm.folder, env=farm.env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert code in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nam: a\ncategory: ''\nquery: '{}'\n", "nam is no key of a worker file (is name meant?)"),
        ("name: a\ncategory: ''\nquery: '{}'\nenvironment: {}\n", "environment is no key"),
        ("name: a\nquery: '{}'\n", "category is missing"),
        ("name: a\ncategory: ''\nquery: '{'\n", "query is '{', not a MongoDB filter"),
        ("name: a\ncategory: ''\nquery: '{}'\nenv: 3\n", "env is no mapping"),
        ("- a\n", "it holds no mapping"),
    ],
)
def test_a_worker_file_that_cannot_be_used(tmp_path, text, said):
    path = tmp_path / "my_fworker.yaml"
    path.write_text(text)
    with pytest.raises(HibanaError) as caught:
        read_fworker(str(path))
    assert caught.value.kind.number == 113
    assert said in caught.value.what


def test_env_may_have_keys_of_a_site_but_not_near_misses(farm):
    farm.fworker.write_text(farm.fworker.read_text() + "  our_scratch: /scratch\n  wall_time: 60\n")
    assert read_fworker(str(farm.fworker)).env["our_scratch"] == "/scratch"
    done = subprocess.run(farm.run_command(), cwd=farm.folder, env=farm.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "env.wall_time is read by nobody; is walltime meant?" in done.stderr
    assert "our_scratch" not in done.stderr


def test_a_run_that_ends_before_its_first_job_has_begun_fails_nothing(farm):
    farm.submit(MGO)
    farm.run("--timeout", "2")
    assert set(farm.states().values()) == {"READY", "WAITING"}


def test_a_timeout_ends_the_run_and_the_next_goes_on(farm, undisturbed):
    """The relaxation is stopped before the timeout; its continuation, under the same address, is a job of its own."""
    farm.behave(seconds=200)
    farm.submit(MGO)
    said = farm.run("--timeout", "40")
    assert "1 COMPLETED" in said
    assert farm.states()["MgO relax 1 part 2"] == "READY"
    farm.behave()
    farm.work()
    assert farm.results() == undisturbed
    parts = {task["address"]: task for task in farm.store.query("tasks", {"task": "structure_opt"})}
    assert {task["status"] for task in parts.values()} == {"converged"}
