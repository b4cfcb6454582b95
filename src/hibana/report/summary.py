"""The results at a glance: one line a material and series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hibana.documents.dielectric import DielectricDoc
from hibana.documents.properties import ElectronicDoc, PropertyDoc, RelaxationDoc
from hibana.tables.reading import joined

if TYPE_CHECKING:
    from hibana.store.store import Store

MISSING = "–"

HEADINGS = ("formula", "space group", "lattice", "PBEsol gap", "HSE06 gap", "dd-hybrid gap", "ε∞", "ε0", "material_id")
"""What :meth:`Line.cells` gives, in its order."""

OPTIONAL = ("dd-hybrid gap", "ε∞", "ε0")
"""Headings that are shown only where a line has a value under them."""


@dataclass(frozen=True)
class Line:
    """What is known of one material in one series; lengths in Å, angles in degrees, energies in eV."""

    material_id: str
    formula: str
    space_group_symbol: str | None
    space_group_number: int | None
    lattice: tuple[float, float, float, float, float, float] | None
    gap_class: str
    band_gap_pbesol: float | None
    is_gap_direct: bool | None
    band_gap_hse06_nsc: float | None
    band_gap_ddh_nsc: float | None
    epsilon_electronic_average: float | None
    epsilon_static_average: float | None
    status: str
    reason: str | None
    flags: tuple[str, ...]
    calculator: str
    protocol: str
    protocol_version: int
    addresses: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The line as plain data."""
        return asdict(self)

    @property
    def series(self) -> str:
        """Where the numbers come from, in words."""
        return f"{self.calculator}, protocol {self.protocol} version {self.protocol_version}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Flags, and why something is missing."""
        return (*self.flags, *([self.reason] if self.reason else []))

    def cells(self) -> tuple[str, ...]:
        """The line as text, under :data:`HEADINGS`."""
        space_group = f"{self.space_group_symbol} ({self.space_group_number})" if self.space_group_symbol else MISSING
        numbers = (self.band_gap_hse06_nsc, self.band_gap_ddh_nsc, self.epsilon_electronic_average, self.epsilon_static_average)
        texts = [MISSING if number is None else f"{number:.2f}" for number in numbers]
        lattice = MISSING if self.lattice is None else lattice_text(*self.lattice)
        return self.formula, space_group, lattice, self._gap(), *texts, self.material_id

    def _gap(self) -> str:
        if self.gap_class == "metal":
            return "metal"
        if self.band_gap_pbesol is None:
            return MISSING
        kind = {True: " direct", False: " indirect", None: ""}[self.is_gap_direct]
        return f"{self.band_gap_pbesol:.2f}{kind}"


def summarise(
    store: Store, *, protocol: str | None = None, protocol_version: int | None = None, calculator: str | None = None
) -> list[Line]:
    """One line a material and series, sorted by series and formula; None leaves a choice open.

    Parameters
    ----------
    store
        Where the property documents are.
    protocol, protocol_version, calculator
        Which series to show; default: all, one line each.
    """
    lines = _lines(store, {"protocol": protocol, "protocol_version": protocol_version, "calculator": calculator})
    return sorted(lines, key=lambda line: (line.series, line.formula, line.material_id))


def lattice_text(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> str:
    """Lattice parameters as people write them: only those the others do not fix.

    >>> lattice_text(3.24, 3.24, 5.24, 90, 90, 120)
    'a 3.240 c 5.240'
    """
    same = 5e-4
    parts = [f"a {a:.3f}"]
    if abs(b - a) >= same:
        parts.append(f"b {b:.3f}")
    if abs(c - a) >= same:
        parts.append(f"c {c:.3f}")
    usual = ((90.0,), (90.0,), (90.0, 120.0))
    for name, angle, values in zip("αβγ", (alpha, beta, gamma), usual, strict=True):
        if min(abs(angle - value) for value in values) >= 0.005:
            parts.append(f"{name} {angle:.2f}")
    return " ".join(parts)


def shown_headings(lines: Sequence[Line]) -> list[int]:
    """Positions in :data:`HEADINGS` of what is shown of some lines."""
    cells = [line.cells() for line in lines]
    return [
        place
        for place, heading in enumerate(HEADINGS)
        if heading not in OPTIONAL or any(texts[place] != MISSING for texts in cells)
    ]


def _lines(store: Store, chosen: dict[str, Any]) -> Iterator[Line]:
    key = {name: value for name, value in chosen.items() if value is not None}
    for documents in joined(store, (RelaxationDoc, ElectronicDoc, DielectricDoc), key):
        relaxation, electronic, dielectric = (documents.get(kind) for kind in (RelaxationDoc, ElectronicDoc, DielectricDoc))
        if isinstance(electronic, ElectronicDoc):
            yield _line(
                relaxation if isinstance(relaxation, RelaxationDoc) else None,
                electronic,
                dielectric if isinstance(dielectric, DielectricDoc) else None,
            )


def _line(relaxation: RelaxationDoc | None, electronic: ElectronicDoc, dielectric: DielectricDoc | None) -> Line:
    lattice = None
    if relaxation is not None:
        numbers = tuple(getattr(relaxation, name) for name in ("a", "b", "c", "alpha", "beta", "gamma"))
        lattice = None if None in numbers else numbers
    parts: tuple[PropertyDoc, ...] = tuple(part for part in (relaxation, electronic, dielectric) if part is not None)
    return Line(
        material_id=electronic.material_id,
        formula=electronic.formula,
        space_group_symbol=relaxation.space_group_symbol if relaxation else None,
        space_group_number=relaxation.space_group_number if relaxation else None,
        lattice=lattice,
        gap_class=electronic.gap_class,
        band_gap_pbesol=electronic.band_gap_pbesol,
        is_gap_direct=electronic.is_gap_direct,
        band_gap_hse06_nsc=electronic.band_gap_hse06_nsc,
        band_gap_ddh_nsc=electronic.band_gap_ddh_nsc,
        epsilon_electronic_average=dielectric.epsilon_electronic_average if dielectric else None,
        epsilon_static_average=dielectric.epsilon_static_average if dielectric else None,
        status=electronic.status,
        reason=electronic.reason,
        flags=tuple(dict.fromkeys(flag for part in parts for flag in part.flags)),
        calculator=electronic.calculator,
        protocol=electronic.protocol,
        protocol_version=electronic.protocol_version,
        addresses={step: address for part in parts for step, address in part.addresses.items()},
    )
