"""Whether there is a potential for each element that is submitted, as far as this machine can tell."""

from __future__ import annotations

from collections.abc import Iterable

from hibana.core.errors import HibanaError
from hibana.documents.spec import CalculatorName
from hibana.protocol.errors import NO_POTCAR_LIBRARY
from hibana.protocol.potcar import LIBRARY_VARIABLE, potcar_library, potcars
from hibana.protocol.protocol import Protocol
from hibana.vasp.calculator import TITEL_PREFIXES


class Potentials:
    """Looks for the POTCAR of each element once, for calculations with VASP; a login node may lack what the nodes have.

    Parameters
    ----------
    protocol
        Says which potentials are meant.
    calculator
        Code that has to answer; others than VASP are not looked at.
    """

    def __init__(self, protocol: Protocol, calculator: CalculatorName) -> None:
        self.protocol = protocol
        self.calculator = calculator
        self._seen: set[str] = set()

    def lacking(self, elements: Iterable[str]) -> dict[str, str]:
        """Elements that were not asked for before and have no potential of VASP here, each with what was found and where."""
        new = sorted(set(elements) - self._seen) if self.calculator == "vasp" else []
        self._seen.update(new)
        found = {element: self._problem(element) for element in new}
        return {element: problem for element, problem in found.items() if problem}

    def _problem(self, element: str) -> str:
        try:
            (potcar,) = potcars([element], self.protocol)
        except HibanaError as error:
            if error.kind is NO_POTCAR_LIBRARY:
                return f"no POTCAR library ({error.what}{f': {error.where}' if error.where else ''})"
            return f"{error.what}{f' ({error.where})' if error.where else ''}"
        titel = str(potcar.TITEL)
        if titel.partition(" ")[0] in TITEL_PREFIXES:
            return f"its potential is not VASP's but {titel!r}, in {potcar_library()} ({LIBRARY_VARIABLE})"
        return ""
