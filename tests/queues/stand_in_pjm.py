"""A stand-in for Fujitsu's job operation software, for tests: pjsub, pjstat and pjdel on this machine.

Linked under these three names it takes job scripts with ``#PJM`` lines, runs one job at a time, in the order of submission, and
kills what exceeds its elapse limit. Answers have the form that Fugaku's manual shows. ``STAND_IN_PJM`` names the folder of its
state. It is not the software of any supercomputer.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

STATE = Path(os.environ["STAND_IN_PJM"])
FIRST = 31000001
TITLES = "JOB_ID     JOB_NAME   MD ST  USER     START_DATE      ELAPSE_LIM NODE_REQUIRE    VNODE  CORE V_MEM"
ENDED = ("EXT", "CCL")


@contextmanager
def jobs():
    """All jobs by number, locked; changes are kept."""
    STATE.mkdir(parents=True, exist_ok=True)
    path = STATE / "jobs.json"
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = {int(key): job for key, job in json.loads(path.read_text()).items()} if path.exists() else {}
        yield found
        path.write_text(json.dumps(found, indent=1))


def pjsub(script: str) -> int:
    text = Path(script).read_text()
    options = re.findall(r"^#PJM\s+(.*\S)\s*$", text, re.M)
    resources = dict(word.split("=", 1) for line in options if line.startswith("-L ") for word in line[3:].split(","))
    if "elapse" not in resources or not any(line.startswith("-g ") for line in options):
        sys.stderr.write("[ERR.] PJM 0051 pjsub The elapse limit and the group must be given.\n")
        return 1
    name = next((line[3:] for line in options if line.startswith("-N ")), "STDIN")
    out = next((line[3:] for line in options if line.startswith("-o ")), None)
    hours, minutes, seconds = map(int, resources["elapse"].split(":"))
    with jobs() as found:
        number = max(found, default=FIRST - 1) + 1
        found[number] = {
            "name": name,
            "state": "QUE",
            "script": str(Path(script).resolve()),
            "folder": str(Path.cwd()),
            "out": out or f"{name}.{number}.out",
            "limit": 3600 * hours + 60 * minutes + seconds,
            "nodes": resources.get("node", "1"),
            "options": options,
        }
    silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen([sys.executable, __file__, "run", str(number)], start_new_session=True, **silent)
    sys.stdout.write(f"[INFO] PJM 0000 pjsub Job {number} submitted.\n")
    return 0


def run(number: int) -> int:
    """Wait for the turn of a job, run it, and end it at its limit."""
    while True:
        with jobs() as found:
            job = found[number]
            if job["state"] in ENDED:
                return 0
            if not any(other["state"] not in ENDED for key, other in found.items() if key < number):
                job |= {"state": "RUN", "started": time.time(), "pid": os.getpid()}
                break
        time.sleep(0.2)
    environment = {key: os.environ[key] for key in ("HOME", "USER", "LANG", "STAND_IN_PJM", "PYTHONPATH") if key in os.environ}
    environment |= {"PATH": os.environ["PATH"], "PJM_JOBID": str(number), "PJM_JOBNAME": job["name"]}
    with (Path(job["folder"]) / job["out"]).open("wb") as out:
        process = subprocess.Popen(
            ["bash", job["script"]], cwd=job["folder"], env=environment, stdout=out, stderr=out, start_new_session=True
        )
        with jobs() as found:
            found[number]["group"] = process.pid
        try:
            code = process.wait(job["limit"])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = "elapse limit exceeded"
    with jobs() as found:
        found[number] |= {"state": "EXT", "code": code}
    return 0


def pjstat(*_asked: str) -> int:
    wanted = {int(word) for word in _asked if word.isdecimal()}
    with jobs() as found:
        shown = {number: job for number, job in found.items() if job["state"] not in ENDED and (not wanted or number in wanted)}
    sys.stdout.write(TITLES + "\n")
    for number, job in shown.items():
        started = time.strftime("%m/%d %H:%M:%S", time.localtime(job["started"])) if "started" in job else "(--/-- --:--)"
        limit = "{:04d}:{:02d}:{:02d}".format(job["limit"] // 3600, job["limit"] // 60 % 60, job["limit"] % 60)
        row = f"{number:<10} {job['name'][:10]:10} NM {job['state']} {'user1':8} {started:15} {limit} {job['nodes']:15}"
        sys.stdout.write(f"{row} -      -    -\n")
    return 0


def pjdel(*numbers: str) -> int:
    with jobs() as found:
        for number in map(int, numbers):
            job = found[number]
            if "group" in job and job["state"] == "RUN":
                os.killpg(job["group"], signal.SIGKILL)
            job["state"] = "CCL"
            sys.stdout.write(f"[INFO] PJM 0100 pjdel Job {number} canceled.\n")
    return 0


if __name__ == "__main__":
    command, words = Path(sys.argv[0]).name, sys.argv[1:]
    if words[:1] == ["run"]:
        sys.exit(run(int(words[1])))
    sys.exit({"pjsub": pjsub, "pjstat": pjstat, "pjdel": pjdel}[command](*words))
