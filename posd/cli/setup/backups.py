"""The backups of `posd setup`: their folders, the right to write there, and the timers that make and prove them."""

import os
import pwd
from pathlib import Path

from posd.cli.setup.machine import StepFailed, command, last_words
from posd.cli.setup.place import UNITS, Place
from posd.journal.backups.sets import kept
from posd.settings import BackupSettings

DROP_IN = "backup.conf"
FOLDER_MODE = 0o700


def have_backups(place: Place, backup: BackupSettings) -> bool:
    """Whether anything of it had to be made. A folder that is there keeps its owner and mode: it may be a mount."""
    folders = [folder for folder in (backup.path, backup.keys_to) if folder is not None]
    made = [_have_folder(place, folder) for folder in folders]
    made += [_may_write(unit, folders) for unit in _units(place)]
    if any(made):
        command("systemctl", "daemon-reload")
    for timer in place.timers:
        command("systemctl", "enable", "--quiet", "--now", timer)
    return any(made)


def have_first_backup(place: Place, path: Path) -> bool:
    """One by the service itself: it shows that its user, its sandbox and its keys allow it. Raises StepFailed."""
    if kept(path):
        return False
    unit = place.timers[0].replace(".timer", ".service")
    try:
        command("systemctl", "start", unit)
    except StepFailed as error:
        raise StepFailed(f"{error}\n{last_words(unit)}") from None
    return True


def _units(place: Place) -> tuple[str, ...]:
    """posd itself too: it destroys expired data keys where their copies are (D29)."""
    return place.unit, *(timer.replace(".timer", ".service") for timer in place.timers)


def _have_folder(place: Place, folder: Path) -> bool:
    if folder.is_dir():
        return False
    folder.mkdir(mode=FOLDER_MODE, parents=True)
    owner = pwd.getpwnam(place.name)
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return True


def _may_write(unit: str, folders: list[Path]) -> bool:
    """The sandbox has to let it. A mount that is not there must not keep posd from starting: "-"."""
    path = UNITS / f"{unit}.d" / DROP_IN
    text = "[Service]\nReadWritePaths=" + " ".join(f"-{folder}" for folder in folders) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return True
