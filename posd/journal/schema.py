"""How a journal comes to the newest schema: forward only, one transaction a step, its version raised in it (D34).

Only the store that opens for writing calls this; a reader reads every older schema as it is. The columns of records and
messages never change: what changes in them is versioned in the payload (core/payload.py). It must never touch a row.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files

import apsw

from posd.journal.chain import JOURNAL_ID_BYTES, Chain
from posd.journal.connect import APPLICATION_ID, SCHEMA_VERSION, Identity, storage
from posd.journal.contract import Head

FIRST = "schema.sql"
MIGRATIONS: Mapping[int, str] = {1: "schema_2.sql"}
"""Schema version -> the script that makes the next one. A script is never changed once it was released."""


def to_newest(connection: apsw.Connection, chain: Chain) -> int:
    """Make the tables of a new journal, or upgrade those of an older one; the version it had. Raises StorageFailed."""
    with storage("upgrading the tables"):
        found: int = connection.pragma("user_version")
        if found == 0:
            connection.pragma("application_id", APPLICATION_ID)
            _create(connection, _new(chain))
        _upgrade(connection, max(found, 1))
        return found


def make_tables(connection: apsw.Connection, identity: Identity) -> None:
    """The newest tables in an empty file, with the journal's own row: also those of a segment. Raises StorageFailed."""
    with storage("making the tables"):
        _create(connection, identity)
        _upgrade(connection, 1)


def _create(connection: apsw.Connection, identity: Identity) -> None:
    """Version 1 with the journal's own row, in one commit. A kill before the next step leaves an old, good journal."""
    with _commit(connection, 1):
        connection.execute(_script(FIRST))
        connection.execute(
            "INSERT INTO journal VALUES (1, ?, ?, ?, ?)", (identity.journal_id, *identity.base, identity.key_check)
        )


def _new(chain: Chain) -> Identity:
    journal_id = os.urandom(JOURNAL_ID_BYTES)
    base = Head(0, chain.genesis(journal_id))
    return Identity(journal_id, base, chain.key_check(journal_id, *base))


def _upgrade(connection: apsw.Connection, found: int) -> None:
    for version in range(found, SCHEMA_VERSION):
        with _commit(connection, version + 1):
            connection.execute(_script(MIGRATIONS[version]))


@contextmanager
def _commit(connection: apsw.Connection, version: int) -> Iterator[None]:
    """One transaction that ends with the version in the file's header; whatever fails leaves the file as it was."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.pragma("user_version", version)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(apsw.Error):  # a failed statement may have rolled back already
            connection.execute("ROLLBACK")
        raise


def _script(name: str) -> str:
    return files("posd.journal").joinpath(name).read_text("utf-8")
