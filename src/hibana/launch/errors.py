"""Kinds of error of the FireWorks edge."""

from __future__ import annotations

from hibana.core.errors import declare

NO_LAUNCHPAD_IN_TASK = declare(
    110,
    "the Firetask does not know its launchpad",
    "Set `_add_launchpad_and_fw_id: true` in the spec of the Firework, as workflows/demo.yaml does.",
)
NO_STRUCTURES = declare(
    111,
    "the structures of the campaign are not there",
    "Give an absolute path, or start rlaunch in the folder that the path is relative to.",
)
BAD_CAMPAIGN = declare(
    112,
    "the campaign cannot be read",
    "Compare the YAML file with workflows/bulk.yaml: structures, flow, branches, protocol and calculator.",
)
BAD_WORKER = declare(
    113,
    "the worker file cannot be used",
    "Compare it with fw_config/local/my_fworker.yaml; env holds vasp_cmd, cores and walltime (seconds).",
)
NO_SUCH_MATERIAL = declare(
    114,
    "no such material in the store",
    "Give a material_id, or a formula that was submitted; hibana query '{}' --collection candidates lists them.",
)
NOTHING_TO_SUBMIT = declare(
    115,
    "no structure could be submitted",
    "Mend the files that the messages above name.",
)
UNKNOWN_CALCULATOR = declare(
    116,
    "no such calculator",
    "Choose vasp or gpaw-rehearsal: the code that the workers' vasp_cmd starts.",
)
LAUNCHERS_DIE = declare(
    117,
    "launchers end by themselves again and again",
    "Read the end of the log named; mend the machine or the installation, then start hibana run again.",
)
UNWRITABLE_LAUNCHES = declare(
    118,
    "the folder of the launches cannot be written",
    "Choose another with --directory, or mend the permissions or the free space of this one.",
)
