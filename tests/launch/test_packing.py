"""Many runs in one allocation: what is started next, and whole runs of ``hibana run --cores``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from farm import FAKE_VASP, MGO, STEPS_OF_MGO, wait_until
from fireworks import Workflow
from launchpad_tasks import note

from hibana.core.errors import HibanaError
from hibana.launch import packing
from hibana.launch.cores import CorePool, allocated_cores, cpus_here
from hibana.launch.experience import Experience
from hibana.launch.packing import Choice, Ready, Room, Size, Waiting, size_of, waiting
from size import FULL

pytestmark = pytest.mark.timeout(600)

ROWS = [{"max_atoms": 2, "ntasks": 1}, {"nodes": 1, "ntasks_per_node": 3, "cpus_per_task": 1}]


def run(fw_id: int, cores: int | None, priority: float = 0.0, n_atoms: int = 2) -> Waiting:
    return Waiting(fw_id, f"MgO relax {fw_id}", priority, None if cores is None else Size(cores), n_atoms)


def chosen(ready, room, choice=None, busy=()) -> int | None:
    found = (choice or Choice(lambda _: None)).next(ready, room, busy)
    return None if found is None else found.fw_id


def test_the_largest_that_fits_among_equals():
    ready = [run(1, 2), run(2, 8), run(3, 4), run(4, 4)]
    assert chosen(ready, Room(free=16, total=16, desks=0)) == 2
    assert chosen(ready, Room(free=5, total=16, desks=0)) == 3
    assert chosen(ready, Room(free=5, total=16, desks=0), busy=[3]) == 4
    assert chosen(ready, Room(free=1, total=16, desks=0)) is None


def test_lower_priority_never_goes_before_higher():
    ready = [run(1, 8, priority=5), run(2, 1, priority=4)]
    assert chosen(ready, Room(free=4, total=8, desks=0)) is None
    assert chosen(ready, Room(free=8, total=8, desks=0)) == 1
    # but what this allocation can never run holds nothing up
    choice = Choice(lambda _: None)
    assert chosen(ready, Room(free=4, total=4, desks=0), choice) == 2
    assert choice.too_large == {1}


def test_decisions_take_a_desk_and_no_cores():
    ready = [run(1, 8, priority=5), run(2, None, priority=-1)]
    assert chosen(ready, Room(free=0, total=8, desks=1)) == 2
    assert chosen(ready, Room(free=0, total=8, desks=0)) is None


def test_what_does_not_fit_into_the_time_left_is_not_begun():
    choice = Choice(lambda item: {1: 500.0, 2: 50.0}.get(item.fw_id))
    ready = [run(1, 4, priority=9), run(2, 1), run(3, 2)]
    late = Room(free=4, total=4, desks=0, left=100.0, whole=1000.0)
    assert chosen(ready, late, choice) == 3  # nothing is known of its time
    assert chosen(ready, late, choice, busy=[3]) == 2
    assert choice.too_long == {1}
    assert chosen(ready, Room(free=4, total=4, desks=0, left=900.0, whole=1000.0), choice) == 1
    # longer than any allocation: begun while this one is young, and continued in the next
    assert Room(4, 4, 0, left=950.0, whole=1000.0).has_time_for(5000.0)
    assert not Room(4, 4, 0, left=700.0, whole=1000.0).has_time_for(5000.0)


def test_a_large_run_is_not_passed_over_for_ever(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(packing.time, "monotonic", lambda: now[0])
    choice = Choice(lambda _: None, patience=60)
    ready = [run(1, 8), run(2, 1), run(3, 1)]
    room = Room(free=2, total=8, desks=0)
    assert chosen(ready, room, choice) == 2
    now[0] += 61
    assert chosen(ready, room, choice, busy=[2]) is None
    assert chosen(ready, Room(free=8, total=8, desks=0), choice, busy=[2]) == 1


def test_what_can_never_run_here_hides_nothing_behind_it(monkeypatch):
    monkeypatch.setattr(packing, "LOOK", 3)
    now = [1000.0]
    monkeypatch.setattr(packing.time, "monotonic", lambda: now[0])
    items, reads = [run(k, 9) for k in range(7)], []

    def read(behind: int) -> list[Waiting]:
        reads.append(behind)
        return items[behind : behind + 3]

    room, choice = Room(free=4, total=4, desks=1), Choice(lambda _: None)
    assert chosen(Ready(read), room, choice) is None
    assert (reads, choice.too_large) == ([0, 3, 6], set(range(7)))
    items.append(run(7, 2))
    reads.clear()
    assert chosen(Ready(read), room, choice) is None  # not read to the end again at once
    assert reads == [0]
    now[0] += packing.LOOK_ON_SECONDS
    reads.clear()
    ready = Ready(read)
    assert (chosen(ready, room, choice), reads) == (7, [0, 3, 6])
    assert (chosen(ready, room, choice, busy=[7]), reads) == (None, [0, 3, 6])  # what was read is not read again
    items.insert(1, run(8, None))
    reads.clear()
    assert (chosen(Ready(read), room, choice), reads) == (8, [0])


def test_what_is_ready_is_read_page_by_page(launchpad, monkeypatch):
    monkeypatch.setattr(packing, "LOOK", 2)
    launchpad.bulk_add_wfs([Workflow([note(str(k), spec={"_priority": k // 2})]) for k in range(5)])
    found = list(waiting(launchpad, {}, None, 1))
    assert [item.priority for item in found] == [2, 1, 1, 0, 0]
    assert len({item.fw_id for item in found}) == 5


def test_sizes_come_from_the_table_then_the_firework_then_the_worker():
    spec = {"n_atoms": 4, "hibana_job": "x-1", "_queueadapter": {"nodes": 2, "ntasks_per_node": 8, "cpus_per_task": 2}}
    assert size_of(spec, ROWS, 5) == Size(3)
    assert size_of(spec, None, 5) == Size(16, 2)
    assert size_of(spec, None, 5).cores == 32
    assert size_of({"n_atoms": 4}, None, 5) == Size(5)
    assert size_of({"hibana_job": "x-1"}, ROWS, 5) is None
    assert size_of({}, ROWS, 5) == Size(5)


def test_cores_are_counted_and_each_cpu_is_given_once(monkeypatch):
    monkeypatch.setattr("hibana.launch.cores.cpus_here", lambda: (0, 2, 4, 6))
    pool = CorePool(4)
    first, second = pool.take(3), pool.take(1)
    assert (first.cpus, second.cpus, pool.take(1)) == ((0, 2, 4), (6,), None)
    pool.give_back(first)
    assert pool.take(2).cpus == (0, 2)
    assert CorePool(5).take(5).cpus == ()  # more than this machine has
    assert CorePool(4, pin=False).take(2).cpus == ()
    assert set(cpus_here()) == set(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("job", "told", "cores"),
    [
        ("SLURM_JOB_ID", {"SLURM_NTASKS": "32", "SLURM_CPUS_PER_TASK": "2"}, 64),
        ("SLURM_JOB_ID", {"SLURM_JOB_CPUS_PER_NODE": "32(x2),16"}, 80),
        ("PBS_JOBID", {"PBS_NODEFILE": "nodes"}, 3),
        ("PBS_JOBID", {"NCPUS": "24"}, 24),
        ("JOB_ID", {"SGE_ROOT": "/x", "NSLOTS": "7"}, 7),
        ("PJM_JOBID", {"PJM_MPI_PROC": "48"}, 48),
        ("PJM_JOBID", {}, None),
    ],
)
def test_the_queue_tells_how_many_cores_there_are(monkeypatch, tmp_path, job, told, cores):
    (tmp_path / "nodes").write_text("a\na\nb\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {job: "17", **told}.items():
        monkeypatch.setenv(name, value)
    if cores is None:
        with pytest.raises(HibanaError, match="HIB-250"):
            allocated_cores()
    else:
        assert allocated_cores() == cores


def test_experience_is_of_runs_alike(database):
    for sites, hours in ((2, 1.0), (2, 3.0), (20, 50.0)):
        task = {"task": "structure_opt", "functional": "pbesol", "n_sites": sites, "machine": {"core_hours": hours}}
        database["tasks"].insert_one(task)
    experience = Experience(database)
    assert experience.core_seconds("relax", 2) is None
    experience.refresh()
    assert experience.core_seconds("relax", 2) == 3 * 3600
    assert experience.core_seconds("relax", 16) == 50 * 3600
    assert experience.core_seconds("relax", 7) is None
    assert experience.core_seconds("band", 2) is None


# -- whole runs -------------------------------------------------------------------------------------------------------

WRAPPER = """#!/bin/sh
echo "begin $1 $2 $3 $(taskset -cp $$ | sed 's/.*: //') $OMP_NUM_THREADS $(date +%s.%N)" >> {log}
{python} {code}
code=$?
echo "end $1 - - - - $(date +%s.%N)" >> {log}
exit $code
"""


def noted(farm, rows) -> list[list[str]]:
    """Let the fake VASP run behind a wrapper that notes cores and times; the file of notes."""
    log, script = farm.folder / "shares.log", farm.folder / "wrapper.sh"
    script.write_text(WRAPPER.format(log=log, python=sys.executable, code=FAKE_VASP))
    script.chmod(0o755)
    farm.fworker.write_text(
        f"name: test\ncategory: ''\nquery: '{{}}'\nenv:\n  vasp_cmd: {script} {{cores}} {{threads}} {{cpus}}\n  cores: 1\n"
    )
    (farm.folder / "resources.yaml").write_text(json.dumps(rows))
    return log


def shares(log) -> list[tuple[float, int]]:
    """Changes of the number of cores in use by time."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return sorted((float(words[-1]), int(words[1]) if words[0] == "begin" else -int(words[1])) for words in lines)


