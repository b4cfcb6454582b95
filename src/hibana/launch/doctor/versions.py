"""Versions on the login node and on compute nodes: workers write theirs to the database, others compare."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hibana import __version__
from hibana.launch.doctor.check import Check, failed, ok, skipped, warning
from hibana.launch.doctor.database import RECORDS
from hibana.launch.errors import OTHER_VERSIONS

if TYPE_CHECKING:
    from pymongo.database import Database

NAME = "versions"

PACKAGES = ("pymatgen", "vise", "pydefect", "phonopy", "spglib", "custodian", "jobflow", "fireworks")
"""What decides inputs, documents, or what a job can be read by."""

MINOR = ("python",)
"""What may differ without harm, mostly."""


def versions_here(protocol_digest: str, potcar_digest: str | None) -> dict[str, str]:
    """Versions of this machine, with digests of the protocol and of the potentials."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    python = ".".join(platform.python_version_tuple()[:2])
    digests = {"protocol": protocol_digest[:16]} | ({"potentials": potcar_digest} if potcar_digest else {})
    return {"hibana": __version__, "python": python, **packages, **digests}


def record(database: Database[dict[str, Any]], worker: str, versions: Mapping[str, str], checks: Sequence[Check]) -> None:
    """Write what this machine has, and what was found on it, under the name of its worker."""
    document = {
        "_id": worker,
        "host": socket.gethostname(),
        "architecture": platform.machine(),
        "time": datetime.now(UTC),
        "versions": dict(versions),
        "failed": [check.as_dict() for check in checks if check.state == "failed"],
    }
    database[RECORDS].replace_one({"_id": worker}, document, upsert=True)


def check_versions(database: Database[dict[str, Any]], versions: Mapping[str, str], *, has_queue: bool) -> list[Check]:
    """Compare this machine with every worker that has recorded itself."""
    records = list(database[RECORDS].find({"versions": {"$exists": True}}))
    if not records:
        if not has_queue:
            return [skipped(NAME, "runs are started on this machine")]
        what = "no compute node has said what it has"
        fix = "Run `hibana doctor --record` once in a job, with the pre_rocket of my_qadapter.yaml."
        return [warning(NAME, OTHER_VERSIONS.error(what, fix=fix))]
    return [check for found in records for check in _compared(found, versions)]


def _compared(found: Mapping[str, Any], versions: Mapping[str, str]) -> list[Check]:
    where = f"worker {found['_id']} on {found['host']}, {found['time']:%Y-%m-%d %H:%M} UTC"
    theirs = found["versions"]
    other = {
        name: f"{name} {versions[name]} here, {theirs[name]} there"
        for name in versions
        if name in theirs and theirs[name] != versions[name]
    }
    checks = []
    if grave := [text for name, text in other.items() if name not in MINOR]:
        checks.append(failed(NAME, OTHER_VERSIONS.error("; ".join(grave), where=where)))
    if light := [text for name, text in other.items() if name in MINOR]:
        checks.append(warning(NAME, OTHER_VERSIONS.error("; ".join(light), where=where)))
    for trouble in found.get("failed", ()):
        what = f"{trouble['name']} failed there: {trouble['code']} {trouble['what']}"
        checks.append(failed(NAME, OTHER_VERSIONS.error(what, where=where, fix=trouble["fix"])))
    return checks or [ok(NAME, f"the same as {where}")]
