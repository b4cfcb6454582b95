"""Numbered errors say what, where and how to mend it."""

from __future__ import annotations

import pickle

import pytest

from hibana.core.errors import KINDS, declare


@pytest.fixture
def kind():
    declared = declare(9, "a kind made for a test", "Do this.")
    yield declared
    del KINDS[9]


def test_message_has_number_what_where_and_fix(kind):
    text = str(kind.error("it is broken", where="file.cif"))
    assert text.splitlines() == ["HIB-009 a kind made for a test: it is broken", "  where: file.cif", "  mend:  Do this."]


def test_a_case_can_have_its_own_fix(kind):
    assert kind.error("x", fix="Do that.").as_dict()["fix"] == "Do that."


def test_a_number_is_declared_once(kind):
    assert declare(9, kind.title, kind.fix) == kind
    with pytest.raises(ValueError, match="HIB-009 is already declared"):
        declare(9, "another", "fix")


def test_an_error_survives_pickling(kind):
    error = kind.error("it is broken", where="here", fix="so")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
