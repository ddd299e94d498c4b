"""Opening the journal for writing: every reason not to trust it is looked for before the first row is written.

Refused: an old SQLite, a second posd, a folder that cannot be written, another program's or a newer database, a
wrong machine key (all ConfigError); a missing anchor, a database behind it or another than it knew, rows that do
not fit the chain (StorageFailed). Nothing is ever repaired here.
"""

from contextlib import ExitStack
from pathlib import Path

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import ANCHOR_FILE, Anchor, create_anchor, read_anchor, sync_folder
from posd.journal.chain import LINK_BYTES, Chain
from posd.journal.connect import (
    JOURNAL_FILE,
    SCHEMA_VERSION,
    open_reader,
    open_writer,
    read_identity,
    require_engine,
    rows_lost,
    storage,
)
from posd.journal.contract import Head, Sealer
from posd.journal.lock import Lock
from posd.journal.marker import require_no_restore
from posd.journal.room import BALLAST_BYTES, FREE_BYTES_MIN, Ballast
from posd.journal.schema import to_newest
from posd.journal.sqlite import SqliteStore
from posd.journal.stamp import Stamp
from posd.journal.verify import require_key

FOLDER_MODE = 0o750


def open_store(
    folder: Path,
    chain_key: bytes,
    digest_key: bytes,
    sealer: Sealer,
    *,
    ballast_bytes: int = BALLAST_BYTES,
    free_bytes_min: int = FREE_BYTES_MIN,
    vfs: str | None = None,
) -> SqliteStore:
    """The journal in `folder`, made if there is none, checked and locked for this process.

    `chain_key`, `digest_key`: derived from the machine key for these two purposes, 16 bytes or more. `vfs`: a
    SQLite VFS by name, for tests with a failing disk. Raises ConfigError (exit 2), StorageFailed (exit 3).
    """
    require_engine()
    chain = Chain(chain_key)
    require_no_restore(folder)
    _make_folder(folder)
    with ExitStack() as undo:
        lock = Lock.take(folder)
        undo.callback(lock.release)
        require_no_restore(folder)
        ballast = Ballast(folder, ballast_bytes)
        with storage("taking the ballast"):
            ballast.ensure(free_bytes_min)
        _require_both_or_none(folder)
        anchor = Anchor(folder / ANCHOR_FILE)
        undo.callback(anchor.close)
        writer = open_writer(folder / JOURNAL_FILE, vfs)
        undo.callback(writer.close)
        if writer.pragma("user_version") != 0:
            require_key(writer, chain, read_identity(writer))  # before anything of it is changed
        found = to_newest(writer, chain)
        with storage("making the folder durable"):
            sync_folder(folder)
        reader = open_reader(folder / JOURNAL_FILE, vfs)
        undo.callback(reader.close)
        identity = read_identity(reader)
        require_key(reader, chain, identity)
        store = SqliteStore(
            writer=writer,
            reader=reader,
            identity=identity,
            folder=folder,
            vfs=vfs,
            free_bytes_min=free_bytes_min,
            anchor=anchor,
            lock=lock,
            ballast=ballast,
            chain=chain,
            stamp=Stamp(chain, digest_key, sealer),
        )
        store.upgraded_from = found if 0 < found < SCHEMA_VERSION else 0
        store.check_tail()
        undo.pop_all()
        return store


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"journal: {folder}: the folder cannot be made: {error.strerror}") from None


def _require_both_or_none(folder: Path) -> None:
    """The anchor is made before the database, so that a database without one was always robbed of it."""
    journal, anchor = folder / JOURNAL_FILE, folder / ANCHOR_FILE
    written = journal.exists() and journal.stat().st_size > 0
    if not anchor.exists():
        if written:
            raise StorageFailed(f"journal: {anchor}: the anchor is missing; restore it with its journal")
        with storage("making the anchor"):
            create_anchor(anchor, Head(0, bytes(LINK_BYTES)))
    elif not written:
        read_anchor(anchor)
        if lost := rows_lost(journal):
            raise StorageFailed(lost)
