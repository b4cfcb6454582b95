"""Content addresses do not depend on key order or process and differ when the value does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hibana.core.address import canonical_json, content_address

scalars = st.none() | st.booleans() | st.integers() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


def shuffled(value):
    """The same value with every mapping's keys in reverse order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    if isinstance(value, list):
        return [shuffled(item) for item in value]
    return value


@given(values)
def test_key_order_does_not_matter(value):
    assert content_address(value) == content_address(shuffled(value))


@given(values, values)
def test_equal_addresses_mean_equal_values(one, other):
    assert (canonical_json(one) == canonical_json(other)) == (content_address(one) == content_address(other))


def test_a_boolean_is_not_a_number():
    assert content_address({"a": True}) != content_address({"a": 1})


@pytest.mark.parametrize("value", [1.0, {"a": [0.5]}, {1: "a"}, b"bytes", {"a": {3}}])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(TypeError):
        content_address(value)


def test_another_process_gives_the_same_address():
    value = {"b": [1, 2, {"z": None, "a": "é"}], "a": True}
    code = f"from hibana.core.address import content_address; print(content_address({value!r}))"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert out.stdout.strip() == content_address(value)
