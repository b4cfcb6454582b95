"""What is not in a table: a candidate or a part of one, with a kind of reason and the reason in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LeftOutCode = Literal["flagged", "unavailable", "refused", "no_result", "unfinished", "not_submitted", "out_of_range"]

LEFT_OUT_MEANINGS: Mapping[LeftOutCode, str] = {
    "flagged": "has a result that fails an invariant or rests on a correction to know of",
    "out_of_range": "has a number outside the range of its column, which no calculation that went right gives",
    "unavailable": "was calculated, but the property the table is about has no value",
    "refused": "is refused by a rule of the protocol",
    "no_result": "its workflow ended without the property",
    "unfinished": "its workflow has not ended",
    "not_submitted": "was not submitted with this calculator and protocol, or for a flow without this property",
}


@dataclass(frozen=True)
class LeftOut:
    """A candidate without a row, or a part of one, and why.

    Parameters
    ----------
    material_id, formula
        Which candidate.
    code, reason
        Why, as a kind and in words.
    part
        Which part of it, in a table with a row for each; empty for the whole candidate.
    """

    material_id: str
    formula: str
    code: LeftOutCode
    reason: str
    part: str = ""
