"""Kinds of error of jobs and flows."""

from __future__ import annotations

from hibana.core.errors import declare

NO_CONTEXT = declare(
    90,
    "no worker to calculate on",
    "Run the job through hibana run, rlaunch or qlaunch; in a script, run it inside `with use_context(RunContext(...))`.",
)
NO_VASP_COMMAND = declare(
    91,
    "the worker does not say how VASP is started",
    "Set vasp_cmd under env in my_fworker.yaml, for instance `vasp_cmd: srun vasp_std`, or set HIBANA_VASP_CMD.",
)
WRONG_CALCULATOR = declare(
    92,
    "another code answered than the one asked for",
    "Let the worker's vasp_cmd start the code that the workflow was submitted for (--calculator), then rerun the job: "
    "lpad rerun_fws. Nothing of this run was stored.",
)
PROTOCOL_CHANGED = declare(
    93,
    "the worker has another version of the protocol",
    "Install the hibana version the workflow was submitted with, or submit the structure again with the new version.",
)
LOST_LEASE = declare(
    94,
    "another run took over this calculation",
    "Nothing is lost: the job finds the other run's result when it is rerun (lpad rerun_fws).",
)
NO_ANSWER = declare(
    95,
    "the code did not do the calculation",
    "Look at std_err.txt and vasp.out in the folder; mend the command or the machine, then rerun the job: lpad rerun_fws.",
)
UNKNOWN_FLOW = declare(
    96,
    "no such flow",
    "Choose one of the flows that the message lists.",
)
NO_TIME_LEFT = declare(
    97,
    "the worker's walltime is used up",
    "Give rlaunch a --timeout below the walltime of my_fworker.yaml, so that it starts nothing at the end; then lpad rerun_fws.",
)
OTHER_FUNCTIONALS = declare(
    98,
    "the documents are for PBEsol, HSE06 and the dielectric-dependent hybrid",
    "Use a protocol with functional pbesol, hse06_nsc as hse with exchange_ratio 0.25 and ddh_nsc as pbe0 with exchange_ratio "
    "from_dielectric; its other numbers are free.",
)
UNKNOWN_BRANCH = declare(
    99,
    "no such branch of a flow",
    "Choose branches that the message lists; what a branch needs is added by itself.",
)
IMPOSSIBLE_BRANCHES = declare(
    100,
    "the branches cannot be chosen like this",
    "Name at least one branch of the flow bulk, with --branch or as `branches: [...]` of a campaign, or none for all it has.",
)
BAD_SYSTEM = declare(
    101,
    "no chemical system of competing phases",
    "Name the elements with the flow, `competing:Mg+O`, or as `branches: [Mg, O]` of a campaign with the flow competing.",
)
OUTSIDE_SYSTEM = declare(
    102,
    "the structure does not belong to the chemical system",
    "Add its elements to those of the flow, or leave the file out.",
)
BAD_RESOURCES = declare(
    103,
    "no table of resources",
    "Give a YAML list of rows with max_atoms ascending and the keys of the queue adapter, as in "
    "`- {max_atoms: 40, nodes: 1, ntasks_per_node: 32, walltime: '12:00:00'}`.",
)
CODE_DIED = declare(
    104,
    "the code died before its calculation was done",
    "Look at memory, at the node and at the end of vasp.out; then lpad rerun_fws. The run goes on from its last whole cell. "
    "Where it dies every time, give it more memory (fewer processes a node) or other cores.",
)
DISK_FULL = declare(
    105,
    "the disk of the run is full",
    "Make room or ask for more quota, then rerun the jobs: lpad rerun_fws. They go on from their last whole cell.",
)
