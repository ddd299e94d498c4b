"""Moving closed months out of the database, as a list of short works in the order on which it hangs (D33).

A row has one authority at any moment: the database up to the commit `take over`, the segment's file from then on. So a
kill between any two works, or in one, leaves nothing lost and nothing twice; `works_to_finish` ends or undoes what a
run before has left. Whoever does the works does each to its end before asking for the next: those that are
`in_writer` in the journal's one writing thread (D3), where sales wait for them, the others anywhere else.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import apsw

from posd.journal.connect import storage
from posd.journal.making import COPY_ROWS, Making
from posd.journal.segment import DIGEST_BYTES, PART_SUFFIX, Segment, archive_folder
from posd.journal.sqlite import SqliteStore

REMOVE_ROWS = 400
"""Rows that one commit removes: two or three milliseconds."""
GIVE_BACK_PAGES = 64
"""Pages of 4 KiB that one commit gives back to the file system."""
FREE_PAGES_KEPT = 256
"""Free pages that stay in the file, for what is written next."""
PART_DIGESTS = 512
"""Request digests in one row: 4 KiB."""
PARTS_AT_ONCE = 16

_LOWEST = (
    "SELECT min(sequence) FROM"
    " (SELECT min(sequence) AS sequence FROM record UNION ALL SELECT min(sequence) FROM message)"
)
_ORPHANS = "FROM archived_request WHERE segment NOT IN (SELECT first FROM segment)"


@dataclass(frozen=True, slots=True)
class Work:
    """One short piece. `rows`: how many are done with it, of the whole month twice (copied, read back)."""

    what: str
    do: Callable[[], object]
    in_writer: bool = False
    rows: int = 0


def works_to_archive(store: SqliteStore, month: str, last: int) -> Iterator[Work]:
    """Everything that moves the rows up to `last` into the segment of `month`."""
    making = Making(store, month, last)
    try:
        yield Work("begin the segment", making.begin)
        for first, until in _blocks(making.first, last):
            yield Work("copy rows", partial(making.copy, first, until), rows=until - first + 1)
        yield Work("make it durable", making.finish)
        yield Work("open it again", making.begin_check)
        for first, until in _blocks(making.first, last):
            yield Work("read rows back", partial(making.check, until), rows=until - first + 1)
        yield Work("compare its end", making.end_check)
        yield Work("give it its name", making.name)
        for at in range(0, len(making.digests), PARTS_AT_ONCE * PART_DIGESTS * DIGEST_BYTES):
            yield Work("note its requests", partial(_note, store, making, at), in_writer=True)
        yield Work("take over", partial(_take_over, store, making), in_writer=True)
    finally:
        making.close()
    yield from works_to_remove(store)


def works_to_finish(store: SqliteStore) -> Iterator[Work]:
    """What an interrupted run has left: a file in the making goes, removed rows stay removed, the rest follows."""
    for part in sorted(archive_folder(store.folder).glob(f"*{PART_SUFFIX}")):
        yield Work("remove an unfinished segment", partial(part.unlink, missing_ok=True))
    if store.ask(f"SELECT 1 {_ORPHANS} LIMIT 1"):
        yield Work("forget its requests", partial(store.change, "forgetting requests", _forget), in_writer=True)
    yield from works_to_remove(store)


def works_to_remove(store: SqliteStore) -> Iterator[Work]:
    """Rows that are in a segment leave the database, then their pages leave the file."""
    while (lowest := store.ask(_LOWEST)[0][0]) is not None and lowest <= store.base.sequence:
        until = min(lowest + REMOVE_ROWS - 1, store.base.sequence)
        yield Work("remove rows", partial(store.change, "removing", partial(_remove, lowest, until)), in_writer=True)
    while store.can_give_back and store.ask("PRAGMA freelist_count")[0][0] > FREE_PAGES_KEPT:
        yield Work("give room back", partial(store.give_back, GIVE_BACK_PAGES), in_writer=True)


def is_unfinished(store: SqliteStore) -> bool:
    """Whether a run before was interrupted. Free pages alone say nothing: a database has some at times."""
    return next(works_to_finish(store), Work("give room back", int)).what != "give room back"


def _blocks(first: int, last: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, last + 1, COPY_ROWS):
        yield begin, min(begin + COPY_ROWS - 1, last)


def _note(store: SqliteStore, making: Making, at: int) -> None:
    size = PART_DIGESTS * DIGEST_BYTES
    parts = [making.digests[place : place + size] for place in range(at, at + PARTS_AT_ONCE * size, size)]
    rows = [(making.first, part[:DIGEST_BYTES], part) for part in parts if part]
    store.change("noting requests", lambda connection: _insert(connection, rows))


def _insert(connection: apsw.Connection, rows: list[tuple[int, bytes, bytes]]) -> None:
    connection.executemany("INSERT OR REPLACE INTO archived_request VALUES (?, ?, ?)", rows)


def _take_over(store: SqliteStore, making: Making) -> None:
    """From this commit on the rows of the segment are those in its file; the ones here are only to be removed."""
    segment = making.segment
    assert segment is not None
    store.sync_anchor()  # it names a row behind this one, and from now on it must
    check = store.chain.key_check(store.identity.journal_id, *segment.head)
    store.change("archive", partial(_move_base, segment, check))
    store.begin_after(segment.head, check)


def _move_base(segment: Segment, key_check: bytes, connection: apsw.Connection) -> None:
    values = segment.values()
    connection.execute(f"INSERT INTO segment VALUES ({', '.join('?' * len(values))})", values)
    connection.execute("UPDATE journal SET base_sequence = ?, base_link = ?, key_check = ?", (*segment.head, key_check))


def _forget(connection: apsw.Connection) -> None:
    connection.execute(f"DELETE {_ORPHANS}")


def _remove(lowest: int, until: int, connection: apsw.Connection) -> None:
    for table in ("record", "message"):
        connection.execute(f"DELETE FROM {table} WHERE sequence BETWEEN ? AND ?", (lowest, until))


def do(work: Work) -> None:
    """Do one, here and now: where no daemon runs, and in tests. Raises StorageFailed."""
    with storage(work.what):
        work.do()
