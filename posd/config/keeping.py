"""Backups: where they must not lie."""

from collections.abc import Iterator
from pathlib import Path

from posd.settings import Settings
from posd.yamlmarks import Document, Problem


def check(settings: Settings, document: Document) -> list[Problem]:
    """Every contradiction of these settings."""
    return [*_apart(settings, document), *_of_no_use(settings, document)]


def _apart(settings: Settings, document: Document) -> Iterator[Problem]:
    """D29: a backup of the journal and the copies of the data keys are two places, and neither is posd's own."""
    backup = settings.backup
    for name, folder in (("path", backup.path), ("keys_to", backup.keys_to)):
        if folder is not None and _is_in(folder, settings.state_dir):
            where = f"state_dir ({document.place(('state_dir',))})"
            hint = "give a folder of another disk, or of another machine that is mounted here"
            yield document.problem(("backup", name), f"lies below {where}, and would be lost with it", hint)
    if backup.path is None or backup.keys_to is None:
        return
    if _is_in(backup.keys_to, backup.path) or _is_in(backup.path, backup.keys_to):
        what = "is of one place with backup.path: whoever has both has the card numbers of every backup (D29)"
        yield document.problem(("backup", "keys_to"), what, "give a place that is kept apart, and expires apart")


def _of_no_use(settings: Settings, document: Document) -> Iterator[Problem]:
    backup = settings.backup
    if backup.path is None and (backup.command or backup.keys_to is not None):
        name = "command" if backup.command else "keys_to"
        hint = "give backup.path, a folder in which each backup is made first"
        yield document.problem(("backup", name), "does nothing without backup.path", hint)


def _is_in(folder: Path, other: Path) -> bool:
    return folder.absolute().is_relative_to(other.absolute())
