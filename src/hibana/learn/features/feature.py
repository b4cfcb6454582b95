"""What is known of a feature besides its values."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Feature:
    """One entry of the dictionary of features.

    Parameters
    ----------
    name
        Name of the column.
    unit
        Unit; ``1`` for a pure number.
    meaning
        What it says, in words.
    source
        Publication that defines it, or ``hibana``.
    """

    name: str
    unit: str
    meaning: str
    source: str

    def as_dict(self) -> dict[str, str]:
        """The entry as it is written."""
        return asdict(self)
