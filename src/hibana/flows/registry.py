"""All flows by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hibana.documents.candidate import CandidateDoc
from hibana.documents.chemical_potentials import EnergyTable
from hibana.documents.spec import CalculatorName
from hibana.flows.branches import COMPETING, flow_label

if TYPE_CHECKING:
    from jobflow import Flow


@dataclass(frozen=True)
class FlowKind:
    """A flow with its branches.

    Parameters
    ----------
    label
        Name it is submitted under, for instance ``electronic``, ``bulk:band+dielectric`` or ``competing:Mg+O``.
    """

    label: str

    def make(
        self, candidate: CandidateDoc, protocol: str, calculator: CalculatorName, energies: EnergyTable | None = None
    ) -> Flow:
        """The flow for one candidate, of :mod:`hibana.flows.bulk` or :mod:`hibana.flows.competing`."""
        from hibana.flows.bulk import bulk_flow
        from hibana.flows.competing import competing_flow

        if self.is_competing:
            return competing_flow(candidate, protocol, calculator, self.label)
        return bulk_flow(candidate, protocol, calculator, self.label, energies)

    def check(self, candidate: CandidateDoc) -> None:
        """Refuse a candidate that the flow is not for.

        Raises
        ------
        HibanaError
            HIB-102 if it does not belong to the chemical system of competing phases.
        """
        from hibana.flows.competing import check_system

        if self.is_competing:
            check_system(candidate, self.label)

    @property
    def is_competing(self) -> bool:
        """Whether it is the flow of competing phases."""
        return self.label.partition(":")[0] == COMPETING


def find_flow(name: str, branches: Sequence[str] | None = None) -> FlowKind:
    """The flow of a name.

    Parameters
    ----------
    name
        ``electronic``, ``bulk``, ``competing`` or a label with branches.
    branches
        Branches chosen for ``bulk``; None for those it has by default. Of ``competing`` the elements of its system.

    Raises
    ------
    HibanaError
        HIB-096, HIB-099, HIB-100 or HIB-101 if there is none.
    """
    return FlowKind(flow_label(name, branches))
