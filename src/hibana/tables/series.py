"""The series of a table: one protocol, one version of it, one calculator. Numbers of two series are never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hibana.tables.errors import MIXED_SERIES, NOTHING_ASKED, UNKNOWN_SERIES


@dataclass(frozen=True, order=True)
class Series:
    """Key under which property documents may be pooled."""

    protocol: str
    protocol_version: int
    calculator: str

    def __str__(self) -> str:
        return f"{self.calculator}, protocol {self.protocol} version {self.protocol_version}"

    def as_dict(self) -> dict[str, Any]:
        """The three values by name; also the filter of the series' documents in the store."""
        return asdict(self)


def choose_series(
    there: Sequence[Series],
    *,
    protocol: str | None = None,
    protocol_version: int | None = None,
    calculator: str | None = None,
) -> Series:
    """The one series that a choice leaves.

    Parameters
    ----------
    there
        All series there are.
    protocol, protocol_version, calculator
        What was chosen; None leaves it open.

    Raises
    ------
    HibanaError
        If the choice leaves none or several.
    """
    chosen = {"protocol": protocol, "protocol_version": protocol_version, "calculator": calculator}
    asked = {name: value for name, value in chosen.items() if value is not None}
    listing = "; ".join(map(str, sorted(there)))
    left = [series for series in there if all(getattr(series, name) == value for name, value in asked.items())]
    if len(left) == 1:
        return left[0]
    if left:
        raise MIXED_SERIES.error(f"the store holds {'; '.join(map(str, sorted(left)))}", fix=_how_to_choose(left))
    if there:
        raise UNKNOWN_SERIES.error(f"asked for {', '.join(f'{k} {v}' for k, v in asked.items())}; there is: {listing}")
    raise NOTHING_ASKED.error("the store holds no result and no candidate that was submitted for this table")


def _how_to_choose(series: Sequence[Series]) -> str:
    options: dict[str, list[Any]] = {
        "--calculator": sorted({item.calculator for item in series}),
        "--protocol": sorted({item.protocol for item in series}),
        "--protocol-version": sorted({item.protocol_version for item in series}),
    }
    return "Choose with " + " and ".join(
        f"{option} {'|'.join(map(str, values))}" for option, values in options.items() if len(values) > 1
    )
