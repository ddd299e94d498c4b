"""A journal that moves to another machine: ended here by its final backup, so that it cannot live in two places.

The end is a row: while it is the last one, posd does not start on this journal (daemon/moved.py). A named person may
take it back, when the other machine never ran.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posd.cli import exit_status
from posd.cli.backup.parts import Parts, parts_of
from posd.cli.screen import note, print_json, printable
from posd.core.station import JournalMoved, JournalTakenBack, StationRecord
from posd.daemon.clock import SystemClock
from posd.daemon.control.arguments import who, why
from posd.daemon.control.peer import this_user
from posd.daemon.moved import has_moved
from posd.daemon.station_lane import station_row
from posd.errors import ConfigError
from posd.journal.backups.owner import give_to_owner
from posd.journal.backups.sets import spend_finals
from posd.journal.opening import open_store
from posd.journal.sqlite import SqliteStore
from posd.security.vault import DataKeys


@contextmanager
def opened(parts: Parts, journal: Path) -> Iterator[SqliteStore]:
    """The journal for writing, for as long as this lasts. Raises ConfigError: posd is running."""
    digest = parts.machine_key.derive("digest")
    keys = DataKeys(parts.data_keys, parts.machine_key)
    store = open_store(journal, parts.keys.chain, digest, keys, ballast_bytes=0, free_bytes_min=0)
    try:
        yield store
    finally:
        store.close()
        give_to_owner(journal, journal.parent)


def end_journal(parts: Parts, by: str) -> bool:
    """Nothing is written after this but a word that takes it back; whether it was not ended before already.

    A final backup of before is the newest state no more: another one follows.
    """
    name = who("backup create", {"by": by})
    with opened(parts, parts.journal) as store:
        _spend(parts, store)
        now = not has_moved(parts.journal)
        if now:
            _write(store, JournalMoved(name, this_user()))
        store.sync_anchor()
    return now


def go_on(parts: Parts, by: str, reason: str) -> None:
    """The end is taken back, and before that its final backup: it must not be restored as if nothing had followed."""
    with opened(parts, parts.journal) as store:
        _spend(parts, store)
        if has_moved(parts.journal):
            _write(store, JournalTakenBack(by, reason, this_user()))
        store.sync_anchor()


def _spend(parts: Parts, store: SqliteStore) -> None:
    path = parts.settings.backup.path
    if path is not None:
        spend_finals(path, store.identity.journal_id.hex(), SystemClock().now().wall_ms)


def _write(store: SqliteStore, record: StationRecord) -> None:
    store.write([[station_row(record, SystemClock().now().wall_ms)]])


def take_back_command(config: Path, by: str, reason: str, as_json: bool) -> int:
    """A person says that the final backup never ran elsewhere: this journal goes on."""
    given = {"by": by, "reason": reason}
    name, because = who("backup take-back", given), why("backup take-back", given)
    parts = parts_of(config)
    if not has_moved(parts.journal):
        raise ConfigError(f"{parts.journal}: this journal was not ended by a final backup; nothing was changed")
    go_on(parts, name, because)
    if as_json:
        print_json({"taken_back": True, "by": name})
    else:
        print(printable(f"taken back by {name}: posd starts on this journal again"))
        note("remove every copy of its final backup: posd would take it for the newest state")
    return exit_status.GOOD
