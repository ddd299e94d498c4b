"""Data keys beside a restored journal: brought back from their copies, and those that are gone for good named."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posd.cli.backup.parts import Parts
from posd.errors import StorageFailed
from posd.journal.backups.owner import give_to_owner
from posd.journal.connect import JOURNAL_FILE, open_reader, query
from posd.security.datakeyfile import is_key_id, key_files, path_in
from posd.security.keycopies import copy_key
from posd.security.secretfile import FOLDER_MODE

_USED = (
    "SELECT key_id, count(*) FROM (SELECT key_id FROM record WHERE key_id IS NOT NULL"
    " UNION ALL SELECT key_id FROM message WHERE key_id IS NOT NULL) GROUP BY key_id"
)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Data keys that rows were sealed under and that are not here; `rows`: how many texts they sealed."""

    keys: tuple[str, ...]
    rows: int


def bring_keys(parts: Parts, keys_from: Path | None) -> int:
    """Copy what is missing here from the place of the copies; how many. Raises StorageFailed."""
    copies = keys_from or parts.settings.backup.keys_to
    if copies is None or (keys_from is None and not copies.is_dir()):
        return 0
    try:
        parts.data_keys.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        missing = [path for path in key_files(copies) if not path_in(parts.data_keys, path.stem).exists()]
        for path in missing:
            copy_key(path, parts.data_keys)
        give_to_owner(parts.data_keys, parts.settings.state_dir)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StorageFailed(f"data keys: {copies}: {why}; the journal is restored, its card numbers are not") from None
    return len(missing)


def unreadable(parts: Parts) -> Unreadable:
    """What of the journal in its place nobody can open any more. Rows in an archive are not looked at."""
    gone = list(_gone(parts))
    return Unreadable(tuple(key for key, _ in gone), sum(count for _, count in gone))


def _gone(parts: Parts) -> Iterator[tuple[str, int]]:
    connection = open_reader(parts.journal / JOURNAL_FILE)
    try:
        for key_id, count in query(connection, _USED):
            if not is_key_id(key_id) or not path_in(parts.data_keys, key_id).exists():
                yield key_id, count
    finally:
        connection.close()
