"""`posd keys rotate`: another machine key, while posd goes on. May be killed anywhere and run again.

1. The new key is made beside the present one (`machine.key.new`): from here on both are valid, also for a posd that is
   started now.
2. The running daemon, or this command beside a stopped one, wraps everything anew under it; then the copies of the data
   keys (backup.keys_to) follow.
3. The new file takes the place of the old one.
4. The old key is destroyed.

What is found half done is gone on with.
"""

import os
from pathlib import Path

from posd.cli import exit_status
from posd.cli.asking import settings_at
from posd.cli.backup.create import copy_keys
from posd.cli.backup.parts import parts_of
from posd.cli.keys.doing import do
from posd.cli.keys.words import say
from posd.cli.lang import Lang
from posd.cli.screen import note, print_json, printable
from posd.daemon.control.arguments import who
from posd.daemon.keys.rotation import wrapped_for
from posd.errors import ConfigError, PosdError, StorageFailed
from posd.journal.backups.sets import alone
from posd.security.datakeyfile import destroy
from posd.security.machine import LAST, NEXT, MachineKey, load_machine_key
from posd.security.secretfile import is_handed_over, sync_folder, write_new_secret


def rotate_command(config: Path, by: str, as_json: bool, lang: Lang) -> int:
    """Status 1: files that no machine key opens were found; they were lost before."""
    settings = settings_at(config)
    who("keys rotate", {"by": by})
    path = settings.machine_key_file
    if is_handed_over(path) or not path.exists():
        raise ConfigError(
            f"{path} is not there: keys that are sealed to this machine (systemd-creds) are rotated unsealed"
        )
    if _finished(path):
        if as_json:
            print_json({"finished": True})
        else:
            print(printable(say(lang, "rotation_finished", file=path)))
        return exit_status.GOOD
    present, new = load_machine_key(path), _new_key(path)
    said = do(settings, "keys.rotate", {"wrapped": wrapped_for(new, present).hex(), "by": by})
    behind = _copies_behind(config)
    _put_in_place(path)
    if behind:
        note(printable(say(lang, "copies_behind", why=behind)))
    if as_json:
        print_json(said)
    else:
        print(printable(say(lang, "rotated", old=said["old"], new=said["new"], count=said["rewrapped"])))
        print(printable(say(lang, "rotated_next", file=path)))
        for lost in said["unreadable"]:
            note(printable(say(lang, "rotated_unreadable", file=lost)))
    return exit_status.FINDINGS if said["unreadable"] else exit_status.GOOD


def _copies_behind(config: Path) -> str:
    """The copies of the data keys follow while there are both keys: a disk that dies before the next backup would leave
    copies that only the destroyed one opens. Why they could not; empty: they have."""
    parts = parts_of(config)
    if parts.settings.backup.keys_to is None:
        return ""
    try:
        with alone(parts.path):
            copy_keys(parts)
    except PosdError as error:
        return str(error)
    return ""


def _finished(path: Path) -> bool:
    """The end of a rotation that was killed after the new key had taken its place."""
    following, last = path.with_name(path.name + NEXT), path.with_name(path.name + LAST)
    if following.exists() or not last.exists():
        return False
    destroy([last])
    return True


def _new_key(path: Path) -> MachineKey:
    """The one that a rotation before began with, or another."""
    following = path.with_name(path.name + NEXT)
    present = load_machine_key(path)
    _sweep(path)
    if not following.exists():
        try:
            write_new_secret(following, present.successor().text())
            owner = path.stat()
            os.chown(following, owner.st_uid, owner.st_gid)
        except OSError as error:
            reason = (error.strerror or "cannot be written").lower()
            raise ConfigError(f"{following}: {reason}; run it as root, who owns {path}") from None
    new = load_machine_key(following)
    if not new.continues(present):
        raise ConfigError(f"machine key: {following}: is not of the same journal as {path}; move it away")
    return new


def _sweep(path: Path) -> None:
    """Drafts of a rotation that was killed while it wrote. One may be another name of the new key: only that goes."""
    for draft in path.parent.glob(f".{path.name}.*"):
        if draft.stat().st_nlink == 1:
            destroy([draft])
        else:
            draft.unlink()


def _put_in_place(path: Path) -> None:
    """At no moment is there no machine key; the old one is overwritten before its name goes."""
    following, last = path.with_name(path.name + NEXT), path.with_name(path.name + LAST)
    try:
        last.unlink(missing_ok=True)
        os.link(path, last)
        os.replace(following, path)
        sync_folder(path.parent)
        destroy([last])
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise StorageFailed(f"{path}: {reason}; run posd keys rotate again, it goes on from here") from None
