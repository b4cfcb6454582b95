"""All flows by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hibana.documents.candidate import CandidateDoc
from hibana.documents.spec import CalculatorName
from hibana.flows.branches import flow_label

if TYPE_CHECKING:
    from jobflow import Flow


@dataclass(frozen=True)
class FlowKind:
    """A flow with its branches.

    Parameters
    ----------
    label
        Name it is submitted under, for instance ``electronic`` or ``bulk:band+dielectric``.
    """

    label: str

    def make(self, candidate: CandidateDoc, protocol: str, calculator: CalculatorName) -> Flow:
        """The flow for one candidate, see :func:`hibana.flows.bulk.bulk_flow`."""
        from hibana.flows.bulk import bulk_flow

        return bulk_flow(candidate, protocol, calculator, self.label)


def find_flow(name: str, branches: Sequence[str] | None = None) -> FlowKind:
    """The flow of a name.

    Parameters
    ----------
    name
        ``electronic``, ``bulk`` or a label with branches.
    branches
        Branches chosen for ``bulk``; None for those it has by default.

    Raises
    ------
    HibanaError
        HIB-096, HIB-099 or HIB-100 if there is none.
    """
    return FlowKind(flow_label(name, branches))
