"""Queues, asked through their commands: stand-ins on PATH print what the real ones print."""

from __future__ import annotations

import sys
import time

import pytest

from hibana.launch import schedulers
from hibana.launch.schedulers import GridEngine, Pbs, Pjm, Slurm, scheduler_here, scheduler_on_path, seconds

JOB_VARIABLES = ("SLURM_JOB_ID", "SLURM_JOB_END_TIME", "PBS_JOBID", "JOB_ID", "SGE_ROOT", "PJM_JOBID")


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch):
    now = float(int(time.time()))
    monkeypatch.setattr(time, "time", lambda: now)


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A PATH with nothing but the commands that the test makes, outside of any job."""
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in JOB_VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def command(name: str, answers: dict[str, str] | str, status: int = 0, pause: float = 0.0) -> None:
        """A command that prints by its arguments: the answer of the first key they contain."""
        by_words = {"": answers} if isinstance(answers, str) else answers
        path = folder / name
        path.write_text(
            f"#!{sys.executable}\nimport sys, time\ntime.sleep({pause})\nwords = ' '.join(sys.argv[1:])\n"
            f"print(next(text for key, text in {by_words!r}.items() if key in words), end='')\nsys.exit({status})\n"
        )
        path.chmod(0o755)

    return command


def clock(moment: float, form: str) -> str:
    return time.strftime(form, time.localtime(moment))


class TestSlurm:
    LISTED = """1201|1201|PENDING
1202|1202|RUNNING
1203|1203|COMPLETING
1204|1204|CANCELLED
1207|1205|RUNNING
1205|1205|PENDING
1208|1208|REQUEUE_HOLD
1209|1209|TIMEOUT
"""

    def test_states(self, queue):
        queue("squeue", self.LISTED)
        assert Slurm().job_states(["1201", "1202", "1203", "1204", "1205", "1208", "1209", "9"]) == {
            "1201": "pending",
            "1202": "running",
            "1203": "running",
            "1204": "gone",
            "1205": "running",
            "1208": "pending",
            "1209": "gone",
            "9": "gone",
        }

    def test_an_empty_queue_is_an_answer(self, queue):
        queue("squeue", "")
        assert Slurm().job_states(["1"]) == {"1": "gone"}

    def test_a_queue_that_does_not_answer_gives_nobody_up(self, queue, monkeypatch):
        assert Slurm().job_states(["1"]) == {}
        queue("squeue", "slurm_load_jobs error: Unable to contact slurm controller\n", status=1)
        assert Slurm().job_states(["1"]) == {}
        queue("squeue", "something else entirely\n")
        assert Slurm().job_states(["1"]) == {}
        monkeypatch.setattr(schedulers, "TIMEOUT_SECONDS", 0.3)
        queue("squeue", self.LISTED, pause=20)
        assert Slurm().job_states(["1201"]) == {}

    @pytest.mark.parametrize(
        ("printed", "left"), [("1-02:03:04\n", 93784), ("59:58\n", 3598), ("0:07\n", 7), ("UNLIMITED\n", None)]
    )
    def test_time_left(self, queue, monkeypatch, printed, left):
        queue("squeue", {"--jobs=1202": printed})
        monkeypatch.setenv("SLURM_JOB_ID", "1202")
        assert scheduler_here().seconds_left() == left

    def test_where_squeue_is_missing_the_end_that_the_job_was_told_counts(self, queue, monkeypatch):
        monkeypatch.setenv("SLURM_JOB_ID", "1202")
        assert scheduler_here().seconds_left() is None
        monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 500))
        assert scheduler_here().seconds_left() == 500
        monkeypatch.setenv("SLURM_JOB_END_TIME", "soon")
        assert scheduler_here().seconds_left() is None


class TestPbs:
    LISTED = """Job id            Name             User              Time Use S Queue
