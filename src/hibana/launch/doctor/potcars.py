"""The POTCAR library: is it there, has it the protocol's potentials, and of which kind are they."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from hibana.core.errors import HibanaError
from hibana.launch.doctor.check import Check, failed, ok
from hibana.protocol.binding import potcar_labels_of_set
from hibana.protocol.errors import NO_POTCAR
from hibana.protocol.potcar import potcar_library, potcars
from hibana.protocol.protocol import Protocol
from hibana.vasp.calculator import TITEL_PREFIXES

NAME = "potentials"
WHOSE = {"vasp": "VASP's", "gpaw-rehearsal": "the rehearsal engine's", "synthetic": "synthetic (not VASP's)"}
"""What potentials are called that are for a code."""


@dataclass(frozen=True)
class Library:
    """What was read of the library.

    Parameters
    ----------
    titles
        TITEL by element.
    digest
        Digest of the potentials' contents, equal on two machines with the same potentials.
    """

    titles: dict[str, str]
    digest: str

    @property
    def calculator(self) -> str | None:
        """The code that they are for, ``vasp``, ``gpaw-rehearsal`` or ``synthetic``; None if there are none, or of several."""
        kinds = {TITEL_PREFIXES.get(title.partition(" ")[0], "vasp") for title in self.titles.values()}
        return kinds.pop() if len(kinds) == 1 else None


def check_potcars(protocol: Protocol, needed: Sequence[str]) -> tuple[list[Check], Library | None]:
    """Read every potential that the protocol names.

    Parameters
    ----------
    protocol
        The protocol.
    needed
        Elements that have to be there.
    """
    try:
        folder = potcar_library()
    except HibanaError as error:
        return [failed(NAME, error)], None
    titles: dict[str, str] = {}
    missing: list[tuple[str, HibanaError]] = []
    broken: list[tuple[str, HibanaError]] = []
    contents = hashlib.sha256()
    elements = sorted(element for element, label in _labels(protocol).items() if label)
    for element in elements:
        try:
            (potcar,) = potcars([element], protocol)
        except HibanaError as error:
            (missing if error.kind is NO_POTCAR else broken).append((element, error))
            continue
        titles[element] = str(potcar.TITEL)
        contents.update(f"{element} {potcar.TITEL} ".encode() + potcar.data.encode())
    checks = [failed(NAME, error) for _, error in broken]
    lacking = [element for element, _ in missing if element in needed] + [name for name in needed if name not in elements]
    if lacking:
        what = f"no potential of the protocol {protocol.name} for {', '.join(lacking)}"
        checks.append(failed(NAME, NO_POTCAR.error(what, where=folder)))
    if not titles:
        checks.append(failed(NAME, NO_POTCAR.error(f"it holds none of the family {protocol.potcar.family}", where=folder)))
    library = Library(titles, contents.hexdigest()[:16])
    if not checks:
        kind = WHOSE.get(library.calculator or "", "mixed")
        checks.append(ok(NAME, f"{len(titles)} of {len(elements)} elements of {protocol.name}, {kind}, in {folder}"))
    return checks, library


def _labels(protocol: Protocol) -> dict[str, str | None]:
    return {**potcar_labels_of_set(protocol.potcar.set), **protocol.potcar.overrides}
