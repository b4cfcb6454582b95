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
    "Choose vasp, gpaw-rehearsal or synthetic: what the workers' vasp_cmd starts.",
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
IMPOSSIBLE_REHEARSAL = declare(
    119,
    "this cannot be rehearsed",
    "Compare what was asked for with `hibana rehearse --help`.",
)
PJM_REFUSED = declare(
    240,
    "the job was not taken by pjsub",
    "Read what pjsub says; resource group, group, nodes and walltime are those of my_qadapter.yaml and resources.yaml.",
)
BAD_ANSWER = declare(
    241,
    "the site cannot be set up with this answer",
    "Give it with the option of that name; `hibana init --help` lists them.",
)
FILES_IN_THE_WAY = declare(
    242,
    "files of a site are there already",
    "Choose another --directory, or overwrite them with --force.",
)
UNFIT_DATABASE = declare(
    243,
    "the database is not fit for this use",
    "Ask for the role readWrite on this database; mend the write concern (w, journal) in the launchpad file.",
)
CLOCKS_DIFFER = declare(
    244,
    "the clocks of this machine and of the database differ",
    "Let the administrator start time synchronisation (chrony, ntpd): leases and pings are judged by the clock.",
)
CONFIG_TRAP = declare(
    245,
    "a setting of FireWorks does not say what it seems to",
    "Mend FW_config.yaml; `hibana init` writes one that is consistent.",
)
NO_CODE = declare(
    246,
    "the code that vasp_cmd names is not usable",
    "Mend env.vasp_cmd in the worker file, or the modules and PATH in pre_rocket of my_qadapter.yaml.",
)
BAD_QUEUE = declare(
    247,
    "the queue cannot be used as my_qadapter.yaml says",
    "Compare the file with the one that `hibana init` writes for this kind of site.",
)
BAD_FOLDER = declare(
    248,
    "the folder of the launches is not fit for runs",
    "Start in another folder (a scratch file system), or make space.",
)
OTHER_VERSIONS = declare(
    249,
    "this machine and the compute nodes do not have the same software",
    "Let both use the same environment: PATH in pre_rocket of my_qadapter.yaml names it.",
)
COUNTERS_NEWER = declare(
    122,
    "the counters are of a newer hibana",
    "Use the newer hibana for status and failures, or count anew with this one: hibana status --recount.",
)
COUNTERS_READ_ONLY = declare(
    123,
    "the counters may not be written",
    "Use an account that may write to the database; counting needs to note how far it is.",
)
NO_SUCH_CAUSE = declare(
    124,
    "no failure has this cause",
    "List all causes there are with `hibana failures`.",
)
BAD_REHEARSAL = declare(
    127,
    "the workflow file holds no campaign to rehearse",
    "Give a file with one CampaignTask, as workflows/demo.yaml is.",
)
NO_STAND_IN = declare(
    128,
    "the stand-in for VASP cannot be started",
    "Install hibana with its commands: hibana-vasp stands beside the Python that runs hibana.",
)
CORES_UNKNOWN = declare(
    250,
    "the number of cores is not known",
    "Say it: hibana run --cores N.",
)
BAD_SPOOL = declare(
    251,
    "the folder of the relay cannot be used",
    "Give a folder of your own that login and compute nodes see and that nobody else can write (chmod 700).",
)
NO_RELAY = declare(
    252,
    "no relay answers",
    "Start `hibana relay serve FOLDER` in a job of the queue, and give the same folder; see docs/packing.md.",
)
OFFLINE = declare(
    253,
    "jobs of hibana do not run in FireWorks' offline mode",
    "Run them where the database is reached: launchers on the login node and VASP on the compute nodes with `hibana relay`, or a "
    "forwarded port (docs/packing.md). Then lpad recover_offline, and lpad rerun_fws -i ID.",
)
