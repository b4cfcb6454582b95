"""The inputs of one task as data, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymatgen.core import Structure
from pymatgen.io.vasp import Incar, Kpoints, Poscar, PotcarSingle

from hibana.protocol.errors import CANNOT_WRITE

POSCAR_DIGITS = 16


@dataclass(frozen=True)
class Stage:
    """One VASP run of a task: a task has one, the hybrid step two in one directory.

    Parameters
    ----------
    name
        Functional of the stage.
    incar
        Every tag, as pymatgen writes it.
    kpoints
        KPOINTS; all stages of a task have the same.
    """

    name: str
    incar: dict[str, Any]
    kpoints: Kpoints


@dataclass(frozen=True)
class VaspInputs:
    """Inputs of one task.

    Parameters
    ----------
    stages
        What is run one after another in one directory.
    structure
        Cell of the run, sorted by electronegativity, without oxidation states.
    potcars
        Potentials in the order of the elements of ``structure``.
    """

    stages: tuple[Stage, ...]
    structure: Structure
    potcars: tuple[PotcarSingle, ...]

    @property
    def potcar_labels(self) -> tuple[str, ...]:
        """POTCAR labels, for instance ``Ga_d``."""
        return tuple(str(potcar.symbol) for potcar in self.potcars)

    @property
    def potcar_titles(self) -> tuple[str, ...]:
        """TITEL of each potential."""
        return tuple(str(potcar.TITEL) for potcar in self.potcars)

    def texts(self, *, all_incars: bool = False) -> dict[str, str]:
        """Contents of the input files by name.

        Parameters
        ----------
        all_incars
            Also those of later stages, as ``INCAR.<stage>``.
        """
        later = self.stages[1:] if all_incars else ()
        return {
            "POSCAR": Poscar(self.structure).get_str(significant_figures=POSCAR_DIGITS),
            "POTCAR": "\n".join(potcar.data.strip("\n") for potcar in self.potcars) + "\n",
            "KPOINTS": str(self.stages[0].kpoints),
            "INCAR": _incar_text(self.stages[0]),
            **{f"INCAR.{stage.name}": _incar_text(stage) for stage in later},
        }

    def write(self, directory: Path, *, all_incars: bool = False) -> None:
        """Write POSCAR and POTCAR, and INCAR and KPOINTS of the first stage.

        Parameters
        ----------
        directory
            Folder; made where it is missing.
        all_incars
            Also write the INCAR of later stages, as ``INCAR.<stage>``.

        Raises
        ------
        HibanaError
            HIB-040 if the folder cannot be made or written to.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, text in self.texts(all_incars=all_incars).items():
                (directory / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CANNOT_WRITE.error(f"{error.strerror or error}", where=directory) from error

    def stage_changes(self, index: int) -> list[dict[str, Any]]:
        """What has to be changed in the directory before stage ``index``, as custodian's ``settings_override``.

        Parameters
        ----------
        index
            Stage, from 0; the first needs no change.
        """
        if index == 0:
            return []
        before, now = self.stages[index - 1].incar, self.stages[index].incar
        changed = {tag: value for tag, value in now.items() if before.get(tag) != value}
        dropped = {tag: 1 for tag in before if tag not in now}
        actions = {name: tags for name, tags in (("_set", changed), ("_unset", dropped)) if tags}
        return [{"dict": "INCAR", "action": actions}] if actions else []


def _incar_text(stage: Stage) -> str:
    return f"{Incar(stage.incar).get_str(sort_keys=True, pretty=True)}\n"
