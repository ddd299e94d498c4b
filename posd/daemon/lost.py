"""Whether a journal was here: then none is begun in its place, which would use every trace number again.

A new machine has no journal, and neither has one whose disk is not mounted, or that was installed anew after the disk
died. What tells them apart are the backups: those under this machine's key are of a journal that is missed.
"""

from pathlib import Path

from posd.errors import StorageFailed
from posd.journal.marker import marker_of


def refuse_lost(journal: Path, backups: Path | None, chain_key: bytes) -> None:
    """Raises StorageFailed where there is no journal, and a backup of one.

    It is no bad configuration: a disk that is mounted late comes, and then the next try is good.
    """
    from posd.journal.backups.placing import is_there  # a start has a journal nearly always
    from posd.journal.backups.sets import newest_of

    if backups is None or is_there(journal) or marker_of(journal).exists():
        return  # a restore that is under way says so itself
    if name := newest_of(backups, chain_key):
        what = f"there is none, but {backups} has backups of one, the newest is {name}: is its disk mounted?"
        remedy = "If it is lost: posd backup restore; to begin a new one, move these backups away"
        raise StorageFailed(f"journal: {journal}: {what} {remedy}")
