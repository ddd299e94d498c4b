"""Whether a journal was ended by a final backup: its last record says so, and then posd does not start on it.

Else two machines would go on with one journal, and use every trace number twice.
"""

from pathlib import Path

from posd.core.station import STATION
from posd.errors import ConfigError
from posd.journal.reader import JournalReader

MOVED = "journal_moved"


def has_moved(journal: Path) -> bool:
    """Whether the last record of the journal in this folder ends it. Raises ConfigError, StorageFailed."""
    with JournalReader(journal) as reader:
        last = next(reader.records(limit=1, newest_first=True), None)
    return last is not None and last.tid == STATION and last.kind == MOVED


def refuse_moved(journal: Path) -> None:
    """Raises ConfigError for a journal that lives on elsewhere."""
    if has_moved(journal):
        raise ConfigError(
            f"journal: {journal}: a final backup ended it, and it lives on where that was restored; "
            "if it never ran there: posd backup take-back --by NAME --reason TEXT"
        )
