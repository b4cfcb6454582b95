"""Text files that never appear half-written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hibana.rehearsal.result import Floats


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never a part.

    Parameters
    ----------
    path
        The file.
    text
        Its whole content.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def rows(template: str, numbers: Floats | Iterable[Iterable[float]]) -> str:
    """One line for each row of numbers.

    Parameters
    ----------
    template
        ``%``-format of one row with as many fields as there are columns, with its line end.
    numbers
        (n, columns).
    """
    table = numbers.tolist() if hasattr(numbers, "tolist") else numbers
    return "".join([template % tuple(row) for row in table])


def fitted(value: float, width: int, decimals: int) -> str:
    """A number in exactly ``width`` characters, a blank or the minus sign first, with fewer decimals where it must.

    Raises
    ------
    ValueError
        If not even its integer part fits.
    """
    for places in range(decimals, -1, -1):
        text = f"{value:{width}.{places}f}"
        if len(text) == width and text[0] in " -":
            return text
    raise ValueError(f"{value} does not fit into {width} characters")
