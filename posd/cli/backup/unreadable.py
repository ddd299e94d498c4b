"""Data keys beside a restored journal: brought back from their copies, and those that are gone for good named."""

from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from posd.cli.backup.parts import Parts
from posd.errors import StorageFailed
from posd.journal.backups.owner import give_to_owner
from posd.journal.connect import JOURNAL_FILE, open_reader, query
from posd.journal.segment import open_segment, placed
from posd.security.datakeyfile import is_key_id, key_files, path_in
from posd.security.keycopies import copy_key
from posd.security.machine import load_machine_keys
from posd.security.secretfile import FOLDER_MODE
from posd.security.vault import DataKeys

_USED = (
    "SELECT key_id, count(*) FROM (SELECT key_id FROM record WHERE key_id IS NOT NULL"
    " UNION ALL SELECT key_id FROM message WHERE key_id IS NOT NULL) GROUP BY key_id"
)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Data keys that rows were sealed under and that open no more; `rows`: how many texts they sealed.

    `of_another`: those of them that are here, under a machine key that is not, or damaged.
    """

    keys: tuple[str, ...]
    of_another: tuple[str, ...]
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
    """What of the journal in its place, and of the segments that are there, nobody can open any more."""
    keys = DataKeys(parts.data_keys, *load_machine_keys(parts.settings.machine_key_file))
    used = _used(parts.journal)
    gone = [key_id for key_id in used if not keys.can_open(key_id)]
    here = [key_id for key_id in gone if is_key_id(key_id) and path_in(parts.data_keys, key_id).exists()]
    return Unreadable(tuple(gone), tuple(here), sum(used[key_id] for key_id in gone))


def _used(journal: Path) -> Counter[str]:
    """Every data key that something is sealed under, and how many texts."""
    used: Counter[str] = Counter()
    with closing(open_reader(journal / JOURNAL_FILE)) as connection:
        used.update(dict(query(connection, _USED)))
        segments = [one.path for one in placed(journal, connection) if one.is_here]
    for path in segments:
        with suppress(StorageFailed), closing(open_segment(path)) as connection:  # posd journal verify names damage
            used.update(dict(query(connection, _USED)))
    return used
