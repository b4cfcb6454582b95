"""Numbered errors that say what, where and how to mend it.

A room declares its kinds of error once, in its own ``errors.py``::

    EMPTY_FILE = declare(10, "no structure in the file", "Check that the file is complete.")

and raises them with ``raise EMPTY_FILE.error("the CIF has no data block", where=path)``. ``docs/errors.md`` is generated
from the kinds declared here, so a number means one thing for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS: dict[int, ErrorKind] = {}


@dataclass(frozen=True)
class ErrorKind:
    """One kind of error: its number, title and the usual way to mend it."""

    number: int
    title: str
    fix: str

    @property
    def code(self) -> str:
        """The number as users see it, ``HIB-042``."""
        return f"HIB-{self.number:03d}"

    def error(self, what: str, *, where: str | Path = "", fix: str | None = None) -> HibanaError:
        """Make the exception.

        Parameters
        ----------
        what
            What is wrong in this case.
        where
            File, document, host or option it is about.
        fix
            How to mend this case, where the usual advice of the kind is too general.
        """
        return HibanaError(self, what, str(where), fix)


class HibanaError(Exception):
    """A user-facing error of one :class:`ErrorKind`; the CLI prints it without a traceback and exits with 2."""

    def __init__(self, kind: ErrorKind, what: str, where: str = "", fix: str | None = None) -> None:
        super().__init__(kind, what, where, fix)
        self.kind = kind
        self.what = what
        self.where = where
        self.fix = fix or kind.fix

    def __str__(self) -> str:
        lines = [f"{self.kind.code} {self.kind.title}: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        lines.append(f"  mend:  {self.fix}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The error for ``--json`` output and for documents."""
        return {
            "code": self.kind.code,
            "title": self.kind.title,
            "what": self.what,
            "where": self.where,
            "fix": self.fix,
        }


def declare(number: int, title: str, fix: str) -> ErrorKind:
    """Declare a kind of error; a number can be declared once.

    Raises
    ------
    ValueError
        If the number is taken by another kind.
    """
    kind = ErrorKind(number, title, fix)
    if KINDS.setdefault(number, kind) != kind:
        raise ValueError(f"{kind.code} is already declared as {KINDS[number].title!r}")
    return kind
