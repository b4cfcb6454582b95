"""What a new user mistypes: a numbered error that names what is meant, in plain words, before anything is done."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from hibana.cli.help import flowing
from hibana.cli.main import main


@pytest.fixture
def hibana(monkeypatch, capsys):
    """Runs one command line; gives exit code, standard output, standard error."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture
def stored(launchpad_file, monkeypatch, hibana):
    """The same on a real server."""
    monkeypatch.setenv("HIBANA_LAUNCHPAD", str(launchpad_file))
    return hibana


@pytest.mark.parametrize(
    ("words", "where", "said"),
    [
        (["submit", "x.cif", "--flo", "bulk"], "hibana submit", "--flow"),
        (["submit", "x.cif"], "hibana submit", "--flow"),
        (["sumbit"], "hibana", "submit"),
        (["run", "--workers", "many"], "hibana run", "no whole number"),
        (["run", "--workers", "0"], "hibana run", "--workers"),
        (["status", "--by", "colour"], "hibana status", "'step'"),
        (["learn", "regres"], "hibana learn", "regress"),
        (["priority", "MgO"], "hibana priority", "--set 10"),
        (["priority", "--set", "3"], "hibana priority", "MATERIALS"),
        (["run", "--cores", "few"], "hibana run", "--cores"),
    ],
)
def test_words_of_a_command_have_a_number_too(hibana, words, where, said):
    code, out, err = hibana(*words)
    assert (code, out) == (2, "")
    assert err.startswith("HIB-178 ")
    assert said in err
    assert f"where: {where}\n" in err
    assert f"`{where} --help`" in err
    assert not any(word in err for word in ("Value error", "Input should", "Traceback"))
    code, out, _ = hibana(*words, "--json")
    assert code == 2
    assert json.loads(out)["error"]["where"] == where


def test_a_command_without_words_shows_its_help(hibana):
    code, out, err = hibana("learn")
    assert code == 2
    assert "regress" in out + err
    assert "HIB-" not in out + err


def test_the_lines_of_a_help_text_are_those_of_the_terminal(hibana, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    _, out, _ = hibana("doctor", "--help")
    lines = [line.strip() for line in out.splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith("Looks at"))
    paragraph = lines[start : lines.index("", start)]
    assert all(len(line) + len(following.split()[0]) > 90 for line, following in pairwise(paragraph))


def test_paragraphs_flow_and_lists_do_not():
    text = """First line
    goes on.

    Another
    one:
    - a
    - b
      still b
    """
    assert flowing(text) == "First line goes on.\n\nAnother one:\n- a\n- b\n  still b"


def test_a_misspelt_field_of_a_query(campaign, stored):
    campaign.complete("MgO")
    code, out, err = stored("query", "--fields", "formula,band_gap_pbsol")
    assert (code, out) == (2, "")
    assert err.startswith("HIB-078 ")
    assert "band_gap_pbesol" in err.partition("mend:")[2]
    code, _, err = stored("query", "--collection", "candidates", "--fields", "submissions.flw")
    assert "submissions.flow" in err.partition("mend:")[2]


def test_a_misspelt_field_of_a_filter_is_told_with_what_is_near(stored):
    code, out, err = stored("query", '{"formulla": "MgO"}')
    assert (code, out) == (2, "")
    assert err.startswith("HIB-078")
    assert "formula" in err.splitlines()[-1]
    assert stored("query", '{"reasons.band": "no"}')[0] == 0


def test_fields_that_are_there_or_could_be(campaign, stored):
    campaign.complete("MgO", band_gap_hse06_nsc=None)
    code, out, _ = stored("query", "--fields", "formula,band_gap_hse06_nsc")
    assert code == 0
    assert out.splitlines()[1].split() == ["MgO", "-"]
    code, out, _ = stored("query", "--collection", "candidates", "--fields", "formula,submissions.flow,crystal.lattice")
    assert code == 0
    assert "['electronic']" in out
    assert stored("query", "--collection", "dielectric", "--fields", "anything")[0] == 0


@pytest.mark.parametrize("words", [["vacancies", "Qq"], ["why", "Qq"], ["priority", "Qq", "--set", "1"]])
def test_a_material_that_is_not_there(campaign, stored, words):
    campaign.complete("MgO")
    code, _, err = stored(*words)
    assert code == 2
    assert err.startswith("HIB-114 ")


def test_a_material_without_vacancies(campaign, stored):
    campaign.complete("MgO")
    code, _, err = stored("vacancies", "MgO")
    assert code == 2
    assert err.startswith("HIB-167 ")
