"""All flows by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hibana.documents.candidate import CandidateDoc
from hibana.documents.spec import CalculatorName
from hibana.flows.errors import UNKNOWN_FLOW

if TYPE_CHECKING:
    from jobflow import Flow

MakeFlow = Callable[[CandidateDoc, str, CalculatorName], "Flow"]

FLOW_NAMES = ("electronic",)


def find_flow(name: str) -> MakeFlow:
    """What makes the flow of a name for (candidate, protocol, calculator).

    Raises
    ------
    HibanaError
        HIB-096 if there is none.
    """
    if name not in FLOW_NAMES:
        raise UNKNOWN_FLOW.error(f"{name!r}; there are: {', '.join(FLOW_NAMES)}")
    from hibana.flows.electronic import electronic_flow

    return {"electronic": electronic_flow}[name]
