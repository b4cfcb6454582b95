"""``hibana rebuild``: property documents built again from the runs in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hibana.cli.console import (
    CalculatorOption,
    JsonOption,
    LaunchpadOption,
    ProtocolVersionOption,
    errors,
    open_store,
    output,
    print_json,
)
from hibana.core.errors import declare

if TYPE_CHECKING:
    from packaging.version import Version

    from hibana.flows.rebuild import Rebuilt
    from hibana.protocol.protocol import Protocol

NO_VERSION = declare(166, "no version of hibana", "Give a version as `hibana --version` prints it, for instance 0.2.0.")


def rebuild(
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Only materials with a document built by a version below this one.")
    ] = None,
    material: Annotated[str | None, typer.Option("--material", "-m", help="Only this material_id or reduced formula.")] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", "-p", help="Only this protocol; the path of its file if it is one of your own.")
    ] = None,
    protocol_version: ProtocolVersionOption = None,
    calculator: CalculatorOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and store nothing.")] = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build property and material documents again from the stored runs; nothing is calculated.

    Use it after an update of hibana that reads more from a run, or checks more. It may be stopped and started again.

    Example: hibana rebuild --older-than 0.2.0 --dry-run
    """
    from hibana.flows.rebuild import rebuild as rebuild_one
    from hibana.flows.rebuild import targets
    from hibana.protocol.protocol import load_protocol

    limit = _version(older_than)
    store = open_store(launchpad)
    given = None if protocol is None else load_protocol(protocol)
    query: dict[str, Any] = {
        "protocol": None if given is None else given.name,
        "protocol_version": protocol_version,
        "calculator": calculator,
    }
    query = {name: value for name, value in query.items() if value is not None}
    if material is not None:
        from hibana.launch.naming import find_materials

        query["material_id"] = {"$in": find_materials(store, material)}
    find_protocol = _packaged if given is None else lambda _: given
    total = store.count("relaxation", query)
    done = (
        rebuild_one(store, target, find_protocol(target.protocol), older_than=limit, dry_run=dry_run)
        for target in targets(store, query)
    )
    report = _Report(dry_run=dry_run)
    for item in _shown(done, total, quiet=as_json):
        report.add(item, quiet=as_json)
    if as_json:
        print_json(report.as_dict())
    else:
        output().print(report.text(), markup=False)


@cache
def _packaged(name: str) -> Protocol | None:
    from hibana.protocol.protocol import load_protocol, protocol_names

    return load_protocol(name) if name in protocol_names() else None


def _version(text: str | None) -> Version | None:
    from packaging.version import InvalidVersion, Version

    try:
        return None if text is None else Version(text)
    except InvalidVersion as error:
        raise NO_VERSION.error(f"{text!r}") from error


class _Report:
    """Counts, and what people want to see of the rest."""

    def __init__(self, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.counts = {"rebuilt": 0, "current": 0, "left": 0}
        self.changed: list[dict[str, Any]] = []
        self.left: list[dict[str, Any]] = []

    def add(self, item: Rebuilt, *, quiet: bool) -> None:
        """Count a material, and print it where it changed or was left."""
        self.counts[item.state] += 1
        where = asdict(item.target)
        name = f"{item.target.material_id} ({item.target.calculator}, {item.target.protocol} {item.target.protocol_version})"
        if item.changed:
            self.changed.append({**where, "collections": item.changed})
            if not quiet:
                output().print(
                    f"{'would change' if self.dry_run else 'changed'}: {name}: {', '.join(item.changed)}", markup=False
                )
        if item.state == "left":
            self.left.append({**where, "reason": item.reason})
            if not quiet:
                errors().print(f"left as it is: {name}: {item.reason}", markup=False, style="yellow")

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"dry_run": self.dry_run, **self.counts, "changed": self.changed, "left_as_is": self.left}

    def text(self) -> str:
        """The end of the printed report."""
        verb = "would be rebuilt" if self.dry_run else "rebuilt"
        counts = self.counts
        return (
            f"{counts['rebuilt']} {verb}, {len(self.changed)} of them changed; {counts['current']} current, {counts['left']} left"
        )


def _shown(done: Iterable[Rebuilt], total: int, *, quiet: bool) -> Iterator[Rebuilt]:
    """The same with a progress bar on a terminal."""
    console = errors()
    if quiet or not console.is_terminal:
        yield from done
        return
    from rich.progress import track

    yield from track(done, "rebuilding", total=total, console=console, transient=True)