----------------  ---------------- ----------------  -------- - -----
4711.head         MgO_relax        alice             00:00:00 Q small
4712.head         two words        alice             01:02:03 R small
4713[].head       array            bob                      0 B small
4714.head         done             alice             00:10:00 C small
4715.head*        a                bob               00:10:00 E small
"""

    def test_states(self, queue):
        queue("qstat", self.LISTED)
        assert Pbs().job_states(["4711.head", "4712", "4713[7].head", "4714", "4715", "4716"]) == {
            "4711.head": "pending",
            "4712": "running",
            "4713[7].head": "running",
            "4714": "gone",
            "4715": "running",
            "4716": "gone",
        }

    def test_an_empty_queue_and_an_answer_in_other_words(self, queue):
        queue("qstat", "")
        assert Pbs().job_states(["1"]) == {"1": "gone"}
        queue("qstat", "Job id  Name\n------- ----\nsurprise\n")
        assert Pbs().job_states(["1"]) == {}

    def test_a_job_in_a_state_of_another_name_is_not_given_up(self, queue):
        queue("qstat", self.LISTED.replace(" Q small", " Z small"))
        assert Pbs().job_states(["4711.head", "4714"]) == {"4711.head": "running", "4714": "gone"}

    def test_time_left_by_the_nearer_end(self, queue, monkeypatch):
        monkeypatch.setenv("PBS_JOBID", "4712.head")
        full = "Job Id: 4712.head\n    Job_Name = two words\n    Resource_List.walltime = 01:00:00\n"
        queue("qstat", {"-f 4712.head": full})
        assert scheduler_here().seconds_left() is None
        queue("qstat", {"-f 4712.head": full + "    resources_used.walltime = 00:10:00\n"})
        assert scheduler_here().seconds_left() == 3000
        started = clock(time.time() - 900, "%a %b %d %H:%M:%S %Y")
        queue("qstat", {"-f": full + f"    resources_used.walltime = 00:10:00\n    stime = {started}\n"})
        assert scheduler_here().seconds_left() == 2700
        queue("qstat", {"-f": full + f"    start_time = {started}\n"})
        assert scheduler_here().seconds_left() == 2700

    def test_no_limit_and_no_answer(self, queue, monkeypatch):
        monkeypatch.setenv("PBS_JOBID", "4712.head")
        assert scheduler_here().seconds_left() is None
        queue("qstat", "Job Id: 4712.head\n    Job_Name = a\n")
        assert scheduler_here().seconds_left() is None


class TestGridEngine:
    LISTED = """<?xml version='1.0'?>
<job_info xmlns:xsd="http://www.w3.org/2001/XMLSchema">
  <queue_info>
    <job_list state="running"><JB_job_number>5</JB_job_number><JAT_prio>0.5</JAT_prio><JB_name>MgO relax</JB_name>
      <JB_owner>alice</JB_owner><state>r</state><JAT_start_time>{start}</JAT_start_time><slots>1</slots></job_list>
    <job_list state="running"><JB_job_number>6</JB_job_number><state>dr</state></job_list>
  </queue_info>
  <job_info>
    <job_list state="pending"><JB_job_number>7</JB_job_number><state>qw</state></job_list>
    <job_list state="pending"><JB_job_number>8</JB_job_number><state>Eqw</state></job_list>
    <job_list state="pending"><JB_job_number>9</JB_job_number><state>hqw</state></job_list>
  </job_info>