def most(changes) -> int:
    level = highest = 0
    for _, change in changes:
        level += change
        highest = max(highest, level)
    return highest


def test_runs_of_different_sizes_share_the_cores(farm):
    log = noted(farm, ROWS)
    farm.behave(seconds=4)
    farm.submit(MGO.parent)
    said = json.loads(farm.run("--cores", "4", "--resources", "resources.yaml", "--json"))
    assert said["counts"] == {"COMPLETED": 14}
    assert farm.ran() == sorted(2 * STEPS_OF_MGO)
    cores = {task["formula"]: task["machine"]["cores"] for task in farm.store.query("tasks", {})}
    assert cores == {"MgO": 1, "ZnO": 3}
    assert most(shares(log)) == 4  # a run of three cores and one of one, at once, and never more
    packing = said["packing"]
    assert packing["runs"] == 10
    assert 2 <= packing["most_at_once"] <= 4
    assert 0 < packing["core_seconds_used"] <= packing["core_seconds_available"]
    # ten calculations, one of them of two stages, of four seconds at least
    assert packing["core_seconds_used"] > 4 * 6 * (1 + 3)
    assert packing["occupancy"] == pytest.approx(packing["core_seconds_used"] / packing["core_seconds_available"], abs=1e-3)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_each_run_has_cpus_of_its_own(farm):
    log = noted(farm, [{"ntasks": 1, "cpus_per_task": 1}])
    farm.behave(seconds=1)
    farm.submit(MGO.parent)
    farm.run("--cores", "2", "--resources", "resources.yaml")
    begun = [line.split() for line in log.read_text().splitlines() if line.startswith("begin")]
    assert {words[3] == words[4] and words[5] == "1" for words in begun} == {True}
    assert {words[3] for words in begun} == {str(cpu) for cpu in cpus_here()[:2]}


