"""A scripted stand-in for the VASP executable, for tests of process handling only: it computes nothing.

``python fake_vasp.py [--first MODE] [--log FILE] [--then MODE] [--outputs FOLDER] [--pids FILE]``: the first start in a folder
behaves as ``--first`` says, later ones as ``--then``. Modes:

copy     copy the recorded outputs and end
log      print the log and end
stick    print the log and hang
deaf     print the log and hang with a child process, both deaf to SIGTERM
cut      write half of vasprun.xml, print the log to standard error and end with status 1
die      write half of vasprun.xml, print the log to standard error and end by SIGKILL
slow     wait four seconds, copy the recorded outputs and end
spoilt   copy the recorded outputs, print the log and end
crash    end with status 1 and say nothing
refuse   write an error with a number to standard error and end with status 2
stop     hang until STOPCAR is there, then copy the outputs and note the stop in OUTCAR
"""

from __future__ import annotations

import argparse
import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path.cwd()
COPIED = ("vasprun.xml", "OUTCAR", "OSZICAR", "CONTCAR", "vasp.out", "CHG", "CHGCAR", "AECCAR0", "AECCAR1", "AECCAR2")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", default="copy")
    parser.add_argument("--then", default="copy")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--outputs", type=Path)
    parser.add_argument("--pids", type=Path)
    arguments = parser.parse_args()
    starts = HERE / "starts.txt"
    count = len(starts.read_text().split()) if starts.exists() else 0
    with starts.open("a") as file:
        file.write(f"{count + 1}\n")
    (HERE / f"INCAR.start{count + 1}").write_bytes((HERE / "INCAR").read_bytes())
    note_pid(arguments.pids, os.getpid())
    {
        "copy": copy,
        "log": log,
        "stick": stick,
        "deaf": deaf,
        "cut": cut,
        "die": die,
        "slow": slow,
        "spoilt": spoilt,
        "crash": crash,
        "refuse": refuse,
        "stop": stop,
    }[arguments.then if count else arguments.first](arguments)


def note_pid(path: Path | None, pid: int) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(f"{pid}\n")


def copy(arguments: argparse.Namespace) -> None:
    for path in arguments.outputs.iterdir():
        if path.name.removesuffix(".gz") in COPIED:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if path.name == "vasp.out":
                print(data.decode(), flush=True)
            else:
                (HERE / path.name.removesuffix(".gz")).write_bytes(data)


def log(arguments: argparse.Namespace) -> None:
    print(arguments.log.read_text(), flush=True)


def stick(arguments: argparse.Namespace) -> None:
    log(arguments)
    time.sleep(300)


def deaf(arguments: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    note_pid(arguments.pids, child.pid)
    stick(arguments)


def half(arguments: argparse.Namespace) -> None:
    copy(arguments)
    data = (HERE / "vasprun.xml").read_bytes()
    (HERE / "vasprun.xml").write_bytes(data[: len(data) // 2])
    sys.stderr.write(arguments.log.read_text() if arguments.log else "")
    sys.stderr.flush()


def cut(arguments: argparse.Namespace) -> None:
    half(arguments)
    sys.exit(1)


def die(arguments: argparse.Namespace) -> None:
    half(arguments)
    os.kill(os.getpid(), signal.SIGKILL)


def slow(arguments: argparse.Namespace) -> None:
    time.sleep(4)
    copy(arguments)


def spoilt(arguments: argparse.Namespace) -> None:
    copy(arguments)
    log(arguments)


def crash(arguments: argparse.Namespace) -> None:
    sys.exit(1)


def refuse(_arguments: argparse.Namespace) -> None:
    sys.stderr.write("HIB-181 tag not honoured: LSORBIT\n")
    sys.exit(2)


def stop(arguments: argparse.Namespace) -> None:
    deadline = time.monotonic() + 60
    while not (HERE / "STOPCAR").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    copy(arguments)
    with (HERE / "OUTCAR").open("a") as file:
        file.write(" soft stop encountered!  aborting job ...\n")


main()
