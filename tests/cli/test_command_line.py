from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hibana import __version__
from hibana.cli.main import VERBS, main

HEAVY = {"numpy", "pymatgen", "vise", "pymongo", "fireworks", "jobflow", "custodian", "matplotlib", "pyarrow", "pydantic", "gpaw"}
COMMANDS = [verb.__name__ for verbs in VERBS.values() for verb in verbs] + ["rebuild", "errors"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command line."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_nothing_heavy_is_imported_for_the_help() -> None:
    code = "import sys, hibana.cli.main; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_help_lists_every_verb(capsys) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f" {name} " in out for name in [*COMMANDS, "store"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_verb_shows_an_example(capsys, command: str) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"hibana {command}" in " ".join(out.split()).partition("Example")[2]


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_the_store_verbs_show_examples(capsys, command: str) -> None:
    code, out, _ = run(capsys, "store", command, "--help")
    assert code == 0
    assert f"hibana store {command}" in " ".join(out.split()).partition("Example")[2]


def test_version(capsys) -> None:
    assert run(capsys, "--version") == (0, f"hibana {__version__}\n", "")


def test_a_mistake_is_a_message_and_exit_code_2(capsys) -> None:
    code, out, err = run(capsys, "errors", "HIB-999")
    assert code == 2
    assert out == ""
    assert err.startswith("HIB-160 no error has this number: HIB-999")
    assert "mend:" in err
    assert "Traceback" not in err


def test_a_script_gets_the_mistake_as_json(capsys) -> None:
    code, out, err = run(capsys, "errors", "nonsense", "--json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "HIB-160"
    assert "HIB-160" in err


def test_an_unknown_verb_or_option_is_a_usage_error(capsys) -> None:
    assert run(capsys, "fly")[0] == 2
    assert run(capsys, "errors", "--fly")[0] == 2


def test_a_bug_keeps_its_traceback(monkeypatch) -> None:
    monkeypatch.setattr("hibana.cli.catalogue.catalogue", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["errors"])
