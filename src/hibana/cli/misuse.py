"""Mistakes in the words of a command line, which Typer finds, as numbered errors."""

from __future__ import annotations

import re
from collections.abc import Sequence

import typer

from hibana.core.errors import HibanaError, declare

MISUSED = declare(
    178,
    "the command cannot be understood",
    "`hibana VERB --help` shows what a command takes.",
)

UsageError = typer.BadParameter.__base__ or typer.BadParameter
"""Any mistake in the words of a command line; of this kind Typer exports only some by name."""


_PLAIN = {
    r"Input should be a valid integer,.*": "it is no whole number",
    r"Input should be a valid number,.*": "it is no number",
    r"Input should be (.*)": r"it should be \1",
    r"Value error, ": "",
}
"""Words of the library that reads the values, and what they mean."""


def misused(error: Exception, words: Sequence[str], groups: Sequence[str]) -> HibanaError | None:
    """The numbered error for a :data:`UsageError`; None where Typer has printed the help of a command without words.

    Parameters
    ----------
    error
        As Typer raised it.
    words
        The command line without the program's name.
    groups
        Names of the commands that have commands below them.
    """
    if type(error).__name__ == "NoArgsIsHelpError":
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else _command(words, groups)
    what = error.format_message() if hasattr(error, "format_message") else str(error)
    for words_of_library, plain in _PLAIN.items():
        what = re.sub(words_of_library, plain, what)
    return MISUSED.error(what.removesuffix("."), where=command, fix=f"`{command} --help` shows what it takes.")


def _command(words: Sequence[str], groups: Sequence[str]) -> str:
    """The command that a command line is about, as far as its words before the first option tell."""
    return " ".join(("hibana", *words[: 2 if words[:1] and words[0] in groups else 1]))
