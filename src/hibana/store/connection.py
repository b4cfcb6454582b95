"""From a FireWorks launchpad file to a connected store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from hibana.store.errors import ACCESS_REFUSED, BAD_LAUNCHPAD, STORE_DOWN
from hibana.store.launchpad_file import find_launchpad_file, read_launchpad

if TYPE_CHECKING:
    from hibana.store.store import Store

SELECTION_MS = 4000
REFUSED_CODES = (11, 13, 18, 33)
"""MongoDB's codes UserNotFound, Unauthorized, AuthenticationFailed and mechanism unavailable."""

OLD_TLS_KEYS = {"ssl": "tls", "ssl_ca_certs": "tlsCAFile", "ssl_keyfile": "tlsCertificateKeyFile"}
"""TLS keys of older launchpad files, which FireWorks 2 leaves unread, and what pymongo calls them."""


@dataclass(frozen=True)
class StoreAddress:
    """Where the database is and how to get in, in the words of FireWorks' launchpad file.

    Parameters
    ----------
    host
        Host name, or the whole MongoDB URI where `uri_mode` is set.
    port, name, username, password, authsource, uri_mode
        As in the launchpad file.
    mongoclient_kwargs
        Passed to pymongo: TLS (``tls``, ``tlsCAFile``...), write concern, time limits.
    source
        The file this was read from, for messages.
    """

    host: str = "localhost"
    port: int | None = 27017
    name: str = "fireworks"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    authsource: str | None = None
    uri_mode: bool = False
    mongoclient_kwargs: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    @classmethod
    def from_launchpad_file(cls, path: Path) -> StoreAddress:
        """Read a FireWorks launchpad file.

        Raises
        ------
        HibanaError
            HIB-073 if the file cannot be read or names no database.
        """
        content = read_launchpad(path)
        uri_mode = bool(content.get("uri_mode"))
        if uri_mode and not (content.get("host") and content.get("name")):
            raise BAD_LAUNCHPAD.error("with uri_mode, host (the URI) and name (the database) must be given", where=path)
        kwargs = content.get("mongoclient_kwargs") or {}
        if not isinstance(kwargs, dict):
            raise BAD_LAUNCHPAD.error("mongoclient_kwargs is no mapping", where=path)
        old = {new: content[key] for key, new in OLD_TLS_KEYS.items() if content.get(key)}
        return cls(
            host=content.get("host") or "localhost",
            port=None if uri_mode else content.get("port") or 27017,
            name=content.get("name") or "fireworks",
            username=content.get("username") or None,
            password=content.get("password") or None,
            authsource=content.get("authsource") or None,
            uri_mode=uri_mode,
            mongoclient_kwargs={**old, **kwargs},
            source=str(path),
        )

    def client(self) -> MongoClient[dict[str, Any]]:
        """A pymongo client; writes are acknowledged by the majority unless the file says otherwise.

        Raises
        ------
        HibanaError
            HIB-073 if pymongo does not understand the address.
        """
        kwargs = {"serverSelectionTimeoutMS": SELECTION_MS, **self.mongoclient_kwargs}
        if "w=" not in self.host:
            kwargs.setdefault("w", "majority")
        try:
            if self.uri_mode:
                return MongoClient(self.host, **kwargs)
            if self.username is not None:
                kwargs |= {"username": self.username, "password": self.password, "authSource": self.authsource or self.name}
            return MongoClient(self.host, self.port, **kwargs)
        except (ConfigurationError, InvalidURI, TypeError, ValueError, OSError) as error:
            raise BAD_LAUNCHPAD.error(str(error), where=self.source or self.place) from error

    @property
    def place(self) -> str:
        """Host, port and database for messages, without the password."""
        if self.uri_mode:
            return f"{self.host.rpartition('@')[2]} (database {self.name})"
        return f"{self.host}:{self.port}/{self.name}"


def connect(launchpad_file: Path | None = None) -> Store:
    """Connect to the store a launchpad file names, and make sure that it answers and lets us in.

    Parameters
    ----------
    launchpad_file
        FireWorks launchpad file; by default ``HIBANA_LAUNCHPAD``, then FireWorks' own places.

    Raises
    ------
    HibanaError
        HIB-070 if the database does not answer, HIB-071 if it refuses the login, HIB-072 if there is no launchpad file,
        HIB-073 if the file cannot be used.
    """
    from hibana.store.store import Store

    address = StoreAddress.from_launchpad_file(find_launchpad_file(launchpad_file))
    client = address.client()
    check(client, address)
    return Store(client[address.name])


def check(client: MongoClient[dict[str, Any]], address: StoreAddress) -> None:
    """Make sure that the database answers and lets us in.

    Raises
    ------
    HibanaError
        HIB-070 or HIB-071.
    """
    where = f"{address.place}, from {address.source}" if address.source else address.place
    try:
        client[address.name]["candidates"].find_one({"_id": ""}, {"_id": 1})
    except OperationFailure as error:
        if error.code in REFUSED_CODES:
            raise ACCESS_REFUSED.error(str(error.details.get("errmsg") if error.details else error), where=where) from error
        raise STORE_DOWN.error(str(error), where=where) from error
    except ServerSelectionTimeoutError as error:
        raise STORE_DOWN.error("no answer within the time limit", where=where) from error
    except (ConnectionFailure, PyMongoError, OSError) as error:
        raise STORE_DOWN.error(str(error), where=where) from error
