"""The database: does it answer, may we write, is it the right kind, do the clocks agree."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import WriteConcern
from pymongo.errors import PyMongoError

from hibana.launch.doctor.check import Check, failed, ok, warning
from hibana.launch.errors import CLOCKS_DIFFER, UNFIT_DATABASE

if TYPE_CHECKING:
    from pymongo.database import Database

RECORDS = "doctor"
"""Collection of what compute nodes said of themselves."""

EMBEDDED_KEY = "secantusVersion"
OLDEST_MONGODB = (4, 4)

CLOCK_WARNING, CLOCK_FAILURE = 2.0, 30.0
"""Differences of the clocks, s: of several runs the younger may look older; leases of live runs may look expired."""


def check_database(database: Database[dict[str, Any]], place: str) -> list[Check]:
    """Look at a database that answers.

    Parameters
    ----------
    database
        The database.
    place
        Where it is, for messages.
    """
    return [_server(database, place), _writable(database, place), _initialised(database), check_clock(database, place)]


def _server(database: Database[dict[str, Any]], place: str) -> Check:
    name = "database"
    try:
        build = database.client.admin.command("buildInfo")
    except PyMongoError as error:
        return failed(name, UNFIT_DATABASE.error(f"it does not say what it is: {error}", where=place))
    if EMBEDDED_KEY in build:
        what = (
            f"embedded server {build[EMBEDDED_KEY]}: good for one machine, some 20,000 fireworks and four launchers. Two stock "
            "FireWorks commands at once can be given the same id there (its findAndModify returns old images)"
        )
        fix = "Use `hibana run`, `hibana submit` and one stock command at a time; for a cluster use a MongoDB server."
        return warning(name, UNFIT_DATABASE.error(what, where=place, fix=fix))
    version = tuple(build.get("versionArray", ())[:2])
    if version < OLDEST_MONGODB:
        what = f"MongoDB {build.get('version')} is older than {'.'.join(map(str, OLDEST_MONGODB))}"
        return failed(name, UNFIT_DATABASE.error(what, where=place, fix="Use a newer server."))
    return ok(name, f"MongoDB {build.get('version')} at {place}")


def _writable(database: Database[dict[str, Any]], place: str) -> Check:
    name, key = "writing", f"probe-{uuid.uuid4()}"
    collection = database[RECORDS]
    if database.write_concern == WriteConcern(w=0):
        what = "the write concern is 0: what is lost on the way is never noticed"
        return failed(name, UNFIT_DATABASE.error(what, where=place))
    try:
        collection.insert_one({"_id": key, "n": 0})
        after = collection.find_one_and_update({"_id": key}, {"$inc": {"n": 1}}, return_document=True)
        collection.delete_one({"_id": key})
    except PyMongoError as error:
        return failed(name, UNFIT_DATABASE.error(str(error), where=place))
    if after is None or after["n"] != 1:
        return failed(name, UNFIT_DATABASE.error("what was written did not come back", where=place))
    return ok(name, f"may write, write concern {database.write_concern.document or 'of the server'}")


def _initialised(database: Database[dict[str, Any]]) -> Check:
    name = "launchpad"
    if database["fw_id_assigner"].find_one({}) is None:
        what = "FireWorks has never been used with this database: stock commands stop until it is initialised"
        fix = "`lpad reset` with this launchpad file, once; hibana's own commands do it themselves."
        return warning(name, UNFIT_DATABASE.error(what, fix=fix))
    count = database["fireworks"].estimated_document_count()
    return ok(name, f"{count} fireworks, {database['candidates'].estimated_document_count()} candidates")


def check_clock(database: Database[dict[str, Any]], place: str) -> Check:
    """Compare this machine's clock with the server's."""
    name = "clock"
    before = datetime.now(UTC)
    answer: Mapping[str, Any] = database.client.admin.command("hello")
    after = datetime.now(UTC)
    theirs = answer.get("localTime")
    if theirs is None:
        return Check(name, "skipped", "the server does not tell its time")
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    # the server's time lies between the two: only what is outside of that span is certainly a difference
    ahead, behind = (before - theirs).total_seconds(), (theirs - after).total_seconds()
    difference = max(ahead, behind, 0.0)
    if difference <= CLOCK_WARNING:
        return ok(name, f"agrees with the server's within {max(difference, (after - before).total_seconds()):.2f} s")
    what = f"this machine is {difference:.1f} s {'ahead' if ahead > behind else 'behind'}"
    return (failed if difference > CLOCK_FAILURE else warning)(name, CLOCKS_DIFFER.error(what, where=place))
