from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import hibana
from hibana.cli.catalogue import ROOMS, as_markdown, catalogue, room_of
from hibana.cli.main import main

SOURCE = Path(hibana.__file__).parent
PAGE = SOURCE.parent.parent / "docs" / "errors.md"


def test_the_page_is_up_to_date() -> None:
    """Made anew in a process of its own, where no test has declared anything."""
    made = subprocess.run(
        [sys.executable, "-m", "hibana.cli", "errors", "--markdown"], capture_output=True, text=True, check=True
    ).stdout
    assert PAGE.read_text(encoding="utf-8") == made, "run: hibana errors --markdown > docs/errors.md"


def declared() -> dict[int, str]:
    """Number to file of every ``declare(NUMBER, ...)`` in the source, and of the rehearsal engine's own table."""
    found: dict[int, str] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "declare":
                found[node.args[0].value] = str(path.relative_to(SOURCE))
    return found


def test_every_declared_error_is_in_the_catalogue_and_in_its_rooms_range() -> None:
    listed = {entry.number for entry in catalogue()}
    for number, path in declared().items():
        room, file = path.split("/", 1)
        assert file == "errors.py" or room == "cli", f"{path} declares an error outside of errors.py"
        assert number in ROOMS[room]
        assert number in listed


def test_the_rehearsal_engines_errors_are_in_the_catalogue() -> None:
    entries = [entry for entry in catalogue() if entry.room == "rehearsal"]
    assert {entry.number for entry in entries} <= set(range(180, 210))
    assert any("cannot honour" in entry.title for entry in entries)


def test_ranges_do_not_overlap() -> None:
    numbers = [number for numbers in ROOMS.values() for number in numbers]
    assert len(numbers) == len(set(numbers))
    assert all(room_of(number) == room for room, numbers in ROOMS.items() for number in numbers)


def test_one_error_is_explained(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["errors", "131", "--json"])
    assert not stop.value.code
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["code"] == "HIB-131"
    assert entry["room"] == "tables"
    assert "--calculator" in entry["fix"]


def test_the_list_leaves_nothing_out(capsys) -> None:
    """What stands in brackets, as in ``pip install hibana[embedded]``, is no markup."""
    with pytest.raises(SystemExit):
        main(["errors"])
    out = capsys.readouterr().out
    assert all(entry.fix in out and entry.title in out for entry in catalogue())


def test_the_page_has_one_line_an_error() -> None:
    entries = catalogue()
    page = as_markdown(entries)
    assert all(page.count(f"| {entry.code} |") == 1 for entry in entries)