def test_what_is_too_large_is_left_and_said(farm):
    noted(farm, [{"max_atoms": 2, "ntasks": 1}, {"ntasks": 64}])
    farm.submit(MGO.parent)
    said = json.loads(farm.run("--cores", "2", "--resources", "resources.yaml", "--json"))
    assert said["packing"]["too_large"] == 1
    assert farm.states()["ZnO relax 1"] == "READY"
    assert farm.ran() == STEPS_OF_MGO


def test_a_launcher_that_dies_gives_its_cores_back(farm, undisturbed):
    farm.behave(seconds=20)
    farm.submit()
    first = farm.start(*farm.run_command("--cores", "1"))
    wait_until(farm.ran, 180, "the first calculation")
    farm.behave()
    for pid in Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    output, _ = first.communicate(timeout=200)
    assert first.returncode == 0, output
    assert farm.results() == undisturbed


@pytest.mark.parametrize("words", [("--cores", "1"), ("--workers", "2")] if FULL else [("--workers", "2")])
def test_a_notice_of_the_queue_is_passed_on(farm, undisturbed, words):
    """Preemption: the code is stopped, nothing more is begun, and the next run goes on."""
    farm.behave(seconds=200)
    farm.submit()
    first = farm.start(*farm.run_command(*words))
    wait_until(farm.ran, 180, "the first calculation")
    first.send_signal(signal.SIGUSR1)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert farm.states()["MgO relax 1 part 2"] == "READY"
    assert len(farm.ran()) == 1
    farm.behave()
    farm.work()
    assert farm.results() == undisturbed


def test_the_end_of_the_job_is_the_timeout(farm, undisturbed, tmp_path):
    """No --timeout is given; the queue says how long there is."""
    folder = tmp_path / "commands"
    folder.mkdir()
    (folder / "squeue").write_text("#!/bin/sh\necho 0:25\n")
    (folder / "squeue").chmod(0o755)
    farm.env |= {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "4711", "SLURM_NTASKS": "2"}
    farm.behave(seconds=100)
    farm.submit()
    said = json.loads(farm.run("--cores", "all", "--json"))
    assert said["packing"]["cores"] == 2
    assert farm.states()["MgO relax 1 part 2"] == "READY"
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS"):
        del farm.env[name]
    farm.behave()
    farm.work()
    assert farm.results() == undisturbed
