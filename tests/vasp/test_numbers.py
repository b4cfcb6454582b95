"""Tables of numbers: every digit as printed, and nothing read that is not there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hibana.vasp.numbers import DamagedTableError, table


def xml(rows: list[str], tag: str = "r") -> bytes:
    return "".join(f"     <{tag}>{row}</{tag}>\n" for row in rows).encode()


@st.composite
def printed(draw):
    """Rows in a Fortran format, with the numbers they show."""
    columns, decimals, width = draw(st.integers(1, 6)), draw(st.integers(1, 8)), draw(st.integers(10, 16))
    largest = min(10.0 ** (width - decimals - 2), 1e6) * 0.99
    numbers = st.floats(-largest, largest, allow_nan=False)
    rows = draw(st.lists(st.lists(numbers, min_size=columns, max_size=columns), min_size=1, max_size=5))
    return ["".join(f" {value:{width}.{decimals}f}" for value in row) + " " for row in rows]


@given(printed())
def test_every_number_is_the_double_nearest_to_its_print(rows):
    expected = [[float(word) for word in row.split()] for row in rows]
    np.testing.assert_array_equal(table(xml(rows), (len(rows), -1)), expected)
    np.testing.assert_array_equal(table(xml(rows, "v"), (len(rows), -1)), expected)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["  1.0000  -.5000", "  2.0000  0.2500"], [[1.0, -0.5], [2.0, 0.25]]),
        (["  1.0000", " 22.00000"], [[1.0], [22.0]]),
        (["  0.1E-02  3.0000", "  0.5000  4.0000"], [[0.001, 3.0], [0.5, 4.0]]),
        (["  1   2", "  3   4"], [[1, 2], [3, 4]]),
        ([" ******** 1.0000", "   2.0000 3.0000"], [[np.nan, 1.0], [2.0, 3.0]]),
        (["     NaN  1.0000", "  2.0000  3.0000"], [[np.nan, 1.0], [2.0, 3.0]]),
        (["  2.0000  3.0000", "     NaN  1.0000"], [[2.0, 3.0], [np.nan, 1.0]]),
        (["  1.0000  2.0000 ", "  3.0000  2.00001"], [[1.0, 2.0], [3.0, 2.00001]]),
        (["-12345678901234.5000 "], [[-12345678901234.5]]),
    ],
)
def test_other_ways_of_printing(rows, expected):
    np.testing.assert_array_equal(table(xml(rows), (len(rows), -1)), expected)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        ["  1.0000  2.0000", "  3.0000"],
        ["  1.0000  2.0000", "  3.0000     abc"],
        ["  1.0000  2.0000", "  3.0000  1-0000"],
        ["  1.0000  2.0000", "  3.0000  1.0 00"],
        ["  1.0000  2.0000", "  3.0000 --1.000"],
        ["  1.0000  2.0000", "  3.0000 1 2.000"],
        ["  1.0000  2.0000", "  3.0000- 1.0000"],
    ],
)
def test_what_is_no_table_is_an_error(rows):
    with pytest.raises(DamagedTableError):
        table(xml(rows), (2, 2))


def test_a_wrong_number_of_rows_is_an_error():
    with pytest.raises(DamagedTableError):
        table(xml(["  1.0000  2.0000"] * 3), (2, 2))