</job_info>
"""

    def listed(self) -> str:
        return self.LISTED.format(start=clock(time.time() - 100, "%Y-%m-%dT%H:%M:%S"))

    def test_states(self, queue):
        queue("qstat", {"-xml -u *": self.listed()})
        asked = ["5", "6", "7", "8", "9", "10"]
        found = ("running", "running", "pending", "pending", "pending", "gone")
        assert GridEngine().job_states(asked) == dict(zip(asked, found, strict=True))

    def test_no_answer(self, queue):
        queue("qstat", "<job_info>cut off")
        assert GridEngine().job_states(["5"]) == {}
        queue("qstat", "error: commlib error: can't connect to service", status=1)
        assert GridEngine().job_states(["5"]) == {}

    def test_time_left_by_the_sterner_limit(self, queue, monkeypatch):
        monkeypatch.setenv("JOB_ID", "5")
        assert scheduler_here() is None
        monkeypatch.setenv("SGE_ROOT", "/opt/sge")
        full = "job_number:   5\nhard resource_list:         h_rt=3600,s_rt=0:50:0,mem_free=2G\n"
        queue("qstat", {"-xml": self.listed(), "-j 5": full})
        assert scheduler_here().seconds_left() == 2900
        queue("qstat", {"-xml": self.listed(), "-j 5": "job_number:   5\n"})
        assert scheduler_here().seconds_left() is None


class TestPjm:
    TITLES = "JOB_ID  JOB_NAME  MD  ST   USER   START_DATE      ELAPSE_LIM  NODE_REQUIRE  VNODE  CORE  V_MEM\n"

    def listed(self) -> str:
        started = clock(time.time() - 600, "%m/%d %H:%M:%S")
        return f"""
  ACCEPT QUEUED  STGIN  READY RUNING RUNOUT STGOUT   HOLD  ERROR   TOTAL
       0      1      0      0      2      0      0      0      0       3

{self.TITLES}238     job.sh    NM  RUN  user1  {started}  0001:00:00  12:2x3x2      -      -     -
239     wait.sh   NM  QUE  user1  ({started[:11]})  0001:00:00  2             -      -     -
240     step.sh   ST  RUN  user1  {started}  -           -             -      -     -
241[1]  bulk.sh   BU  RNE  user1  {started}< 0000:30:00  2             -      -     -
242     held.sh   NM  HLD  user1  -               0001:00:00  2             -      -     -
"""

    def test_states(self, queue):
        queue("pjstat", self.listed())
        asked = ["238", "239", "240", "241", "242", "243"]
        found = ("running", "pending", "running", "running", "pending", "gone")
        assert Pjm().job_states(asked) == dict(zip(asked, found, strict=True))

    def test_a_job_in_a_state_of_another_name_is_not_given_up(self, queue):
        queue("pjstat", self.listed().replace("  QUE  ", "  NEW  "))
        assert Pjm().job_states(["239", "243"]) == {"239": "running", "243": "gone"}

    def test_empty_queue_and_no_answer(self, queue):
        queue("pjstat", self.TITLES)
        assert Pjm().job_states(["238"]) == {"238": "gone"}
        queue("pjstat", "[ERR.] PJM 0090 pjstat Cannot connect\n")
        assert Pjm().job_states(["238"]) == {}

    @pytest.mark.parametrize(("job", "left"), [("238", 3000), ("239", None), ("240", None), ("241[1]", 1200), ("999", None)])
    def test_time_left(self, queue, monkeypatch, job, left):
        monkeypatch.setenv("PJM_JOBID", job)
        queue("pjstat", self.listed())
        assert scheduler_here().seconds_left() == left


def test_spans_of_time():
    spans = {"90": 90, "1:30": 90, "01:00:00": 3600, "0001:00:00": 3600, "2-0": 172800, "1-00:10": 87000, "1:00:00:05": 86405}
    assert {text: seconds(text) for text in spans} == spans
    assert [seconds(text) for text in ("", "INVALID", "NOT_SET", "-5", "1:2:x")] == [None] * 5


def test_outside_of_a_job_no_time_is_known_and_the_commands_tell_the_queue(queue, monkeypatch):
    assert scheduler_here() is None
    assert scheduler_on_path() is None
    queue("qstat", "")
    assert scheduler_on_path().kind == "pbs"
    assert scheduler_on_path().seconds_left() is None
    monkeypatch.setenv("SGE_ROOT", "/opt/sge")
    assert scheduler_on_path().kind == "sge"
    queue("squeue", "")
    assert scheduler_on_path().kind == "slurm"
    queue("pjstat", "")
    assert scheduler_on_path().kind == "pjm"


def test_inside_a_job_of_slurms_pbs_wrappers_slurm_is_asked(queue, monkeypatch):
    monkeypatch.setenv("PBS_JOBID", "3")
    assert scheduler_here().kind == "pbs"
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    assert scheduler_here().kind == "slurm"
