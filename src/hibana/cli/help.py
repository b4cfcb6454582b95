"""Help texts: the lines of a docstring are no lines of the help."""

from __future__ import annotations

import inspect

import typer


def flow(app: typer.Typer) -> None:
    """Let every help text of an app and of the apps in it flow: a paragraph is broken where the terminal ends.

    Parameters
    ----------
    app
        With all its commands.
    """
    for command in app.registered_commands:
        if command.callback is not None:
            command.help = flowing(command.help or inspect.getdoc(command.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            flow(group.typer_instance)


def flowing(text: str) -> str:
    """A text with every paragraph on one line; lines of a list and lines that are indented stay lines."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines: list[str] = []
        for line in paragraph.splitlines():
            if lines and not line.startswith((" ", "- ")):
                lines[-1] += f" {line}"
            else:
                lines.append(line)
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)
