"""Settings of a worker or a shell: environment variables with the prefix ``HIBANA_``, nothing hidden in other files.

FireWorks' own files keep their meaning: the launchpad file names the database, the fworker file's ``env`` names the
commands of a worker (``vasp_cmd``) and wins over the environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Parameters
    ----------
    launchpad_file
        ``HIBANA_LAUNCHPAD``: the FireWorks launchpad file that names the database; default ``my_launchpad.yaml`` in
        ``FW_CONFIG``'s folder or in the working directory.
    vasp_cmd
        ``HIBANA_VASP_CMD``: how VASP is started where the fworker file does not say so, for instance
        ``srun vasp_std``.
    store_dir
        ``HIBANA_STORE_DIR``: where the embedded server keeps its data; default ``hibana_store`` in the working
        directory.
    """

    launchpad_file: Path | None = None
    vasp_cmd: str | None = None
    store_dir: Path = Path("hibana_store")

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment of this process."""
        launchpad = os.environ.get("HIBANA_LAUNCHPAD")
        return cls(
            launchpad_file=Path(launchpad) if launchpad else None,
            vasp_cmd=os.environ.get("HIBANA_VASP_CMD") or None,
            store_dir=Path(os.environ.get("HIBANA_STORE_DIR") or "hibana_store"),
        )
