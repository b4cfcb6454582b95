"""FireWorks' queue adapter for Fujitsu's job operation software (``pjsub``), for instance on Fugaku.

In ``my_qadapter.yaml``::

    _fw_name: '{{hibana.launch.pjm.PJMAdapter}}'
    _fw_template_file: /home/me/fw_config/PJM_template.txt     # optional

The other keys are those of the template.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from fireworks.queue.queue_adapter import QueueAdapterBase

from hibana.launch.errors import PJM_REFUSED
from hibana.launch.schedulers import Pjm
from hibana.launch.sites import PJM_TEMPLATE

TEMPLATE_KEY = "_fw_template_file"

SUBMIT_COMMAND = "pjsub"
SUBMIT_SECONDS = 120

_SUBMITTED = re.compile(r"pjsub Job (\d+)")


class PJMAdapter(QueueAdapterBase):  # type: ignore[misc]
    """Submits with ``pjsub`` and counts with ``pjstat``."""

    _fw_name = "{{hibana.launch.pjm.PJMAdapter}}"
    q_name = "PJM"
    submit_cmd = SUBMIT_COMMAND

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(None, *args, **kwargs)
        self.template_file = str(Path(self.get(TEMPLATE_KEY) or PJM_TEMPLATE).absolute())

    def get_script_str(self, launch_dir: str) -> str:
        """The job script; see :meth:`fireworks.queue.queue_adapter.QueueAdapterBase.get_script_str`."""
        script: str = super().get_script_str(launch_dir)
        return script

    def submit_to_queue(self, script_file: str) -> str:
        """Submit a job script; returns the job's number.

        Raises
        ------
        HibanaError
            HIB-240 if pjsub is missing, refuses the job, or says no number.
        """
        try:
            done = subprocess.run(
                [self.submit_cmd, script_file], capture_output=True, text=True, check=False, timeout=SUBMIT_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PJM_REFUSED.error(f"{self.submit_cmd} cannot be run: {error}", where=script_file) from error
        said = f"{done.stdout}\n{done.stderr}".strip()
        found = _SUBMITTED.search(said)
        if done.returncode != 0 or found is None:
            raise PJM_REFUSED.error(said[-400:] or f"it ended with status {done.returncode}", where=script_file)
        return found[1]

    def get_njobs_in_queue(self, username: str | None = None) -> int | None:  # noqa: ARG002 - pjstat shows the own jobs
        """Number of the user's jobs that wait or run; None, and FireWorks asks again, if pjstat does not answer."""
        listed = Pjm().listing()
        return None if listed is None else sum(state != "gone" for state in listed.values())
