"""Numbered errors of the store, HIB-070 to HIB-089."""

from __future__ import annotations

from hibana.core.errors import declare

STORE_DOWN = declare(
    70,
    "the database does not answer",
    "Start it (`hibana store up` for the embedded one) or mend host and port in the launchpad file.",
)
ACCESS_REFUSED = declare(
    71, "the database refuses the login", "Mend username, password and authsource in the launchpad file, or ask for the rights."
)
NO_LAUNCHPAD = declare(
    72,
    "no launchpad file",
    "Run `hibana store up`, which writes one, or name yours with --launchpad or HIBANA_LAUNCHPAD.",
)
BAD_LAUNCHPAD = declare(
    73, "the launchpad file cannot be used", "Compare it with one written by `lpad init` or `hibana store up`."
)
NO_SERVER = declare(74, "the embedded server is not installed", "Run `pip install hibana[embedded]`, or use a MongoDB server.")
PORT_TAKEN = declare(75, "the port is in use", "Choose another with --port, or leave --port out to get a free one.")
SERVER_FAILED = declare(76, "the embedded server did not start", "Read the server's log in its directory.")
SERVER_STAYS = declare(77, "the embedded server does not stop", "Its disk may hang; look at the process and at its log.")
BAD_QUERY = declare(78, "the query cannot be answered", 'Write a MongoDB filter as JSON, for instance \'{"formula": "MgO"}\'.')
FOREIGN_LAUNCHPAD = declare(
    79, "the launchpad file is not ours to overwrite", "Name another file with --launchpad, or move this one away."
)
NO_ARRAY = declare(80, "the array is not in the store", "Repeat the run the document came from; the array's bytes are lost.")
BAD_DIRECTORY = declare(81, "the directory cannot be used", "Choose a directory you may write to, on a local disk.")
